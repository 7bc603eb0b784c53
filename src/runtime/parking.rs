//! Waiting on an address: one structure for mutexes, condition variables, semaphores, once and futexes. Thread-safe:
//! foreign threads wake through it as well (they wait natively, on glibc's own words).
//!
//! Waiters are FIFO nodes in buckets keyed by address; each bucket has a spin lock that is never held over a switch.
//! The protocol that loses no wake-up:
//!
//! | waiter (green thread) | waker (anybody) |
//! | --- | --- |
//! | links its node | writes the word |
//! | full fence | full fence |
//! | looks at the word again (`validate`), parks | looks for waiters |
//!
//! On the hub's thread the fence costs nothing, since waiter and waker are one kernel thread.
//!
//! A waker takes the node out and ends the wait in one step under the lock: `hand` on the hub's thread, the inbox
//! from a foreign one. A waiter whose wait ended otherwise (deadline, signal) finds its node gone and keeps the
//! wake-up: it is never lost. A signal handler takes no lock: it posts the address, and the hub wakes the waiters.
//!
//! Safety: a node is linked in at most one bucket, under that bucket's lock, and unlinked before its thread goes on.

use core::hint::spin_loop;
use core::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering, fence};

use crate::data::Deadline;
use crate::data::list::{List, Node};

use super::green::{Green, Wait, Wake, this};
use super::hub::{active, hand};
use super::{inbox, offload};

const BUCKETS: usize = 1024;

#[repr(align(64))]
struct Bucket {
    locked: AtomicBool,
    waiters: AtomicUsize,
    list: List<Green>,
}

// SAFETY: `list` is touched under `locked` alone.
unsafe impl Sync for Bucket {}

static TABLE: [Bucket; BUCKETS] =
    [const { Bucket { locked: AtomicBool::new(false), waiters: AtomicUsize::new(0), list: List::new() } };
        BUCKETS];

/// Numbers the waiters in the order of their coming.
static AGE: AtomicU64 = AtomicU64::new(1);

fn bucket(address: usize) -> &'static Bucket {
    let hash = (address >> 2).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    &TABLE[hash >> (64 - 10)]
}

impl Bucket {
    fn lock(&self) {
        let mut spins = 0u32;
        while self.locked.swap(true, Ordering::Acquire) {
            spins += 1;
            if spins.is_multiple_of(64) {
                // SAFETY: sched_yield takes nothing; the holder may share our core.
                let _ = unsafe { crate::syscall!(libc::SYS_sched_yield) };
            }
            spin_loop();
        }
    }

    fn unlock(&self) {
        self.locked.store(false, Ordering::Release);
    }

    /// One waiter more: a locked instruction, which is the full fence between linking and looking again.
    fn count_in(&self) {
        self.waiters.fetch_add(1, Ordering::SeqCst);
    }

    /// One waiter less. Under the lock; a waker that sees the old count looks in vain.
    fn count_out(&self) {
        self.waiters.store(self.waiters.load(Ordering::Relaxed) - 1, Ordering::Relaxed);
    }

    /// Links `green` before all that came later than it did. Under the lock, on the hub's thread.
    fn link_by_age(&self, green: &Green) {
        let mut node = self.list.front();
        while let Some(waiter) = node {
            // SAFETY: a linked node's owner is alive.
            if unsafe { (*waiter.owner()).age.get() } > green.age.get() {
                return self.list.insert_before(waiter, &green.node, green);
            }
            node = self.list.after(waiter);
        }
        self.list.push_back(&green.node, green);
    }

