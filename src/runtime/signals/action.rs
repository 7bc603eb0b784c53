//! What the program wants done with each signal, and what the kernel is told: for a handler, our wrapper with the
//! program's flags and mask, so that the kernel itself does what they ask for.
//!
//! The kernel is asked for the old action at every change and stays the truth for SIG_DFL and SIG_IGN: libc's insides
//! (`abort`, `system`) set those without a row. Only what stands behind the wrapper is looked up here. SIGSEGV has the
//! wrapper also by default, on the alternate stack: a stack overflow must be said ([`super::super::overflow`]). Ignored it
//! has not: programs that are started inherit that.
//!
//! Safety: an entry is written under its own lock with every signal blocked, so that a wrapper on the same kernel
//! thread never meets it half-written; readers on other threads look again.

use core::ffi::c_int;
use core::hint::spin_loop;
use core::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering, fence};

use crate::kernel::signal::{self, Action, bit};
use crate::kernel::{Errno, Result};
use crate::runtime::preempt;

use super::queue;
use super::wrapper::wrapper;

/// glibc's own (SIGCANCEL, SIGSETXID): the program cannot reach them, and we leave them alone.
const GLIBC: [c_int; 2] = [32, 33];
/// What the wrapper needs for itself, and the program may have wanted otherwise.
const OURS: usize = (libc::SA_SIGINFO | libc::SA_RESETHAND | libc::SA_ONSTACK) as usize | signal::RESTORER;

/// What programs handle on an alternate stack because their own may have overflowed.
const FAULTS: [c_int; 5] = [libc::SIGSEGV, libc::SIGBUS, libc::SIGILL, libc::SIGFPE, libc::SIGABRT];

struct Entry {
    /// Odd while a write is under way.
    version: AtomicUsize,
    handler: AtomicUsize,
    flags: AtomicUsize,
    restorer: AtomicUsize,
    mask: AtomicU64,
}

static TABLE: [Entry; signal::LAST as usize + 1] = [const {
    Entry {
        version: AtomicUsize::new(0),
        handler: AtomicUsize::new(libc::SIG_DFL),
        flags: AtomicUsize::new(0),
        restorer: AtomicUsize::new(0),
        mask: AtomicU64::new(0),
    }
}; signal::LAST as usize + 1];

impl Entry {
    fn load(&self) -> Action {
        loop {
            let version = self.version.load(Ordering::Acquire);
            let action = Action {
                handler: self.handler.load(Ordering::Relaxed),
                flags: self.flags.load(Ordering::Relaxed),
                mask: self.mask.load(Ordering::Relaxed),
                restorer: self.restorer.load(Ordering::Relaxed),
            };
            fence(Ordering::Acquire);
            if version & 1 == 0 && self.version.load(Ordering::Relaxed) == version {
                return action;
            }
            spin_loop();
        }
    }

    /// Writes `action`, then lets `install`, given the one before, tell the kernel. Every signal is blocked.
    fn store<T>(&self, action: &Action, install: impl FnOnce(Action) -> T) -> T {
        let version = loop {
            let version = self.version.load(Ordering::Relaxed) & !1;
            let locked =
                self.version.compare_exchange(version, version + 1, Ordering::Acquire, Ordering::Relaxed);
            if locked.is_ok() {
                break version;
            }
            spin_loop();
        };
        let before = Action {
            handler: self.handler.swap(action.handler, Ordering::Relaxed),
            flags: self.flags.swap(action.flags, Ordering::Relaxed),
            mask: self.mask.swap(action.mask, Ordering::Relaxed),
            restorer: self.restorer.swap(action.restorer, Ordering::Relaxed),
        };
        let answer = install(before);
        self.version.store(version + 2, Ordering::Release);
        answer
    }
}

/// What the program wants for `sig`, if the wrapper stands for it.
pub(super) fn wanted(sig: c_int) -> Action {
    TABLE[sig as usize].load()
}

