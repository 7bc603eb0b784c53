//! [`Inbox`]: what any kernel thread, and any signal handler, leaves for one taker. Lock-free: a stack of items that carry
//! their own [`Link`]; the taker takes all of it and turns it round.
//!
//! Safety: an item stays alive and in its place from the push until the taker has it.

use core::ptr;

use crate::kernel::sync::{AtomicPtr, Ordering, constant};

/// The link that an item of an [`Inbox`] carries.
#[derive(Debug)]
pub struct Link<T>(AtomicPtr<T>);

impl<T> Link<T> {
    constant! {
        /// Of an item that is in no inbox.
        #[allow(clippy::new_without_default, reason = "part of its item")]
        pub fn new() -> Link<T> {
            Link(AtomicPtr::new(ptr::null_mut()))
        }
    }
}

/// An item that can lie in an [`Inbox`].
pub trait Linked: Sized {
    /// Its link, always the same.
    fn link(&self) -> &Link<Self>;
}

/// The inbox.
#[derive(Debug)]
pub struct Inbox<T> {
    last: AtomicPtr<T>,
}

impl<T: Linked> Inbox<T> {
    constant! {
        /// An empty one.
        #[allow(clippy::new_without_default, reason = "made in statics alone")]
        pub fn new() -> Inbox<T> {
            Inbox { last: AtomicPtr::new(ptr::null_mut()) }
        }
    }

    /// Leaves `item`, with all that was written before. Any thread, handlers included.
    ///
    /// # Safety
    /// `item` is in no inbox, and stays as it is until the taker has it.
    pub unsafe fn push(&self, item: *const T) {
        // SAFETY: the caller's item.
        let link = unsafe { &(*item).link().0 };
        let mut last = self.last.load(Ordering::Relaxed);
        loop {
            link.store(last, Ordering::Relaxed);
            match self.last.compare_exchange_weak(last, item.cast_mut(), Ordering::Release, Ordering::Relaxed)
            {
                Ok(_) => return,
                Err(now) => last = now,
            }
        }
    }

    /// Whether there was nothing a moment ago.
    #[inline(always)]
    pub fn is_empty(&self) -> bool {
        self.last.load(Ordering::Relaxed).is_null()
    }

    /// Takes everything, the first pushed first. An item is the caller's from when the iterator gives it.
    pub fn take(&self) -> impl Iterator<Item = &T> {
        let mut next = self.last.swap(ptr::null_mut(), Ordering::Acquire);
        let mut first: *mut T = ptr::null_mut();
        // SAFETY: pushed items are alive, and the taker's alone.
        while let Some(item) = unsafe { next.as_ref() } {
            let link = &item.link().0;
            next = link.load(Ordering::Relaxed);
            link.store(first, Ordering::Relaxed);
            first = ptr::from_ref(item).cast_mut();
        }
        core::iter::from_fn(move || {
            // SAFETY: as above; the caller has not had it.
            let item = unsafe { first.as_ref() }?;
            first = item.link().0.load(Ordering::Relaxed);
            Some(item)
        })
    }

    /// Empties it without touching what was in it: it is gone (a fork child).
    pub fn forget(&self) {
        self.last.store(ptr::null_mut(), Ordering::Relaxed);
    }
}
