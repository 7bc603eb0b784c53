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

use core::alloc::Layout;
use core::cell::{Cell, RefCell};
use core::ffi::c_void;
use core::mem::offset_of;
use core::ptr;
use std::alloc::handle_alloc_error;
use std::collections::VecDeque;

use crate::data::Deadline;
use crate::data::list::{List, Node};
use crate::kernel::{Errno, Result};
use crate::runtime::entry::Start;
use crate::runtime::hub::unpark;
use crate::runtime::raise::{self, Outcome};
use crate::runtime::{Green, Wait, Wake, fork, identity, spawn, this};

use super::counted::{Counted, References};
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
    references: References,
    stage: Cell<Stage>,
    ending: Cell<Ending>,
    green: Cell<*const Green>,
    start: Start,
    arg: *mut c_void,
    /// When it is to begin.
    due: Deadline,
    /// Threads that its end takes along, if they have not begun by then; and the place among those of its spawner.
    locals: List<Thread>,
    local: Node<Thread>,
    waiters: Line<()>,
    /// The life in which it was made: in a fork child it is gone.
    life: u32,
    /// The program has a reference of its own. (Else it borrows the thread's.)
    handed_out: Cell<bool>,
    links: RefCell<VecDeque<(Linked, *mut c_void)>>,
    /// Whether they are being called: one that is added waits its turn.
    linking: Cell<bool>,
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

