//! [`Line`]: green threads that wait for each other's values, first come, first served.
//!
//! Whoever has a value hands it to the thread that waits longest, in one step with the end of its wait: nobody can
//! come between. If that thread was killed or timed out meanwhile, it gives the value back.
//!
//! In a fork child nobody waits: the threads that did are the parent's.
//!
//! Safety: a waiter lies on the stack of its thread, which unlinks it before it goes on.

use core::cell::Cell;

use crate::data::Deadline;
use crate::data::list::{List, Node};
use crate::kernel::{Errno, Result};
use crate::runtime::hub::unpark;
use crate::runtime::{Green, Wait, Wake, fork, raise};

struct Waiter<T> {
    node: Node<Waiter<T>>,
    green: *const Green,
    offer: T,
    answer: Cell<Option<Result<T>>>,
}

/// A queue of waiting threads. What they wait for, or offer, is a `T`.
pub struct Line<T> {
    waiters: List<Waiter<T>>,
    length: Cell<usize>,
    life: Cell<u32>,
}

impl<T: Copy> Line<T> {
    /// Nobody waits.
    pub const fn new() -> Line<T> {
        Line { waiters: List::new(), length: Cell::new(0), life: Cell::new(0) }
    }

    /// Forgets who waited in another life.
    #[inline(always)]
    fn renew(&self) {
        if self.life.get() != fork::life() {
            self.life.set(fork::life());
            self.waiters.forget();
            self.length.set(0);
        }
    }

    /// How many wait.
    pub fn len(&self) -> usize {
        self.renew();
        self.length.get()
    }

    /// Whether nobody waits.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Waits in `call`, with an `offer`, until somebody gives an answer. ETIMEDOUT: the deadline passed. An answer that
    /// came together with a raise goes to `back`.
    pub fn wait(
        &self,
        g: &Green,
        call: &'static str,
        offer: T,
        deadline: Deadline,
        back: impl FnOnce(T),
    ) -> Result<T> {
        self.renew();
        let waiter = Waiter { node: Node::new(), green: g, offer, answer: Cell::new(None) };
        self.waiters.push_back(&waiter.node, &waiter);
        self.length.set(self.length.get() + 1);
        let wait = Wait { interruptible: false, ..Wait::opaque(call) };
        loop {
            let wake = g.park(&wait, deadline);
            match (wake, waiter.answer.get()) {
                (wake, answer) if wake == Wake::Cancelled || raise::is_due(g) => {
                    match answer {
                        Some(Ok(value)) => back(value),
                        Some(Err(_)) => {}
                        None => self.leave(&waiter),
                    }
                    return Err(Errno::CANCELLED);
                }
                (_, Some(answer)) => return answer,
                (Wake::TimedOut, None) => {
                    self.leave(&waiter);
                    return Err(Errno(libc::ETIMEDOUT));
                }
                _ => {}
            }
        }
    }

    fn leave(&self, waiter: &Waiter<T>) {
        waiter.node.unlink();
        self.length.set(self.length.get() - 1);
    }

    fn first(&self) -> Option<&Waiter<T>> {
        self.renew();
        let node = self.waiters.front()?;
        // SAFETY: a linked waiter is alive (file header).
        let waiter = unsafe { &*node.owner() };
        self.leave(waiter);
        Some(waiter)
    }

    fn answer(waiter: &Waiter<T>, answer: Result<T>) {
        waiter.answer.set(Some(answer));
        // SAFETY: its thread stands in `wait`.
        unpark(unsafe { &*waiter.green }, Wake::Ready);
    }

    /// Gives `answer` to the thread that waits longest. False: nobody waits.
    pub fn give(&self, answer: Result<T>) -> bool {
        let Some(waiter) = self.first() else { return false };
        Line::answer(waiter, answer);
        true
    }

    /// Gives `answer` to all that wait now.
    pub fn give_all(&self, answer: Result<T>) {
        for _ in 0..self.len() {
            self.give(answer);
        }
    }

    /// Takes what the thread that waits longest offers; its wait is over.
    pub fn take(&self) -> Option<T> {
        let waiter = self.first()?;
        Line::answer(waiter, Ok(waiter.offer));
        Some(waiter.offer)
    }
}

impl<T: Copy> Default for Line<T> {
    fn default() -> Self {
        Line::new()
    }
}
