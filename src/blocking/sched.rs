//! Scheduling parameters, nice values, affinity and processor clocks, by thread.
//!
//! The threads of one hub share one kernel thread. So what a green thread is given is kept and reported, and not put in
//! force: the kernel is asked whether it would take it, on its own thread, which then gets back what it had. A thread
//! that was given nothing reports what is in force. A fork child is alone and gets in force what its thread kept.
//!
//! Safety: the program's pointers go to the kernel, which checks them, or are read and written as the C functions do it.

use core::ffi::{c_int, c_void};
use core::ptr;

use crate::kernel::{Errno, Result};
use crate::runtime::green::{Affinity, Scheduling};
use crate::runtime::{Green, cpu, errand, hub, signals, this};
use crate::syscall;

/// Pids and tids of the kernel's are not larger; those of green threads are.
const REAL_TIDS: c_int = 1 << 22;

/// The green thread that `tid` means; 0 is the caller's own. None: the kernel knows better.
pub fn by_tid(tid: c_int) -> Option<&'static Green> {
    match tid {
        0 => this(),
        _ if !hub::active() => None,
        _ if tid > REAL_TIDS || tid == hub().first.tid.get() => errand::on_hub(|| signals::thread(tid)),
        _ => None,
    }
}

/// The scheduling parameters of `target`.
pub fn scheduling(target: &Green) -> Result<Scheduling> {
    match target.scheduling.get() {
        Some(kept) => Ok(kept),
        None => errand::on_hub(in_force),
    }
}

/// Gives it others. EINVAL, EPERM: the kernel would not take them.
pub fn set_scheduling(target: &Green, policy: c_int, priority: c_int) -> Result<()> {
    let wanted = Scheduling { policy, priority };
    errand::on_hub(|| {
        target.scheduling.set(Some(acceptable(wanted)?));
        Ok(())
    })
}

/// What the kernel would make of `wanted`. Those of ordinary policies are not tried: the way back from SCHED_IDLE may be
/// barred.
pub fn acceptable(wanted: Scheduling) -> Result<Scheduling> {
    match wanted.policy & !libc::SCHED_RESET_ON_FORK {
        libc::SCHED_OTHER | libc::SCHED_BATCH | libc::SCHED_IDLE if wanted.priority == 0 => Ok(wanted),
        libc::SCHED_FIFO | libc::SCHED_RR => {
            let before = in_force()?;
            enforce(wanted)?;
            enforce(before)?;
            Ok(wanted)
        }
        _ => Err(Errno(libc::EINVAL)),
    }
}

fn in_force() -> Result<Scheduling> {
    let mut priority: c_int = 0;
    // SAFETY: room for the answer.
    unsafe {
        let policy = syscall!(libc::SYS_sched_getscheduler, 0)? as c_int;
        syscall!(libc::SYS_sched_getparam, 0, &mut priority)?;
        Ok(Scheduling { policy, priority })
    }
}

fn enforce(wanted: Scheduling) -> Result<()> {
    // SAFETY: a live word.
    unsafe { syscall!(libc::SYS_sched_setscheduler, 0, wanted.policy, &wanted.priority).map(drop) }
}

/// The processors that `target` may run on, into `size` bytes at `set`; how many of them mean something.
///
/// # Safety
/// `size` bytes at `set` are writable.
pub unsafe fn affinity(target: &Green, size: usize, set: *mut c_void) -> Result<usize> {
    let kept = target.affinity.get();
    errand::on_hub(|| {
        // SAFETY: the caller's promise.
        unsafe {
            let length = syscall!(libc::SYS_sched_getaffinity, 0, size.min(c_int::MAX as usize), set)?;
            if let Some(kept) = kept {
                let kept = ptr::from_ref(&kept).cast::<u8>();
                ptr::copy_nonoverlapping(kept, set.cast(), length.min(size_of::<Affinity>()));
            }
            Ok(length)
        }
    })
}

/// Gives it others. EINVAL: none that there is is among them.
///
/// # Safety
/// `size` bytes at `set` are readable.
pub unsafe fn set_affinity(target: &Green, size: usize, set: *const c_void) -> Result<()> {
    errand::on_hub(|| {
        // SAFETY: the caller's promise.
        target.affinity.set(Some(unsafe { acceptable_affinity(size, set)? }));
        Ok(())
    })
}

/// What the kernel would make of the set.
///
/// # Safety
/// As [`set_affinity`].
pub unsafe fn acceptable_affinity(size: usize, set: *const c_void) -> Result<Affinity> {
    let (mut before, mut after): (Affinity, Affinity) = ([0; 16], [0; 16]);
    // SAFETY: room for the answers; the caller's promise.
    unsafe {
        syscall!(libc::SYS_sched_getaffinity, 0, size_of::<Affinity>(), &mut before)?;
        syscall!(libc::SYS_sched_setaffinity, 0, size, set)?;
        syscall!(libc::SYS_sched_getaffinity, 0, size_of::<Affinity>(), &mut after)?;
        syscall!(libc::SYS_sched_setaffinity, 0, size_of::<Affinity>(), &before)?;
    }
    Ok(after)
}