/// Starts a thread; its handle has one reference. EAGAIN: no memory for its stack. ENOMEM: none for the handle.
pub fn spawn(plan: Plan) -> Result<&'static Thread> {
    let g = here()?;
    let thread = Thread::make(&plan, Stage::New, 2)?;
    if plan.local {
        of(g).locals.push_back(&thread.local, thread);
    }
    let plan = create::usual(g, body, ptr::from_ref(thread).cast_mut().cast());
    let made = spawn::spawn(plan).unwrap_or(Err(Errno(libc::EAGAIN))).inspect_err(|_| {
        thread.local.unlink();
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

/// The handle of `green`, borrowed; made if it has none.
pub fn of(green: &Green) -> &'static Thread {
    let record = green.raise.record.get();
    if !record.is_null() {
        // SAFETY: the thread holds a reference.
        return unsafe { &*record.cast() };
    }
    let thread = Thread::without_start(Stage::Begun);
    thread.handed_out.set(false);
    thread.green.set(green);
    green.raise.record.set(ptr::from_ref(thread).cast());
    green.raise.at_end.set(Some(|green, code| {
        let thread = of(green);
        match code {
            Some(code) => {
                thread.end(code, if code == 0 { identity::result(green.tcb()) } else { ptr::null_mut() });
            }
            None => thread.leave(0, ptr::null_mut()),
        }
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
    /// A handle that nobody can go without.
    fn without_start(stage: Stage) -> &'static Thread {
        let plan = Plan::new(no_start, ptr::null_mut());
        Thread::make(&plan, stage, 1).unwrap_or_else(|_| handle_alloc_error(Layout::new::<Thread>()))
    }

    fn make(plan: &Plan, stage: Stage, references: usize) -> Result<&'static Thread> {
        Thread {
            references: References::new(references),
            handed_out: Cell::new(true),
            life: fork::life(),
            stage: Cell::new(stage),
            ending: Cell::new((0, ptr::null_mut())),
            green: Cell::new(ptr::null()),
            start: plan.start,
            arg: plan.arg,
            due: plan.due,
            locals: List::new(),
            local: Node::new(),
            waiters: Line::new(),
            links: RefCell::new(VecDeque::new()),
            linking: Cell::new(false),
            timeouts: List::new(),
            member: Cell::new(plan.member),
        }
        .share()
    }

    fn run(&self, green: &Green) {
        while self.stage.get() == Stage::New && !self.due.passed() {
            green.park(&Wait { cancellable: false, ..Wait::opaque("eventlet_spawn_after") }, self.due);
        }
        if self.stage.get() != Stage::New {
            return;
        }
        self.stage.set(Stage::Begun);
        self.local.unlink();
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
        self.leave(code, value);
        self.run_links();
        // What they have started.
        self.leave_timeouts();
    }

    fn leave_timeouts(&self) {
        Timeout::leave_all(self);
        // SAFETY: NULL, or the thread, which is there until its end is over.
        if let Some(green) = unsafe { self.green.get().as_ref() } {
            raise::clear(green);
        }
    }

    /// Its part of the end.
    fn leave(&self, code: i32, value: *mut c_void) {
        self.stage.set(Stage::Ended);
        self.ending.set((code, value));
        self.local.unlink();
        self.leave_timeouts();
        while let Some(local) = self.locals.pop_front() {
            // SAFETY: a linked thread has not begun, so it is there.
            unsafe { (*local.owner()).end_new(raise::EXIT) };
        }
        self.waiters.give_all(Ok(()));
        // SAFETY: NULL, or a pool that this slot keeps alive.
        if let Some(pool) = unsafe { self.member.replace(ptr::null()).as_ref() } {
            pool.slot_back();
        }
    }

    /// Calls the links, and those that they add.
    fn run_links(&self) {
        let Some(green) = this() else { return };
        self.linking.set(true);
        while let Some(outcome) = self.call_link(green) {
            if let Outcome::Raised(raised) = outcome {
                raise::report(green, raised.code);
            }
        }
        self.linking.set(false);
    }

    /// Calls the oldest link; None: there is none.
    fn call_link(&self, green: &Green) -> Option<Outcome> {
        // In a statement of its own: the borrow ends before the call.
        let link = self.links.borrow_mut().pop_front();
        let mut call = (link?, ptr::from_ref(self).cast_mut());
        extern "C" fn go(call: *mut c_void) -> *mut c_void {
            // SAFETY: `call` below, which lives until this returns.
            let ((function, arg), thread) = unsafe { *call.cast::<((Linked, *mut c_void), *mut Thread)>() };
            function(thread, arg);
            ptr::null_mut()
        }
        // SAFETY: the program's function and argument.
        Some(unsafe { raise::attempt(green, go, (&raw mut call).cast()) })
    }

    /// Ends it if it has not begun. False: too late.
    fn end_new(&self, code: i32) -> bool {
        if self.stage.get() != Stage::New || self.is_gone() {
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
        // Another one who waits may release it first.
        self.during(|thread| {
            if !thread.dead() {
                thread.waiters.wait(g, "eventlet_wait", (), Deadline::NEVER, |()| {})?;
            }
            Ok(thread.ending())
        })
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

    /// `function` is called with `arg` at its end; now, if that was: then what it raises goes on. While links are called, a new
    /// one waits its turn.
    pub fn link(&self, function: Linked, arg: *mut c_void) -> Result<()> {
        let g = here()?;
        let mut links = self.links.borrow_mut();
        links.try_reserve(1).map_err(|_| Errno(libc::ENOMEM))?;
        links.push_back((function, arg));
        drop(links);
        if !self.dead() || self.linking.replace(true) {
            return Ok(());
        }
        let left = self.during(|thread| {
            while let Some(outcome) = thread.call_link(g) {
                if !matches!(outcome, Outcome::Returned(_)) {
                    thread.linking.set(false);
                    return Some(outcome);
                }
            }
            thread.linking.set(false);
            None
        });
        match left {
            None | Some(Outcome::Returned(_)) => Ok(()),
            Some(Outcome::Raised(raised)) => {
                raise::again(g, raised);
                raise::unwind()
            }
            Some(Outcome::Exits) => raise::unwind(),
        }
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
        self.stage.get() == Stage::Ended || self.is_gone()
    }

    /// Whether it is the parent's, in a fork child.
    fn is_gone(&self) -> bool {
        self.life != fork::life()
    }

    fn ending(&self) -> Ending {
        let ended = self.stage.get() == Stage::Ended;
        if ended { self.ending.get() } else { (raise::EXIT, ptr::null_mut()) }
    }

    /// The program releases its reference, if it has one.
    pub fn let_go(&self) {
        if !self.handed_out.replace(false) {
            return;
        }
        // Killed before it began, it has still to go. Its links get the handle.
        if self.dead() && !self.linking.get() {
            self.withdraw();
        }
        self.release();
    }

    /// Whether it has a slot of `pool`.
    pub(super) fn is_member(&self, pool: &Pool) -> bool {
        ptr::eq(self.member.get(), pool)
    }

    /// A handle that has ended already, for what was run in place.
    pub(super) fn ended((code, value): Ending) -> &'static Thread {
        let thread = Thread::without_start(Stage::Ended);
        thread.ending.set((code, value));
        thread
    }
}

// SAFETY: it lies there.
unsafe impl Counted for Thread {
    const REFERENCES: usize = offset_of!(Thread, references);
    const MARK: u64 = u64::from_ne_bytes(*b"thread  ");
}
