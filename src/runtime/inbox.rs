//! The inbox: how foreign threads and signal handlers reach the hub. Lock-free, so that a handler may push at any
//! instruction; the hub takes it between rounds and before it sleeps.
//!
//! Two parts: a stack of green threads to unpark (each is pushed once: whoever took its node out of a wait queue
//! pushes it), and a small ring of *addresses* whose wait queue a handler could not look into, because the code it
//! interrupted may hold that queue's lock.
//!
//! The hub announces its sleep, looks once more, then waits in the poller; a pusher writes first and then looks for
//! the announcement. Both sides fence in between, so one of them sees the other.

use core::ptr;
use core::sync::atomic::{AtomicBool, AtomicPtr, AtomicUsize, Ordering};

use crate::kernel::stats;

use super::green::{Green, Wake};
use super::hub::{hand, hub};

static HEAD: AtomicPtr<Green> = AtomicPtr::new(ptr::null_mut());
static ASLEEP: AtomicBool = AtomicBool::new(false);
static KICKED: AtomicBool = AtomicBool::new(false);

const RING: usize = 32;
static ADDRESSES: [AtomicUsize; RING] = [const { AtomicUsize::new(0) }; RING];
/// Whether there are any, and whether there were too many.
static POSTED: AtomicBool = AtomicBool::new(false);
static OVERFLOW: AtomicBool = AtomicBool::new(false);

/// Hands `green`, whose wait the caller has ended by taking its node out of the queue, to the hub. Any thread.
pub fn push(green: &Green) {
    if green.inboxed.swap(true, Ordering::AcqRel) {
        return;
    }
    let mut head = HEAD.load(Ordering::Relaxed);
    loop {
        green.link.store(head, Ordering::Relaxed);
        match HEAD.compare_exchange_weak(
            head,
            ptr::from_ref(green).cast_mut(),
            Ordering::SeqCst,
            Ordering::Relaxed,
        ) {
            Ok(_) => break,
            Err(now) => head = now,
        }
    }
    kick();
}

/// Asks the hub to wake all waiters of `address` to look again. For signal handlers on the hub's thread.
pub fn post_address(address: usize) {
    let free = ADDRESSES.iter().find(|slot| {
        slot.load(Ordering::Relaxed) == address
            || slot.compare_exchange(0, address, Ordering::SeqCst, Ordering::Relaxed).is_ok()
    });
    if free.is_none() {
        OVERFLOW.store(true, Ordering::SeqCst);
    }
    POSTED.store(true, Ordering::SeqCst);
    kick();
}

/// Makes the hub look at inbox and signals soon. Any thread, handlers included.
pub fn kick() {
    KICKED.store(true, Ordering::SeqCst);
    if ASLEEP.load(Ordering::SeqCst) {
        hub().poller().kick();
    }
}

/// The hub announces that it will wait in the poller. False: there is something to do first.
pub(super) fn sleep() -> bool {
    ASLEEP.store(true, Ordering::SeqCst);
    if KICKED.swap(false, Ordering::SeqCst) {
        ASLEEP.store(false, Ordering::Relaxed);
        return false;
    }
    true
}

/// It waits no more.
pub(super) fn awake() {
    ASLEEP.store(false, Ordering::Relaxed);
}

/// Unparks all that were pushed. A thread that is not parked has left its wait on its own and takes what the pusher
/// gave it from its node (see `blocking::parking`).
pub fn drain() {
    if HEAD.load(Ordering::Relaxed).is_null() {
        return;
    }
    let mut next = HEAD.swap(ptr::null_mut(), Ordering::SeqCst);
    let mut first: *mut Green = ptr::null_mut();
    // The stack gives the last pushed first: turn it round.
    while !next.is_null() {
        // SAFETY: a pushed thread cannot die before it is drained: it leaves its wait only through here.
        let green = unsafe { &*next };
        next = green.link.swap(first, Ordering::Relaxed);
        first = ptr::from_ref(green).cast_mut();
    }
    while !first.is_null() {
        // SAFETY: as above.
        let green = unsafe { &*first };
        first = green.link.load(Ordering::Relaxed);
        green.inboxed.store(false, Ordering::Release);
        stats::INBOX.bump();
        hand(green, Wake::Ready);
    }
}

/// In a fork child: nobody is waited for.
pub(super) fn forked() {
    HEAD.store(ptr::null_mut(), Ordering::Relaxed);
    ADDRESSES.iter().for_each(|slot| slot.store(0, Ordering::Relaxed));
    for flag in [&ASLEEP, &KICKED, &POSTED, &OVERFLOW] {
        flag.store(false, Ordering::Relaxed);
    }
}

/// Takes the posted addresses; `all` is called when there were too many to name.
pub fn take_addresses(mut one: impl FnMut(usize), all: impl FnOnce()) {
    if !POSTED.load(Ordering::Relaxed) {
        return;
    }
    POSTED.store(false, Ordering::SeqCst);
    for slot in &ADDRESSES {
        if slot.load(Ordering::Relaxed) != 0 {
            one(slot.swap(0, Ordering::SeqCst));
        }
    }
    if OVERFLOW.load(Ordering::Relaxed) && OVERFLOW.swap(false, Ordering::SeqCst) {
        all();
    }
}
