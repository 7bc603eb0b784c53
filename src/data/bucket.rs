//! [`Bucket`]: those who wait on addresses of one hash value, oldest first, and how a waiter and a waker on two kernel
//! threads do not miss each other:
//!
//! | waiter | waker |
//! | --- | --- |
//! | links its node | writes the word |
//! | full fence ([`Bucket::count_in`]) | full fence ([`Bucket::is_awaited`]) |
//! | looks at the word again, waits | looks for waiters |
//!
//! Safety: the list is touched under the lock alone, and a node that is linked belongs to whoever holds it.

use crate::kernel::sync::{AtomicUsize, Ordering, constant, fence, fence_after_rmw};

use super::list::{List, Node};
use super::spinlock::SpinLock;

/// A lock, a count that is looked at without it, and the waiters. The `tag` of a node is its address.
#[repr(align(64))]
#[derive(Debug)]
pub struct Bucket<T> {
    /// Held for whatever touches the list.
    pub lock: SpinLock,
    count: AtomicUsize,
    /// The waiters.
    pub list: List<T>,
}

// SAFETY: the list is touched under the lock alone (file header).
unsafe impl<T> Sync for Bucket<T> {}

impl<T> Bucket<T> {
    constant! {
        /// Nobody waits.
        #[allow(clippy::new_without_default, reason = "made in statics alone")]
        pub fn new() -> Bucket<T> {
            Bucket { lock: SpinLock::new(), count: AtomicUsize::new(0), list: List::new() }
        }
    }

    /// One waiter more, who is linked and looks at its word after this.
    #[inline(always)]
    pub fn count_in(&self) {
        self.count.fetch_add(1, Ordering::AcqRel);
        fence_after_rmw();
    }

    /// One waiter less. Under the lock; a waker that sees the old count looks in vain.
    #[inline(always)]
    pub fn count_out(&self) {
        self.count.store(self.count.load(Ordering::Relaxed) - 1, Ordering::Relaxed);
    }

    /// Whether anybody waits. Asked on the kernel thread on which all wait, where no fence is needed.
    #[inline(always)]
    pub fn is_awaited_here(&self) -> bool {
        self.count.load(Ordering::Relaxed) != 0
    }

    /// Whether anybody waits who may not have seen what the caller wrote. Any thread.
    #[inline(always)]
    pub fn is_awaited(&self) -> bool {
        fence(Ordering::SeqCst);
        self.is_awaited_here()
    }

    /// The first waiter of `address` that `accept` likes. Under the lock.
    #[inline(always)]
    pub fn first(&self, address: usize, accept: impl Fn(&T) -> bool) -> Option<&Node<T>> {
        core::iter::successors(self.list.front(), |node| self.list.after(node)).find(|node| {
            // SAFETY: the owner of a linked node is alive: it takes the node out before it goes on.
            node.tag.get() == address && accept(unsafe { &*node.owner() })
        })
    }

    /// Takes `node` out. Under the lock.
    #[inline(always)]
    pub fn remove(&self, node: &Node<T>) {
        self.list.remove(node);
        self.count_out();
    }

    /// In a fork child: nobody waits, and no other thread holds the lock. A bucket that was idle is only looked at: its
    /// memory stays shared with the parent.
    pub fn forget(&self) {
        if self.lock.is_locked() || self.is_awaited_here() {
            self.list.forget();
            self.count.store(0, Ordering::Relaxed);
            self.lock.unlock();
        }
    }
}
