//! Condition variables. Green waiters park on the variable's address: linked before the mutex is released, so no
//! signal between the two is lost. Foreign threads wait in glibc; a signal looks for green waiters first and gives
//! the rest to glibc, a broadcast goes to both.
//!
//! On a process-shared variable another process's signal wakes nobody here. Then the wait ends by itself after a
//! while, as a spurious wake-up, which POSIX allows and the caller's loop looks through.
//!
//! `pthread_cond_t` keeps two flags in one word, `__wrefs`: bit 0 process-shared, bit 1 CLOCK_MONOTONIC. The word moved
//! in glibc 2.41 (36, then 28), so it is found in a variable initialised with both.
//!
//! Safety: as the C functions. The mutex is held again whenever a wait returns, cancelled or not.

use core::ffi::{c_int, c_void};
use core::sync::atomic::{AtomicUsize, Ordering};

use crate::data::Deadline;
use crate::kernel::real::real;
use crate::kernel::{Errno, Result, clock};
use crate::runtime::{Green, Wait, Wake, parking, raise};

use super::{Until, load, mutex};

const SHARED: u32 = 1;
const MONOTONIC: u32 = 2;

/// How long a wait on a process-shared variable lasts at most.
const SHARED_WAIT: u64 = 2_000_000;

/// Where the flags lie: found at the first wait, 0 before.
static FLAGS: AtomicUsize = AtomicUsize::new(0);

fn flags(cond: *mut c_void) -> u32 {
    let mut offset = FLAGS.load(Ordering::Relaxed);
    if offset == 0 {
        offset = find_flags();
        FLAGS.store(offset, Ordering::Relaxed);
    }
    load(cond as usize, offset)
}

#[cold]
fn find_flags() -> usize {
    let mut attributes = [0u64; 8];
    let mut cond = [0u32; 12];
    let pointer = (&raw mut attributes).cast();
    // SAFETY: both objects are ours and large enough (pthread_condattr_t: 4 bytes, pthread_cond_t: 48).
    unsafe {
        (real().pthread_condattr_init)(pointer);
        (real().pthread_condattr_setclock)(pointer, libc::CLOCK_MONOTONIC);
        (real().pthread_condattr_setpshared)(pointer, libc::PTHREAD_PROCESS_SHARED);
        (real().pthread_cond_init)((&raw mut cond).cast(), pointer.cast());
    }
    let found = cond.iter().position(|word| *word == SHARED | MONOTONIC);
    4 * found.unwrap_or_else(|| crate::kernel::log::fatal(format_args!("unknown pthread_cond_t")))
}

/// `pthread_cond_wait`.
pub unsafe fn wait(g: &Green, cond: *mut c_void, mutex: *mut c_void) -> Result<()> {
    // SAFETY: the C function's contract.
    unsafe { wait_for(g, cond, mutex, "pthread_cond_wait", Until::NEVER) }
}

/// `pthread_cond_timedwait`: on the clock of the variable's attribute.
pub unsafe fn wait_until(
    g: &Green,
    cond: *mut c_void,
    mutex: *mut c_void,
    time: *const libc::timespec,
) -> Result<()> {
    let clock = if flags(cond) & MONOTONIC != 0 { libc::CLOCK_MONOTONIC } else { libc::CLOCK_REALTIME };
    // SAFETY: the C function's contract.
    unsafe { wait_for(g, cond, mutex, "pthread_cond_timedwait", Until::at(clock, time)?) }
}

/// `pthread_cond_clockwait`.
pub unsafe fn wait_clock(
    g: &Green,
    cond: *mut c_void,
    mutex: *mut c_void,
    clock: c_int,
    time: *const libc::timespec,
) -> Result<()> {
    // SAFETY: the C function's contract.
    unsafe { wait_for(g, cond, mutex, "pthread_cond_clockwait", Until::at(clock, time)?) }
}

unsafe fn wait_for(
    g: &Green,
    cond: *mut c_void,
    mutex: *mut c_void,
    call: &'static str,
    until: Until,
) -> Result<()> {
    let shared = flags(cond) & SHARED != 0;
    g.expect(Wait { a: cond as usize, interruptible: false, ..Wait::opaque(call) });
    let mut released = Ok(());
    let mut until_next = until.deadline();
    if shared {
        until_next = until_next.min(Deadline(clock::now() + SHARED_WAIT));
    }
    // Who waits again after a time-out has waited longest: without its place, threads that wait in a loop for a lock of
    // their own (Python's) can miss every signal.
    let (place, age) = g.overdue.replace((0, 0));
    let keeps = place == cond as usize;
    if keeps {
        g.age.set(age);
    }
    let wake = parking::park(g, cond as usize, until_next, keeps, || {
        // SAFETY: the C function's contract.
        released = unsafe { mutex::release(mutex) };
        released.is_ok()
    });
    if wake == Some(Wake::TimedOut) {
        g.overdue.set((cond as usize, g.age.get()));
    }
    released?;
    let locked = mutex::lock_again(g, mutex);
    match wake {
        Some(Wake::Cancelled) => Err(Errno::CANCELLED),
        Some(Wake::Ready) if raise::is_due(g) => {
            // The signal goes to the next.
            signal(cond);
            Err(Errno::CANCELLED)
        }
        Some(Wake::TimedOut) if locked.is_ok() && until.passed() => Err(Errno(libc::ETIMEDOUT)),
        _ => locked,
    }
}

/// What comes before the real `pthread_cond_signal`, on every thread. True: a green waiter took the signal.
#[inline(always)]
pub fn signal(cond: *mut c_void) -> bool {
    parking::wake(cond as usize, 1) != 0
}

/// What comes before the real `pthread_cond_broadcast`, on every thread.
#[inline(always)]
pub fn broadcast(cond: *mut c_void) {
    parking::wake(cond as usize, usize::MAX);
}
