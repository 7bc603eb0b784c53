//! Mutexes: one try, and the queue when somebody has it.
//!
//! A mutex that is given free goes to whoever tries first; the waiter that was woken for it and came too late returns
//! to the front of the queue, and the next one to unlock makes way for it.
//!
//! The ABI of `pthread_mutex_t` on x86-64: `__lock` at 0, `__owner` (a tid) at 8, `__nusers` at 12,
//! `__kind` at 16.
//!
//! Priorities mean nothing among threads of one hub, and the kernel knows no green thread's tid: a contended PI mutex
//! would be lost in it, and PRIO_PROTECT would ask it for the priority of a thread that it cannot find. So
//! [`initialised`] takes both protocols off a private mutex. A shared one keeps its PI bit for other processes; here it is tried,
//! never waited for in the kernel.
//!
//! Safety: as the C functions.

use core::ffi::c_void;
use core::sync::atomic::Ordering::{Acquire, Relaxed, Release};

use crate::kernel::real::real;
use crate::kernel::{Errno, Result};
use crate::runtime::{Green, Wait, hub, parking};
use crate::syscall;

use super::{Until, check_clock, load, queue, result, word};

const LOCK: usize = 0;
const OWNER: usize = 8;
const USERS: usize = 12;
const KIND: usize = 16;

/// The `__kind` of nearly all mutexes: normal, private. Its lock and unlock are glibc's own steps, taken here: a call of
/// the real ones costs as much again.
const PLAIN: u32 = 0;
/// Bits of `__kind`.
const TYPE: u32 = 3;
const ERRORCHECK: u32 = libc::PTHREAD_MUTEX_ERRORCHECK as u32;
const INHERIT: u32 = 32;
const PROTECT: u32 = 64;
const SHARED: u32 = 128;

/// Where a mutex of PTHREAD_PRIO_PROTECT has its ceiling, in the lock word.
const CEILING_SHIFT: u32 = 19;
/// Bits of `__kind` that glibc leaves alone: the mutex had a protocol, and above it the ceiling, if it had one.
const HAD_PROTOCOL: u32 = 1 << 16;
const KEPT_SHIFT: u32 = 17;
/// The `__kind` of a destroyed mutex.
const DESTROYED: u32 = u32::MAX;

/// The lock word's tid bits, which are 0 only when nobody holds the mutex; the plain kinds write 1 or 2 there.
const HELD: u32 = 0x3fff_ffff;

/// Foreign threads have real tids, below the kernel's limit; synthetic ones lie above it.
const TID_LIMIT: u32 = 1 << 22;

fn free(mutex: usize, _: usize) -> bool {
    load(mutex, 0) & HELD == 0
}

/// Whether its release may happen in another process or inside libc.
fn unseen(mutex: usize) -> bool {
    let owner = load(mutex, OWNER);
    let green = owner > TID_LIMIT || owner == hub().first.tid.get() as u32;
    load(mutex, KIND) & SHARED != 0 || !green
}

#[inline(always)]
fn attempt(g: &Green, mutex: *mut c_void) -> Option<Result<()>> {
    if load(mutex as usize, KIND) == PLAIN {
        take(g, mutex as usize).then_some(Ok(()))
    } else {
        attempt_real(g, mutex)
    }
}

/// glibc's trylock of a plain mutex.
#[inline(always)]
fn take(g: &Green, mutex: usize) -> bool {
    let taken = word(mutex, LOCK).compare_exchange(0, 1, Acquire, Relaxed).is_ok();
    if taken {
        word(mutex, OWNER).store(g.tid.get() as u32, Relaxed);
        word(mutex, USERS).store(load(mutex, USERS).wrapping_add(1), Relaxed);
    }
    taken
}

/// glibc's unlock of a plain mutex. The swap is the last look at it: whoever has it next may free it.
#[inline(always)]
fn give(mutex: usize) {
    word(mutex, OWNER).store(0, Relaxed);
    word(mutex, USERS).store(load(mutex, USERS).wrapping_sub(1), Relaxed);
    let lock = word(mutex, LOCK);
    if lock.swap(0, Release) > 1 {
        // SAFETY: wakes a foreign waiter; a wake on memory that is gone does nothing.
        let _ = unsafe { syscall!(libc::SYS_futex, lock, libc::FUTEX_WAKE | libc::FUTEX_PRIVATE_FLAG, 1) };
    }
}

fn attempt_real(g: &Green, mutex: *mut c_void) -> Option<Result<()>> {
    // SAFETY: the C function's contract.
    match unsafe { (real().pthread_mutex_trylock)(mutex) } {
        0 => Some(Ok(())),
        libc::EBUSY => None,
        libc::ENOTRECOVERABLE => {
            give_back(g, mutex as usize);
            Some(Err(Errno(libc::ENOTRECOVERABLE)))
        }
        code => Some(Err(Errno(code))),
    }
}

/// glibc's trylock leaves a mutex that nobody can recover locked for good (its lock does not).
#[cold]
fn give_back(g: &Green, mutex: usize) {
    let ours = |word: u32| (word & HELD == g.tid.get() as u32).then_some(0);
    if let Ok(old) = word(mutex, 0).fetch_update(Relaxed, Relaxed, ours)
        && old & libc::FUTEX_WAITERS != 0
    {
        // SAFETY: wakes a foreign waiter; not private, since the mutex may be shared.
        let _ = unsafe { syscall!(libc::SYS_futex, word(mutex, 0), libc::FUTEX_WAKE, 1) };
    }
}

