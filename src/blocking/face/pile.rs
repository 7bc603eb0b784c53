//! [`Pile`]: what many threads of a pool return, in the order in which they were spawned. [`Iter`]: the same over items
//! that a green thread of its own draws.
//!
//! Safety: the thread that draws holds its `Iter` itself; see [`super::counted`].

use core::cell::{Cell, RefCell};
use core::ffi::{c_int, c_void};
use core::mem::offset_of;
use core::ptr;
use std::collections::VecDeque;

use crate::data::Deadline;
use crate::kernel::{Errno, Result};
use crate::runtime::entry::Start;
use crate::runtime::fork;
use crate::runtime::raise::{self, Outcome};

use super::counted::{Counted, References};
use super::here;
use super::line::Line;
use super::pool::Pool;
use super::thread::{Ending, Plan, Thread, spawn};

/// A pile of threads on a pool.
pub struct Pile {
    pool: &'static Pool,
    /// Each with its number, in that order.
    threads: RefCell<VecDeque<(u64, &'static Thread)>>,
    spawned: Cell<u64>,
    references: References,
}

impl Pile {
    /// An empty one; it takes over one reference of `pool`.
    pub fn new(pool: &'static Pool) -> Pile {
        Pile { pool, threads: RefCell::default(), spawned: Cell::new(0), references: References::default() }
    }

    /// Starts one more, when the pool has a slot.
    pub fn spawn(&self, start: Start, arg: *mut c_void) -> Result<()> {
        self.threads.borrow_mut().try_reserve(1).map_err(|_| Errno(libc::ENOMEM))?;
        let thread = self.pool.spawn(start, arg)?;
        let number = self.spawned.replace(self.spawned.get() + 1);
        self.threads.borrow_mut().push_back((number, thread));
        Ok(())
    }

    /// How the next one ended; None: all have been asked for. A raise in the wait leaves it the next one.
    pub fn next(&self) -> Result<Option<Ending>> {
        here()?;
        let Some((number, thread)) = self.threads.borrow_mut().pop_front() else { return Ok(None) };
        match thread.wait() {
            Ok(ending) => {
                thread.release();
                Ok(Some(ending))
            }
            Err(errno) => {
                // Others may ask for later ones, and have put theirs back.
                let mut threads = self.threads.borrow_mut();
                let place = threads.partition_point(|(other, _)| *other < number);
                threads.insert(place, (number, thread));
                Err(errno)
            }
        }
    }
}

// SAFETY: it lies there.
unsafe impl Counted for Pile {
    const REFERENCES: usize = offset_of!(Pile, references);
    const MARK: u64 = u64::from_ne_bytes(*b"pile    ");
}

impl Drop for Pile {
    fn drop(&mut self) {
        for (_, thread) in self.threads.get_mut().drain(..) {
            thread.release();
        }
        self.pool.release();
    }
}

/// Gives the next item: 1, or 0 at the end.
pub type Next = extern "C" fn(*mut c_void, *mut *mut c_void) -> c_int;

/// A function mapped over items, on a pool.
pub struct Iter {
    pile: Pile,
    start: Start,
    next: Next,
    context: *mut c_void,
    /// Items drawn and not yet asked for.
    ahead: Cell<usize>,
    /// Set when no more items will come, with the code that `next` raised.
    over: Cell<Option<i32>>,
    drawer: Line<()>,
    readers: Line<()>,
    references: References,
    deleted: Cell<bool>,
    life: u32,
}

impl Iter {
    /// Maps `start` over what `next` gives; holds `pool`.
    pub fn make(
        pool: &'static Pool,
        start: Start,
        next: Next,
        context: *mut c_void,
    ) -> Result<&'static Iter> {
        here()?;
        pool.hold();
        let iter = Iter {
            pile: Pile::new(pool),
            start,
            next,
            context,
            ahead: Cell::new(0),
            over: Cell::new(None),
            drawer: Line::new(),
            readers: Line::new(),
            references: References::new(2),
            deleted: Cell::new(false),
            life: fork::life(),
        }
        .share()?;
        match spawn(Plan::new(draw, ptr::from_ref(iter).cast_mut().cast())) {
            Ok(thread) => thread.let_go(),
            Err(errno) => {
                iter.release();
                iter.release();
                return Err(errno);
            }
        }
        Ok(iter)
    }

    /// The next result in the order of the items; None: the end.
    pub fn next(&self) -> Result<Option<Ending>> {
        let g = here()?;
        while self.pile.threads.borrow().is_empty() {
            match self.over.get() {
                // Who draws is the parent's.
                None if self.life != fork::life() => self.over.set(Some(libc::ECANCELED)),
                Some(0) => return Ok(None),
                Some(code) => {
                    self.over.set(Some(0));
                    return Ok(Some((code, ptr::null_mut())));
                }
                None => {
                    self.readers.wait(g, "eventlet_iter_next", (), Deadline::NEVER, |()| {
                        self.readers.give(Ok(()));
                    })?;
                }
            }
        }
        // Else what there is goes to the next reader.
        let ending = self.pile.next().inspect_err(|_| _ = self.readers.give(Ok(())))?;
        self.ahead.set(self.ahead.get() - 1);
        self.drawer.give(Ok(()));
        Ok(ending)
    }

    /// The owner lets go: no more items are drawn; what runs goes on.
    pub fn close(&self) {
        self.deleted.set(true);
        self.drawer.give_all(Err(Errno(libc::ECANCELED)));
    }

    /// Draws items until there are no more; what `next` raised.
    fn draw_all(&self) -> Result<i32> {
        let g = here()?;
        loop {
            while self.ahead.get() >= self.pile.pool.size().max(1) && !self.deleted.get() {
                self.drawer.wait(g, "eventlet_pool_imap", (), Deadline::NEVER, |()| {})?;
            }
            if self.deleted.get() {
                return Ok(0);
            }
            let mut draw = Draw { iter: self, item: ptr::null_mut() };
            // SAFETY: the program's function and context.
            match unsafe { raise::attempt(g, ask, (&raw mut draw).cast()) } {
                Outcome::Returned(found) if !found.is_null() && !self.deleted.get() => {}
                Outcome::Returned(_) | Outcome::Exits => return Ok(0),
                Outcome::Raised(raised) => return Ok(raised.code),
            }
            self.pile.spawn(self.start, draw.item)?;
            self.ahead.set(self.ahead.get() + 1);
            self.readers.give(Ok(()));
        }
    }
}

// SAFETY: it lies there.
unsafe impl Counted for Iter {
    const REFERENCES: usize = offset_of!(Iter, references);
    const MARK: u64 = u64::from_ne_bytes(*b"iter    ");
}

struct Draw {
    iter: *const Iter,
    item: *mut c_void,
}

/// Asks the program for the next item; not NULL: there is one.
extern "C" fn ask(draw: *mut c_void) -> *mut c_void {
    // SAFETY: `draw` lies in `draw_all`, which waits for this to return.
    let (next, context, item) = unsafe {
        let draw = draw.cast::<Draw>();
        ((*(*draw).iter).next, (*(*draw).iter).context, &raw mut (*draw).item)
    };
    ptr::without_provenance_mut((next(context, item) == 1).into())
}

extern "C" fn draw(iter: *mut c_void) -> *mut c_void {
    // SAFETY: the reference that `make` left to it.
    let iter = unsafe { &*iter.cast::<Iter>() };
    let code = iter.draw_all().unwrap_or_else(|errno| if iter.deleted.get() { 0 } else { errno.0 });
    iter.over.set(Some(code));
    iter.readers.give_all(Ok(()));
    iter.release();
    ptr::null_mut()
}
