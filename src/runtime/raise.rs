//! Raising: an exception of Eventlet's, a positive code that unwinds a green thread to the nearest [`attempt`].
//!
//! ```text
//!   attempt(f):  enter -> f(arg) ... eventlet_sleep() -> park: a request is due -> Wake::Cancelled
//!      ^                                   |  Errno::CANCELLED, as for pthread_cancel
//!      +--- Raised <--- forced unwinding <-+  the edge takes the request and unwinds
//! ```
//! A request is made by who kills and by timeouts. It waits at its green thread and is raised in the wait that the
//! thread is in, or in its next one, where a cancellation would act too, and never while cancellation is disabled or in
//! dlopen and dlclose.
//!
//! The unwinding is that of `pthread_exit`: cleanup handlers and C++ destructors run. But the thread goes on, so
//! glibc's mark of an exiting thread is not set: `__pthread_unwind_next` unwinds to the buffer before its own.
//!
//! What runs on the way may wait. Then nothing else is raised in it, as glibc cancels a thread once: what is due waits until
//! this is caught. It may raise itself, or exit, which takes the place of what was on its way; a cleanup handler of C's that
//! does is not called again.
//!
//! Safety: on the hub's kernel thread. A request does not move and is withdrawn before it goes. Frames that the unwinding
//! passes hold no value with a destructor of ours.

use core::cell::Cell;
use core::ffi::c_void;
use core::ptr;
use core::sync::atomic::{AtomicBool, Ordering};

use crate::data::list::{List, Node};
use crate::kernel::{asan, log};

use super::entry::{self, BEFORE, Buffer, Start};
use super::green::{Green, State, Wake, this};
use super::hub::unpark_next;
use super::{fork, identity, preempt, signals};

/// GreenletExit.
pub const EXIT: i32 = 0x1_0000;
/// A timeout's code unless it was given another.
pub const TIMEOUT: i32 = 0x1_0001;
/// StopServe.
pub const STOP_SERVE: i32 = 0x1_0002;

/// Something to be raised in a green thread.
#[derive(Debug)]
pub struct Request {
    node: Node<Request>,
    code: Cell<i32>,
    raised: Cell<bool>,
}

impl Request {
    /// One that nobody has posted.
    pub const fn new(code: i32) -> Request {
        Request { node: Node::new(), code: Cell::new(code), raised: Cell::new(false) }
    }

    /// Whether it waits to be raised.
    pub fn is_due(&self) -> bool {
        !self.node.list().is_null()
    }

    /// Whether it was raised.
    pub fn was_raised(&self) -> bool {
        self.raised.get()
    }

    /// It is not raised any more.
    pub fn withdraw(&self) {
        self.node.unlink();
    }
}

/// Called at the end of a thread, with the code that it ended with; None: after its destructors, when nothing of the program's may
/// run any more.
pub type AtEnd = fn(&Green, Option<i32>);

/// What hangs on a green thread: the exceptions that wait for it, and the one that is on its way.
#[repr(C)]
pub struct Raise {
    due: List<Request>,
    /// The request of who kills it.
    kill: Request,
    /// The code that unwinds the thread now, and whose it is; 0: none.
    flight: Cell<(i32, *const Request)>,
    /// A signal mask that a function of libc's would leave behind if it is unwound (`system`).
    mask: Cell<Option<u64>>,
    /// What Eventlet's face keeps of the thread.
    pub record: Cell<*const c_void>,
    /// For the end of a thread with a record.
    pub at_end: Cell<Option<AtEnd>>,
}

impl Raise {
    /// Nothing.
    pub(super) const fn new() -> Raise {
        Raise {
            due: List::new(),
            kill: Request::new(0),
            flight: Cell::new((0, ptr::null())),
            mask: Cell::new(None),
            record: Cell::new(ptr::null()),
            at_end: Cell::new(None),
        }
    }

    /// In a fork child: as new.
    pub(super) fn renew(&self) {
        self.due.forget();
        self.kill.node.forget();
        self.flight.set((0, ptr::null()));
        self.mask.set(None);
        self.record.set(ptr::null());
        self.at_end.set(None);
    }
}

/// Whether the next wait of `green` raises. Not in a library's constructor: the loader would stay locked.
#[inline(always)]
pub fn is_due(green: &Green) -> bool {
    let tcb = green.tcb();
    !green.raise.due.is_empty()
        && !is_unwinding(green)
        && !identity::is_cancel_disabled(tcb)
        && !identity::is_loading(tcb)
}

/// Whether something is on its way.
#[inline(always)]
pub(super) fn is_unwinding(green: &Green) -> bool {
    green.raise.flight.get().0 != 0
}

/// `request` is to be raised in `green`. If it is parked where that may be, it runs next.
pub fn post(green: &Green, request: &Request) {
    if request.is_due() {
        return;
    }
    request.raised.set(false);
    green.raise.due.push_back(&request.node, request);
    if green.state() == State::Parked && green.wait().raised_in() && is_due(green) {
        unpark_next(green, Wake::Cancelled);
    }
}

/// `code` is to be raised in `green`; one such request waits at a time.
pub fn kill(green: &Green, code: i32) {
    let request = &green.raise.kill;
    if !request.is_due() {
        request.code.set(code);
    }
    post(green, request);
}

/// Takes the oldest request, which is on its way then.
pub fn take(green: &Green) -> bool {
    let Some(node) = green.raise.due.pop_front() else { return false };
    // SAFETY: a linked request is alive.
    let request = unsafe { &*node.owner() };
    request.raised.set(true);
    green.raise.flight.set((request.code.get(), request));
    true
}

