//! Signals on their way: queued by the handler wrapper, routed by the hub, delivered by the target on its own stack.

use super::green::{Green, Wake};

/// Runs the handlers that wait for `green`. None: there were none.
#[inline(always)]
pub(super) fn deliver(_green: &Green) -> Option<Wake> {
    None
}

/// Unparks the threads for which signals wait. Between rounds.
pub(super) fn route() {}

/// Lets the signals through that no thread blocks, while the hub waits.
pub(super) fn open_idle_mask(_waits: bool) {}

/// Back to the running thread's mask.
pub(super) fn close_idle_mask(_waits: bool) {}

/// Whether the handler whose wrapper's frame is at `frame` still runs.
pub(super) fn handler_alive(_frame: usize) -> bool {
    true
}

/// Takes over the handlers that were installed while dormant.
pub(super) fn activate() {}
