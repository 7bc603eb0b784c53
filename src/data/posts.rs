//! [`Posts`]: a small set of addresses whose waiters are to look again, from those who may take no lock (signal handlers).

use crate::kernel::sync::{AtomicUsize, Ordering, constant};

use super::bell::Mark;

/// Up to `N` different addresses at a time; more, and all waiters are meant.
#[derive(Debug)]
pub struct Posts<const N: usize> {
    slots: [AtomicUsize; N],
    posted: Mark,
    overflow: Mark,
}

impl<const N: usize> Posts<N> {
    constant! {
        /// None, in these slots (all 0).
        pub fn new(slots: [AtomicUsize; N]) -> Posts<N> {
            Posts { slots, posted: Mark::new(), overflow: Mark::new() }
        }
    }

    /// Posts `address`, which is not 0, after its word was written. Any thread, handlers included.
    pub fn post(&self, address: usize) {
        // One that is there already is written again: whoever takes it sees what was written before.
        let place = |slot: &&AtomicUsize| {
            let old = slot.load(Ordering::Relaxed);
            (old == 0 || old == address)
                && slot.compare_exchange(old, address, Ordering::Release, Ordering::Relaxed).is_ok()
        };
        if self.slots.iter().find(place).is_none() {
            self.overflow.set();
        }
        self.posted.set();
    }

    /// Takes what was posted: each address, or `all` when there were too many to name.
    #[inline(always)]
    pub fn take(&self, one: impl FnMut(usize), all: impl FnOnce()) {
        if self.posted.take() {
            self.take_posted(one, all);
        }
    }

    #[cold]
    fn take_posted(&self, mut one: impl FnMut(usize), all: impl FnOnce()) {
        for slot in self.slots.iter().filter(|slot| slot.load(Ordering::Relaxed) != 0) {
            one(slot.swap(0, Ordering::Acquire));
        }
        if self.overflow.take() {
            all();
        }
    }

    /// None (a fork child).
    pub fn forget(&self) {
        self.slots.iter().for_each(|slot| slot.store(0, Ordering::Relaxed));
        self.posted.forget();
        self.overflow.forget();
    }
}