/// Nothing is raised in `green` any more: it ends.
pub fn clear(green: &Green) {
    while green.raise.due.pop_front().is_some() {}
}

/// Puts `code` on its way, for [`unwind`].
pub fn raise(green: &Green, code: i32) {
    green.raise.flight.set((code, ptr::null()));
}

/// What is on its way stays so: for [`unwind`] from where it was caught.
pub fn again(green: &Green, raised: Raised) {
    green.raise.flight.set((raised.code, raised.by));
}

/// Unwinds the calling thread, foreign or not, to the nearest frame that catches. Where there is none, before main and after it,
/// that is the end of the process.
pub fn unwind() -> ! {
    fork::unwinds();
    frames_go();
    preempt::resume();
    let mut buffer: Buffer = [0; _];
    // SAFETY: libc writes the buffer, and unwinds to the one that was in force before. That one, which lies on a frame that
    // lives, is in force on the way; but a cleanup handler's, which is called by coming there, the one before it.
    unsafe {
        entry::__pthread_register_cancel(&mut buffer);
        let target = buffer[BEFORE] as *mut Buffer;
        if entry::is_none(target) {
            end_process();
        }
        let mut way = buffer;
        if !entry::is_frame(target) {
            way[BEFORE] = (*target)[BEFORE];
        }
        entry::__pthread_unregister_cancel(&mut way);
        entry::__pthread_unwind_next(&mut buffer)
    }
}

/// What is on its way in the first thread is caught by nobody.
fn end_process() -> ! {
    if let Some(green) = this() {
        report(green, escaped(green));
    }
    // SAFETY: as of a main that a raise has left; in a handler of exit's it goes on with the others.
    unsafe { libc::exit(1) }
}

/// Frames of the calling thread are about to go. How many is not known, so AddressSanitizer forgets all.
fn frames_go() {
    let here = 0u8;
    match this() {
        // It lies at the top of its stack.
        Some(green) if !green.is_first() => {
            asan::no_frames(ptr::from_ref(&here).addr(), ptr::from_ref(green).addr());
        }
        _ => asan::frames_go(),
    }
}

/// An exception that was caught.
#[derive(Clone, Copy, Debug)]
pub struct Raised {
    /// Its code.
    pub code: i32,
    /// The request it came from, or NULL; for comparison alone.
    pub by: *const Request,
}

/// How a function ended.
#[derive(Clone, Copy, Debug)]
pub enum Outcome {
    /// It returned.
    Returned(*mut c_void),
    /// It raised.
    Raised(Raised),
    /// It left by pthread_exit or a cancellation: the caller calls [`unwind`], or is the thread's lowest frame.
    Exits,
}

/// Calls `start(arg)`; catches what is raised in it.
///
/// # Safety
/// `start` may be called now, on this thread, which is `green`.
pub unsafe fn attempt(green: &Green, start: Start, arg: *mut c_void) -> Outcome {
    let outer = (green.raise.flight.replace((0, ptr::null())), green.raise.mask.replace(None));
    let exits = identity::exits(green.tcb());
    // SAFETY: the caller's promise.
    let outcome = unsafe { entry::enter(start, arg) };
    // In a fork child the thread that forked is another one now.
    let green = this().unwrap_or(green);
    let (code, by) = green.raise.flight.replace(outer.0);
    let mask = green.raise.mask.replace(outer.1);
    match (outcome.exited(), code) {
        (false, _) => Outcome::Returned(outcome.value()),
        (true, 0) => Outcome::Exits,
        // A handler on the way has exited.
        _ if !exits && identity::exits(green.tcb()) => Outcome::Exits,
        (true, code) => {
            if let Some(mask) = mask {
                signals::set_mask(green, mask);
            }
            Outcome::Raised(Raised { code, by })
        }
    }
}

/// Makes `call`, of a function of libc's that changes the mask of `green`, the caller, and would not put it back if it is
/// unwound: there cancellation ends the thread.
pub fn keeping_mask<T>(green: &Green, call: impl FnOnce() -> T) -> T {
    let outer = green.raise.mask.replace(Some(green.mask.get()));
    let answer = call();
    green.raise.mask.set(outer);
    answer
}

/// One of the destructors of `green` has raised, and none was left to catch it.
pub(super) fn in_destructor(green: &Green) {
    report(green, escaped(green));
}

/// The code that unwound `green` to its lowest frame; 0: none did.
pub fn escaped(green: &Green) -> i32 {
    green.raise.flight.replace((0, ptr::null())).0
}

static REPORTS: AtomicBool = AtomicBool::new(true);

/// Whether codes that nobody catches are reported; the former value.
pub fn reports(on: bool) -> bool {
    REPORTS.swap(on, Ordering::Relaxed)
}

/// `code` ended `green` or a handler in it: one line, unless it is [`EXIT`] or 0.
pub fn report(green: &Green, code: i32) {
    if code == 0 || code == EXIT || !REPORTS.load(Ordering::Relaxed) {
        return;
    }
    let tid = green.tid.get();
    match code {
        TIMEOUT => log::warn(format_args!("uncaught EVENTLET_TIMEOUT in green thread {tid}")),
        STOP_SERVE => log::warn(format_args!("uncaught EVENTLET_STOP_SERVE in green thread {tid}")),
        code => log::warn(format_args!("uncaught code {code} in green thread {tid}")),
    }
}

/// A thread that the face did not make has ended with `code`.
pub(super) fn ended(green: &Green, code: Option<i32>) {
    if let Some(at_end) = green.raise.at_end.take() {
        at_end(green, code);
    }
    clear(green);
}
