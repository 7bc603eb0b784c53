//! Signals on their way to the right green thread.
//!
//! ```text
//!   kernel --> wrapper --> fault, raise, or the target is on the processor: the handler, in place
//!                 |
//!                 +--> queue --> route (the hub, between rounds: ends the target's wait)
//!                                  --> deliver (the target, on its own stack): sends it again to itself, in place now
//! ```
//! A signal for the process belongs to green thread 0 unless that one blocks it, else to the oldest thread that does
//! not; natively the kernel prefers the first thread too. Sending it again lets the kernel do what SA_ONSTACK,
//! SA_NODEFER, sa_mask and the context ask for, on the stack of the thread that it is for.
//!
//! | file | what it holds |
//! | --- | --- |
//! | [`action`] | what the program wants done |
//! | [`wrapper`] | what the kernel calls |
//! | [`queue`] | signals that wait for their thread |
//! | [`stack`] | alternate stacks |
//! | [`owners`] | whose a signal is that the kernel sends to the hub's thread |
//! | [`timers`] | timers of one thread |
//! | [`files`] | descriptors that one thread hears of |
//! | [`mask`] | each thread's mask and the kernel's |
//! | [`setxid`] | glibc's own signal, for green thread 0 |
//! | [`wait`] | sigwait and its kin |
//!
//! While the library is dormant none of this is there: handlers are installed natively, and wrapped at activation.
//!
//! Safety: but for [`send`] on the hub's kernel thread alone.

pub mod action;
pub mod children;
pub mod files;
pub(super) mod mask;
pub mod owners;
mod queue;
mod setxid;
pub mod stack;
pub mod timers;
mod wait;
mod wrapper;

use core::ffi::c_int;
use core::ptr;
use core::sync::atomic::Ordering;

use crate::data::bell::Mark;
use crate::kernel::signal::{self, bit};
use crate::kernel::{Errno, Result, memory};

use super::green::{Green, State, Wake, this};
use super::hub::{hand, hub, unpark};
use super::{inbox, parking, preempt};

use owners::Owner;

pub use wait::wait;
pub(super) use wait::{TOKEN, arrived};

/// Something was queued or unblocked since the hub last looked.
static ROUTE: Mark = Mark::new();
/// It was something new: who looks at descriptors looks again, once.
static NEWS: Mark = Mark::new();

fn reroute() {
    ROUTE.set();
}

/// Lets `sig`, which has just come, wait for `target` (NULL: for whoever does not block it).
fn enqueue(sig: c_int, info: &libc::siginfo_t, target: *const Green) {
    queue::put(sig, info, target);
    NEWS.set();
    reroute();
}

/// Takes over the handlers that were installed while dormant, and the first thread's mask and alternate stack.
pub(super) fn activate() -> Result<()> {
    stack::install(&hub().first)?;
    mask::activate(&hub().first);
    action::wrap_all();
    setxid::activate();
    Ok(())
}

/// Whether any signal waits for a thread.
#[inline(always)]
pub fn waiting() -> bool {
    queue::any()
}

/// Runs the handlers that wait for `green`, which is on the processor. None: there were none; else how the call that it
/// waited in ends.
#[inline(always)]
pub fn deliver(green: &Green) -> Option<Wake> {
    if queue::any() { deliver_queued(green) } else { None }
}

/// Sends `sig` to `green`, which is on the processor and does not block it. The kernel must let it through now, also in a call
/// that waits with another mask.
fn resend(green: &Green, sig: c_int, info: &libc::siginfo_t) {
    mask::load(green);
    wrapper::resend(sig, info);
}

#[cold]
fn deliver_queued(green: &Green) -> Option<Wake> {
    let mut answer = None;
    green.disturbed.set(false);
    while let Some((sig, info)) = queue::take(|sig, target| {
        !mask::blocks(green, sig) && green.awaited.get() & bit(sig) == 0 && is_for(green, sig, target)
    }) {
        let action = action::seen(sig).unwrap_or_default();
        resend(green, sig, &info);
        answer = match (answer, action.flags & libc::SA_RESTART as usize) {
            _ if !action.is_handler() => answer,
            (None | Some(Wake::Restart), restart) if restart != 0 => Some(Wake::Restart),
            _ => Some(Wake::Interrupted),
        };
    }
    answer
}

