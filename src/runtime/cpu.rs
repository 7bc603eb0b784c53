//! Processor time by green thread: what CLOCK_THREAD_CPUTIME_ID and `pthread_getcpuclockid` show.
//!
//! Nobody counts until the first one asks: a system call at each switch is too dear. From then on every thread is charged
//! for its turns, and the first one for all that was used before.
//!
//! Safety: on the hub's kernel thread.

use core::ptr;
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use crate::syscall;

use super::green::{Green, this};
use super::hub::hub;

static COUNTS: AtomicBool = AtomicBool::new(false);
/// The kernel thread's time when the running thread's turn began.
static SINCE: AtomicU64 = AtomicU64::new(0);

/// The processor time of `green`, in nanoseconds.
pub fn used(green: &Green) -> u64 {
    if !COUNTS.swap(true, Ordering::Relaxed) {
        hub().first.used.set(now());
        begin();
    }
    let runs = this().is_some_and(|it| ptr::eq(it, green));
    green.used.get() + if runs { now() - SINCE.load(Ordering::Relaxed) } else { 0 }
}

/// A thread's turn begins.
#[inline(always)]
pub(super) fn turn_begins() {
    if COUNTS.load(Ordering::Relaxed) {
        begin();
    }
}

/// The turn of `green` is over.
#[inline(always)]
pub(super) fn turn_ends(green: &Green) {
    if COUNTS.load(Ordering::Relaxed) {
        charge(green);
    }
}

#[cold]
fn begin() {
    SINCE.store(now(), Ordering::Relaxed);
}

#[cold]
fn charge(green: &Green) {
    green.used.set(green.used.get() + now() - SINCE.load(Ordering::Relaxed));
}

/// What the hub's kernel thread has used.
fn now() -> u64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: room for the answer. Cannot fail.
    let _ = unsafe { syscall!(libc::SYS_clock_gettime, libc::CLOCK_THREAD_CPUTIME_ID, &mut time) };
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}

/// In a fork child, whose kernel thread starts at 0, and which is dormant.
pub(super) fn forked() {
    COUNTS.store(false, Ordering::Relaxed);
}
