//! Whose a signal is that the kernel gave to the hub's kernel thread, where it does so for one green thread: a table of
//! numbers (of timers, of descriptors) and their threads.
//!
//! Safety: entries are atomic: a wrapper reads them at any instruction. The thread of an entry is alive: it takes itself out
//! at its end.

use core::ptr;
use core::sync::atomic::{AtomicBool, AtomicI32, AtomicPtr, Ordering};

use crate::runtime::green::Green;

/// As many numbers as a table holds.
const MOST: usize = 256;
const FREE: i32 = -1;

struct Entry {
    number: AtomicI32,
    /// Its thread; NULL: that has ended.
    green: AtomicPtr<Green>,
}

/// Whose a signal is.
#[derive(Clone, Copy)]
pub enum Owner {
    /// No thread's in particular.
    Nobody,
    /// This thread's.
    Thread(&'static Green),
    /// A thread's that has ended.
    Gone,
}

pub(super) struct Owners {
    entries: [Entry; MOST],
    any: AtomicBool,
}

impl Owners {
    pub const fn new() -> Owners {
        let entries =
            [const { Entry { number: AtomicI32::new(FREE), green: AtomicPtr::new(ptr::null_mut()) } }; MOST];
        Owners { entries, any: AtomicBool::new(false) }
    }

    /// Whether there has ever been a number.
    pub fn any(&self) -> bool {
        self.any.load(Ordering::Relaxed)
    }

    /// Whose `number` is.
    pub fn of(&self, number: i32) -> Owner {
        match self.entries.iter().find(|entry| entry.number.load(Ordering::Acquire) == number) {
            None => Owner::Nobody,
            // SAFETY: NULL or a thread that has not ended (file header).
            Some(entry) => match unsafe { entry.green.load(Ordering::Relaxed).as_ref() } {
                Some(green) => Owner::Thread(green),
                None => Owner::Gone,
            },
        }
    }

    /// `number` is of `green` from now on. Whether there is room for that.
    pub fn insert(&self, number: i32, green: &Green) -> bool {
        self.any.store(true, Ordering::Relaxed);
        let free = |entry: &&Entry| {
            // BUSY is nobody's number.
            const BUSY: i32 = -2;
            entry.number.compare_exchange(FREE, BUSY, Ordering::Acquire, Ordering::Relaxed).is_ok()
        };
        let Some(entry) = self.entries.iter().find(free) else { return false };
        entry.green.store(ptr::from_ref(green).cast_mut(), Ordering::Relaxed);
        entry.number.store(number, Ordering::Release);
        true
    }

    /// `number` is nobody's. Whether it was somebody's.
    pub fn remove(&self, number: i32) -> bool {
        let is = |entry: &Entry| {
            entry.number.compare_exchange(number, FREE, Ordering::Relaxed, Ordering::Relaxed).is_ok()
        };
        self.any() && self.entries.iter().any(is)
    }

    /// The numbers that are of `green`.
    pub fn numbers(&self, green: &Green) -> impl Iterator<Item = i32> {
        let green = ptr::from_ref(green).cast_mut();
        let some = if self.any() { &self.entries[..] } else { &[] };
        let own = some.iter().filter(move |entry| entry.green.load(Ordering::Relaxed) == green);
        own.map(|entry| entry.number.load(Ordering::Relaxed)).filter(|number| *number >= 0)
    }

    /// `green` has ended.
    pub fn leave(&self, green: &Green) {
        if self.any() {
            let green = ptr::from_ref(green).cast_mut();
            for entry in &self.entries {
                let none = ptr::null_mut();
                let _ = entry.green.compare_exchange(green, none, Ordering::Relaxed, Ordering::Relaxed);
            }
        }
    }

    /// In a fork child, where no thread has anything of the kind.
    pub fn forked(&self) {
        self.entries.iter().for_each(|entry| entry.number.store(FREE, Ordering::Relaxed));
    }
}
