//! `syscall(SYS_futex, ...)`: what libstdc++'s guards and `atomic::wait`, Rust's std and GLib wait with.
//!
//! Green threads that wait park on the word's address. A wake-up takes green waiters first and gives the rest of its
//! count to the kernel, where foreign threads and other processes wait. On a futex without FUTEX_PRIVATE_FLAG another
//! process may wake, which is not seen here: the waiter looks at the word again by itself, and gives up with a
//! spurious wake-up (futex(2) allows it) after [`SHARED_WAIT`].
//!
//! A word that changed says nothing about a lost wake-up: a condition variable in Rust changes it and wakes one of
//! many. So nobody can tell from outside when such a wait is over.
//!
//! Safety: the program vouches for its addresses, as to the kernel. Those that cannot be words go to the kernel, which
//! answers for them.

use core::sync::atomic::{AtomicU32, Ordering};

use crate::data::Deadline;
use crate::kernel::syscall::{check, raw6};
use crate::kernel::{Errno, Result, clock};
use crate::runtime::{Green, Wait, Wake, edges, hub, parking};

use super::{Patience, Until, pi};

/// How long a wait on a shared futex lasts at most.
const SHARED_WAIT: u64 = 100_000_000;

pub(super) const ALL: u32 = libc::FUTEX_BITSET_MATCH_ANY as u32;

/// The system call's arguments: `uaddr, op, val, timeout or val2, uaddr2, val3`.
#[derive(Clone, Copy, Debug)]
pub struct Call(pub [usize; 6]);

impl Call {
    pub(super) fn kernel(&self) -> Result<usize> {
        let [a, b, c, d, e, f] = self.0;
        // SAFETY: the program's own system call.
        check(unsafe { raw6(libc::SYS_futex, a, b, c, d, e, f) })
    }

    /// The same call with other counts.
    fn counts(&self, value: u32, value2: u32) -> Call {
        let mut call = *self;
        call.0[2] = value as usize;
        call.0[3] = value2 as usize;
        call
    }

    fn shared(&self) -> bool {
        self.0[1] as i32 & libc::FUTEX_PRIVATE_FLAG == 0
    }
}

/// The word at `address`; None where there can be none.
fn word(address: usize) -> Option<&'static AtomicU32> {
    const FIRST_PAGE: usize = 4096;
    // SAFETY: an aligned address for which the program vouches; all access is atomic.
    (address >= FIRST_PAGE && address.is_multiple_of(4)).then(|| unsafe { &*(address as *const AtomicU32) })
}

/// The futex call, for every thread; `g` is the green thread that may park.
pub unsafe fn futex(g: Option<&Green>, call: &Call) -> Result<usize> {
    let [address, operation, value, fourth, address2, value3] = call.0;
    let (operation, value, value2) = (operation as i32, value as u32, fourth as u32);
    let realtime = operation & libc::FUTEX_CLOCK_REALTIME != 0;
    let timeout = fourth as *const libc::timespec;
    let Some(word) = word(address) else { return call.kernel() };
    match (operation & libc::FUTEX_CMD_MASK, g) {
        (libc::FUTEX_WAIT, Some(g)) => {
            // SAFETY: the program's timespec.
            let until = unsafe { relative(timeout)? };
            wait(g, word, value, ALL, until, call.shared())
        }
        (libc::FUTEX_WAIT_BITSET, Some(g)) if value3 as u32 != 0 => {
            let clock = if realtime { libc::CLOCK_REALTIME } else { libc::CLOCK_MONOTONIC };
            // SAFETY: as above.
            let until = unsafe { absolute(clock, timeout)? };
            wait(g, word, value, value3 as u32, until, call.shared())
        }
        (libc::FUTEX_WAKE, _) if !realtime => wake(call, value, ALL),
        (libc::FUTEX_WAKE_BITSET, _) if !realtime && value3 as u32 != 0 => wake(call, value, value3 as u32),
        (libc::FUTEX_REQUEUE, _) if !realtime => requeue(call, value, value2, address2),
        (libc::FUTEX_CMP_REQUEUE, _) if !realtime => {
            if word.load(Ordering::SeqCst) != value3 as u32 {
                return Err(Errno(libc::EAGAIN));
            }
            requeue(call, value, value2, address2)
        }
        (libc::FUTEX_WAKE_OP, _) if !realtime => wake_op(call, value, value2, address2, value3 as u32),
        // SAFETY: as above.
        _ if hub::active() => unsafe { owned(g, word, call) },
        _ => call.kernel(),
    }
}

