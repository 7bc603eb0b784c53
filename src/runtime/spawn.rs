//! The life of a green thread: made, run, ended, reaped.

use super::green::Green;

/// The coroutine of `green` has returned.
pub(super) fn ended(_green: &Green) {}
