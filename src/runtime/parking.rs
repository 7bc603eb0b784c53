//! Waiting on an address: one structure for mutexes, condition variables, semaphores, once and futexes. Thread-safe:
//! foreign threads wake through it as well (they wait natively, on glibc's own words).
//!
//! Waiters are FIFO nodes in buckets keyed by address; [`crate::data::bucket`] tells how no wake-up is lost. On the hub's
//! thread its fence costs nothing, since waiter and waker are one kernel thread.
//!
//! A waker takes the node out and ends the wait in one step under the lock: `hand` on the hub's thread, the inbox
//! from a foreign one. A waiter whose wait ended otherwise (deadline, signal) finds its node gone and keeps the
//! wake-up: it is never lost. A signal handler that interrupts the hub's thread takes no lock: it posts the address, and the
//! hub wakes the waiters. A foreign thread lets no handler in while it holds a lock.
//!
//! Safety: a node is linked in at most one bucket, under that bucket's lock, and unlinked before its thread goes on.

use core::sync::atomic::{AtomicU64, Ordering};

use crate::data::Deadline;
use crate::data::bucket::Bucket;
use crate::data::list::Node;
use crate::kernel::signal;

use super::green::{Green, Wait, Wake, this};
use super::hub::{active, hand};
use super::{edges, inbox, offload};

const BUCKETS: usize = 1024;

static TABLE: [Bucket<Green>; BUCKETS] = [const { Bucket::new() }; BUCKETS];

/// Numbers the waiters in the order of their coming.
static AGE: AtomicU64 = AtomicU64::new(1);

fn bucket(address: usize) -> &'static Bucket<Green> {
    let hash = (address >> 2).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    &TABLE[hash >> (64 - 10)]
}

/// Links `green` before all that came later than it did. Under the lock, on the hub's thread.
fn link_by_age(bucket: &Bucket<Green>, green: &Green) {
    let mut node = bucket.list.front();
    while let Some(waiter) = node {
        // SAFETY: a linked node's owner is alive.
        if unsafe { (*waiter.owner()).age.get() } > green.age.get() {
            return bucket.list.insert_before(waiter, &green.node, green);
        }
        node = bucket.list.after(waiter);
    }
    bucket.list.push_back(&green.node, green);
}

/// Takes out the first waiter of `address` that `accept` likes and ends its wait; what it waited for. Under the lock.
#[inline(always)]
fn wake_first(
    bucket: &Bucket<Green>,
    address: usize,
    on_hub: bool,
    accept: impl Fn(&Wait) -> bool,
) -> Option<Wait> {
    let node = bucket.first(address, |green| accept(&green.wait()))?;
    // SAFETY: a linked node's owner is alive: it unlinks itself before it goes on.
    let green = unsafe { &*node.owner() };
    let wait = green.wait();
    bucket.remove(node);
    if on_hub {
        hand(green, Wake::Ready);
    } else {
        inbox::push(green);
    }
    Some(wait)
}

/// Parks `green`, which has said what it expects, on `address` until a wake-up, `deadline`, a signal or a cancel, unless
/// `validate` (asked when the node is linked) says that there is nothing to wait for. `keeps`: it waits again, and has
/// the place that its age says.
///
/// None: `validate` said no, and no wake-up was taken. `Ready` is also the answer when a wake-up came together with
/// something else: whoever gets `Ready` owns one wake-up and either uses it up or passes it on.
pub fn park(
    green: &Green,
    address: usize,
    deadline: Deadline,
    keeps: bool,
    validate: impl FnOnce() -> bool,
) -> Option<Wake> {
    let bucket = bucket(address);
    bucket.lock.lock();
    green.node.tag.set(address);
    if keeps {
        link_by_age(bucket, green);
    } else {
        green.age.set(AGE.fetch_add(1, Ordering::Relaxed));
        bucket.list.push_back(&green.node, green);
    }
    bucket.count_in();
    bucket.lock.unlock();
    let wake = if validate() { Some(green.park_expecting(deadline)) } else { None };
    if wake == Some(Wake::Ready) && green.node.list().is_null() {
        // The usual end: a waker took the node out, and nobody else touches it.
        return wake;
    }
    if green.disturbed.get() && matches!(wake, Some(Wake::Interrupted | Wake::Restart)) {
        // No waker took the node out.
        return wake;
    }
    if leave(green) { wake } else { Some(Wake::Ready) }
}

/// Takes `green`'s node out of whatever queue it is in. False: a waker was faster, its wake-up is ours.
pub fn leave(green: &Green) -> bool {
    let bucket = loop {
        // A requeue by a foreign thread may move the node to another bucket until we hold the lock.
        let address = green.node.tag.get();
        let bucket = bucket(address);
        bucket.lock.lock();
        if green.node.tag.get() == address {
            break bucket;
        }
        bucket.lock.unlock();
    };
    let linked = !green.node.list().is_null();
    if linked {
        green.node.unlink();
        bucket.count_out();
    }
    bucket.lock.unlock();
    if !linked {
        // If it was a foreign waker it pushed us, and the push must not outlive this wait.
        inbox::drain();
    }
    linked
}

