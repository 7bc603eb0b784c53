//! [`Semaphore`]: a count with a queue; a release hands over to who waits longest.
//!
//! Safety: see [`super`].

use core::cell::Cell;
use core::mem::offset_of;

use crate::kernel::{Errno, Result};

use super::counted::{Counted, References};
use super::line::Line;
use super::{deadline, here};

/// A semaphore.
pub struct Semaphore {
    value: Cell<i64>,
    bound: i64,
    waiters: Line<()>,
    references: References,
}

impl Semaphore {
    /// One that stands at `value` and never above `bound` (negative: no bound). EINVAL.
    pub fn new(value: i64, bound: i64) -> Result<Semaphore> {
        if value < 0 || (bound >= 0 && value > bound) {
            return Err(Errno(libc::EINVAL));
        }
        Ok(Semaphore {
            value: Cell::new(value),
            bound,
            waiters: Line::new(),
            references: References::default(),
        })
    }

    /// Takes one. EAGAIN: none there, and `seconds` is 0. ETIMEDOUT.
    pub fn acquire(&self, seconds: f64) -> Result<()> {
        let (g, deadline) = (here()?, deadline(seconds)?);
        if self.value.get() > 0 {
            self.value.set(self.value.get() - 1);
            return Ok(());
        }
        if seconds == 0.0 {
            return Err(Errno(libc::EAGAIN));
        }
        self.waiters.wait(g, "eventlet_semaphore_acquire", (), deadline, |()| {
            // There may be as many as fit again by now.
            if !self.is_full() {
                self.put();
            }
        })
    }

    /// Gives one. EOVERFLOW: the bound is reached.
    pub fn release(&self) -> Result<()> {
        here()?;
        if self.is_full() {
            return Err(Errno(libc::EOVERFLOW));
        }
        self.put();
        Ok(())
    }

    fn is_full(&self) -> bool {
        self.bound >= 0 && self.value.get() >= self.bound || self.value.get() == i64::MAX
    }

    fn put(&self) {
        if !self.waiters.give(Ok(())) {
            self.value.set(self.value.get() + 1);
        }
    }

    /// Where it stands.
    pub fn value(&self) -> i64 {
        self.value.get()
    }

    /// Who waits gets ECANCELED.
    pub fn close(&self) {
        self.waiters.give_all(Err(Errno(libc::ECANCELED)));
    }
}

// SAFETY: it lies there.
unsafe impl Counted for Semaphore {
    const REFERENCES: usize = offset_of!(Semaphore, references);
    const MARK: u64 = u64::from_ne_bytes(*b"semaphor");
}
