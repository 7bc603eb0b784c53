//! [`Thread`]: a green thread as Eventlet has it, by a counted handle that outlives it.
//!
//! ```text
//!   New --- its turn comes ---> Begun --- fn returns or raises ---> Ended: waiters, links, the pool's slot
//!    +----------- cancel, kill: the function never runs ------------^
//! ```
//! Every green thread can have one: those of pthread_create and the first get theirs when somebody asks.
//!
//! Safety: a `Thread` lives until its last reference is released; the running thread holds one itself. Links are the
//! program's functions and run without a borrow of anything here.

use core::cell::{Cell, RefCell};
use core::ffi::c_void;
use core::ptr;
use std::collections::VecDeque;

use crate::data::Deadline;
use crate::data::list::List;
use crate::kernel::{Errno, Result};
use crate::runtime::entry::Start;
use crate::runtime::hub::unpark;
use crate::runtime::raise::{self, Outcome};
use crate::runtime::{Green, Wait, Wake, fork, identity, spawn, this};

use super::line::Line;
use super::pool::Pool;
use super::timeout::Timeout;
use super::{breathe, here};
use crate::blocking::create;

/// A function that is called at the end of a thread.
pub type Linked = extern "C" fn(*mut Thread, *mut c_void);

#[derive(Clone, Copy, PartialEq, Eq)]
enum Stage {
    New,
    Begun,
    Ended,
}

/// How a thread ended: a code (0: it returned) and what it returned.
pub type Ending = (i32, *mut c_void);

/// A green thread's handle.
pub struct Thread {
    references: Cell<usize>,
    stage: Cell<Stage>,
    ending: Cell<Ending>,
    green: Cell<*const Green>,
    start: Start,
    arg: *mut c_void,
    /// When it is to begin.
    due: Deadline,
    /// The thread whose end takes this one with it, if it has not begun by then.
    spawner: Cell<*const Thread>,
    waiters: Line<()>,
    links: RefCell<VecDeque<(Linked, *mut c_void)>>,
    /// Timeouts that it has started.
    pub(super) timeouts: List<Timeout>,
    /// The pool that it has a slot of.
    member: Cell<*const Pool>,
}

extern "C" fn no_start(_: *mut c_void) -> *mut c_void {
    ptr::null_mut()
}

/// What a new thread is to be.
#[derive(Clone, Copy)]
pub struct Plan {
    /// Its function.
    pub start: Start,
    /// Its argument.
    pub arg: *mut c_void,
    /// When it begins; the past: at its first turn.
    pub due: Deadline,
    /// Whether it is not to begin when the spawner has ended.
    pub local: bool,
    /// The pool that it has a slot of, or NULL.
    pub member: *const Pool,
}

impl Plan {
    /// A thread that begins at once.
    pub fn new(start: Start, arg: *mut c_void) -> Plan {
        Plan { start, arg, due: Deadline(0), local: false, member: ptr::null() }
    }
}

/// Starts a thread; its handle has one reference. EAGAIN: no memory for its stack.
pub fn spawn(plan: Plan) -> Result<&'static Thread> {
    let g = here()?;
    let thread = Thread::make(&plan, Stage::New, 2);
    if plan.local {
        let spawner = of(g);
        spawner.hold();
        thread.spawner.set(spawner);
    }
    let made = plan_of(thread)
        .and_then(|plan| spawn::spawn(plan).unwrap_or(Err(Errno(libc::EAGAIN))))
        .inspect_err(|_| {
            thread.release();
            thread.release();
        })?;
    // SAFETY: it was made just now.
    let green = unsafe { Green::of(made) }.expect("a new green thread");
    green.preemptible.set(false);
    green.raise.record.set(ptr::from_ref(thread).cast());
    thread.green.set(green);
    Ok(thread)
}

fn plan_of(thread: &Thread) -> Result<spawn::Plan> {
    // SAFETY: default attributes.
    let plan = unsafe { create::plan(ptr::null(), body, ptr::from_ref(thread).cast_mut().cast()) };
    Ok(spawn::Plan { detached: true, ..plan?.ok_or(Errno(libc::EAGAIN))? })
}

