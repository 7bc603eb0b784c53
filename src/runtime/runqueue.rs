//! [`RunQueue`]: the runnable threads, first come first served, in rounds.
//!
//! A round is who was runnable when it began; between two rounds the hub looks at timers and descriptors. The links are the
//! threads' own, so nothing is allocated.
//!
//! Safety: on the hub's kernel thread alone; a thread in the queue is alive.

use core::cell::Cell;
use core::ptr;

use super::green::{Green, State};

/// See the file's header.
pub struct RunQueue {
    head: Cell<*const Green>,
    tail: Cell<*const Green>,
    len: Cell<usize>,
    /// How many of them belong to the round.
    left: Cell<usize>,
}

impl RunQueue {
    /// Nobody.
    pub(super) const fn new() -> RunQueue {
        RunQueue {
            head: Cell::new(ptr::null()),
            tail: Cell::new(ptr::null()),
            len: Cell::new(0),
            left: Cell::new(0),
        }
    }

    /// Nobody any more; nobody is touched.
    pub(super) fn forget(&self) {
        self.head.set(ptr::null());
        self.tail.set(ptr::null());
        self.len.set(0);
        self.left.set(0);
    }

    /// Whether nobody is runnable.
    pub(super) fn is_empty(&self) -> bool {
        self.len.get() == 0
    }

    /// Puts a runnable thread at the back.
    pub(super) fn push_back(&self, green: &Green) {
        debug_assert!(green.state.get() == State::Runnable);
        green.queued.set(ptr::null());
        // SAFETY: NULL or a thread in the queue.
        match unsafe { self.tail.get().as_ref() } {
            Some(tail) => tail.queued.set(green),
            None => self.head.set(green),
        }
        self.tail.set(green);
        self.len.set(self.len.get() + 1);
    }

    /// Puts a runnable thread at the front.
    pub(super) fn push_front(&self, green: &Green) {
        green.queued.set(self.head.get());
        self.head.set(green);
        if self.tail.get().is_null() {
            self.tail.set(green);
        }
        self.len.set(self.len.get() + 1);
    }

    /// Takes over all of `other`, to the back.
    pub(super) fn append(&self, other: &RunQueue) {
        // SAFETY: NULL or a thread in the queue.
        match unsafe { self.tail.get().as_ref() } {
            _ if other.is_empty() => return,
            Some(tail) => tail.queued.set(other.head.get()),
            None => self.head.set(other.head.get()),
        }
        self.tail.set(other.tail.get());
        self.len.set(self.len.get() + other.len.get());
        other.forget();
    }

    /// A round begins: who is here now.
    pub(super) fn begin_round(&self) {
        self.left.set(self.len.get());
    }

    /// The next of the round, taken out; None: it is over.
    pub(super) fn next(&self) -> Option<&'static Green> {
        self.left.set(self.left.get().checked_sub(1)?);
        // SAFETY: NULL or a thread in the queue.
        let green = unsafe { self.head.get().as_ref() }?;
        self.head.set(green.queued.get());
        if self.head.get().is_null() {
            self.tail.set(ptr::null());
        }
        self.len.set(self.len.get() - 1);
        Some(green)
    }

    /// Asks the processor for the memory of the next two, while one turn lasts.
    #[inline(always)]
    pub(super) fn prefetch(&self) {
        // SAFETY: NULL or threads in the queue.
        unsafe {
            if let Some(next) = self.head.get().as_ref() {
                next.prefetch_stack();
                if let Some(after) = next.queued.get().as_ref() {
                    after.prefetch();
                }
            }
        }
    }
}