    /// Takes out the first waiter of `address` that `accept` likes and ends its wait; what it waited for. Under the
    /// lock.
    fn wake_first(&self, address: usize, on_hub: bool, accept: impl Fn(&Wait) -> bool) -> Option<Wait> {
        let mut node = self.list.front();
        while let Some(waiter) = node {
            // SAFETY: a linked node's owner is alive: it unlinks itself before it goes on.
            let green = unsafe { &*waiter.owner() };
            if waiter.tag.get() == address && accept(&green.wait()) {
                let wait = green.wait();
                self.list.remove(waiter);
                self.count_out();
                if on_hub {
                    hand(green, Wake::Ready);
                } else {
                    inbox::push(green);
                }
                return Some(wait);
            }
            node = self.list.after(waiter);
        }
        None
    }
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
    bucket.lock();
    green.node.tag.set(address);
    if keeps {
        bucket.link_by_age(green);
    } else {
        green.age.set(AGE.fetch_add(1, Ordering::Relaxed));
        bucket.list.push_back(&green.node, green);
    }
    bucket.count_in();
    bucket.unlock();
    let wake = if validate() { Some(green.park_expecting(deadline)) } else { None };
    if wake == Some(Wake::Ready) && green.node.list().is_null() {
        // The usual end: a waker took the node out, and nobody else touches it.
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
        bucket.lock();
        if green.node.tag.get() == address {
            break bucket;
        }
        bucket.unlock();
    };
    let linked = !green.node.list().is_null();
    if linked {
        green.node.unlink();
        bucket.count_out();
    }
    bucket.unlock();
    if !linked && green.inboxed.load(Ordering::Acquire) {
        // A foreign waker pushed us: the push must not outlive this wait.
        inbox::drain();
    }
    linked
}

/// Takes all nodes of `green`, which has left its wait by longjmp, out of the queues they are in.
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
    if bucket.waiters.load(Ordering::Relaxed) == 0 {
        return false;
    }
    bucket.lock();
    let mut node = bucket.list.front();
    while let Some(waiter) = node.filter(|waiter| waiter.tag.get() != address) {
        node = bucket.list.after(waiter);
    }
    let found = node.is_some();
    bucket.unlock();
    found
}

/// Whether the queue of `address` is worth a look, and if so, whether the caller is the hub's thread. A signal
/// handler posts the address instead.
#[inline(always)]
fn caller(address: usize) -> Option<bool> {
    match this() {
        Some(green) if !green.in_bypass() => {
            (bucket(address).waiters.load(Ordering::Relaxed) != 0).then_some(true)
        }
        Some(_) => {
            inbox::post_address(address);
            None
        }
        None if active() => {
            fence(Ordering::SeqCst);
            (bucket(address).waiters.load(Ordering::SeqCst) != 0).then_some(false)
        }
        None => None,
    }
}

#[inline(never)]
fn wake_waiting(address: usize, count: usize, on_hub: bool, accept: impl Fn(&Wait) -> bool) -> usize {
    let bucket = bucket(address);
    bucket.lock();
    let mut woken = 0;
    while woken < count && bucket.wake_first(address, on_hub, &accept).is_some() {
        woken += 1;
    }
    bucket.unlock();
    woken
}

#[inline(never)]
fn wake_oldest(address: usize, on_hub: bool) -> Option<Wait> {
    let bucket = bucket(address);
    bucket.lock();
    let wait = bucket.wake_first(address, on_hub, |_| true);
    bucket.unlock();
    wait
}

/// Wakes all whose addresses signal handlers posted. Between rounds, on the hub's thread.
pub(super) fn wake_posted() {
    inbox::take_addresses(
        |address| {
            wake_waiting(address, usize::MAX, true, |_| true);
        },
        || {
            for bucket in &TABLE {
                bucket.lock();
                while let Some(node) = bucket.list.front() {
                    bucket.wake_first(node.tag.get(), true, |_| true);
                }
                bucket.unlock();
            }
        },
    );
}

/// In a fork child: nobody waits, and no foreign thread holds a lock. Buckets that were idle are only looked at: their
/// memory stays shared with the parent.
pub(super) fn forked() {
    for bucket in &TABLE {
        if bucket.locked.load(Ordering::Relaxed) || bucket.waiters.load(Ordering::Relaxed) != 0 {
            bucket.list.forget();
            bucket.waiters.store(0, Ordering::Relaxed);
            bucket.unlock();
        }
    }
}

/// Moves up to `count` waiters of `from` to the back of the queue of `to`; how many (FUTEX_REQUEUE).
pub fn requeue(from: usize, to: usize, count: usize) -> usize {
    let (source, target) = (bucket(from), bucket(to));
    let same = core::ptr::eq(source, target);
    // Two locks are taken in the order of their addresses.
    let (low, high) = if core::ptr::from_ref(source) <= core::ptr::from_ref(target) {
        (source, target)
    } else {
        (target, source)
    };
    low.lock();
    if !same {
        high.lock();
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
        high.unlock();
    }
    low.unlock();
    moved
}