/// The handle of `green`, borrowed; made if it has none.
pub fn of(green: &Green) -> &'static Thread {
    let record = green.raise.record.get();
    if !record.is_null() {
        // SAFETY: the thread holds a reference.
        return unsafe { &*record.cast() };
    }
    let thread = Thread::make(&Plan::new(no_start, ptr::null_mut()), Stage::Begun, 1);
    thread.green.set(green);
    green.raise.record.set(ptr::from_ref(thread).cast());
    green.raise.at_end.set(Some(|green, code| {
        let thread = of(green);
        thread.end(code, if code == 0 { identity::result(green.tcb()) } else { ptr::null_mut() });
        green.raise.record.set(ptr::null());
        thread.release();
    }));
    thread
}

/// The calling thread's handle, borrowed.
pub fn current() -> Result<&'static Thread> {
    here().map(of)
}

/// All of a thread's life.
extern "C" fn body(arg: *mut c_void) -> *mut c_void {
    // SAFETY: the reference that `spawn` left to it.
    let thread = unsafe { &*arg.cast::<Thread>() };
    if let Some(green) = this() {
        thread.run(green);
        green.raise.record.set(ptr::null());
        raise::clear(green);
    }
    thread.release();
    ptr::null_mut()
}

impl Thread {
    fn make(plan: &Plan, stage: Stage, references: usize) -> &'static Thread {
        Box::leak(Box::new(Thread {
            references: Cell::new(references),
            stage: Cell::new(stage),
            ending: Cell::new((0, ptr::null_mut())),
            green: Cell::new(ptr::null()),
            start: plan.start,
            arg: plan.arg,
            due: plan.due,
            spawner: Cell::new(ptr::null()),
            waiters: Line::new(),
            links: RefCell::new(VecDeque::new()),
            timeouts: List::new(),
            member: Cell::new(plan.member),
        }))
    }

    fn run(&self, green: &Green) {
        while self.stage.get() == Stage::New && !self.due.passed() {
            green.park(&Wait { cancellable: false, ..Wait::opaque("eventlet_spawn_after") }, self.due);
        }
        // SAFETY: NULL, or a reference that is ours.
        if unsafe { self.spawner.get().as_ref() }.is_some_and(Thread::dead) {
            self.end_new(raise::EXIT);
        }
        if self.stage.get() != Stage::New {
            return;
        }
        self.stage.set(Stage::Begun);
        // SAFETY: the program's function, on its own thread.
        let outcome = unsafe { raise::attempt(green, self.start, self.arg) };
        if fork::is_made_by(green) {
            // The end of a process: who waits for this thread is in the other one.
            if let (Outcome::Raised(raised), Some(first)) = (outcome, this()) {
                raise::again(first, raised);
                raise::unwind();
            }
            return;
        }
        match outcome {
            Outcome::Returned(value) => self.end(0, value),
            Outcome::Exits => self.end(0, identity::result(green.tcb())),
            Outcome::Raised(raised) => {
                raise::report(green, raised.code);
                self.end(raised.code, ptr::null_mut());
            }
        }
    }

    /// The end, in the thread itself or, if it never began, in whoever ended it.
    fn end(&self, code: i32, value: *mut c_void) {
        self.stage.set(Stage::Ended);
        self.ending.set((code, value));
        Timeout::leave_all(self);
        // SAFETY: NULL, or the thread, which is there until its end is over.
        if let Some(green) = unsafe { self.green.get().as_ref() } {
            raise::clear(green);
        }
        self.waiters.give_all(Ok(()));
        // SAFETY: NULL, or a pool that this slot keeps alive.
        if let Some(pool) = unsafe { self.member.replace(ptr::null()).as_ref() } {
            pool.slot_back();
        }
        self.run_links();
    }

    fn run_links(&self) {
        let Some(green) = this() else { return };
        loop {
            // In a statement of its own: the borrow ends before the call.
            let link = self.links.borrow_mut().pop_front();
            let Some(link) = link else { return };
            let mut call = (link, ptr::from_ref(self).cast_mut());
            extern "C" fn go(call: *mut c_void) -> *mut c_void {
                // SAFETY: `call` below, which lives until this returns.
                let ((function, arg), thread) =
                    unsafe { *call.cast::<((Linked, *mut c_void), *mut Thread)>() };
                function(thread, arg);
                ptr::null_mut()
            }
            // SAFETY: the program's function and argument.
            let outcome = unsafe { raise::attempt(green, go, (&raw mut call).cast()) };
            if let Outcome::Raised(raised) = outcome {
                raise::report(green, raised.code);
            }
        }
    }

    /// Ends it if it has not begun. False: too late.
    fn end_new(&self, code: i32) -> bool {
        if self.stage.get() != Stage::New {
            return false;
        }
        self.end(code, ptr::null_mut());
        // It may be waiting for its time; now it only has to go.
        // SAFETY: a thread that has not begun is there.
        if let Some(green) = unsafe { self.green.get().as_ref() } {
            unpark(green, Wake::Ready);
        }
        true
    }

    /// Waits for its end. EDEADLK: it is the caller.
    pub fn wait(&self) -> Result<Ending> {
        let g = here()?;
        if ptr::eq(self.green.get(), g) && !self.dead() {
            return Err(Errno(libc::EDEADLK));
        }
        if !self.dead() {
            self.waiters.wait(g, "eventlet_wait", (), Deadline::NEVER, |()| {})?;
        }
        Ok(self.ending.get())
    }

    /// Ends it unless it has begun; whether it did.
    pub fn cancel(&self) -> Result<bool> {
        here()?;
        Ok(self.end_new(raise::EXIT))
    }

    /// Raises `code` in it; it runs first, the caller later.
    pub fn kill(&self, code: i32) -> Result<()> {
        let g = here()?;
        if self.dead() || self.end_new(code) {
            return Ok(());
        }
        // SAFETY: a thread that has begun and not ended is there.
        let green = unsafe { &*self.green.get() };
        raise::kill(green, code);
        if ptr::eq(green, g) { Err(Errno::CANCELLED) } else { breathe(g) }
    }

    /// `function` is called with `arg` at its end; now, if that was.
    pub fn link(&self, function: Linked, arg: *mut c_void) -> Result<()> {
        here()?;
        // While links run, a new one waits its turn.
        if self.dead() && self.links.borrow().is_empty() {
            function(ptr::from_ref(self).cast_mut(), arg);
        } else {
            self.links.borrow_mut().push_back((function, arg));
        }
        Ok(())
    }

    /// Takes a link back; whether it was there.
    pub fn unlink(&self, function: Linked, arg: *mut c_void) -> Result<bool> {
        here()?;
        let mut links = self.links.borrow_mut();
        let place = links.iter().position(|link| ptr::fn_addr_eq(link.0, function) && link.1 == arg);
        Ok(place.and_then(|place| links.remove(place)).is_some())
    }

    /// Whether it has ended.
    pub fn dead(&self) -> bool {
        self.stage.get() == Stage::Ended
    }

    /// Whether it has a slot of `pool`.
    pub(super) fn is_member(&self, pool: &Pool) -> bool {
        ptr::eq(self.member.get(), pool)
    }

    /// A handle that has ended already, for what was run in place.
    pub(super) fn ended((code, value): Ending) -> &'static Thread {
        let thread = Thread::make(&Plan::new(no_start, ptr::null_mut()), Stage::Ended, 1);
        thread.ending.set((code, value));
        thread
    }

    /// One reference more.
    pub fn hold(&self) {
        self.references.set(self.references.get() + 1);
    }

    /// One reference less; the last takes it away.
    pub fn release(&self) {
        let left = self.references.get() - 1;
        self.references.set(left);
        if left == 0 {
            // SAFETY: NULL, or a reference of ours.
            if let Some(spawner) = unsafe { self.spawner.replace(ptr::null()).as_ref() } {
                spawner.release();
            }
            // SAFETY: made by `Box::leak`, and this was the last reference.
            drop(unsafe { Box::from_raw(ptr::from_ref(self).cast_mut()) });
        }
    }
}
