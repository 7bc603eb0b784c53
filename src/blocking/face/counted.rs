//! [`Counted`]: what the program holds by a handle. It is shared by reference and lives until its last reference is released;
//! who waits in one has a reference too, so that it may be deleted meanwhile.
//!
//! Safety: made by [`Counted::share`] alone, and nobody uses it after the release of a reference of their own.

use core::cell::Cell;
use core::ptr;

/// How many hold it.
pub struct References(Cell<usize>);

impl References {
    /// So many.
    pub const fn new(count: usize) -> References {
        References(Cell::new(count))
    }
}

impl Default for References {
    /// One: the handle's.
    fn default() -> References {
        References::new(1)
    }
}

/// Something with references.
pub trait Counted: Sized + 'static {
    /// Their count.
    fn references(&self) -> &References;

    /// From now on it is shared.
    fn share(self) -> &'static Self {
        Box::leak(Box::new(self))
    }

    /// One reference more.
    fn hold(&self) {
        let References(count) = self.references();
        count.set(count.get() + 1);
    }

    /// One reference less; the last takes it away.
    fn release(&self) {
        let References(count) = self.references();
        count.set(count.get() - 1);
        if count.get() == 0 {
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
