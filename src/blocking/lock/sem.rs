//! Semaphores: the real trywait, and the queue when it says EAGAIN; a post is the real one, then the queue.
//!
//! The ABI of `sem_t` on x86-64: the value at 0 (the count of glibc's own waiters above it, at 4), at 8 whether it is
//! process-shared. Named semaphores are process-shared: their waiter looks again by itself.
//!
//! Safety: as the C functions. [`posted`] is async-signal-safe: in a handler it takes no lock.

use core::ffi::c_void;

use crate::kernel::real::real;
use crate::kernel::{Errno, Result};
use crate::runtime::{Green, Wait, hub, parking};

use super::{Until, load, queue};

const SHARED: usize = 8;

fn available(sem: usize, _: usize) -> bool {
    load(sem, 0) != 0
}

/// The only failure of the real trywait is an empty semaphore; errno is glibc's to set, so the value is asked first.
fn attempt(sem: *mut c_void) -> Option<Result<()>> {
    // SAFETY: the C function's contract.
    let taken = available(sem as usize, 0) && unsafe { (real().sem_trywait)(sem) } == 0;
    taken.then_some(Ok(()))
}

/// `sem_wait`.
#[inline(always)]
pub unsafe fn wait(g: &Green, sem: *mut c_void) -> Result<()> {
    wait_for(g, sem, "sem_wait", Until::NEVER)
}

/// `sem_clockwait`, and `sem_timedwait` with CLOCK_REALTIME.
#[inline(always)]
pub unsafe fn wait_until(
    g: &Green,
    sem: *mut c_void,
    clock: libc::clockid_t,
    time: *const libc::timespec,
) -> Result<()> {
    // SAFETY: the C function's contract.
    wait_for(g, sem, "sem_timedwait", unsafe { Until::at(clock, time)? })
}

#[inline(always)]
fn wait_for(g: &Green, sem: *mut c_void, call: &'static str, until: Until) -> Result<()> {
    if g.is_cancelled() {
        return Err(Errno::CANCELLED);
    }
    match attempt(sem) {
        Some(answer) => answer,
        None => empty(g, sem, call, until),
    }
}

#[cold]
fn empty(g: &Green, sem: *mut c_void, call: &'static str, until: Until) -> Result<()> {
    let address = sem as usize;
    let wait = Wait { over: available, a: address, ..Wait::opaque(call) };
    queue(g, address, wait, until, || load(address, SHARED) != 0, || attempt(sem))
}

/// `sem_trywait`. A loop around it must not keep the hub from the thread that would post.
#[inline(always)]
pub unsafe fn try_wait(g: &Green, sem: *mut c_void) -> Result<()> {
    match attempt(sem) {
        Some(answer) => answer,
        None => {
            hub().charge(g);
            Err(Errno(libc::EAGAIN))
        }
    }
}

/// What follows the real `sem_post`, on every thread and in signal handlers.
#[inline(always)]
pub fn posted(sem: *mut c_void) {
    parking::wake(sem as usize, 1);
}