/// Whether a waiting signal is `green`'s to take.
fn is_for(green: &Green, sig: c_int, target: *const Green) -> bool {
    ptr::eq(target, green)
        || target.is_null()
            && match children::preferred(sig) {
                Some(preferred) => ptr::eq(preferred, green),
                None => green.is_first() || !takes(&hub().first, sig),
            }
}

/// Whether `green` takes `sig`, by a handler or by a wait for it.
fn takes(green: &Green, sig: c_int) -> bool {
    !mask::blocks(green, sig) || green.awaited.get() & bit(sig) != 0
}

/// Unparks the threads for which signals wait. Between rounds.
#[inline(always)]
pub(super) fn route() {
    if ROUTE.take() {
        route_queued(NEWS.take());
    }
}

#[cold]
fn route_queued(news: bool) {
    queue::each(|sig, target| {
        // SAFETY: a target is alive as long as it has signals waiting: they are dropped at its end.
        let Some(green) = unsafe { target.as_ref() }.or_else(|| eligible(sig)) else { return };
        if green.awaited.get() & bit(sig) != 0 {
            hand(green, Wake::Ready);
        } else if !mask::blocks(green, sig) {
            unpark(green, Wake::Interrupted);
        } else if news && green.wait.get().looks {
            // It may look at a signalfd: see [`shown`].
            unpark(green, Wake::Ready);
        }
    });
}

/// Who takes a signal for the process.
fn eligible(sig: c_int) -> Option<&'static Green> {
    let first = &hub().first;
    if let Some(preferred) = children::preferred(sig) {
        return Some(preferred);
    }
    if takes(first, sig) {
        return Some(first);
    }
    find(|green| !mask::blocks(green, sig)).or_else(|| find(|green| green.awaited.get() & bit(sig) != 0))
}

/// Whose a signal with this information is, which the hub's kernel thread got. What the program is not to see of it goes.
fn owner(sig: c_int, info: &mut libc::siginfo_t) -> Owner {
    match timers::owner(info) {
        Owner::Nobody => files::owner(sig, info),
        known => known,
    }
}

fn find(like: impl Fn(&Green) -> bool) -> Option<&'static Green> {
    threads().find(|green| like(green))
}

/// All threads that have not ended, the oldest first.
pub(super) fn threads() -> impl Iterator<Item = &'static Green> {
    let list = &hub().threads;
    let nodes = core::iter::successors(list.front(), |node| list.after(node));
    // SAFETY: the owner of a node in the list of all threads is alive.
    nodes.map(|node| unsafe { &*node.owner() }).filter(|green| green.state() != State::Finished)
}

/// The green thread that the program knows by `tid`.
pub fn thread(tid: c_int) -> Option<&'static Green> {
    find(|green| green.tid.get() == tid)
}

/// `pthread_kill`, with the siginfo of the caller's choice. Any thread may call it, and handlers.
pub fn send(target: &Green, sig: c_int, info: &libc::siginfo_t) -> Result<()> {
    // Nothing is kept for a thread that has ended: what is left of it becomes another thread.
    if sig == 0 || target.ended.load(Ordering::Acquire) != 0 {
        return Ok(());
    }
    action::seen(sig)?;
    let here = this().is_some_and(|green| ptr::eq(green, target)) && !target.in_bypass();
    if here && !mask::blocks(target, sig) {
        resend(target, sig, info);
    } else {
        enqueue(sig, info, target);
        inbox::kick();
    }
    Ok(())
}

/// Changes the mask of the running thread `green`; what it lets through runs before this returns.
pub fn set_mask(green: &Green, new: u64) {
    set_mask_later(green, new);
    mask::load(green);
    deliver(green);
}

/// Changes the mask for a wait: nothing runs before the thread has parked. Gives the mask before.
pub fn set_mask_later(green: &Green, new: u64) -> u64 {
    let old = green.mask.get();
    mask::set(green, new);
    if queue::any() {
        reroute();
    }
    old
}

/// Runs `call`, which starts a program or becomes one: that inherits the mask of `green`, the caller, and for an exec what
/// waits for it.
pub fn inherited<T>(green: &Green, exec: bool, call: impl FnOnce() -> T) -> T {
    expose(green);
    let answer = if exec { lend(green, !0, call) } else { call() };
    hide(green);
    answer
}

