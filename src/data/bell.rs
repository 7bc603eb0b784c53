//! [`Bell`] and [`Mark`]: how one that leaves something tells the one that is to find it.
//!
//! | who leaves something | who finds it |
//! | --- | --- |
//! | leaves it | announces its sleep |
//! | rings: one read-modify-write of `rung` | takes the ring: one read-modify-write of `rung` |
//! | looks for the announcement, wakes the sleeper | not rung: sleeps; else looks |
//!
//! Of two read-modify-writes of one word the later sees what was written before the earlier. So either the sleeper sees
//! the ring, or the ringer sees the announcement.

use crate::kernel::sync::{AtomicBool, Ordering, constant};

/// Wakes a sleeper that looks for itself as long as it is awake.
#[derive(Debug)]
pub struct Bell {
    rung: AtomicBool,
    asleep: AtomicBool,
}

impl Bell {
    constant! {
        /// Not rung, nobody asleep.
        #[allow(clippy::new_without_default, reason = "made in statics alone")]
        pub fn new() -> Bell {
            Bell { rung: AtomicBool::new(false), asleep: AtomicBool::new(false) }
        }
    }

    /// After leaving something: whether the sleeper must be woken. Any thread, handlers included.
    #[inline(always)]
    #[must_use]
    pub fn ring(&self) -> bool {
        self.rung.swap(true, Ordering::AcqRel);
        self.asleep.load(Ordering::Relaxed)
    }

    /// Announces a sleep. False: it was rung, and something is there; the announcement is taken back.
    #[inline(always)]
    pub fn sleep(&self) -> bool {
        self.asleep.store(true, Ordering::Relaxed);
        let rung = self.rung.swap(false, Ordering::AcqRel);
        if rung {
            self.awake();
        }
        !rung
    }

    /// The sleep is over.
    #[inline(always)]
    pub fn awake(&self) {
        self.asleep.store(false, Ordering::Relaxed);
    }

    /// As new (a fork child).
    pub fn forget(&self) {
        self.rung.store(false, Ordering::Relaxed);
        self.awake();
    }
}

/// Says that something was left somewhere, for one that looks between other things.
#[derive(Debug)]
pub struct Mark(AtomicBool);

impl Mark {
    constant! {
        /// Not set.
        #[allow(clippy::new_without_default, reason = "made in statics alone")]
        pub fn new() -> Mark {
            Mark(AtomicBool::new(false))
        }
    }

    /// Sets it, after leaving something. Any thread, handlers included. A read-modify-write: whoever takes the mark sees what
    /// each of those left who set it.
    #[inline(always)]
    pub fn set(&self) {
        self.0.swap(true, Ordering::Release);
    }

    /// Whether it is set: then it is no more, and what was left before it was set is seen. Whatever is left meanwhile sets
    /// it again.
    #[inline(always)]
    pub fn take(&self) -> bool {
        self.0.load(Ordering::Relaxed) && self.0.swap(false, Ordering::Acquire)
    }

    /// Not set (a fork child).
    pub fn forget(&self) {
        self.0.store(false, Ordering::Relaxed);
    }
}
