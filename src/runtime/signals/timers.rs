//! Timers of one thread (SIGEV_THREAD_ID). The kernel sends their signals to the hub's kernel thread; whose they are, it
//! says by the number of the timer.
//!
//! Safety: entries are atomic: a wrapper reads them at any instruction. The thread of an entry is alive: it takes itself out
//! at its end.

use core::ffi::c_int;
use core::ptr;
use core::sync::atomic::{AtomicBool, AtomicI32, AtomicPtr, Ordering};

use crate::runtime::green::Green;

/// As many timers of that kind as there may be.
const MOST: usize = 256;
const FREE: i32 = -1;

struct Entry {
    /// The kernel's number of it.
    timer: AtomicI32,
    /// Its thread; NULL: that has ended.
    green: AtomicPtr<Green>,
}

static TABLE: [Entry; MOST] =
    [const { Entry { timer: AtomicI32::new(FREE), green: AtomicPtr::new(ptr::null_mut()) } }; MOST];
static ANY: AtomicBool = AtomicBool::new(false);

/// Whose a signal is.
pub(super) enum Owner {
    /// It is not from such a timer.
    Nobody,
    /// This thread's.
    Thread(&'static Green),
    /// A thread's that has ended.
    Gone,
}

/// The thread that a signal with this information is for.
pub(super) fn owner(info: &libc::siginfo_t) -> Owner {
    if info.si_code != libc::SI_TIMER || !ANY.load(Ordering::Relaxed) {
        return Owner::Nobody;
    }
    // SAFETY: the number of a timer is the first word after the header (x86-64: at 16).
    let timer = unsafe { (&raw const *info).cast::<i32>().add(4).read() };
    match TABLE.iter().find(|entry| entry.timer.load(Ordering::Acquire) == timer) {
        None => Owner::Nobody,
        // SAFETY: NULL or a thread that has not ended (file header).
        Some(entry) => match unsafe { entry.green.load(Ordering::Relaxed).as_ref() } {
            Some(green) => Owner::Thread(green),
            None => Owner::Gone,
        },
    }
}

/// `timer`, which is not started yet, is for `green`. Whether there is room for that.
pub fn made(timer: c_int, green: &Green) -> bool {
    ANY.store(true, Ordering::Relaxed);
    let free = |entry: &&Entry| {
        // BUSY is no number of a timer's.
        const BUSY: i32 = -2;
        entry.timer.compare_exchange(FREE, BUSY, Ordering::Acquire, Ordering::Relaxed).is_ok()
    };
    let Some(entry) = TABLE.iter().find(free) else { return false };
    entry.green.store(ptr::from_ref(green).cast_mut(), Ordering::Relaxed);
    entry.timer.store(timer, Ordering::Release);
    true
}

/// `timer` is no more.
pub fn deleted(timer: c_int) {
    for entry in &TABLE {
        let _ = entry.timer.compare_exchange(timer, FREE, Ordering::Relaxed, Ordering::Relaxed);
    }
}

/// `green` has ended.
pub(super) fn leave(green: &Green) {
    if ANY.load(Ordering::Relaxed) {
        let green = ptr::from_ref(green).cast_mut();
        for entry in &TABLE {
            let none = ptr::null_mut();
            let _ = entry.green.compare_exchange(green, none, Ordering::Relaxed, Ordering::Relaxed);
        }
    }
}

/// In a fork child, which has no timers.
pub(super) fn forked() {
    TABLE.iter().for_each(|entry| entry.timer.store(FREE, Ordering::Relaxed));
}
