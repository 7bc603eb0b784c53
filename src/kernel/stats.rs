//! Counters of one process. Written by the hub's thread alone but for those that foreign threads bump; read at exit.

use core::sync::atomic::{AtomicU64, Ordering};

use super::log;

/// One counter.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    const fn new() -> Counter {
        Counter(AtomicU64::new(0))
    }

    /// Adds one. Not a locked instruction: a lost count between two threads is acceptable, a slow path is not.
    #[inline(always)]
    pub fn bump(&self) {
        self.0.store(self.0.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
    }

    /// The count.
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    fn reset(&self) {
        self.0.store(0, Ordering::Relaxed);
    }
}

macro_rules! counters {
    ($($(#[$doc:meta])* $name:ident $label:literal;)*) => {
        $($(#[$doc])* pub static $name: Counter = Counter::new();)*
        /// Every counter with its label.
        pub static ALL: &[(&str, &Counter)] = &[$(($label, &$name)),*];
    };
}

counters! {
    /// Green threads made.
    THREADS "threads";
    /// Green threads that ended.
    FINISHED "finished";
    /// Waits that gave the hub away.
    PARKS "parks";
    /// Times the hub resumed a green thread.
    SWITCHES "switches";
    /// Times the hub asked the poller.
    POLLS "polls";
    /// Preempted threads.
    PREEMPTIONS "preemptions";
    /// Wake-ups that came from foreign threads.
    INBOX "inbox";
    /// Threads left to the kernel (native by choice, or the layout check failed).
    NATIVE "native";
}

/// All back to zero (a fork child).
pub fn reset() {
    ALL.iter().for_each(|(_, counter)| counter.reset());
}

/// Prints all counters in one line.
pub fn report() {
    struct Line;
    impl core::fmt::Display for Line {
        fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
            ALL.iter().try_for_each(|(label, counter)| write!(f, " {label}={}", counter.get()))
        }
    }
    log::warn(format_args!("stats{Line}"));
}