/// The action of `sig` as the program set it.
pub fn seen(sig: c_int) -> Result<Action> {
    permit(sig)?;
    if sig == preempt::SIGNAL {
        return Ok(wanted(sig));
    }
    signal::action(sig).map(|kernel| as_wanted(kernel, wanted(sig)))
}

/// Sets the action of `sig`; the one before it, as the program set it.
pub fn set(sig: c_int, new: &Action) -> Result<Action> {
    permit(sig)?;
    if sig == libc::SIGKILL || sig == libc::SIGSTOP {
        return Err(Errno(libc::EINVAL));
    }
    let old = install(sig, new);
    // What is ignored does not wait (POSIX, sigaction).
    if old.is_ok() && is_ignored(sig, new.handler) {
        queue::drop_signal(sig);
    }
    old
}

fn install(sig: c_int, new: &Action) -> Result<Action> {
    let mask = signal::set_mask(!0);
    let old = TABLE[sig as usize].store(new, |before| {
        if sig == preempt::SIGNAL {
            // Reserved: the program hears what it would, the kernel hears nothing.
            return Ok(before);
        }
        // SAFETY: the program's handler, or the wrapper that calls it.
        unsafe { signal::set_action(sig, &for_kernel(sig, new)) }.map(|kernel| as_wanted(kernel, before))
    });
    signal::set_mask(mask);
    old
}

fn is_ignored(sig: c_int, handler: usize) -> bool {
    let by_default = [libc::SIGCHLD, libc::SIGCONT, libc::SIGURG, libc::SIGWINCH].contains(&sig);
    handler == libc::SIG_IGN || handler == libc::SIG_DFL && by_default
}

/// Signals that have the wrapper without a handler, since a thread waits for them, or did. And those of them that are ignored.
static WATCHED: AtomicU64 = AtomicU64::new(0);
static WATCHED_IGNORED: AtomicU64 = AtomicU64::new(0);

/// A thread waits for the signals in `set`, which others may not block: the wrapper is to see them, though they have no handler. (An
/// ignored SIGCHLD does more than not to be heard, and is left alone.)
pub(super) fn watch(set: u64) {
    let new = set & !WATCHED.load(Ordering::Relaxed);
    for sig in (1..=signal::LAST).filter(|sig| new & bit(*sig) != 0) {
        if let Ok(action) = seen(sig)
            && !action.is_handler()
            && !(sig == libc::SIGCHLD && action.handler == libc::SIG_IGN)
        {
            WATCHED.fetch_or(bit(sig), Ordering::Relaxed);
            if action.handler == libc::SIG_IGN {
                WATCHED_IGNORED.fetch_or(bit(sig), Ordering::Relaxed);
            }
            let _ = install(sig, &action);
        }
    }
}

/// It waits no more. What acts by default may keep the wrapper, which does as much; not what is ignored.
pub(super) fn watch_no_more(set: u64) {
    let ignored = set & WATCHED_IGNORED.load(Ordering::Relaxed);
    if ignored != 0 {
        WATCHED_IGNORED.fetch_and(!ignored, Ordering::Relaxed);
        WATCHED.fetch_and(!ignored, Ordering::Relaxed);
        for sig in (1..=signal::LAST).filter(|sig| ignored & bit(*sig) != 0) {
            if let Ok(action) = seen(sig) {
                let _ = install(sig, &action);
            }
        }
    }
}

/// `sig` has its default action in the kernel again.
pub(super) fn unwatch(sig: c_int) {
    WATCHED.fetch_and(!bit(sig), Ordering::Relaxed);
}

/// SA_RESETHAND: the default action is in force from here on.
pub(super) fn reset(sig: c_int) {
    let _ = set(sig, &Action { handler: libc::SIG_DFL, ..wanted(sig) });
}

/// Puts the wrapper before every handler that was installed while dormant.
pub fn wrap_all() {
    for sig in 1..=signal::LAST {
        if let Ok(action) = signal::action(sig)
            && permit(sig).is_ok()
            && (action.is_handler() || sig == libc::SIGSEGV || sig == preempt::SIGNAL)
        {
            let _ = set(sig, &action);
        }
    }
}

