//! [`Deadline`]: a point in monotonic time, or never. The only form of a timeout below the edge.

use core::time::Duration;

use crate::kernel::{Errno, Result, clock};

/// A point of CLOCK_MONOTONIC in nanoseconds; `NEVER` is later than all.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Deadline(pub u64);

impl Deadline {
    /// No timeout.
    pub const NEVER: Deadline = Deadline(u64::MAX);

    /// `wait` from now; one too far away to count is `NEVER`.
    pub fn after(wait: Duration) -> Deadline {
        let wait = u64::try_from(wait.as_nanos()).unwrap_or(u64::MAX);
        Deadline(clock::now().saturating_add(wait))
    }

    /// The absolute `time` of `clock`. EINVAL: nanoseconds out of range (POSIX, pthread_mutex_timedlock) or a clock
    /// that cannot be waited on. A time before the epoch has passed.
    ///
    /// Other clocks than CLOCK_MONOTONIC are converted by their distance from now; a waiter that must follow steps
    /// of CLOCK_REALTIME converts again when it wakes early.
    pub fn at(clock: libc::clockid_t, time: &libc::timespec) -> Result<Deadline> {
        if !(0..1_000_000_000).contains(&time.tv_nsec) {
            return Err(Errno(libc::EINVAL));
        }
        let Ok(seconds) = u64::try_from(time.tv_sec) else { return Ok(Deadline(0)) };
        let time = seconds.saturating_mul(1_000_000_000).saturating_add(time.tv_nsec as u64);
        if clock == libc::CLOCK_MONOTONIC {
            return Ok(Deadline(time));
        }
        let now = clock::read(clock).ok_or(Errno(libc::EINVAL))?;
        Ok(Deadline(clock::now().saturating_add(time.saturating_sub(now))))
    }

    /// Whether it lies in the past.
    pub fn passed(self) -> bool {
        self.0 == 0 || (self != Deadline::NEVER && clock::now() >= self.0)
    }

    /// What is left; zero when passed, None for never.
    pub fn remaining(self) -> Option<Duration> {
        (self != Deadline::NEVER).then(|| Duration::from_nanos(self.0.saturating_sub(clock::now())))
    }
}