/// Takes all nodes of `green`, which has left its wait by longjmp or unwinding, out of the queues they are in.
pub(super) fn abandon(green: &Green) {
    offload::abandon(green);
    let list = green.node.list() as usize;
    let table = &raw const TABLE as usize;
    if (table..table + size_of_val(&TABLE)).contains(&list) {
        leave(green);
    } else {
        green.node.unlink();
    }
    // SAFETY: the running thread's own nodes, and it waits no more.
    unsafe { (*green.nodes.get()).iter().for_each(Node::unlink) };
    edges::take_back(green);
}

/// Wakes up to `count` waiters of `address`, oldest first; how many there were. Anybody may call it, after writing
/// the word that the waiters look at. In a signal handler the count is not known: 0.
#[inline(always)]
pub fn wake(address: usize, count: usize) -> usize {
    match caller(address) {
        Some(on_hub) => wake_waiting(address, count, on_hub, |_| true),
        None => 0,
    }
}

/// [`wake`], of those waiters only whose wait `accept` likes.
pub fn wake_where(address: usize, count: usize, accept: impl Fn(&Wait) -> bool) -> usize {
    match caller(address) {
        Some(on_hub) => wake_waiting(address, count, on_hub, accept),
        None => 0,
    }
}

/// Wakes the oldest waiter of `address`; what it waited for.
#[inline(always)]
pub fn wake_one(address: usize) -> Option<Wait> {
    caller(address).and_then(|on_hub| wake_oldest(address, on_hub))
}

/// Whether somebody waits at `address`. On the hub's thread.
pub fn awaited(address: usize) -> bool {
    let bucket = bucket(address);
    if !bucket.is_awaited_here() {
        return false;
    }
    bucket.lock.lock();
    let found = bucket.first(address, |_| true).is_some();
    bucket.lock.unlock();
    found
}

/// Whether the queue of `address` is worth a look, and if so, whether the caller is the hub's thread. A signal
/// handler posts the address instead.
#[inline(always)]
fn caller(address: usize) -> Option<bool> {
    match this() {
        Some(green) if !green.in_bypass() => bucket(address).is_awaited_here().then_some(true),
        Some(_) => {
            inbox::post_address(address);
            None
        }
        None if active() => bucket(address).is_awaited().then_some(false),
        None => None,
    }
}

#[inline(never)]
fn wake_waiting(address: usize, count: usize, on_hub: bool, accept: impl Fn(&Wait) -> bool) -> usize {
    locked(bucket(address), on_hub, |bucket| {
        let mut woken = 0;
        while woken < count && wake_first(bucket, address, on_hub, &accept).is_some() {
            woken += 1;
        }
        woken
    })
}

#[inline(never)]
fn wake_oldest(address: usize, on_hub: bool) -> Option<Wait> {
    locked(bucket(address), on_hub, |bucket| wake_first(bucket, address, on_hub, |_| true))
}

/// Runs `work` under the lock of `bucket`.
#[inline(always)]
fn locked<R>(bucket: &Bucket<Green>, on_hub: bool, work: impl FnOnce(&Bucket<Green>) -> R) -> R {
    quietly(on_hub, || {
        bucket.lock.lock();
        let answer = work(bucket);
        bucket.lock.unlock();
        answer
    })
}

/// Runs `work`, which takes locks. A handler that interrupts a foreign thread there would ask for the same lock, or leave it
/// taken by longjmp.
#[inline(always)]
fn quietly<R>(on_hub: bool, work: impl FnOnce() -> R) -> R {
    if on_hub { work() } else { signal::masked(!0, work) }
}

/// Wakes all whose addresses signal handlers posted. Between rounds, on the hub's thread.
pub(super) fn wake_posted() {
    inbox::take_addresses(
        |address| {
            wake_waiting(address, usize::MAX, true, |_| true);
        },
        || {
            for bucket in &TABLE {
                locked(bucket, true, |bucket| {
                    while let Some(node) = bucket.list.front() {
                        wake_first(bucket, node.tag.get(), true, |_| true);
                    }
                });
            }
        },
    );
}

/// In a fork child: nobody waits, and no foreign thread holds a lock.
pub(super) fn forked() {
    TABLE.iter().for_each(Bucket::forget);
}

/// Moves up to `count` waiters of `from` to the back of the queue of `to`; how many (FUTEX_REQUEUE). In a signal handler,
/// whose wake-up of `from` wakes all of them: 0.
pub fn requeue(from: usize, to: usize, count: usize) -> usize {
    match this() {
        Some(green) if green.in_bypass() => 0,
        here => quietly(here.is_some(), || move_waiters(from, to, count)),
    }
}

fn move_waiters(from: usize, to: usize, count: usize) -> usize {
    let (source, target) = (bucket(from), bucket(to));
    let same = core::ptr::eq(source, target);
    // Two locks are taken in the order of their addresses.
    let (low, high) = if core::ptr::from_ref(source) <= core::ptr::from_ref(target) {
        (source, target)
    } else {
        (target, source)
    };
    low.lock.lock();
    if !same {
        high.lock.lock();
    }
    let mut moved = 0;
    let mut node = source.list.front();
    while let Some(waiter) = node {
        if moved == count {
            break;
        }
        node = source.list.after(waiter);
        if waiter.tag.get() == from {
            let owner = waiter.owner();
            source.list.remove(waiter);
            source.count_out();
            waiter.tag.set(to);
            target.list.push_back(waiter, owner);
            target.count_in();
            moved += 1;
        }
    }
    if !same {
        high.lock.unlock();
    }
    low.lock.unlock();
    moved
}
