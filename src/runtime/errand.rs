//! Errands: what a foreign thread wants done to green threads is done by the hub, between rounds, while the foreign
//! thread waits natively. Making one, joining, cancelling, signalling: so their state needs no locks.
//!
//! Safety: an errand lies on the stack of the thread that waits for it, until `done`.

use core::cell::UnsafeCell;
use core::sync::atomic::{AtomicU32, Ordering};

use crate::data::inbox::{Inbox, Link, Linked};
use crate::syscall;

use super::hub::hub;
use super::{inbox, this};

struct Errand {
    /// Runs the job at this address, which is `self`'s user.
    run: unsafe fn(*const ()),
    job: *const (),
    link: Link<Errand>,
    done: AtomicU32,
}

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

#[cold]
fn send<R, F: FnOnce() -> R>(job: F) -> R {
    struct Job<F, R>(UnsafeCell<(Option<F>, Option<R>)>);
    unsafe fn run<R, F: FnOnce() -> R>(job: *const ()) {
        // SAFETY: the sender's own job, which it does not touch before `done`.
        let (job, answer) = unsafe { &mut *(*job.cast::<Job<F, R>>()).0.get() };
        *answer = job.take().map(|job| job());
    }
    let job = Job(UnsafeCell::new((Some(job), None)));
    let errand =
        Errand { run: run::<R, F>, job: (&raw const job).cast(), link: Link::new(), done: AtomicU32::new(0) };
    // SAFETY: it lies here until it is done.
    unsafe { ERRANDS.push(&errand) };
    inbox::kick();
    while errand.done.load(Ordering::Acquire) == 0 {
        // SAFETY: waits on our own word until the hub has set it.
        let _ = unsafe {
            syscall!(libc::SYS_futex, &errand.done, libc::FUTEX_WAIT | libc::FUTEX_PRIVATE_FLAG, 0, 0)
        };
    }
    job.0.into_inner().1.expect("an errand that is done has an answer")
}

/// Does all that wait, oldest first, on green thread 0's `%fs`. Between rounds.
pub(super) fn take() {
    if ERRANDS.is_empty() {
        return;
    }
    hub().go_home();
    for errand in ERRANDS.take() {
        // SAFETY: every errand stays on its sender's stack until `done` is set; after that only its address is used.
        unsafe {
            (errand.run)(errand.job);
            let word = &raw const errand.done;
            errand.done.store(1, Ordering::Release);
            let _ = syscall!(libc::SYS_futex, word, libc::FUTEX_WAKE | libc::FUTEX_PRIVATE_FLAG, 1);
        }
    }
}

/// In a fork child, which has none of the threads that wait.
pub(super) fn forked() {
    ERRANDS.forget();
}
