//! Waiting for a signal without a handler: sigwait and its kin.
//!
//! What the waiter blocks, and everybody else, stays pending in the kernel and is taken from there. That something has
//! come there, a signalfd tells the poller; it is made at the first such wait. What others let through comes to the wrapper, also
//! what has no handler ([`action::watch`]), and waits in our queue.
//!
//! Safety: on the hub's kernel thread alone.

use core::ffi::c_int;
use core::ptr;
use core::sync::atomic::{AtomicI32, AtomicU64, Ordering};

use crate::data::Deadline;
use crate::kernel::signal::{self, bit};
use crate::kernel::{Errno, Result};
use crate::runtime::green::{Green, Wait, Wake};
use crate::runtime::hub::{hand, hub};
use crate::runtime::{descriptors, poller, raise};
use crate::syscall;

use super::owners::Owner;
use super::{action, children, owner, queue, threads};

/// What the poller knows the signalfd by.
pub(in crate::runtime) const TOKEN: u64 = u64::MAX - 1;

const NONE: c_int = -1;
static FD: AtomicI32 = AtomicI32::new(NONE);
/// What the signalfd looks for: all that was ever waited for.
static WATCHED: AtomicU64 = AtomicU64::new(0);

/// Takes a signal of `set` that is for `green`, or waits for it. EAGAIN: the deadline has passed. EINTR: another one's
/// handler has run.
pub fn wait(green: &Green, set: u64, deadline: Deadline) -> Result<(c_int, libc::siginfo_t)> {
    if green.is_cancelled() {
        return Err(Errno::CANCELLED);
    }
    loop {
        if let Some(found) = take(green, set) {
            return Ok(found);
        }
        if deadline.passed() {
            return Err(Errno(libc::EAGAIN));
        }
        watch(set)?;
        green.awaited.set(set);
        let asked_first = asked_first(green, set);
        action::watch(asked_first);
        let over = |set, _| signal::pending() & set as u64 != 0;
        let wake = green.park(&Wait { over, a: set as usize, ..Wait::opaque("sigwait") }, deadline);
        green.awaited.set(0);
        action::watch_no_more(asked_first);
        match wake {
            _ if raise::is_due(green) => return Err(Errno::CANCELLED),
            Wake::Interrupted | Wake::Restart => return Err(Errno(libc::EINTR)),
            Wake::Cancelled => return Err(Errno::CANCELLED),
            Wake::Ready | Wake::TimedOut | Wake::Closed => {}
        }
    }
}

/// Of `set`, what the kernel would give to `green`, which waits for it, before it looks who else lets it through: to the
/// process's first thread all that is sent to the process, to the maker of a child its SIGCHLD. What is the running thread's
/// own (faults, abort, SIGPIPE, the clocks of processor time) is not.
fn asked_first(green: &Green, set: u64) -> u64 {
    const NEVER: [c_int; 11] = [
        libc::SIGSEGV,
        libc::SIGBUS,
        libc::SIGFPE,
        libc::SIGILL,
        libc::SIGTRAP,
        libc::SIGSYS,
        libc::SIGABRT,
        libc::SIGPIPE,
        libc::SIGPROF,
        libc::SIGVTALRM,
        libc::SIGXCPU,
    ];
    let child = set & bit(libc::SIGCHLD);
    let others = if green.is_first() { set & !child } else { 0 };
    let child = if child != 0 && children::has_made(green) { child } else { 0 };
    NEVER.iter().fold(others | child, |set, sig| set & !bit(*sig))
}

fn take(green: &Green, set: u64) -> Option<(c_int, libc::siginfo_t)> {
    let waiting =
        queue::take(|sig, target| set & bit(sig) != 0 && (target.is_null() || ptr::eq(target, green)));
    waiting.or_else(|| {
        loop {
            let (sig, mut info) = signal::take(set)?;
            match owner(sig, &mut info) {
                Owner::Thread(other) if !ptr::eq(other, green) => {
                    super::enqueue(sig, &info, other);
                }
                Owner::Gone => {}
                Owner::Thread(_) | Owner::Nobody => return Some((sig, info)),
            }
        }
    })
}

fn watch(set: u64) -> Result<()> {
    let watched = WATCHED.load(Ordering::Relaxed);
    if watched | set == watched {
        return Ok(());
    }
    let (all, fd) = (watched | set, FD.load(Ordering::Relaxed));
    // SAFETY: `all` is a mask of eight bytes.
    let new = unsafe { syscall!(libc::SYS_signalfd4, fd, &all, 8, libc::SFD_CLOEXEC | libc::SFD_NONBLOCK)? }
        as c_int;
    if fd == NONE {
        let new = poller::move_high(new);
        hub().poller().add(new, TOKEN)?;
        descriptors::adopt(new);
        FD.store(new, Ordering::Relaxed);
    }
    WATCHED.store(all, Ordering::Relaxed);
    Ok(())
}

/// The poller has an event of the signalfd: who waits for what is pending looks again.
pub(in crate::runtime) fn arrived() {
    let pending = signal::pending();
    for green in threads().filter(|green| green.awaited.get() & pending != 0) {
        hand(green, Wake::Ready);
    }
}

/// In a fork child: the signalfd, which is the parent's too, is left.
pub(super) fn forked() {
    let fd = FD.swap(NONE, Ordering::Relaxed);
    if fd != NONE {
        // SAFETY: our own descriptor.
        let _ = unsafe { syscall!(libc::SYS_close, fd) };
    }
    WATCHED.store(0, Ordering::Relaxed);
}
