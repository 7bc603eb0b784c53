//! How foreign threads and signal handlers reach the hub: an inbox of green threads to unpark, the *addresses* whose wait
//! queues a handler could not look into, because the code it interrupted may hold the lock, and the bell.
//!
//! The hub takes all of it between rounds. It announces its sleep, looks once more, then waits in the poller; see
//! [`crate::data::bell`].

use crate::data::bell::Bell;
use crate::data::inbox::{Inbox, Link, Linked};
use crate::data::posts::Posts;
use crate::kernel::stats;
use crate::kernel::sync::AtomicUsize;

use super::green::{Green, Wake};
use super::hub::{hand, hub};

static INBOX: Inbox<Green> = Inbox::new();
static BELL: Bell = Bell::new();
static POSTS: Posts<32> = Posts::new([const { AtomicUsize::new(0) }; 32]);

impl Linked for Green {
    fn link(&self) -> &Link<Green> {
        &self.link
    }
}

/// Hands `green`, whose wait the caller has ended by taking its node out of the queue, to the hub. Any thread, under the
/// lock of that queue.
pub fn push(green: &Green) {
    // SAFETY: whoever takes the node pushes, so it is pushed once; and it cannot die before it is drained: to leave its
    // wait it takes that lock, finds the node gone, and drains.
    unsafe { INBOX.push(green) };
    kick();
}

/// Asks the hub to wake all waiters of `address` to look again. For signal handlers on the hub's thread.
pub fn post_address(address: usize) {
    POSTS.post(address);
    kick();
}

/// Makes the hub look at inbox and signals soon. Any thread, handlers included.
pub fn kick() {
    if BELL.ring() {
        hub().poller().kick();
    }
}

/// The hub announces that it will wait in the poller. False: there is something to do first.
pub(super) fn sleep() -> bool {
    BELL.sleep()
}

/// It waits no more.
pub(super) fn awake() {
    BELL.awake();
}

/// Unparks all that were pushed. A thread that is not parked has left its wait on its own and takes what the pusher
/// gave it from its node (see [`super::parking`]).
pub fn drain() {
    if INBOX.is_empty() {
        return;
    }
    for green in INBOX.take() {
        stats::INBOX.bump();
        hand(green, Wake::Ready);
    }
}

/// In a fork child: nobody is waited for.
pub(super) fn forked() {
    INBOX.forget();
    BELL.forget();
    POSTS.forget();
}

/// Takes the posted addresses; `all` is called when there were too many to name.
pub fn take_addresses(one: impl FnMut(usize), all: impl FnOnce()) {
    POSTS.take(one, all);
}
