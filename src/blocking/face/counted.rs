//! [`Counted`]: what the program holds by a handle. It is shared by reference and lives until its last reference is released;
//! who waits in one has a reference too, so that it may be deleted meanwhile.
//!
//! A handle that is none any more is told by its mark, as long as the memory is not used for something else. That is a
//! net for the program's mistakes; nothing here relies on it.
//!
//! Safety: made by [`Counted::share`] alone, and nobody uses it after the release of a reference of their own. Only the mark
//! is read from memory that may be free: our allocator keeps that mapped, but for what is at the end of its heap.

use core::alloc::Layout;
use core::cell::Cell;
use core::ptr;
use std::alloc::alloc;

use crate::kernel::{Errno, Result};

/// How many hold it, and the mark of what the program may use.
pub struct References {
    count: Cell<usize>,
    mark: Cell<u64>,
}

impl References {
    /// So many.
    pub const fn new(count: usize) -> References {
        References { count: Cell::new(count), mark: Cell::new(0) }
    }
}

impl Default for References {
    /// One: the handle's.
    fn default() -> References {
        References::new(1)
    }
}

/// Something with references.
///
/// # Safety
/// At REFERENCES lies a [`References`].
pub unsafe trait Counted: Sized + 'static {
    /// Where they are: `offset_of!`.
    const REFERENCES: usize;
    /// What marks it; of this type alone.
    const MARK: u64;

    /// Their count.
    #[inline(always)]
    fn references(&self) -> &References {
        // SAFETY: the implementation's promise.
        unsafe { &*ptr::from_ref(self).byte_add(Self::REFERENCES).cast() }
    }

    /// What `handle` leads to. None: nothing of this type, or what was deleted.
    ///
    /// # Safety
    /// NULL, or it was a handle once, of any type.
    #[inline(always)]
    unsafe fn at<'a>(handle: *const Self) -> Option<&'a Self> {
        if handle.is_null() || !handle.is_aligned() {
            return None;
        }
        // SAFETY: file header.
        unsafe {
            let references = handle.byte_add(Self::REFERENCES).cast::<References>();
            let mark = (&raw const (*references).mark).cast::<u64>().read_volatile();
            (mark == Self::MARK).then(|| &*handle)
        }
    }

    /// From now on it is shared. ENOMEM.
    fn share(self) -> Result<&'static Self> {
        let layout = Layout::new::<Self>();
        // SAFETY: it is not empty: it has references. The block is a box's, of this layout.
        let shared = unsafe {
            let place = alloc(layout).cast::<Self>();
            if place.is_null() {
                return Err(Errno(libc::ENOMEM));
            }
            place.write(self);
            &*place
        };
        shared.references().mark.set(Self::MARK);
        Ok(shared)
    }

    /// The handle is none any more, though others may hold it still.
    fn withdraw(&self) {
        // SAFETY: our own word; volatile, since it is looked at when the object is gone.
        unsafe { self.references().mark.as_ptr().write_volatile(0) };
    }

    /// One reference more.
    fn hold(&self) {
        let count = &self.references().count;
        count.set(count.get() + 1);
    }

    /// One reference less; the last takes it away.
    fn release(&self) {
        let count = &self.references().count;
        count.set(count.get() - 1);
        if count.get() == 0 {
            self.withdraw();
            // SAFETY: see the file's header.
            drop(unsafe { Box::from_raw(ptr::from_ref(self).cast_mut()) });
        }
    }

    /// Does what may wait, and stays there meanwhile.
    fn during<R>(&self, work: impl FnOnce(&Self) -> R) -> R {
        self.hold();
        let answer = work(self);
        self.release();
        answer
    }
}