/// `CPUCLOCK_PERTHREAD_MASK | CPUCLOCK_SCHED`, and how far the tid is shifted.
const THREAD_CLOCK: c_int = 6;
const CLOCK_BITS: u32 = 3;

/// The green thread whose processor time `clock` shows: glibc's `pthread_getcpuclockid` makes it of the tid.
#[inline(always)]
pub fn of_clock(clock: libc::clockid_t) -> Option<&'static Green> {
    match clock {
        libc::CLOCK_THREAD_CPUTIME_ID => this(),
        0.. => None,
        _ => of_thread_clock(clock),
    }
}

#[cold]
fn of_thread_clock(clock: libc::clockid_t) -> Option<&'static Green> {
    let tid = !(clock >> CLOCK_BITS);
    if clock & 7 == THREAD_CLOCK { by_tid(tid) } else { None }
}

/// The processor time that `target` has used.
pub fn processor_time(target: &Green) -> libc::timespec {
    let nanoseconds = errand::on_hub(|| cpu::used(target));
    libc::timespec {
        tv_sec: (nanoseconds / 1_000_000_000) as i64,
        tv_nsec: (nanoseconds % 1_000_000_000) as i64,
    }
}

/// What `getrusage(RUSAGE_THREAD)` says of the hub's kernel thread becomes `target`'s, as far as time goes.
pub fn own_times(target: &Green, usage: &mut libc::rusage) {
    let micros = |time: &libc::timeval| time.tv_sec as u64 * 1_000_000 + time.tv_usec as u64;
    let (user, system) = (micros(&usage.ru_utime), micros(&usage.ru_stime));
    let used = errand::on_hub(|| cpu::used(target)) / 1000;
    let in_kernel = (u128::from(used) * u128::from(system) / u128::from((user + system).max(1))) as u64;
    let time = |micros: u64| libc::timeval {
        tv_sec: (micros / 1_000_000) as i64,
        tv_usec: (micros % 1_000_000) as i64,
    };
    usage.ru_utime = time(used - in_kernel);
    usage.ru_stime = time(in_kernel);
}

/// The nice value of `target`.
pub fn nice(target: &Green) -> Result<c_int> {
    match target.nice.get() {
        Some(kept) => Ok(kept),
        // SAFETY: takes numbers; the kernel's answer is 20 less the value.
        None => errand::on_hub(|| unsafe {
            syscall!(libc::SYS_getpriority, libc::PRIO_PROCESS, 0).map(|answer| 20 - answer as c_int)
        }),
    }
}

/// Gives it another one. EACCES: a lower one than it may have.
pub fn set_nice(target: &Green, value: c_int) -> Result<()> {
    let value = value.clamp(-20, 19);
    if value < nice(target)? && !may_have(value) {
        return Err(Errno(libc::EACCES));
    }
    errand::on_hub(|| target.nice.set(Some(value)));
    Ok(())
}

/// Whether this process may lower a nice value to `value`: its limit says so, or CAP_SYS_NICE.
fn may_have(value: c_int) -> bool {
    const CAPABILITIES: u32 = 0x2008_0522;
    const SYS_NICE: u32 = 1 << 23;
    let (mut limit, header, mut sets) = ([0u64; 2], [CAPABILITIES, 0], [0u32; 6]);
    // SAFETY: room for the answers, and a header of the kernel's form.
    unsafe {
        let limited = syscall!(libc::SYS_prlimit64, 0, libc::RLIMIT_NICE, 0, &mut limit);
        let asked = syscall!(libc::SYS_capget, &header, &mut sets);
        (limited.is_ok() && limit[0] >= (20 - value) as u64) || (asked.is_ok() && sets[0] & SYS_NICE != 0)
    }
}

/// `nice`: the new value. EPERM: lower than it may be.
pub fn add_nice(target: &Green, more: c_int) -> Result<c_int> {
    set_nice(target, nice(target)?.saturating_add(more)).map_err(|_| Errno(libc::EPERM))?;
    nice(target)
}

/// `sched_rr_get_interval`.
///
/// # Safety
/// `time` is writable.
pub unsafe fn interval(target: &Green, time: *mut libc::timespec) -> Result<()> {
    // SAFETY: the caller's promise.
    errand::on_hub(|| unsafe { syscall!(libc::SYS_sched_rr_get_interval, 0, time) })?;
    if scheduling(target)?.policy & !libc::SCHED_RESET_ON_FORK == libc::SCHED_FIFO {
        // SAFETY: as above.
        unsafe { *time = libc::timespec { tv_sec: 0, tv_nsec: 0 } };
    }
    Ok(())
}
