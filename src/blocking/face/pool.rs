//! [`Pool`]: as many green threads at a time as it has slots; who finds none waits.
//!
//! Safety: a `Pool` lives until its owner has deleted it and the last member and the last waiter are gone.

use core::cell::Cell;
use core::ffi::c_void;
use core::ptr;

use crate::data::Deadline;
use crate::kernel::{Errno, Result};
use crate::runtime::Green;
use crate::runtime::entry::Start;
use crate::runtime::raise::{self, Outcome};

use super::here;
use super::line::Line;
use super::thread::{self, Plan, Thread, spawn};

/// A pool of green threads.
pub struct Pool {
    size: Cell<usize>,
    running: Cell<usize>,
    spawners: Line<()>,
    idle: Line<()>,
    references: Cell<usize>,
}

impl Pool {
    /// A pool with `size` slots and one reference.
    pub fn make(size: usize) -> &'static Pool {
        Box::leak(Box::new(Pool {
            size: Cell::new(size),
            running: Cell::new(0),
            spawners: Line::new(),
            idle: Line::new(),
            references: Cell::new(1),
        }))
    }

    /// One reference more.
    pub fn hold(&self) {
        self.references.set(self.references.get() + 1);
    }

    /// One reference less.
    pub fn release(&self) {
        let left = self.references.get() - 1;
        self.references.set(left);
        if left == 0 {
            // SAFETY: made by `Box::leak`, and this was the last reference.
            drop(unsafe { Box::from_raw(ptr::from_ref(self).cast_mut()) });
        }
    }

    /// The owner lets go: members go on, who waits for a slot gets ECANCELED.
    pub fn delete(&self) {
        self.spawners.give_all(Err(Errno(libc::ECANCELED)));
        self.release();
    }

    /// Starts a member, when a slot is free. A member of a full pool runs the function itself: see the handle's end.
    pub fn spawn(&self, start: Start, arg: *mut c_void) -> Result<&'static Thread> {
        let g = here()?;
        if self.running.get() < self.size.get() && self.spawners.is_empty() {
            self.running.set(self.running.get() + 1);
        } else if thread::of(g).is_member(self) {
            return Ok(inline(g, start, arg));
        } else {
            self.wait_for(|| {
                self.spawners.wait(g, "eventlet_pool_spawn", (), Deadline::NEVER, |()| self.slot_free())
            })?;
        }
        self.hold();
        spawn(Plan { member: self, ..Plan::new(start, arg) }).inspect_err(|_| self.slot_back())
    }

    /// Waits in the pool, which stays there meanwhile.
    fn wait_for(&self, wait: impl FnOnce() -> Result<()>) -> Result<()> {
        self.hold();
        let answer = wait();
        self.release();
        answer
    }

    /// A member has ended.
    pub(super) fn slot_back(&self) {
        self.slot_free();
        self.release();
    }

    fn slot_free(&self) {
        self.running.set(self.running.get() - 1);
        self.admit();
        if self.running.get() == 0 && self.spawners.is_empty() {
            self.idle.give_all(Ok(()));
        }
    }

    /// Gives free slots to who waits for one.
    fn admit(&self) {
        while self.running.get() < self.size.get() && self.spawners.give(Ok(())) {
            self.running.set(self.running.get() + 1);
        }
    }

    /// Waits until nobody runs and nobody waits for a slot. EDEADLK: the caller is a member.
    pub fn wait_all(&self) -> Result<()> {
        let g = here()?;
        if thread::of(g).is_member(self) {
            return Err(Errno(libc::EDEADLK));
        }
        if self.running.get() == 0 && self.spawners.is_empty() {
            return Ok(());
        }
        self.wait_for(|| self.idle.wait(g, "eventlet_pool_waitall", (), Deadline::NEVER, |()| {}))
    }

    /// Another size. Members beyond it go on.
    pub fn resize(&self, size: usize) -> Result<()> {
        here()?;
        self.size.set(size);
        self.admit();
        Ok(())
    }

    /// Slots that are free; negative after a shrink.
    pub fn free(&self) -> i64 {
        self.size.get() as i64 - self.running.get() as i64
    }

    /// Its size.
    pub fn size(&self) -> usize {
        self.size.get()
    }

    /// How many members run.
    pub fn running(&self) -> usize {
        self.running.get()
    }

    /// How many wait for a slot.
    pub fn waiting(&self) -> usize {
        self.spawners.len()
    }
}

/// Runs a function in place; a handle that has ended.
fn inline(g: &Green, start: Start, arg: *mut c_void) -> &'static Thread {
    // SAFETY: the program's function and argument.
    match unsafe { raise::attempt(g, start, arg) } {
        Outcome::Returned(value) => Thread::ended((0, value)),
        Outcome::Raised(raised) => {
            raise::report(g, raised.code);
            Thread::ended((raised.code, ptr::null_mut()))
        }
        Outcome::Exits => raise::unwind(),
    }
}