/// Those of words with an owner.
unsafe fn owned(g: Option<&Green>, word: &AtomicU32, call: &Call) -> Result<usize> {
    let [address, operation, value, fourth, address2, value3] = call.0;
    let realtime = operation as i32 & libc::FUTEX_CLOCK_REALTIME != 0;
    let private = operation & libc::FUTEX_PRIVATE_FLAG as usize;
    let clock = if realtime { libc::CLOCK_REALTIME } else { libc::CLOCK_MONOTONIC };
    // SAFETY: the program's timespec.
    let until = |clock| unsafe { absolute(clock, fourth as *const libc::timespec) };
    match operation as i32 & libc::FUTEX_CMD_MASK {
        libc::FUTEX_LOCK_PI => pi::lock(g, word, call, until(libc::CLOCK_REALTIME)?),
        pi::LOCK2 => pi::lock(g, word, call, until(clock)?),
        libc::FUTEX_TRYLOCK_PI if !realtime && let Some(g) = g => pi::try_lock(g, word),
        libc::FUTEX_UNLOCK_PI if !realtime => pi::unlock(word, call),
        libc::FUTEX_WAIT_REQUEUE_PI if let Some(second) = self::word(address2) => {
            let until = until(clock)?;
            pi::wait_then_lock(g, second, call, until, || match g {
                Some(g) => wait(g, word, value as u32, ALL, until, call.shared()),
                None => {
                    let flags = operation & !(libc::FUTEX_CMD_MASK as usize);
                    let wait = libc::FUTEX_WAIT_BITSET as usize | flags;
                    Call([address, wait, value, fourth, 0, ALL as usize]).kernel()
                }
            })
        }
        // All are woken; each then waits for the second word's owner.
        libc::FUTEX_CMP_REQUEUE_PI if !realtime && value == 1 && fourth as i32 >= 0 => {
            if word.load(Ordering::SeqCst) != value3 as u32 {
                return Err(Errno(libc::EAGAIN));
            }
            let count = (fourth as u32).saturating_add(1).min(i32::MAX as u32);
            let wake = libc::FUTEX_WAKE as usize | private;
            self::wake(&Call([address, wake, 0, 0, 0, 0]), count, ALL)
        }
        _ => call.kernel(),
    }
}

unsafe fn relative(time: *const libc::timespec) -> Result<Until> {
    // SAFETY: NULL or the program's timespec.
    match unsafe { time.as_ref() } {
        None => Ok(Until::NEVER),
        Some(time) if time.tv_sec < 0 || !(0..1_000_000_000).contains(&time.tv_nsec) => {
            Err(Errno(libc::EINVAL))
        }
        Some(time) => {
            let wait = (time.tv_sec as u64).saturating_mul(1_000_000_000).saturating_add(time.tv_nsec as u64);
            Ok(Until { clock: libc::CLOCK_MONOTONIC, nanoseconds: clock::now().saturating_add(wait) })
        }
    }
}

unsafe fn absolute(clock: libc::clockid_t, time: *const libc::timespec) -> Result<Until> {
    // SAFETY: NULL or the program's timespec.
    match unsafe { time.as_ref() } {
        None => Ok(Until::NEVER),
        Some(time) if time.tv_sec < 0 => Err(Errno(libc::EINVAL)),
        // SAFETY: as above.
        Some(time) => unsafe { Until::at(clock, time) },
    }
}

fn wait(g: &Green, word: &AtomicU32, value: u32, bits: u32, until: Until, shared: bool) -> Result<usize> {
    let address = word.as_ptr() as usize;
    g.expect(Wait { a: address, b: bits as usize, cancellable: false, ..Wait::opaque("futex") });
    let unchanged = || word.load(Ordering::SeqCst) == value;
    let give_up = if shared { Deadline(clock::now() + SHARED_WAIT) } else { Deadline::NEVER };
    let mut patience = Patience::new();
    loop {
        let mut deadline = until.deadline();
        if shared {
            deadline = deadline.min(patience.next());
        }
        match parking::park(g, address, deadline, false, unchanged) {
            None => return Err(Errno(libc::EAGAIN)),
            Some(Wake::Interrupted) => return Err(Errno(libc::EINTR)),
            Some(Wake::Restart) if until.is_timed() => return Err(Errno(libc::EINTR)),
            Some(Wake::Restart) => {}
            Some(Wake::TimedOut) if until.passed() => return Err(Errno(libc::ETIMEDOUT)),
            Some(Wake::TimedOut) if unchanged() && !give_up.passed() => {}
            Some(_) => return Ok(0),
        }
    }
}

