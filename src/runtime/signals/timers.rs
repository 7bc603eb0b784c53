//! Timers of one thread (SIGEV_THREAD_ID). The kernel sends their signals to the hub's kernel thread; whose they are, it
//! says by the number of the timer.

use core::ffi::c_int;

use crate::runtime::green::Green;

use super::owners::{Owner, Owners};

pub(super) static TABLE: Owners = Owners::new();

/// The thread whose timer a signal with this information is from.
pub(super) fn owner(info: &libc::siginfo_t) -> Owner {
    if info.si_code != libc::SI_TIMER || !TABLE.any() {
        return Owner::Nobody;
    }
    // SAFETY: the number of a timer is the first word after the header (x86-64: at 16).
    TABLE.of(unsafe { (&raw const *info).cast::<i32>().add(4).read() })
}

/// `timer`, which is not started yet, is for `green`. Whether there is room for that.
pub fn made(timer: c_int, green: &Green) -> bool {
    TABLE.insert(timer, green)
}

/// `timer` is no more.
pub fn deleted(timer: c_int) {
    TABLE.remove(timer);
}
