//! Errands: what a foreign thread wants done to green threads is done by the hub, between rounds, while the foreign
//! thread waits natively. Making one, joining, cancelling, signalling: so their state needs no locks.
//!
//! One that the caller can do without waits only so long: the hub may itself wait, inside a library whose waits no row
//! sees, for the thread that sends it (a pool of libgomp's, whose parallel region a green thread has entered).
//!
//! Safety: an errand lies on the stack of the thread that waits for it, until `state` is DONE; one that may be given up lies
//! on the heap, and stays there if it was. Whoever moves `state` away from WAITS decides. One that nobody waits for lies on
//! the heap, and is the hub's once it is posted.

use core::cell::{Cell, UnsafeCell};
use core::ptr;
use core::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use crate::data::inbox::{Inbox, Link, Linked};
use crate::kernel::Errno;
use crate::syscall;

use super::hub::hub;
use super::{inbox, preempt, this};

struct Errand {
    /// Runs the job at this address, which is `self`'s user.
    run: unsafe fn(*const ()),
    job: Cell<*const ()>,
    link: Link<Errand>,
    state: AtomicU32,
}

/// The values of [`Errand::state`]. What is begun is done before the hub does anything else.
const WAITS: u32 = 0;
const BEGUN: u32 = 1;
const DONE: u32 = 2;
const GIVEN_UP: u32 = 3;
/// From the start: nobody waits for it.
const LEFT: u32 = 4;

/// How long an errand waits that may be given up.
const PATIENCE: libc::timespec = libc::timespec { tv_sec: 0, tv_nsec: 500_000_000 };

/// One was given up, and the hub has come to none since.
static STUCK: AtomicBool = AtomicBool::new(false);

impl Linked for Errand {
    fn link(&self) -> &Link<Errand> {
        &self.link
    }
}

static ERRANDS: Inbox<Errand> = Inbox::new();

/// Runs `job` on the hub's kernel thread, and gives its answer: at once if that is the caller's, else between two
/// rounds. The job does not park. Only while the hub is active.
pub fn on_hub<R>(job: impl FnOnce() -> R) -> R {
    if this().is_some() { job() } else { send(job) }
}

/// The same for a job that the caller can do without. None: the hub does not come to it.
pub fn on_hub_or_not<R>(job: impl FnOnce() -> R) -> Option<R> {
    if this().is_some() { Some(job()) } else { try_to_send(job) }
}

/// The same for a job whose end nobody waits for: the hub may itself wait, natively, for the caller.
pub fn leave_to_hub(job: impl FnOnce() + 'static) {
    if this().is_some() { job() } else { leave(job) }
}

#[cold]
fn send<R>(job: impl FnOnce() -> R) -> R {
    let sent = Sent::new(job);
    sent.post();
    sent.errand.wait(ptr::null());
    sent.answer()
}

#[cold]
fn try_to_send<R>(job: impl FnOnce() -> R) -> Option<R> {
    if STUCK.load(Ordering::Relaxed) {
        return None;
    }
    let sent = Box::into_raw(Box::new(Sent::new(job)));
    // SAFETY: it stays on the heap until it is done, and for ever if it is given up.
    unsafe {
        (*sent).post();
        if !(*sent).errand.wait(&PATIENCE) && (*sent).errand.moves(GIVEN_UP) {
            STUCK.store(true, Ordering::Relaxed);
            return None;
        }
        (*sent).errand.wait(ptr::null());
        Some(Box::from_raw(sent).answer())
    }
}

#[cold]
fn leave<F: FnOnce() + 'static>(job: F) {
    unsafe fn run<F: FnOnce()>(job: *const ()) {
        // SAFETY: posted below, and nobody else's any more.
        let job = unsafe { Box::from_raw(job.cast_mut().cast::<(Errand, F)>()) }.1;
        job();
    }
    let errand =
        Errand { run: run::<F>, job: Cell::new(ptr::null()), link: Link::new(), state: AtomicU32::new(LEFT) };
    let left: *mut (Errand, F) = Box::into_raw(Box::new((errand, job)));
    // SAFETY: on the heap until the hub has run it.
    unsafe {
        (*left).0.job.set(left.cast_const().cast());
        post(&(*left).0);
    }
}

