//! Futexes that belong to somebody: FUTEX_LOCK_PI and its kin, by `syscall()`.
//!
//! The word holds the owner's tid, and FUTEX_WAITERS where its unlock must come to the kernel. The kernel knows no green
//! thread's tid: a word of theirs is given and taken here, and waited for in the queue of its address. A word of a foreign
//! thread is the kernel's matter; a green thread that waits for it sets FUTEX_WAITERS and looks again by itself, since the
//! kernel may hand it on to another foreign thread. A foreign thread that waits for a green one looks again as well.
//! Priorities mean nothing among threads of one hub.
//!
//! Not there: words shared with another process while a green thread waits for them or holds them contended, and
//! FUTEX_OWNER_DIED.
//!
//! Safety: as [`super::futex`].

use core::sync::atomic::{AtomicU32, Ordering};

use crate::data::Deadline;
use crate::kernel::{Errno, Result, clock};
use crate::runtime::{Green, Wait, Wake, hub, parking, this};
use crate::syscall;

use super::Until;
use super::futex::{ALL, Call};

const TID: u32 = 0x3fff_ffff;
/// The kernel's tids are not larger.
const REAL_TIDS: u32 = 1 << 22;
/// How long a waiter sleeps whose wake-up may be seen by nobody.
const LOOK: u64 = 1_000_000;

fn is_green(tid: u32) -> bool {
    tid > REAL_TIDS || tid == hub().first.tid.get() as u32
}

/// One look at the word: None: another one has it, and will see that somebody waits.
fn take(word: &AtomicU32, tid: u32) -> Option<Result<usize>> {
    loop {
        let old = word.load(Ordering::SeqCst);
        let (owner, new) = match old & TID {
            // Nobody knows whether others wait.
            0 => (0, tid | libc::FUTEX_WAITERS),
            owner => (owner, old | libc::FUTEX_WAITERS),
        };
        if owner == tid {
            return Some(Err(Errno(libc::EDEADLK)));
        }
        if word.compare_exchange(old, new, Ordering::SeqCst, Ordering::SeqCst).is_ok() {
            return (owner == 0).then_some(Ok(0));
        }
    }
}

/// `FUTEX_LOCK_PI` and `FUTEX_LOCK_PI2`, on every thread; `g` is the green one that may park.
pub fn lock(g: Option<&Green>, word: &AtomicU32, call: &Call, until: Until) -> Result<usize> {
    let Some(g) = g else { return lock_foreign(word, call, until) };
    let (tid, address) = (g.tid.get() as u32, word.as_ptr() as usize);
    loop {
        if let Some(answer) = take(word, tid) {
            return answer;
        }
        g.expect(Wait {
            a: address,
            b: ALL as usize,
            interruptible: false,
            cancellable: false,
            ..Wait::opaque("futex")
        });
        let look = if is_green(word.load(Ordering::SeqCst) & TID) { u64::MAX } else { clock::now() + LOOK };
        let deadline = until.deadline().min(Deadline(look));
        match parking::park(g, address, deadline, false, || word.load(Ordering::SeqCst) & TID != 0) {
            Some(Wake::TimedOut) if until.passed() => return Err(Errno(libc::ETIMEDOUT)),
            _ => {}
        }
    }
}

/// The kernel refuses an owner whom it does not know: its threads wait here.
fn lock_foreign(word: &AtomicU32, call: &Call, until: Until) -> Result<usize> {
    loop {
        let owner = word.load(Ordering::SeqCst) & TID;
        if owner == 0 || !is_green(owner) {
            let answer = call.kernel();
            if answer != Err(Errno(libc::ESRCH)) || word.load(Ordering::SeqCst) & TID == owner {
                return answer;
            }
            // It has become a green thread's meanwhile.
            continue;
        }
        if own(owner) {
            return Err(Errno(libc::EDEADLK));
        }
        if until.passed() {
            return Err(Errno(libc::ETIMEDOUT));
        }
        let nap = libc::timespec { tv_sec: 0, tv_nsec: LOOK as i64 };
        // SAFETY: `nap` is live.
        let _ = unsafe { syscall!(libc::SYS_nanosleep, &nap, 0) };
    }
}

/// In a handler of a green thread the word may be its own.
fn own(owner: u32) -> bool {
    this().is_some_and(|it| it.tid.get() as u32 == owner)
}

/// `FUTEX_TRYLOCK_PI`, of a green thread.
pub fn try_lock(g: &Green, word: &AtomicU32) -> Result<usize> {
    take(word, g.tid.get() as u32).unwrap_or(Err(Errno(libc::EAGAIN)))
}

/// `FUTEX_UNLOCK_PI`, on every thread.
pub fn unlock(word: &AtomicU32, call: &Call) -> Result<usize> {
    match this() {
        None => call.kernel().map(drop)?,
        Some(it) => {
            if word.load(Ordering::SeqCst) & TID != it.tid.get() as u32 {
                return Err(Errno(libc::EPERM));
            }
            word.store(0, Ordering::SeqCst);
        }
    }
    parking::wake(word.as_ptr() as usize, 1);
    Ok(0)
}

/// `FUTEX_WAIT_REQUEUE_PI`: `wait` for the first word, then the lock of the second.
pub fn wait_then_lock(
    g: Option<&Green>,
    second: &AtomicU32,
    call: &Call,
    until: Until,
    wait: impl FnOnce() -> Result<usize>,
) -> Result<usize> {
    match wait() {
        // As the kernel: the word may have changed meanwhile.
        Err(Errno(libc::EINTR)) => Err(Errno(libc::EAGAIN)),
        Err(errno) => Err(errno),
        Ok(_) => {
            let private = call.0[1] & libc::FUTEX_PRIVATE_FLAG as usize;
            let time = if until.is_timed() { call.0[3] } else { 0 };
            let clock = call.0[1] & libc::FUTEX_CLOCK_REALTIME as usize;
            let lock = Call([call.0[4], LOCK2 as usize | private | clock, 0, time, 0, 0]);
            self::lock(g, second, &lock, until)
        }
    }
}

/// `FUTEX_LOCK_PI2`.
pub const LOCK2: i32 = 13;
