//! What the hub shares with foreign threads, under loom: every order of steps, and every value that the memory model lets
//! a load see. `cargo test --package eventlet-core --features loom --lib models`.
//!
//! The hub is the model's main thread. What it sleeps on ([`EventFd`]) is a lock and a condition of loom's: a wake-up that
//! is lost shows as a deadlock. What a thread leaves for another is a loom cell: a race on it shows as such.

use loom::cell::UnsafeCell;
use loom::sync::atomic::{AtomicUsize, Ordering};
use loom::sync::{Arc, Condvar, Mutex};
use loom::thread::{self, JoinHandle};

use super::bell::{Bell, Mark};
use super::bucket::Bucket;
use super::inbox::{Inbox, Link, Linked};
use super::list::Node;
use super::posts::Posts;
use super::spinlock::SpinLock;

/// Explores `model`, with at most so many switches of thread where none is needed.
fn explore(switches: usize, model: impl Fn() + Sync + Send + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(switches);
    builder.check(model);
}

/// A green thread, or an errand.
struct Item {
    link: Link<Item>,
    node: Node<Item>,
    /// Whoever has taken the item may change it.
    content: UnsafeCell<usize>,
}

impl Linked for Item {
    fn link(&self) -> &Link<Item> {
        &self.link
    }
}

impl Item {
    fn new(content: usize) -> Item {
        Item { link: Link::new(), node: Node::new(), content: UnsafeCell::new(content) }
    }

    fn set(&self, content: usize) {
        // SAFETY: loom finds whoever touches it without a right to.
        self.content.with_mut(|it| unsafe { *it = content });
    }

    fn get(&self) -> usize {
        // SAFETY: as above.
        self.content.with(|it| unsafe { *it })
    }
}

/// What the hub sleeps on.
#[derive(Default)]
struct EventFd {
    written: Mutex<bool>,
    changed: Condvar,
}

impl EventFd {
    fn write(&self) {
        *self.written.lock().unwrap() = true;
        self.changed.notify_one();
    }

    fn read(&self) {
        let mut written = self.written.lock().unwrap();
        while !*written {
            written = self.changed.wait(written).unwrap();
        }
        *written = false;
    }
}

/// The hub and what foreign threads do to it.
struct Hub {
    inbox: Inbox<Item>,
    bell: Bell,
    eventfd: EventFd,
}

impl Hub {
    fn new() -> Hub {
        Hub { inbox: Inbox::new(), bell: Bell::new(), eventfd: EventFd::default() }
    }

    /// On a foreign thread: as `runtime::inbox::push`.
    fn push(&self, item: &Item) {
        // SAFETY: the models push each item once at a time, and keep it.
        unsafe { self.inbox.push(item) };
        if self.bell.ring() {
            self.eventfd.write();
        }
    }

    /// A round of an idle hub: what was pushed, or after a sleep nothing.
    fn round(&self) -> Vec<&Item> {
        let items: Vec<&Item> = if self.inbox.is_empty() { Vec::new() } else { self.inbox.take().collect() };
        if items.is_empty() && self.bell.sleep() {
            self.eventfd.read();
            self.bell.awake();
        }
        items
    }
}

fn spawn<T: 'static>(with: &Arc<T>, run: impl Fn(&T) + 'static) -> JoinHandle<()> {
    let with = with.clone();
    thread::spawn(move || run(&with))
}

fn join(threads: impl IntoIterator<Item = JoinHandle<()>>) {
    threads.into_iter().for_each(|thread| thread.join().unwrap());
}

#[test]
fn a_spin_lock_excludes() {
    explore(3, || {
        let shared = Arc::new((SpinLock::new(), Item::new(0)));
        let more = |(lock, item): &(SpinLock, Item)| {
            lock.lock();
            item.set(item.get() + 1);
            lock.unlock();
        };
        join([spawn(&shared, more), spawn(&shared, more)]);
        more(&shared);
        assert_eq!(shared.1.get(), 3);
    });
}

#[test]
fn an_inbox_gives_each_item_once_and_those_of_one_thread_in_order() {
    explore(3, || {
        let shared = Arc::new((Inbox::<Item>::new(), [Item::new(0), Item::new(0), Item::new(0)]));
        let push = |(inbox, items): &(Inbox<Item>, [Item; 3]), which: usize| {
            items[which].set(which + 1);
            // SAFETY: each is pushed once.
            unsafe { inbox.push(&items[which]) };
        };
        let pushers = [
            spawn(&shared, move |it| push(it, 0)),
            spawn(&shared, move |it| {
                push(it, 1);
                push(it, 2);
            }),
        ];
        let mut seen = Vec::new();
        // What was taken is the taker's, and another may push it again.
        let mut take = || {
            for item in shared.0.take() {
                seen.push(item.get());
                item.set(0);
            }
        };
        take();
        take();
        join(pushers);
        take();
        let place = |which| seen.iter().position(|it| *it == which);
        assert!(seen.len() == 3 && place(1).is_some() && place(2) < place(3), "{seen:?}");
    });
}

