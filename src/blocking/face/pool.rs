//! [`Pool`]: as many green threads at a time as it has slots; who finds none waits.
//!
//! Safety: a `Pool` lives until its owner has deleted it and the last member and the last waiter are gone.

use core::cell::Cell;
use core::ffi::c_void;
use core::mem::offset_of;
use core::ptr;

use crate::data::Deadline;
use crate::kernel::{Errno, Result};
use crate::runtime::entry::Start;
use crate::runtime::raise::{self, Outcome};
use crate::runtime::{Green, fork};

use super::counted::{Counted, References};
use super::here;
use super::line::Line;
use super::thread::{self, Plan, Thread, spawn};

/// A pool of green threads.
pub struct Pool {
    size: Cell<usize>,
    running: Cell<usize>,
    spawners: Line<()>,
    idle: Line<()>,
    /// The life that they run in.
    life: Cell<u32>,
    references: References,
}

impl Pool {
    /// A pool with `size` slots and one reference. ENOMEM.
    pub fn make(size: usize) -> Result<&'static Pool> {
        Pool {
            size: Cell::new(size),
            running: Cell::new(0),
            spawners: Line::new(),
            idle: Line::new(),
            life: Cell::new(fork::life()),
            references: References::default(),
        }
        .share()
    }

    /// The owner lets go: members go on, who waits for a slot gets ECANCELED.
    pub fn close(&self) {
        self.spawners.give_all(Err(Errno(libc::ECANCELED)));
        self.tell_if_idle();
    }

    /// Starts a member, when a slot is free. A member of a full pool runs the function itself: see the handle's end.
    pub fn spawn(&self, start: Start, arg: *mut c_void) -> Result<&'static Thread> {
        let g = here()?;
        if self.running() < self.size.get() && self.spawners.is_empty() {
            self.running.set(self.running() + 1);
            self.hold();
        } else if thread::of(g).is_member(self) {
            return Ok(inline(g, start, arg));
        } else {
            self.during(|pool| {
                let back = |()| pool.slot_free();
                let got = pool.spawners.wait(g, "eventlet_pool_spawn", (), Deadline::NEVER, back);
                // The slot's reference, before the wait's goes: the pool may have been deleted since the slot was given.
                got.inspect(|()| pool.hold()).inspect_err(|_| pool.tell_if_idle())
            })?;
        }
        spawn(Plan { member: self, ..Plan::new(start, arg) }).inspect_err(|_| self.slot_back())
    }

    /// A member has ended.
    pub(super) fn slot_back(&self) {
        self.slot_free();
        self.release();
    }

    fn slot_free(&self) {
        self.running.set(self.running() - 1);
        self.admit();
        self.tell_if_idle();
    }

    /// Who waits for the end of all is told when there is nobody left.
    fn tell_if_idle(&self) {
        if self.is_idle() {
            self.idle.give_all(Ok(()));
        }
    }

    fn is_idle(&self) -> bool {
        self.running() == 0 && self.spawners.is_empty()
    }

    /// Gives free slots to who waits for one.
    fn admit(&self) {
        while self.running() < self.size.get() && self.spawners.give(Ok(())) {
            self.running.set(self.running() + 1);
        }
    }

    /// Waits until nobody runs and nobody waits for a slot. EDEADLK: the caller is a member.
    pub fn wait_all(&self) -> Result<()> {
        let g = here()?;
        if thread::of(g).is_member(self) {
            return Err(Errno(libc::EDEADLK));
        }
        if self.is_idle() {
            return Ok(());
        }
        self.during(|pool| pool.idle.wait(g, "eventlet_pool_waitall", (), Deadline::NEVER, |()| {}))
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
        i64::try_from(self.size.get()).unwrap_or(i64::MAX) - self.running() as i64
    }

    /// Its size.
    pub fn size(&self) -> usize {
        self.size.get()
    }

    /// How many members run.
    pub fn running(&self) -> usize {
        if self.life.get() != fork::life() {
            // A fork child: they are the parent's.
            self.life.set(fork::life());
            self.running.set(0);
        }
        self.running.get()
    }

    /// How many wait for a slot.
    pub fn waiting(&self) -> usize {
        self.spawners.len()
    }
}

// SAFETY: it lies there.
unsafe impl Counted for Pool {
    const REFERENCES: usize = offset_of!(Pool, references);
    const MARK: u64 = u64::from_ne_bytes(*b"pool    ");
}

/// Runs a function in place; a handle that has ended.
fn inline(g: &Green, start: Start, arg: *mut c_void) -> &'static Thread {
    // SAFETY: the program's function and argument.
    match unsafe { raise::attempt(g, start, arg) } {
        Outcome::Returned(value) => Thread::ended((0, value)),
        // A kill or a timeout of the member's own.
        Outcome::Raised(raised) if !raised.by.is_null() => {
            raise::again(g, raised);
            raise::unwind()
        }
        Outcome::Raised(raised) => {
            raise::report(g, raised.code);
            Thread::ended((raised.code, ptr::null_mut()))
        }
        Outcome::Exits => raise::unwind(),
    }
}
