//! Sleeping, on every clock. A handler that runs meanwhile ends a sleep, SA_RESTART or not; a sleep of no length lets
//! the others go first.
//!
//! Safety: `request` is NULL or a live timespec; `remaining` is NULL or room for one; they may be the same.

use libc::{c_int, clockid_t, timespec};

use crate::data::Deadline;
use crate::kernel::{Errno, Result, clock, memory};
use crate::runtime::{Green, Wait, Wake, raise, steps};
use crate::syscall;

const SECOND: u64 = 1_000_000_000;

/// `nanosleep`.
pub unsafe fn nanosleep(g: &Green, request: *const timespec, remaining: *mut timespec) -> Result<()> {
    // SAFETY: the C function's contract.
    unsafe { clock_nanosleep(g, libc::CLOCK_MONOTONIC, 0, request, remaining) }
}

/// `clock_nanosleep`.
pub unsafe fn clock_nanosleep(
    g: &Green,
    clock: clockid_t,
    flags: c_int,
    request: *const timespec,
    remaining: *mut timespec,
) -> Result<()> {
    sleepable(clock)?;
    // SAFETY: the C function's contract.
    let time = nanoseconds(&unsafe { memory::read(request)? })?;
    if flags & libc::TIMER_ABSTIME != 0 {
        return until(g, clock, time).map_err(|(errno, _)| errno);
    }
    // How long is not a matter of the clocks that are set.
    let clock = match clock {
        libc::CLOCK_REALTIME | libc::CLOCK_TAI => libc::CLOCK_MONOTONIC,
        other => other,
    };
    let end = clock::read(clock).ok_or(Errno(libc::EINVAL))?.saturating_add(time);
    until(g, clock, end).map_err(|(errno, left)| {
        if errno.0 == libc::EINTR && !remaining.is_null() {
            let left = timespec { tv_sec: (left / SECOND) as i64, tv_nsec: (left % SECOND) as i64 };
            // SAFETY: the C function's contract.
            return unsafe { memory::write(remaining, left) }.err().unwrap_or(errno);
        }
        errno
    })
}

/// `sleep`; `left` is what it returns.
pub fn seconds(g: &Green, seconds: u32, left: &mut u32) -> Result<()> {
    let mut time = timespec { tv_sec: seconds as i64, tv_nsec: 0 };
    // SAFETY: both are `time`.
    let answer = unsafe { nanosleep(g, &time, &mut time) };
    *left = if answer.is_ok() { 0 } else { time.tv_sec as u32 };
    answer
}

/// `usleep`.
pub fn microseconds(g: &Green, microseconds: u32) -> Result<()> {
    let (seconds, rest) = (microseconds / 1_000_000, microseconds % 1_000_000);
    let time = timespec { tv_sec: seconds as i64, tv_nsec: rest as i64 * 1000 };
    // SAFETY: `time` is live, and nobody asks what remains.
    unsafe { nanosleep(g, &time, core::ptr::null_mut()) }
}

fn nanoseconds(time: &timespec) -> Result<u64> {
    match (u64::try_from(time.tv_sec), u64::try_from(time.tv_nsec)) {
        (Ok(seconds), Ok(rest)) if rest < SECOND => Ok(seconds.saturating_mul(SECOND).saturating_add(rest)),
        _ => Err(Errno(libc::EINVAL)),
    }
}

/// Whether one can sleep on `clock`: the kernel knows, and says it of a sleep that is over.
fn sleepable(clock: clockid_t) -> Result<()> {
    match clock {
        libc::CLOCK_REALTIME | libc::CLOCK_MONOTONIC | libc::CLOCK_BOOTTIME | libc::CLOCK_TAI => Ok(()),
        libc::CLOCK_THREAD_CPUTIME_ID => Err(Errno(libc::EINVAL)),
        _ => {
            let past = timespec { tv_sec: 0, tv_nsec: 0 };
            // SAFETY: `past` is live; nothing is written.
            unsafe { syscall!(libc::SYS_clock_nanosleep, clock, libc::TIMER_ABSTIME, &past, 0)? };
            Ok(())
        }
    }
}

/// Sleeps until `clock` shows `end`. With the error, what is left.
///
/// The wait itself is on the monotonic clock: another one may have been set, or stood still, so it is asked again, at
/// each step of CLOCK_REALTIME too.
fn until(g: &Green, clock: clockid_t, end: u64) -> core::result::Result<(), (Errno, u64)> {
    let left = || end.saturating_sub(clock::read(clock).unwrap_or(u64::MAX));
    if left() == 0 && !g.is_cancelled() {
        g.yield_now();
        return if raise::is_due(g) { Err((Errno::CANCELLED, 0)) } else { Ok(()) };
    }
    loop {
        let deadline = match clock {
            libc::CLOCK_MONOTONIC => Deadline(end),
            _ => steps::follow(g, Deadline(clock::now().saturating_add(left()))),
        };
        match g.park(&Wait::opaque("sleep"), deadline) {
            Wake::Cancelled => return Err((Errno::CANCELLED, 0)),
            Wake::Interrupted | Wake::Restart => return Err((Errno(libc::EINTR), left())),
            Wake::TimedOut | Wake::Ready | Wake::Closed => {}
        }
        if left() == 0 {
            return Ok(());
        }
    }
}