/// `pthread_mutex_lock`.
#[inline(always)]
pub unsafe fn lock(g: &Green, mutex: *mut c_void) -> Result<()> {
    match attempt(g, mutex) {
        Some(answer) => answer,
        None => contended(g, mutex, "pthread_mutex_lock", Until::NEVER, true),
    }
}

/// The way back from a condition variable: nothing is raised in it.
pub(super) fn lock_again(g: &Green, mutex: *mut c_void) -> Result<()> {
    match attempt(g, mutex) {
        Some(answer) => answer,
        None => contended(g, mutex, "pthread_mutex_lock", Until::NEVER, false),
    }
}

/// `pthread_mutex_clocklock`, and `pthread_mutex_timedlock` with CLOCK_REALTIME. The time is looked at only when it
/// must wait.
#[inline(always)]
pub unsafe fn lock_until(
    g: &Green,
    mutex: *mut c_void,
    clock: libc::clockid_t,
    time: *const libc::timespec,
) -> Result<()> {
    check_clock(clock)?;
    match attempt(g, mutex) {
        Some(answer) => answer,
        // SAFETY: the C function's contract.
        None => contended(g, mutex, "pthread_mutex_timedlock", unsafe { Until::at(clock, time)? }, true),
    }
}

#[cold]
fn contended(g: &Green, mutex: *mut c_void, call: &'static str, until: Until, raises: bool) -> Result<()> {
    let address = mutex as usize;
    let own = load(address, OWNER) == g.tid.get() as u32;
    if own && load(address, KIND) & TYPE == ERRORCHECK {
        return Err(Errno(libc::EDEADLK));
    }
    let wait = Wait {
        over: free,
        a: address,
        interruptible: false,
        cancellable: false,
        raises,
        ..Wait::opaque(call)
    };
    queue(g, address, wait, until, || unseen(address), || attempt(g, mutex))
}

/// `pthread_mutex_trylock`. One with a protocol says EDEADLK to its owner, if it checks errors. A loop around it must not keep the hub from the thread that would unlock.
#[inline(always)]
pub unsafe fn try_lock(g: &Green, mutex: *mut c_void) -> Result<()> {
    match attempt(g, mutex) {
        Some(answer) => answer,
        None => {
            let (owner, kind) = (load(mutex as usize, OWNER), load(mutex as usize, KIND));
            if kind & HAD_PROTOCOL != 0 && kind & TYPE == ERRORCHECK && owner == g.tid.get() as u32 {
                return Err(Errno(libc::EDEADLK));
            }
            hub().charge(g);
            Err(Errno(libc::EBUSY))
        }
    }
}

/// `pthread_mutex_unlock`, on every thread; `g` is the green one that may park.
#[inline(always)]
pub unsafe fn unlock(g: Option<&Green>, mutex: *mut c_void) -> Result<()> {
    // SAFETY: the C function's contract.
    unsafe { let_go(mutex)? };
    unlocked(g, mutex);
    Ok(())
}

#[inline(always)]
unsafe fn let_go(mutex: *mut c_void) -> Result<()> {
    if load(mutex as usize, KIND) == PLAIN {
        give(mutex as usize);
        return Ok(());
    }
    // SAFETY: the C function's contract.
    result(unsafe { (real().pthread_mutex_unlock)(mutex) })
}

#[inline(always)]
fn unlocked(g: Option<&Green>, mutex: *mut c_void) {
    let woken = parking::wake_one(mutex as usize);
    if let Some(g) = g {
        match woken {
            Some(wait) if wait.b != 0 && g.preemptible.get() => g.yield_now(),
            _ => hub().make_up(g),
        }
    }
}

/// Unlocks inside a wait that gives the hub away by itself.
pub(super) unsafe fn release(mutex: *mut c_void) -> Result<()> {
    // SAFETY: the C function's contract.
    unsafe { let_go(mutex)? };
    parking::wake(mutex as usize, 1);
    Ok(())
}

/// What follows the real `pthread_mutex_init`, on every thread.
pub fn initialised(mutex: *mut c_void) {
    let kind = word(mutex as usize, KIND);
    let protocol = kind.load(Relaxed) & (INHERIT | PROTECT);
    if protocol != 0 && kind.load(Relaxed) & SHARED == 0 {
        kind.fetch_and(!protocol, Relaxed);
        let ceiling = word(mutex as usize, 0).swap(0, Relaxed) >> CEILING_SHIFT;
        kind.fetch_or(HAD_PROTOCOL | ceiling << KEPT_SHIFT, Relaxed);
    }
}

/// The ceiling of a mutex from which [`initialised`] has taken PTHREAD_PRIO_PROTECT.
pub fn ceiling(mutex: *mut c_void) -> Option<i32> {
    let kind = load(mutex as usize, KIND);
    let ceiling = (kind >> KEPT_SHIFT) as i32;
    (kind != DESTROYED && kind & HAD_PROTOCOL != 0 && ceiling != 0).then_some(ceiling)
}

/// Changes it; the caller holds the mutex.
pub fn set_ceiling(mutex: *mut c_void, ceiling: i32) {
    let kind = word(mutex as usize, KIND);
    let other = kind.load(Relaxed) & !(u32::MAX << KEPT_SHIFT);
    kind.store(other | (ceiling as u32) << KEPT_SHIFT, Relaxed);
}