/// Makes `call`, which asks what a descriptor has for `green`, the caller, and waits with `mask` in place of the thread's
/// own unless that is NULL: a signalfd has, as natively, what is blocked and waits for this thread alone.
///
/// # Safety
/// `mask` is NULL or leads to a live signal set.
#[inline(always)]
pub unsafe fn shown<T>(green: &Green, mask: *const libc::sigset_t, call: impl FnOnce() -> T) -> T {
    if !queue::any() {
        return call();
    }
    // SAFETY: the caller's promise; the kernel's signal set is the first eight bytes of libc's.
    let set = if mask.is_null() { !0 } else { unsafe { memory::read(mask.cast::<u64>()) }.unwrap_or(0) };
    // After a wait with another mask the kernel may not have the thread's own yet.
    mask::load(green);
    lend(green, set & !bit(preempt::SIGNAL), call)
}

/// Makes `call` while the kernel has what waits for `green`, which is on the processor, and is blocked by it and in `set`. The
/// kernel blocks it too.
#[cold]
fn lend<T>(green: &Green, set: u64, call: impl FnOnce() -> T) -> T {
    let blocked = |sig: c_int, target: *const Green| {
        ptr::eq(target, green) && mask::blocks(green, sig) && set & bit(sig) != 0
    };
    let mut given = 0;
    while let Some((sig, info)) = queue::take(blocked) {
        if signal::send_here(sig, &info).is_err() {
            // The kernel has too many.
            queue::put(sig, &info, green);
            break;
        }
        given |= bit(sig);
    }
    let answer = call();
    while given != 0
        && let Some((sig, info)) = signal::take(given)
    {
        queue::put(sig, &info, green);
    }
    answer
}

/// What is pending for `green`.
pub fn pending(green: &Green) -> u64 {
    let mut set = signal::pending() & green.mask.get();
    queue::each(|sig, target| {
        if mask::blocks(green, sig) && (target.is_null() || ptr::eq(target, green)) {
            set |= bit(sig);
        }
    });
    set
}

/// The mask of `green`, which is about to be on the processor, is in force.
#[inline(always)]
pub(super) fn load_mask(green: &Green) {
    mask::load(green);
}

/// The kernel knows what `green`, which is on the processor, blocks and ignores, as the program does.
pub(super) fn expose(green: &Green) {
    mask::expose(green);
    action::ignore();
}

/// The end of [`expose`].
pub(super) fn hide(green: &Green) {
    action::hear();
    mask::load(green);
}

/// While the hub asks the poller, only what all threads block is blocked.
#[inline(always)]
pub(super) fn open_mask() {
    mask::open();
}

/// A new thread counts.
pub(super) fn join(green: &Green) {
    mask::join(green);
}

/// A thread has ended.
pub(super) fn leave(green: &Green) {
    mask::leave(green);
    timers::TABLE.leave(green);
    files::leave(green);
    if queue::any() {
        queue::drop_where(|target| ptr::eq(target, green));
        reroute();
    }
}

/// In a fork child, which starts with nothing pending and dormant: its handlers are installed natively again.
pub(super) fn forked() {
    queue::drop_where(|_| true);
    wait::forked();
    children::forked();
    timers::TABLE.forked();
    files::TABLE.forked();
    action::unwrap_all();
    if let Some(green) = this() {
        mask::expose(green);
        stack::forked(green);
    }
}

/// Makes a call that a signal ends though it does not wait (poll, select). One that no handler of the program ended, but
/// preemption or a signal for another thread, is made again, and preemption kept out of it.
pub fn undisturbed(mut call: impl FnMut() -> Result<usize>) -> Result<usize> {
    let handled = wrapper::handled();
    let mut answer = call();
    while answer == Err(Errno(libc::EINTR)) && wrapper::handled() == handled {
        answer = signal::masked(signal::mask() | bit(preempt::SIGNAL), &mut call);
    }
    answer
}

/// The handler that `green` is in, which is on the processor, is about to make a call that may wait. Whether it may: then
/// the bypass is down.
#[cold]
pub(super) fn open(green: &Green) -> bool {
    wrapper::open(green)
}

/// Whether the handler whose frame is recorded in the bypass of `green`, which is on the processor, still runs.
pub(super) fn handler_alive(green: &Green) -> bool {
    wrapper::handler_alive(green)
}

/// The running thread has left a handler by longjmp: the mask stays as the handler or the jump set it, and the wait
/// that the handler interrupted is over.
pub(super) fn handler_left(green: &Green) {
    mask::adopt(green, signal::mask());
    parking::abandon(green);
    preempt::resume();
    green.hears();
}
