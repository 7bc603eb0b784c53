//! [`Timeout`]: a raise at a time, bound to the green thread that started it.
//!
//! Safety: a `Timeout` does not move between [`Timeout::start`] and its cancellation; then no timer and no thread knows
//! of it any more.

use core::cell::Cell;
use core::ffi::c_void;
use core::mem::offset_of;
use core::ptr;

use crate::data::list::Node;
use crate::data::timers::Timer;
use crate::kernel::{Errno, Result};
use crate::runtime::entry::Start;
use crate::runtime::raise::{self, Outcome, Request};
use crate::runtime::{Green, hub};

use super::counted::{Counted, References};
use super::thread::{self, Thread};
use super::{deadline, here};

/// A timeout.
pub struct Timeout {
    timer: Timer,
    request: Request,
    /// Its place among those of its thread.
    node: Node<Timeout>,
    green: Cell<*const Green>,
    references: References,
}

// SAFETY: it lies there.
unsafe impl Counted for Timeout {
    const REFERENCES: usize = offset_of!(Timeout, references);
    const MARK: u64 = u64::from_ne_bytes(*b"timeout ");
}

impl Timeout {
    /// One that has not started. It raises `code`, or the usual one for 0.
    pub fn new(code: i32) -> Timeout {
        Timeout {
            timer: Timer::calling(fire),
            request: Request::new(if code == 0 { raise::TIMEOUT } else { code }),
            node: Node::new(),
            green: Cell::new(ptr::null()),
            references: References::default(),
        }
    }

    /// Raises in the calling thread, `seconds` from now; negative: never.
    ///
    /// # Safety
    /// It stays where it is until [`Timeout::cancel`].
    pub unsafe fn start(&self, seconds: f64) -> Result<()> {
        let deadline = deadline(seconds)?;
        let g = here()?;
        self.green.set(g);
        thread::of(g).timeouts.push_back(&self.node, self);
        hub().timers().set(&self.timer, deadline);
        if deadline.passed() {
            hub().want_poll();
        }
        Ok(())
    }

    /// Whether it will still be raised.
    pub fn pending(&self) -> bool {
        hub().timers().hold(&self.timer) || self.request.is_due()
    }

    /// Whether it was raised.
    pub fn fired(&self) -> bool {
        self.request.was_raised()
    }

    /// It is not raised any more; false if it was.
    pub fn cancel(&self) -> bool {
        self.leave();
        self.node.unlink();
        !self.fired()
    }

    fn leave(&self) {
        hub().timers().unset(&self.timer);
        self.request.withdraw();
    }

    /// `thread` ends and takes its timeouts with it.
    pub(super) fn leave_all(thread: &Thread) {
        while let Some(node) = thread.timeouts.pop_front() {
            // SAFETY: a linked timeout is alive.
            unsafe { (*node.owner()).leave() };
        }
    }
}

fn fire(timer: &Timer) {
    // SAFETY: this function is the act of such timers only, and one that is set is alive, as is its thread.
    unsafe {
        let timeout = &*ptr::from_ref(timer).byte_sub(offset_of!(Timeout, timer)).cast::<Timeout>();
        raise::post(&*timeout.green.get(), &timeout.request);
    }
}

/// Calls `start(arg)` for `seconds` at most. ETIMEDOUT: it took longer, and this very timeout ended it. Everything else
/// that is raised goes on.
///
/// # Safety
/// `start` may be called now.
pub unsafe fn with(seconds: f64, start: Start, arg: *mut c_void) -> Result<*mut c_void> {
    let g = here()?;
    let timeout = Timeout::new(0);
    // SAFETY: it stays on this frame, and is cancelled before the frame is left.
    unsafe { timeout.start(seconds)? };
    // SAFETY: the caller's promise.
    let outcome = unsafe { raise::attempt(g, start, arg) };
    timeout.cancel();
    match outcome {
        Outcome::Returned(value) => Ok(value),
        Outcome::Raised(raised) if ptr::eq(raised.by, &timeout.request) => Err(Errno(libc::ETIMEDOUT)),
        Outcome::Raised(raised) => {
            raise::again(g, raised);
            raise::unwind()
        }
        Outcome::Exits => raise::unwind(),
    }
}
