//! [`Queue`]: items from those who put to those who get: first in first out, last in first out, smallest first, or from
//! hand to hand (size 0, a channel).
//!
//! Who waits to get finds it empty, who waits to put finds it full: so an item goes to the getter that waits longest,
//! and a place to the putter that does.
//!
//! Safety: see [`super`]. A comparison is the program's function and runs without a borrow of the items.

use core::cell::{Cell, RefCell};
use core::cmp::Ordering;
use core::ffi::{c_int, c_void};
use core::mem::offset_of;
use std::collections::VecDeque;

use crate::kernel::{Errno, Result};

use super::counted::{Counted, References};
use super::line::Line;
use super::{deadline, here};

/// Compares two items.
pub type Compare = extern "C" fn(*const c_void, *const c_void) -> c_int;

/// Which item comes out first.
#[derive(Clone, Copy)]
pub enum Order {
    /// The oldest.
    Fifo,
    /// The newest.
    Lifo,
    /// The smallest; the oldest of equals.
    Priority(Compare),
}

type Item = *mut c_void;

/// A queue.
pub struct Queue {
    order: Order,
    /// Negative: no bound.
    size: Cell<i64>,
    /// In the order of their leaving.
    items: RefCell<VecDeque<Item>>,
    getters: Line<Item>,
    putters: Line<Item>,
    unfinished: Cell<usize>,
    joiners: Line<()>,
    references: References,
}

impl Queue {
    /// An empty one.
    pub fn new(order: Order, size: i64) -> Queue {
        Queue {
            order,
            size: Cell::new(size),
            items: RefCell::default(),
            getters: Line::new(),
            putters: Line::new(),
            unfinished: Cell::new(0),
            joiners: Line::new(),
            references: References::default(),
        }
    }

    /// Puts `item`. EAGAIN: full, and `seconds` is 0. ETIMEDOUT: full, and it is not put. ENOMEM.
    pub fn put(&self, item: Item, seconds: f64) -> Result<()> {
        let (g, deadline) = (here()?, deadline(seconds)?);
        if !self.getters.is_empty() || !self.full() {
            self.items.borrow_mut().try_reserve(1).map_err(|_| Errno(libc::ENOMEM))?;
            self.accept(item);
            return Ok(());
        }
        if seconds == 0.0 {
            return Err(Errno(libc::EAGAIN));
        }
        self.putters.wait(g, "eventlet_queue_put", item, deadline, |_| {}).map(drop)
    }

    /// Takes the next item. EAGAIN: empty, and `seconds` is 0. ETIMEDOUT.
    pub fn get(&self, seconds: f64) -> Result<Item> {
        let (g, deadline) = (here()?, deadline(seconds)?);
        let item = self.items.borrow_mut().pop_front();
        if let Some(item) = item {
            self.refill();
            return Ok(item);
        }
        if let Some(item) = self.putters.take() {
            self.count_in();
            return Ok(item);
        }
        if seconds == 0.0 {
            return Err(Errno(libc::EAGAIN));
        }
        let back = |item| {
            if !self.getters.give(Ok(item)) {
                self.insert(item, true);
            }
        };
        self.getters.wait(g, "eventlet_queue_get", core::ptr::null_mut(), deadline, back)
    }

    fn accept(&self, item: Item) {
        if self.getters.is_empty() || !self.getters.give(Ok(item)) {
            match self.order {
                Order::Fifo => self.items.borrow_mut().push_back(item),
                _ => self.insert(item, false),
            }
        }
        self.count_in();
    }

    fn count_in(&self) {
        self.unfinished.set(self.unfinished.get() + 1);
    }

    /// Puts `item` where it belongs; one that comes `back` is the oldest.
    fn insert(&self, item: Item, back: bool) {
        let place = match self.order {
            Order::Fifo if back => 0,
            Order::Fifo => self.len(),
            Order::Lifo => 0,
            Order::Priority(compare) => self.place(item, compare, back),
        };
        self.items.borrow_mut().insert(place, item);
        // A comparison that waited has let getters in.
        while !self.getters.is_empty() {
            let Some(item) = self.items.borrow_mut().pop_front() else { break };
            self.getters.give(Ok(item));
        }
    }

    fn place(&self, item: Item, compare: Compare, back: bool) -> usize {
        let (mut low, mut high) = (0, self.len());
        while low < high {
            let middle = low.midpoint(high);
            // After a comparison that waited (none may) there may be fewer.
            let Some(other) = self.items.borrow().get(middle).copied() else { break };
            let after = match compare(item, other).cmp(&0) {
                Ordering::Less => false,
                Ordering::Equal => !back,
                Ordering::Greater => true,
            };
            if after { low = middle + 1 } else { high = middle }
        }
        low.min(self.len())
    }

    /// Lets putters in while there is room.
    fn refill(&self) {
        while !self.full()
            && let Some(item) = self.putters.take()
        {
            self.accept(item);
        }
    }

    /// How many items are in it.
    pub fn len(&self) -> usize {
        // SAFETY: one word. A foreign thread or a signal handler may ask for it in the midst of a change.
        unsafe { (*self.items.as_ptr()).len() }
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether a put has to wait.
    pub fn full(&self) -> bool {
        usize::try_from(self.size.get()).is_ok_and(|size| self.len() >= size)
    }

    /// How many wait to put.
    pub fn putting(&self) -> usize {
        self.putters.len()
    }

    /// How many wait to get.
    pub fn getting(&self) -> usize {
        self.getters.len()
    }

    /// Another size. Items stay, also too many.
    pub fn resize(&self, size: i64) -> Result<()> {
        here()?;
        self.size.set(size);
        self.refill();
        Ok(())
    }

    /// An item that was got is done with. EINVAL: more are done than were put.
    pub fn task_done(&self) -> Result<()> {
        here()?;
        let left = self.unfinished.get().checked_sub(1).ok_or(Errno(libc::EINVAL))?;
        self.unfinished.set(left);
        if left == 0 {
            self.joiners.give_all(Ok(()));
        }
        Ok(())
    }

    /// Waits until all that was put is done with. EAGAIN: it is not, and `seconds` is 0. ETIMEDOUT.
    pub fn join(&self, seconds: f64) -> Result<()> {
        let (g, deadline) = (here()?, deadline(seconds)?);
        if self.unfinished.get() == 0 {
            return Ok(());
        }
        if seconds == 0.0 {
            return Err(Errno(libc::EAGAIN));
        }
        self.joiners.wait(g, "eventlet_queue_join", (), deadline, |()| {})
    }

    /// Who waits gets ECANCELED.
    pub fn close(&self) {
        self.getters.give_all(Err(Errno(libc::ECANCELED)));
        self.putters.give_all(Err(Errno(libc::ECANCELED)));
        self.joiners.give_all(Err(Errno(libc::ECANCELED)));
    }
}

// SAFETY: it lies there.
unsafe impl Counted for Queue {
    const REFERENCES: usize = offset_of!(Queue, references);
    const MARK: u64 = u64::from_ne_bytes(*b"queue   ");
}
