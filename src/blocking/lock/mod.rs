//! Locks. The words are glibc's and stay the truth: its own try operations decide who has a lock. Only the waiting is
//! ours: a green thread parks in the queue of the lock's address ([`parking`]), and whoever releases wakes that queue
//! after the real release. Foreign threads wait natively and are woken by the real release.
//!
//! Two releases are seen by no row: one in another process, and one inside libc (a foreign thread's
//! `pthread_cond_wait` releases its mutex there). Where one of them is possible, the waiter looks again by itself,
//! after [`Patience`].
//!
//! Safety: a lock's address is handed on under the contract of the C function. Its words are read at ABI offsets,
//! which every file names and which glibc cannot change: programs have them compiled in (static initialisers).

pub mod barrier;
pub mod cond;
pub mod futex;
pub mod internal;
pub mod mutex;
pub mod once;
pub mod pi;
pub mod rwlock;
pub mod sem;
pub mod spin;

use core::sync::atomic::{AtomicU32, Ordering};

use crate::data::Deadline;
use crate::kernel::{Errno, Result, clock};
use crate::runtime::{Green, Wait, Wake, current, parking, raise, steps};

/// Until when a call waits: a point of the clock that the caller named, or never.
#[derive(Clone, Copy, Debug)]
pub struct Until {
    clock: libc::clockid_t,
    nanoseconds: u64,
}

impl Until {
    /// No timeout.
    pub const NEVER: Until = Until { clock: libc::CLOCK_MONOTONIC, nanoseconds: u64::MAX };

    /// The absolute `time` of `clock`. EINVAL: nanoseconds out of range, or neither CLOCK_REALTIME nor CLOCK_MONOTONIC.
    ///
    /// # Safety
    /// `time` points to a timespec.
    pub unsafe fn at(clock: libc::clockid_t, time: *const libc::timespec) -> Result<Until> {
        check_clock(clock)?;
        // SAFETY: the caller's promise.
        let time = unsafe { &*time };
        if !(0..1_000_000_000).contains(&time.tv_nsec) {
            return Err(Errno(libc::EINVAL));
        }
        let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
        let nanoseconds = seconds.saturating_mul(1_000_000_000).saturating_add(time.tv_nsec as u64);
        Ok(Until { clock, nanoseconds: if time.tv_sec < 0 { 0 } else { nanoseconds } })
    }

    /// The point on the hub's clock, as things stand now: if CLOCK_REALTIME is set
    /// meanwhile, the wait ends early.
    pub(super) fn deadline(&self) -> Deadline {
        if self.clock == libc::CLOCK_MONOTONIC {
            return Deadline(self.nanoseconds);
        }
        let left = self.nanoseconds.saturating_sub(clock::read(self.clock).unwrap_or(0));
        let deadline = Deadline(clock::now().saturating_add(left));
        current().map_or(deadline, |g| steps::follow(g, deadline))
    }

    fn is_timed(&self) -> bool {
        self.nanoseconds != u64::MAX
    }

    pub(super) fn passed(&self) -> bool {
        self.is_timed() && clock::read(self.clock).unwrap_or(u64::MAX) >= self.nanoseconds
    }
}

/// EINVAL: a clock that the pthread functions do not wait on.
pub fn check_clock(clock: libc::clockid_t) -> Result<()> {
    if matches!(clock, libc::CLOCK_REALTIME | libc::CLOCK_MONOTONIC) {
        Ok(())
    } else {
        Err(Errno(libc::EINVAL))
    }
}

/// The deadlines of a waiter that must look again by itself: soon at first, then ever later.
pub(super) struct Patience(u64);

impl Patience {
    const FIRST: u64 = 50_000;
    const LAST: u64 = 5_000_000;

    pub(super) const fn new() -> Patience {
        Patience(Patience::FIRST)
    }

    pub(super) fn next(&mut self) -> Deadline {
        let wait = self.0;
        self.0 = (wait * 2).min(Patience::LAST);
        Deadline(clock::now() + wait)
    }
}

/// The 32-bit word at `offset` of the lock at `address`.
fn word(address: usize, offset: usize) -> &'static AtomicU32 {
    // SAFETY: the lock is alive while somebody waits for it, its words are aligned, and all access is atomic.
    unsafe { &*((address + offset) as *const AtomicU32) }
}

fn load(address: usize, offset: usize) -> u32 {
    word(address, offset).load(Ordering::Relaxed)
}

/// What a real function's return code says.
fn result(code: i32) -> Result<()> {
    if code == 0 { Ok(()) } else { Err(Errno(code)) }
}

/// Waits in the queue of `address` until `attempt` has an answer. `wait.a` and `wait.over` tell whether there is a
/// reason to wait at all; `unseen`, whether the release may come without a row seeing it.
///
/// `wait.b` counts the wake-ups that came in vain: for [`mutex::unlock`], which then makes way.
fn queue(
    g: &Green,
    address: usize,
    mut wait: Wait,
    until: Until,
    unseen: impl Fn() -> bool,
    attempt: impl Fn() -> Option<Result<()>>,
) -> Result<()> {
    let mut patience = Patience::new();
    g.expect(wait);
    loop {
        let mut deadline = until.deadline();
        if unseen() {
            deadline = deadline.min(patience.next());
        }
        let front = wait.b != 0;
        let wake = parking::park(g, address, deadline, front, || !(wait.over)(wait.a, wait.b));
        match wake {
            Some(Wake::Interrupted) => return Err(Errno(libc::EINTR)),
            // As the kernel: a wait with a timeout does not restart.
            Some(Wake::Restart) if until.is_timed() => return Err(Errno(libc::EINTR)),
            Some(Wake::Cancelled) => return Err(Errno::CANCELLED),
            // What it was woken for goes to the next.
            Some(Wake::Ready) if wait.raised_in() && raise::is_due(g) => {
                parking::wake(address, 1);
                return Err(Errno::CANCELLED);
            }
            _ => {}
        }
        if let Some(answer) = attempt() {
            if matches!(answer, Err(errno) if errno.0 != libc::EOWNERDEAD) && wake == Some(Wake::Ready) {
                // The wake-up was not used: somebody else may need it.
                parking::wake(address, 1);
            }
            return answer;
        }
        match wake {
            Some(Wake::Ready) => {
                wait.b += 1;
                g.expect(wait);
            }
            Some(Wake::TimedOut) if until.passed() => return Err(Errno(libc::ETIMEDOUT)),
            _ => {}
        }
    }
}
