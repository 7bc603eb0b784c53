//! Changing code that is mapped: a page of it is copied to a memfd, changed there, and mapped over the old one in one
//! step. No page is ever writable and executable at once, and none gains a right that it did not have: it works under
//! systemd's MemoryDenyWriteExecute too. Where memfds may not be executed, the pages are made writable for the while; they
//! keep the right to be executed, which a page that has lost it may not get back.
//!
//! Safety: an edit lies in code that stays mapped for ever; the caller answers for what the new bytes mean, and for it
//! that no thread stands within them.

use core::ffi::c_int;

use crate::syscall;

use super::options::{self, fault};
use super::{Errno, Result};

const PAGE: usize = 4096;
/// As far as a 32-bit displacement reaches, with room to spare.
const REACH: usize = 0x7000_0000;

/// New bytes for code, within one page.
#[derive(Clone, Copy, Debug)]
pub struct Edit {
    /// Where.
    pub at: usize,
    /// What: a jump.
    pub bytes: [u8; 5],
}

impl Edit {
    fn page(&self) -> usize {
        self.at & !(PAGE - 1)
    }
}

/// How the text was changed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Way {
    /// Pages of a memfd lie in the old ones' places.
    Swap,
    /// The pages were writable for a while.
    Protect,
}

/// Makes the edits, which are in the order of their addresses. `alone`: there is no other thread, which could run into a
/// jump that is half written.
///
/// # Safety
/// As the file's header says.
pub unsafe fn text(edits: &[Edit], alone: bool) -> Result<Way> {
    if options::FAULT.get() & fault::NO_SWAP == 0
        // SAFETY: the caller's promise.
        && unsafe { swap(edits) }.is_ok()
    {
        return Ok(Way::Swap);
    }
    if !alone {
        return Err(Errno(libc::EACCES));
    }
    // SAFETY: the caller's promise.
    unsafe { protect(edits) }.map(|()| Way::Protect)
}

/// A page with `code`, which can be executed, within a jump's reach of all of `near`.
pub fn page_near(near: core::ops::Range<usize>, code: &[u8]) -> Result<usize> {
    let lowest = near.end.saturating_sub(REACH);
    let mut below = near.start;
    let mut step = 16 * PAGE;
    while below.saturating_sub(step) > lowest {
        below -= step;
        step += (step / 4).next_multiple_of(PAGE);
        // SAFETY: NOREPLACE takes no place that is in use.
        let place = unsafe {
            syscall!(
                libc::SYS_mmap,
                below,
                PAGE,
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_FIXED_NOREPLACE,
                -1isize,
                0
            )
        };
        match place {
            Ok(place) if place == below => return fill(place, code),
            // A kernel that does not know NOREPLACE takes another place.
            Ok(place) => unmap(place),
            Err(Errno(libc::EEXIST)) => {}
            Err(errno) => return Err(errno),
        }
    }
    Err(Errno(libc::ENOMEM))
}

/// Writes `code` into a fresh page and makes it executable, by a swap if that is allowed.
fn fill(place: usize, code: &[u8]) -> Result<usize> {
    let mut page = [0xccu8; PAGE];
    page[..code.len()].copy_from_slice(code);
    let answer = File::new().and_then(|file| {
        file.write(&page, 0)?;
        // SAFETY: our own page.
        unsafe { file.map(place, 0) }
    });
    if answer.is_err() {
        // SAFETY: our own page, which can be written.
        unsafe { core::ptr::copy_nonoverlapping(page.as_ptr(), place as *mut u8, PAGE) };
        if let Err(errno) = allow(place, libc::PROT_READ | libc::PROT_EXEC) {
            unmap(place);
            return Err(errno);
        }
    }
    Ok(place)
}

fn unmap(place: usize) {
    // SAFETY: a page of ours that nobody uses.
    let _ = unsafe { syscall!(libc::SYS_munmap, place, PAGE) };
}

fn allow(page: usize, rights: c_int) -> Result<()> {
    // SAFETY: the callers answer for the page.
    unsafe { syscall!(libc::SYS_mprotect, page, PAGE, rights).map(drop) }
}

/// A memfd, closed in the end.
struct File(c_int);

impl File {
    fn new() -> Result<File> {
        let name = c"eventlet".as_ptr();
        /// Kernels that know it may refuse to execute what was made without it.
        const MFD_EXEC: u32 = 0x10;
        // SAFETY: the name is NUL-terminated.
        let fd = unsafe {
            syscall!(libc::SYS_memfd_create, name, libc::MFD_CLOEXEC | MFD_EXEC)
                .or_else(|_| syscall!(libc::SYS_memfd_create, name, libc::MFD_CLOEXEC))?
        };
        Ok(File(fd as c_int))
    }

    fn write(&self, page: &[u8; PAGE], at: usize) -> Result<()> {
        // SAFETY: reads our own buffer.
        let written = unsafe { syscall!(libc::SYS_pwrite64, self.0, page.as_ptr(), PAGE, at)? };
        if written == PAGE { Ok(()) } else { Err(Errno(libc::ENOSPC)) }
    }

    /// # Safety
    /// The page at `place` may be replaced.
    unsafe fn map(&self, place: usize, at: usize) -> Result<()> {
        // SAFETY: the caller's promise.
        unsafe {
            syscall!(
                libc::SYS_mmap,
                place,
                PAGE,
                libc::PROT_READ | libc::PROT_EXEC,
                libc::MAP_PRIVATE | libc::MAP_FIXED,
                self.0,
                at
            )
            .map(drop)
        }
    }
}

impl Drop for File {
    fn drop(&mut self) {
        // SAFETY: our own descriptor.
        let _ = unsafe { syscall!(libc::SYS_close, self.0) };
    }
}

/// The edits of one page after another.
fn pages(edits: &[Edit]) -> impl Iterator<Item = &[Edit]> {
    edits.chunk_by(|one, next| one.page() == next.page())
}

unsafe fn swap(edits: &[Edit]) -> Result<()> {
    let file = File::new()?;
    let mut content = [0u8; PAGE];
    for (number, edits) in pages(edits).enumerate() {
        let page = edits[0].page();
        // SAFETY: code is readable, and it stays mapped.
        unsafe { core::ptr::copy_nonoverlapping(page as *const u8, content.as_mut_ptr(), PAGE) };
        for edit in edits {
            content[edit.at - page..][..edit.bytes.len()].copy_from_slice(&edit.bytes);
        }
        file.write(&content, number * PAGE)?;
    }
    for (number, edits) in pages(edits).enumerate() {
        // SAFETY: the new page is the old one but for the edits.
        unsafe { file.map(edits[0].page(), number * PAGE)? };
    }
    Ok(())
}

unsafe fn protect(edits: &[Edit]) -> Result<()> {
    for edits in pages(edits) {
        let page = edits[0].page();
        allow(page, libc::PROT_READ | libc::PROT_WRITE | libc::PROT_EXEC)?;
        for edit in edits {
            // SAFETY: the page is writable, and nobody else runs.
            unsafe { (edit.at as *mut [u8; 5]).write(edit.bytes) };
        }
        allow(page, libc::PROT_READ | libc::PROT_EXEC)?;
    }
    Ok(())
}
