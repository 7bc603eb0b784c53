//! From the poller's events to the waiters of a descriptor.

use super::poller::Event;

/// Hands one event to whoever waits for it.
pub(super) fn on_event(_event: Event) {}
