//! Cancellation. glibc's word in the TCB is the truth: what was asked for, the state, the type, and whether the thread
//! ends already. libc's own code acts on it as well, and so do functions that no row stands before.
//!
//! A cancellation point of ours asks [`Green::is_cancelled`] and gives [`crate::kernel::Errno::CANCELLED`], on which the
//! edge acts. The asynchronous type is acted on when the thread has its next turn: who asked is another thread, so the
//! cancelled one does not run.
//!
//! Safety: on the hub's kernel thread. The unwinding of [`at_once`] leaves through the frames of park and of the row, or
//! through the frame of the preemption signal; none holds a value with a destructor.

use crate::kernel::real::real;

use super::green::{Green, State, Wake};
use super::hub::unpark;
use super::{identity, parking, raise};

/// Asks `target`, which has not ended and is not the caller, to cancel itself; ends its wait if that is a cancellation
/// point.
pub fn ask(target: &Green) {
    identity::cancel(target.tcb());
    note(target);
    if target.is_cancelled() && (target.wait().cancellable || identity::cancels_at_once(target.tcb())) {
        unpark(target, Wake::Cancelled);
    }
}

/// glibc's word says, or is about to say, that `target` was asked.
pub fn note(target: &Green) {
    target.cancelled.set(true);
}

/// Whether `green`, which was asked, acts at its next cancellation point.
#[cold]
pub(super) fn is_due(green: &Green) -> bool {
    let tcb = green.tcb();
    let hears = !green.deaf.get() || identity::cancels_at_once(tcb);
    // What is on its way is caught first.
    identity::is_cancelled(tcb) && hears && !raise::is_unwinding(green)
}

/// `green`, which was asked, has its turn: acts if its type is asynchronous.
#[cold]
pub(super) fn at_once(green: &Green) {
    if !is_due(green) || !identity::cancels_at_once(green.tcb()) || green.in_bypass() {
        return;
    }
    debug_assert!(green.state() == State::Running);
    parking::abandon(green);
    // SAFETY: the running thread's own cancellation (file header).
    unsafe { (real().pthread_testcancel)() };
}
