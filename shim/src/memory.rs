//! The library's own memory. It does not come from the program's malloc, which may be one of the program's own: that takes
//! its time, so that preemption would let another green thread into a half-changed structure of ours; and its locks are
//! rows, in which the owner of the structure would park.
//!
//! Here nobody parks and nobody is preempted (the code lies in this library). Foreign threads share the lock, and whoever
//! forks holds it over the fork, so that the child finds the heap whole; unless the fork is made by a signal handler that
//! has interrupted the holder.
//!
//! Under Valgrind it says what it gives out and takes back, and lets freed blocks lie for a while, so that who uses one is
//! found out.
//!
//! Safety: the heap is touched under the lock alone. Program and libc never free what is allocated here, nor we theirs.

use core::alloc::{GlobalAlloc, Layout};
use core::cell::{Cell, UnsafeCell};
use core::ptr;
use core::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use dlmalloc::{Allocator, Dlmalloc};
use eventlet_core::data::spinlock::SpinLock;
use eventlet_core::kernel::{fs, valgrind};
use eventlet_core::syscall;

struct Memory {
    lock: SpinLock,
    /// The TCB that the lock was taken on; 0: it is free, or held over a fork.
    holder: AtomicUsize,
    /// Whether it is held over a fork.
    forks: AtomicBool,
    heap: UnsafeCell<Dlmalloc<Pages>>,
    /// Under Valgrind, the blocks that were freed last, in a ring.
    freed: UnsafeCell<[(*mut u8, Layout); 1024]>,
    next: Cell<usize>,
}

// SAFETY: heap and ring are touched under the lock alone (file header).
unsafe impl Sync for Memory {}

#[global_allocator]
static MEMORY: Memory = Memory {
    lock: SpinLock::new(),
    holder: AtomicUsize::new(0),
    forks: AtomicBool::new(false),
    heap: UnsafeCell::new(Dlmalloc::new_with_allocator(Pages)),
    freed: UnsafeCell::new([(ptr::null_mut(), Layout::new::<u8>()); 1024]),
    next: Cell::new(0),
};

impl Memory {
    /// A block, of which Valgrind learns.
    fn give(
        &self,
        zeroed: bool,
        size: usize,
        block: impl FnOnce(&mut Dlmalloc<Pages>) -> *mut u8,
    ) -> *mut u8 {
        let block = self.with(block);
        if valgrind::runs() && !block.is_null() {
            valgrind::allocated(block, size, zeroed);
        }
        block
    }

    /// A block goes into the ring, and another one out of it.
    #[cold]
    unsafe fn retire(&self, block: *mut u8, layout: Layout) {
        valgrind::freed(block);
        self.with(|heap| {
            let at = self.next.replace(self.next.get().wrapping_add(1)) % 1024;
            // SAFETY: the lock is held.
            let (old, layout) = unsafe { core::mem::replace(&mut (*self.freed.get())[at], (block, layout)) };
            if !old.is_null() {
                valgrind::reused(old, layout.size());
                // SAFETY: given out with this layout, and freed.
                unsafe { heap.free(old, layout.size(), layout.align()) };
            }
        });
    }

    fn with<R>(&self, work: impl FnOnce(&mut Dlmalloc<Pages>) -> R) -> R {
        self.lock.lock();
        self.holder.store(fs::get(), Ordering::Relaxed);
        // SAFETY: we hold the lock.
        let answer = work(unsafe { &mut *self.heap.get() });
        self.holder.store(0, Ordering::Relaxed);
        self.lock.unlock();
        answer
    }
}

// SAFETY: the heap keeps this contract, call by call.
unsafe impl GlobalAlloc for Memory {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's contract, here and below.
        self.give(false, layout.size(), |heap| unsafe { heap.malloc(layout.size(), layout.align()) })
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: as above.
        self.give(true, layout.size(), |heap| unsafe { heap.calloc(layout.size(), layout.align()) })
    }

    unsafe fn dealloc(&self, place: *mut u8, layout: Layout) {
        if valgrind::runs() {
            // SAFETY: as above.
            unsafe { self.retire(place, layout) };
        } else {
            // SAFETY: as above.
            self.with(|heap| unsafe { heap.free(place, layout.size(), layout.align()) });
        }
    }

    unsafe fn realloc(&self, place: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        if !valgrind::runs() {
            // SAFETY: as above.
            return self.with(|heap| unsafe { heap.realloc(place, layout.size(), layout.align(), size) });
        }
        // SAFETY: as above; the old block's bytes, as many as the new one has room for.
        unsafe {
            let new = self.alloc(Layout::from_size_align_unchecked(size, layout.align()));
            if !new.is_null() {
                ptr::copy_nonoverlapping(place, new, layout.size().min(size));
                self.dealloc(place, layout);
            }
            new
        }
    }
}

/// Before a fork, after the handlers of everybody else.
pub extern "C" fn before_fork() {
    if MEMORY.holder.load(Ordering::Relaxed) != fs::get() {
        MEMORY.lock.lock();
        MEMORY.forks.store(true, Ordering::Relaxed);
    }
}

/// After it, before the handlers of everybody else, in parent and child.
pub extern "C" fn after_fork() {
    if MEMORY.forks.swap(false, Ordering::Relaxed) {
        MEMORY.lock.unlock();
    }
}

/// The kernel's memory.
struct Pages;

// SAFETY: what is given out is a mapping of ours of at least that size.
unsafe impl Allocator for Pages {
    fn alloc(&self, size: usize) -> (*mut u8, usize, u32) {
        const FLAGS: i32 = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
        let rights = libc::PROT_READ | libc::PROT_WRITE;
        // SAFETY: a new private mapping wherever the kernel likes.
        match unsafe { syscall!(libc::SYS_mmap, 0, size, rights, FLAGS, -1, 0) } {
            Ok(start) => (ptr::with_exposed_provenance_mut(start), size, 0),
            Err(_) => (ptr::null_mut(), 0, 0),
        }
    }

    fn remap(&self, place: *mut u8, old: usize, new: usize, moves: bool) -> *mut u8 {
        let flags = if moves { libc::MREMAP_MAYMOVE } else { 0 };
        // SAFETY: the heap's own mapping.
        match unsafe { syscall!(libc::SYS_mremap, place, old, new, flags) } {
            Ok(start) => ptr::with_exposed_provenance_mut(start),
            Err(_) => ptr::null_mut(),
        }
    }

    fn free_part(&self, place: *mut u8, old: usize, new: usize) -> bool {
        // SAFETY: the end of the heap's own mapping, which it does not use.
        unsafe { syscall!(libc::SYS_munmap, place.add(new), old - new) }.is_ok()
    }

    fn free(&self, place: *mut u8, size: usize) -> bool {
        // SAFETY: the heap's own mapping, which it does not use.
        unsafe { syscall!(libc::SYS_munmap, place, size) }.is_ok()
    }

    fn can_release_part(&self, _: u32) -> bool {
        true
    }

    fn allocates_zeros(&self) -> bool {
        true
    }

    fn page_size(&self) -> usize {
        4096
    }
}
