//! [`Budget`]: how many calls of a thread may succeed without waiting before it lets the others go.

use core::sync::atomic::{AtomicU32, Ordering};

/// Calls in a row that succeed at once before the caller yields.
const CALLS: u32 = 256;

/// That of the thread that has its turn. Written on the hub's thread; preemption's helper looks whether it moves.
#[derive(Debug)]
pub(super) struct Budget(AtomicU32);

impl Budget {
    pub(super) const fn new() -> Budget {
        Budget(AtomicU32::new(CALLS))
    }

    /// What is left of it. Any thread.
    #[inline(always)]
    pub(super) fn left(&self) -> u32 {
        self.0.load(Ordering::Relaxed)
    }

    /// One call less; whether that was the last.
    #[inline(always)]
    pub(super) fn take(&self) -> bool {
        let left = self.left() - 1;
        self.0.store(left, Ordering::Relaxed);
        left == 0
    }

    /// The next call is the last.
    pub(super) fn spend(&self) {
        self.0.store(1, Ordering::Relaxed);
    }

    /// Whether the next call is the last.
    #[inline(always)]
    pub(super) fn is_spent(&self) -> bool {
        self.left() == 1
    }

    /// A turn begins.
    #[inline(always)]
    pub(super) fn renew(&self) {
        self.0.store(CALLS, Ordering::Relaxed);
    }
}
