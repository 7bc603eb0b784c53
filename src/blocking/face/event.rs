//! [`Event`]: one value, or one code, sent once to all who wait for it.
//!
//! Safety: see [`super`].

use core::cell::Cell;
use core::mem::offset_of;

use crate::kernel::{Errno, Result};

use super::counted::{Counted, References};
use super::line::Line;
use super::thread::Ending;
use super::{deadline, here};

/// An event.
#[derive(Default)]
pub struct Event {
    sent: Cell<Option<Ending>>,
    waiters: Line<Ending>,
    references: References,
}

impl Event {
    /// Sends a value and a code (0: none). EALREADY: something was sent before.
    pub fn send(&self, ending: Ending) -> Result<()> {
        here()?;
        if self.ready() {
            return Err(Errno(libc::EALREADY));
        }
        self.sent.set(Some(ending));
        self.waiters.give_all(Ok(ending));
        Ok(())
    }

    /// What was sent. ETIMEDOUT.
    pub fn wait(&self, seconds: f64) -> Result<Ending> {
        let (g, deadline) = (here()?, deadline(seconds)?);
        match self.sent.get() {
            Some(ending) => Ok(ending),
            None if seconds == 0.0 => Err(Errno(libc::ETIMEDOUT)),
            None => self.waiters.wait(g, "eventlet_event_wait", (0, core::ptr::null_mut()), deadline, |_| {}),
        }
    }

    /// Whether something was sent.
    pub fn ready(&self) -> bool {
        self.sent.get().is_some()
    }

    /// As new again. EINVAL: nothing was sent.
    pub fn reset(&self) -> Result<()> {
        here()?;
        self.sent.take().map(drop).ok_or(Errno(libc::EINVAL))
    }

    /// Who waits gets ECANCELED.
    pub fn close(&self) {
        self.waiters.give_all(Err(Errno(libc::ECANCELED)));
    }
}

// SAFETY: it lies there.
unsafe impl Counted for Event {
    const REFERENCES: usize = offset_of!(Event, references);
    const MARK: u64 = u64::from_ne_bytes(*b"event   ");
}
