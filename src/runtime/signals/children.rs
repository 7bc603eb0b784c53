//! Which thread made a child: the child's SIGCHLD is for it, if it does not block it. The kernel sends the signal to the
//! process by the parent's *thread* (`do_notify_parent`), and asks that one first (`complete_signal`).
//!
//! Of many children that live at a time the newest are known; the signals of others go where all signals go.

use core::ffi::c_int;
use core::sync::atomic::{AtomicI32, AtomicU64, Ordering};

use crate::runtime::green::Green;

use super::{takes, thread};

const KNOWN: usize = 1024;

/// The pid of a child above the tid of its maker, at the pid's remainder.
static MADE: [AtomicU64; KNOWN] = [const { AtomicU64::new(0) }; KNOWN];
/// Who makes one now: it may end before its pid is known here.
static MAKING: AtomicI32 = AtomicI32::new(0);
/// The maker of the child whose SIGCHLD waits for the process; 0: not known. (No more than one waits.)
static MAKER: AtomicI32 = AtomicI32::new(0);

/// `green` is about to make a child.
pub fn makes(green: &Green) {
    MAKING.store(green.tid.get(), Ordering::Relaxed);
}

/// It has: `pid`. Not above 0: there is none.
pub fn made(green: &Green, pid: c_int) {
    if pid > 0 {
        let entry = u64::from(pid as u32) << 32 | u64::from(green.tid.get() as u32);
        MADE[pid as usize % KNOWN].store(entry, Ordering::Relaxed);
    }
    MAKING.store(0, Ordering::Relaxed);
}

/// A SIGCHLD has come, of the child `pid`; 0: somebody sent it.
pub(super) fn comes(pid: c_int) {
    let entry = MADE[pid as usize % KNOWN].load(Ordering::Relaxed);
    let maker = match pid {
        0 => 0,
        _ if (entry >> 32) as c_int == pid => entry as c_int,
        _ => MAKING.load(Ordering::Relaxed),
    };
    MAKER.store(maker, Ordering::Relaxed);
}

/// Who is asked first whether it takes the `sig` that waits for the process.
pub(super) fn preferred(sig: c_int) -> Option<&'static Green> {
    let maker = MAKER.load(Ordering::Relaxed);
    if sig != libc::SIGCHLD || maker == 0 {
        return None;
    }
    thread(maker).filter(|green| takes(green, sig))
}

/// Whether `green` has made one of those that are known.
pub(super) fn has_made(green: &Green) -> bool {
    MADE.iter().any(|entry| entry.load(Ordering::Relaxed) as c_int == green.tid.get())
}

/// In a fork child: it has made none.
pub(super) fn forked() {
    MADE.iter().for_each(|entry| entry.store(0, Ordering::Relaxed));
    MAKING.store(0, Ordering::Relaxed);
    MAKER.store(0, Ordering::Relaxed);
}