#[test]
fn nobody_rings_in_vain() {
    explore(3, || {
        let shared = Arc::new((Hub::new(), [Item::new(0), Item::new(0)]));
        let push = |(hub, items): &(Hub, [Item; 2]), which: usize| {
            items[which].set(1);
            hub.push(&items[which]);
        };
        let pushers = [spawn(&shared, move |it| push(it, 0)), spawn(&shared, move |it| push(it, 1))];
        let mut taken = 0;
        while taken < 2 {
            taken += shared.0.round().iter().map(|item| item.get()).sum::<usize>();
        }
        join(pushers);
    });
}

#[test]
fn what_was_left_before_a_mark_is_found() {
    explore(3, || {
        let shared = Arc::new((Mark::new(), [AtomicUsize::new(0), AtomicUsize::new(0)]));
        let leave = |(mark, words): &(Mark, [AtomicUsize; 2]), which: usize| {
            words[which].store(1, Ordering::Relaxed);
            mark.set();
        };
        let threads = [spawn(&shared, move |it| leave(it, 0)), spawn(&shared, move |it| leave(it, 1))];
        let mut found = [0; 2];
        let mut look = || {
            if shared.0.take() {
                found = [0, 1].map(|which: usize| found[which] | shared.1[which].load(Ordering::Relaxed));
            }
        };
        look();
        look();
        join(threads);
        look();
        assert_eq!(found, [1, 1]);
    });
}

/// Two that write a word and post its address, the same or different ones, into so many slots.
fn posts<const N: usize>(addresses: [usize; 2]) {
    explore(3, move || {
        let slots = [(); N].map(|()| AtomicUsize::new(0));
        let shared = Arc::new((Posts::new(slots), [AtomicUsize::new(0), AtomicUsize::new(0)]));
        let post = move |(posts, words): &(Posts<N>, [AtomicUsize; 2]), which: usize| {
            words[which].store(1, Ordering::Relaxed);
            posts.post(addresses[which]);
        };
        let threads = [spawn(&shared, move |it| post(it, 0)), spawn(&shared, move |it| post(it, 1))];
        let found = std::cell::Cell::new([0; 2]);
        // Those who wait on `address` (0: all) look at their words.
        let look = |address: usize| {
            found.set([0, 1].map(|which: usize| {
                let meant = address == 0 || address == addresses[which];
                found.get()[which] | if meant { shared.1[which].load(Ordering::Relaxed) } else { 0 }
            }));
        };
        shared.0.take(look, || look(0));
        join(threads);
        shared.0.take(look, || look(0));
        assert_eq!(found.get(), [1, 1]);
    });
}

#[test]
fn a_post_is_seen_by_all_who_wait() {
    posts::<2>([4, 4]);
    posts::<2>([4, 8]);
    posts::<1>([4, 8]);
}

/// A word to wait on, its queue, and the hub.
struct Place {
    word: AtomicUsize,
    bucket: Bucket<Item>,
    hub: Hub,
    waiter: Item,
}

const ADDRESS: usize = 4;

impl Place {
    fn new() -> Arc<Place> {
        Arc::new(Place {
            word: AtomicUsize::new(0),
            bucket: Bucket::new(),
            hub: Hub::new(),
            waiter: Item::new(0),
        })
    }

    /// On the hub: the first half of `parking::park`; whether there is something to wait for.
    fn enter(&self) -> bool {
        self.bucket.lock.lock();
        self.waiter.node.tag.set(ADDRESS);
        self.bucket.list.push_back(&self.waiter.node, &self.waiter);
        self.bucket.count_in();
        self.bucket.lock.unlock();
        self.word.load(Ordering::Relaxed) == 0
    }

    /// On the hub: as `parking::leave`. False: a waker was faster.
    fn leave(&self) -> bool {
        self.bucket.lock.lock();
        let linked = !self.waiter.node.list().is_null();
        if linked {
            self.bucket.remove(&self.waiter.node);
        }
        self.bucket.lock.unlock();
        linked
    }

    /// On a foreign thread: whether a waiter's wait was ended.
    fn wake(&self) -> bool {
        self.word.store(1, Ordering::Relaxed);
        if !self.bucket.is_awaited() {
            return false;
        }
        self.bucket.lock.lock();
        let node = self.bucket.first(ADDRESS, |_| true);
        if let Some(node) = node {
            self.bucket.remove(node);
            self.waiter.set(1);
            self.hub.push(&self.waiter);
        }
        self.bucket.lock.unlock();
        node.is_some()
    }
}

#[test]
fn no_wake_up_is_lost() {
    explore(3, || {
        let place = Place::new();
        let waker = spawn(&place, |place| _ = place.wake());
        if place.enter() {
            // Parked. The hub has nothing else to do.
            while place.hub.round().is_empty() {}
            assert_eq!(place.waiter.get(), 1);
        } else if !place.leave() {
            assert_eq!(place.hub.inbox.take().count(), 1);
        }
        join([waker]);
    });
}

#[test]
fn a_waiter_that_gives_up_owns_a_wake_up_or_none_was_given() {
    explore(3, || {
        let place = Place::new();
        let waker = spawn(&place, |place| _ = place.wake());
        place.enter();
        let woken = !place.leave();
        // The push must not outlive the wait.
        assert_eq!(!place.hub.inbox.is_empty(), woken);
        assert_eq!(place.hub.inbox.take().count(), usize::from(woken));
        place.waiter.set(2);
        join([waker]);
        assert!(place.hub.inbox.is_empty() && place.waiter.get() == 2);
    });
}
