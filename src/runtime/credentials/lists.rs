//! Lists of supplementary groups. Each that was ever in force is kept for good, once: [`super::Credentials`] point to it.
//!
//! Nothing is allocated where a turn begins: a list is read to the place where it is to stay if it is a new one.
//!
//! Safety: on the hub's kernel thread alone. A region is zeroes to begin with, and what lies before its end never changes.

use core::cell::Cell;
use core::ptr;
use core::slice;

use crate::syscall;

/// The longest list of the kernel's.
const LONGEST: usize = 65536;
/// Words in a region, of which only those are memory that were written.
const REGION: usize = 16 * LONGEST;

struct Lists {
    /// Each list: how many, and the groups.
    region: Cell<*mut u32>,
    end: Cell<usize>,
}

// SAFETY: file header.
unsafe impl Sync for Lists {}

static LISTS: Lists = Lists { region: Cell::new(ptr::null_mut()), end: Cell::new(0) };

impl Lists {
    /// The list that begins at word `at`.
    unsafe fn list(&self, at: usize) -> &'static [u32] {
        // SAFETY: the caller's promise, and the file's header.
        unsafe {
            let start = self.region.get().add(at);
            slice::from_raw_parts(start.add(1), *start as usize)
        }
    }

    fn known(&self, wanted: &[u32]) -> Option<&'static [u32]> {
        let mut at = 0;
        while at < self.end.get() {
            // SAFETY: a list begins there.
            let list = unsafe { self.list(at) };
            if list == wanted {
                return Some(list);
            }
            at += 1 + list.len();
        }
        None
    }
}

/// The list of the calling kernel thread. (Empty as well if there is no memory.)
pub fn in_force() -> &'static [u32] {
    let lists = &LISTS;
    if lists.region.get().is_null() || lists.end.get() + 1 + LONGEST > REGION {
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE;
        let rights = libc::PROT_READ | libc::PROT_WRITE;
        // SAFETY: new memory, at no address of ours.
        let Ok(region) = (unsafe { syscall!(libc::SYS_mmap, 0, 4 * REGION, rights, flags, -1isize, 0) })
        else {
            return &[];
        };
        lists.region.set(ptr::with_exposed_provenance_mut(region));
        lists.end.set(0);
    }
    let at = lists.end.get();
    // SAFETY: behind the last list there is room for the longest.
    let read = unsafe {
        let start = lists.region.get().add(at);
        *start = syscall!(libc::SYS_getgroups, LONGEST, start.add(1)).unwrap_or(0) as u32;
        lists.list(at)
    };
    lists.known(read).unwrap_or_else(|| {
        lists.end.set(at + 1 + read.len());
        read
    })
}