/// Hands an errand to the hub.
///
/// # Safety
/// From here on it does not move, and stays until the hub has done it.
unsafe fn post(errand: &Errand) {
    // SAFETY: the caller's promise.
    unsafe { ERRANDS.push(errand) };
    inbox::kick();
    preempt::look_again();
}

/// An errand and its job.
struct Sent<F, R> {
    errand: Errand,
    job: UnsafeCell<(Option<F>, Option<R>)>,
}

impl<R, F: FnOnce() -> R> Sent<F, R> {
    fn new(job: F) -> Sent<F, R> {
        unsafe fn run<R, F: FnOnce() -> R>(job: *const ()) {
            // SAFETY: the sender's own job, which it does not touch before it is done.
            let (job, answer) = unsafe { &mut *(*job.cast::<UnsafeCell<(Option<F>, Option<R>)>>()).get() };
            *answer = job.take().map(|job| job());
        }
        let errand = Errand {
            run: run::<R, F>,
            job: Cell::new(ptr::null()),
            link: Link::new(),
            state: AtomicU32::new(WAITS),
        };
        Sent { errand, job: UnsafeCell::new((Some(job), None)) }
    }

    /// Hands it to the hub; from here on it does not move.
    fn post(&self) {
        self.errand.job.set((&raw const self.job).cast());
        // SAFETY: it lies here until it is done.
        unsafe { post(&self.errand) };
    }

    fn answer(self) -> R {
        self.job.into_inner().1.expect("an errand that is done has an answer")
    }
}

impl Errand {
    /// Whether the caller, and not the other side, takes it on to `state`.
    fn moves(&self, state: u32) -> bool {
        self.state.compare_exchange(WAITS, state, Ordering::Acquire, Ordering::Acquire).is_ok()
    }

    /// Waits until it is done, or for `time` if that is not NULL; whether it is done.
    fn wait(&self, time: *const libc::timespec) -> bool {
        loop {
            let state = self.state.load(Ordering::Acquire);
            if state == DONE {
                return true;
            }
            let wait = libc::FUTEX_WAIT | libc::FUTEX_PRIVATE_FLAG;
            // SAFETY: waits on our own word until the hub has changed it.
            let answer = unsafe { syscall!(libc::SYS_futex, &self.state, wait, state, time) };
            if answer == Err(Errno(libc::ETIMEDOUT)) {
                return false;
            }
        }
    }
}

/// Whether none waits. Any thread.
#[inline(always)]
pub(super) fn is_none() -> bool {
    ERRANDS.is_empty()
}

/// Does all that wait, oldest first, on green thread 0's `%fs`. Between rounds.
pub(super) fn take() {
    if is_none() {
        return;
    }
    hub().go_home();
    STUCK.store(false, Ordering::Relaxed);
    for errand in ERRANDS.take() {
        // SAFETY: every errand stays where it is until it is done; after that only its address is used.
        unsafe {
            if errand.state.load(Ordering::Relaxed) == LEFT {
                // It takes itself away.
                (errand.run)(errand.job.get());
                continue;
            }
            if !errand.moves(BEGUN) {
                continue;
            }
            (errand.run)(errand.job.get());
            let word = &raw const errand.state;
            errand.state.store(DONE, Ordering::Release);
            let _ = syscall!(libc::SYS_futex, word, libc::FUTEX_WAKE | libc::FUTEX_PRIVATE_FLAG, 1);
        }
    }
}

/// In a fork child, which has none of the threads that wait.
pub(super) fn forked() {
    ERRANDS.forget();
    STUCK.store(false, Ordering::Relaxed);
}