/// Whether the kernel had the handler of preemption before [`ignore`].
static PREEMPTED: AtomicBool = AtomicBool::new(false);

/// What is started from here on ignores the reserved signal too, if the program does. Nobody is preempted meanwhile.
pub(super) fn ignore() {
    each_ignored(|sig| {
        // SAFETY: no handler.
        let _ = unsafe { signal::set_action(sig, &wanted(sig)) };
    });
    let wanted = wanted(preempt::SIGNAL);
    if wanted.handler == libc::SIG_IGN {
        // SAFETY: no handler.
        let before = unsafe { signal::set_action(preempt::SIGNAL, &wanted) };
        PREEMPTED.store(before.is_ok_and(|action| action.is_handler()), Ordering::Relaxed);
    }
}

/// The end of that.
pub(super) fn hear() {
    each_ignored(|sig| {
        // SAFETY: the wrapper.
        let _ = unsafe { signal::set_action(sig, &for_kernel(sig, &wanted(sig))) };
    });
    if PREEMPTED.swap(false, Ordering::Relaxed) {
        let _ = preempt::install_handler();
    } else if wanted(preempt::SIGNAL).handler == libc::SIG_IGN {
        // SAFETY: no handler.
        let _ = unsafe { signal::set_action(preempt::SIGNAL, &Action::default()) };
    }
}

fn each_ignored(act: impl Fn(c_int)) {
    let set = WATCHED_IGNORED.load(Ordering::Relaxed);
    (1..=signal::LAST).filter(|sig| set & bit(*sig) != 0).for_each(act);
}

/// In a fork child, which is dormant.
pub(super) fn unwrap_all() {
    WATCHED.store(0, Ordering::Relaxed);
    WATCHED_IGNORED.store(0, Ordering::Relaxed);
    for sig in 1..=signal::LAST {
        if let Ok(action) = signal::action(sig)
            && action.handler == wrapper as *const () as usize
        {
            // SAFETY: the program's own action.
            let _ = unsafe { signal::set_action(sig, &as_wanted(action, wanted(sig))) };
        }
    }
    // SAFETY: as above.
    let _ = unsafe { signal::set_action(preempt::SIGNAL, &wanted(preempt::SIGNAL)) };
}

fn permit(sig: c_int) -> Result<()> {
    if (1..=signal::LAST).contains(&sig) && !GLIBC.contains(&sig) { Ok(()) } else { Err(Errno(libc::EINVAL)) }
}

fn for_kernel(sig: c_int, new: &Action) -> Action {
    let watched = WATCHED.load(Ordering::Relaxed) & bit(sig) != 0;
    if !new.is_handler() && !watched && (sig != libc::SIGSEGV || new.handler == libc::SIG_IGN) {
        return *new;
    }
    if new.flags & libc::SA_ONSTACK as usize != 0 && !FAULTS.contains(&sig) {
        preempt::keep_off_stacks(preempt::Sign::Handler);
    }
    let mut flags = new.flags & !OURS | libc::SA_SIGINFO as usize;
    if sig == libc::SIGSEGV {
        flags |= libc::SA_ONSTACK as usize;
    }
    if !new.is_handler() {
        flags |= libc::SA_RESTART as usize;
    }
    Action { handler: wrapper as *const () as usize, flags, ..*new }
}

fn as_wanted(kernel: Action, wanted: Action) -> Action {
    if kernel.handler != wrapper as *const () as usize {
        return kernel;
    }
    let restorer = if wanted.restorer != 0 { wanted.restorer } else { kernel.restorer };
    // Without a handler the wrapper restarts calls.
    let ours = if wanted.is_handler() { OURS } else { OURS | libc::SA_RESTART as usize };
    let flags = kernel.flags & !ours | wanted.flags & ours;
    Action { handler: wanted.handler, flags, restorer, mask: kernel.mask }
}
