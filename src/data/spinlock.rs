//! [`SpinLock`]: for a few instructions at a time, never held over a switch or a call that waits.

use crate::kernel::sync::{AtomicBool, Ordering, constant, relax};

/// A lock of one bit, taken and left by hand.
#[derive(Debug)]
pub struct SpinLock(AtomicBool);

impl SpinLock {
    constant! {
        /// One that is free.
        #[allow(clippy::new_without_default, reason = "made in statics alone")]
        pub fn new() -> SpinLock {
            SpinLock(AtomicBool::new(false))
        }
    }

    /// Takes it.
    #[inline(always)]
    pub fn lock(&self) {
        while self.0.compare_exchange(false, true, Ordering::Acquire, Ordering::Relaxed).is_err() {
            self.wait();
        }
    }

    #[cold]
    fn wait(&self) {
        let mut turn = 0u32;
        while self.is_locked() {
            turn = turn.wrapping_add(1);
            relax(turn);
        }
    }

    /// Leaves it; only its holder may. In a fork child also in the name of a thread that is not there.
    #[inline(always)]
    pub fn unlock(&self) {
        self.0.store(false, Ordering::Release);
    }

    /// Whether somebody holds it.
    pub fn is_locked(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}
