//! Steps of CLOCK_REALTIME: who waits until a point of a clock that can be set looks again when it was set, forward or
//! back. A timerfd that is never to fire tells the poller (TFD_TIMER_CANCEL_ON_SET: timerfd_create(2)); it is made at the
//! first such wait.
//!
//! Safety: on the hub's kernel thread alone.

use core::ffi::c_int;
use core::ptr;
use core::sync::atomic::{AtomicI32, Ordering};

use crate::data::Deadline;
use crate::kernel::Result;
use crate::syscall;

use super::green::{Green, State, Wake};
use super::hub::{hub, unpark};
use super::{descriptors, poller, signals};

/// What the poller knows the timer by.
pub(super) const TOKEN: u64 = u64::MAX - 2;

const NONE: c_int = -1;
static FD: AtomicI32 = AtomicI32::new(NONE);

/// `deadline` is a point of a clock that may be set, for the wait that `green` begins now: if it is, the wait ends as if the
/// deadline had passed.
pub fn follow(green: &Green, deadline: Deadline) -> Deadline {
    if FD.load(Ordering::Relaxed) == NONE {
        let _ = watch();
    }
    green.follows.set(deadline);
    deadline
}

#[cold]
fn watch() -> Result<()> {
    let never = libc::itimerspec {
        it_interval: libc::timespec { tv_sec: 0, tv_nsec: 0 },
        it_value: libc::timespec { tv_sec: i64::MAX, tv_nsec: 0 },
    };
    let flags = libc::TFD_TIMER_ABSTIME | libc::TFD_TIMER_CANCEL_ON_SET;
    // SAFETY: `never` is a live itimerspec; the old value is not asked for.
    let fd = unsafe {
        let fd =
            syscall!(libc::SYS_timerfd_create, libc::CLOCK_REALTIME, libc::TFD_CLOEXEC | libc::TFD_NONBLOCK)?;
        syscall!(libc::SYS_timerfd_settime, fd, flags, &never, ptr::null::<u8>())?;
        poller::move_high(fd as c_int)
    };
    hub().poller().add(fd, TOKEN)?;
    descriptors::adopt(fd);
    FD.store(fd, Ordering::Relaxed);
    Ok(())
}

/// The clock was set.
pub fn stepped() {
    let mut count = 0u64;
    // SAFETY: eight bytes for a timer's count. It says ECANCELED, and is ready for the next step.
    let _ = unsafe { syscall!(libc::SYS_read, FD.load(Ordering::Relaxed), &mut count, 8) };
    let waits = |green: &&Green| {
        green.state() == State::Parked
            && green.timer.is_set()
            && green.timer.deadline() == green.follows.get()
    };
    for green in signals::threads().filter(waits) {
        unpark(green, Wake::TimedOut);
    }
}

/// In a fork child: the timer, which is the parent's too, is left.
pub(super) fn forked() {
    let fd = FD.swap(NONE, Ordering::Relaxed);
    if fd != NONE {
        // SAFETY: our own descriptor.
        let _ = unsafe { syscall!(libc::SYS_close, fd) };
    }
}