/// A wait by a thread that was taken out of the kernel's: whoever changes the word wakes nobody here, so it looks again by
/// itself.
///
/// # Safety
/// The call's word and time are live.
pub unsafe fn sit_out(g: &Green, call: &Call) -> Result<usize> {
    let [address, operation, value, time, ..] = call.0;
    let (operation, time) = (operation as i32, time as *const libc::timespec);
    let Some(word) = word(address) else { return call.kernel() };
    let realtime = operation & libc::FUTEX_CLOCK_REALTIME != 0;
    let until = match operation & libc::FUTEX_CMD_MASK {
        // SAFETY: the caller's promise.
        libc::FUTEX_WAIT => unsafe { relative(time)? },
        libc::FUTEX_WAIT_BITSET => {
            let clock = if realtime { libc::CLOCK_REALTIME } else { libc::CLOCK_MONOTONIC };
            // SAFETY: the caller's promise.
            unsafe { absolute(clock, time)? }
        }
        _ => return call.kernel(),
    };
    let mut naps = 0;
    while word.load(Ordering::SeqCst) == value as u32 {
        let wait = Wait { cancellable: false, ..Wait::opaque("futex") };
        match edges::nap(g, &wait, &mut naps, until.deadline()) {
            Wake::Interrupted => return Err(Errno(libc::EINTR)),
            Wake::Restart if until.is_timed() => return Err(Errno(libc::EINTR)),
            Wake::TimedOut if until.passed() => return Err(Errno(libc::ETIMEDOUT)),
            _ => {}
        }
    }
    Ok(0)
}

fn wake(call: &Call, count: u32, bits: u32) -> Result<usize> {
    let woken = wake_green(call.0[0], count, bits);
    if woken == count && count != 0 {
        return Ok(woken as usize);
    }
    let others = call.counts(count - woken, call.0[3] as u32).kernel()?;
    Ok(woken as usize + others)
}

/// Wakes up to `count` (an `int` to the kernel) green waiters whose bits meet `bits`.
fn wake_green(address: usize, count: u32, bits: u32) -> u32 {
    let count = usize::try_from(count as i32).unwrap_or(0);
    parking::wake_where(address, count, |wait| wait.b as u32 & bits != 0) as u32
}

/// Wakes `count` waiters and moves `moves` others to `target`; how many of both.
fn requeue(call: &Call, count: u32, moves: u32, target: usize) -> Result<usize> {
    if (count as i32) < 0 || (moves as i32) < 0 || word(target).is_none() {
        return call.kernel();
    }
    let woken = wake_green(call.0[0], count, ALL);
    let moved = parking::requeue(call.0[0], target, moves as usize) as u32;
    let others = match call.counts(count - woken, moves - moved).kernel() {
        // The word has changed since it was compared: those in the kernel stay where they are.
        Err(Errno(libc::EAGAIN)) if woken + moved > 0 => 0,
        answer => answer?,
    };
    Ok((woken + moved) as usize + others)
}

/// Changes the second word as `code` says, wakes waiters of the first, and of the second if its old value compares.
fn wake_op(call: &Call, count: u32, count2: u32, address2: usize, code: u32) -> Result<usize> {
    let Some(second) = word(address2) else { return call.kernel() };
    let signed = |field: u32| ((field << 20) as i32 >> 20) as u32;
    let (mut operand, comparand) = (signed(code >> 12 & 0xfff), signed(code & 0xfff));
    let (operation, comparison) = (code >> 28 & 0xf, code >> 24 & 0xf);
    if operation & 8 != 0 {
        operand = 1u32.wrapping_shl(operand);
    }
    let change = |old: u32| match operation & 7 {
        0 => Some(operand),
        1 => Some(old.wrapping_add(operand)),
        2 => Some(old | operand),
        3 => Some(old & !operand),
        4 => Some(old ^ operand),
        _ => None,
    };
    if change(0).is_none() || comparison > 5 {
        return Err(Errno(libc::ENOSYS));
    }
    let old = second.fetch_update(Ordering::SeqCst, Ordering::SeqCst, change).unwrap_or(0);
    let (old, than) = (old as i32, comparand as i32);
    let second_too = match comparison {
        0 => old == than,
        1 => old != than,
        2 => old < than,
        3 => old <= than,
        4 => old > than,
        _ => old >= than,
    };
    let private = call.0[1] & libc::FUTEX_PRIVATE_FLAG as usize;
    let operation = libc::FUTEX_WAKE as usize | private;
    let mut woken = wake(&Call([call.0[0], operation, count as usize, 0, 0, 0]), count, ALL)?;
    if second_too {
        woken += wake(&Call([address2, operation, count2 as usize, 0, 0, 0]), count2, ALL)?;
    }
    Ok(woken)
}
