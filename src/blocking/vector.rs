//! [`Rest`]: what is left of a vector of buffers after a part of it was moved. It is handed on in windows of a few
//! buffers: nothing is allocated, and the program's own vector is not touched.
//!
//! Safety: the vector is the program's and stays as it is during the call.

use libc::iovec;

use crate::kernel::{Errno, Result, memory};
use crate::syscall;

/// Buffers in one window.
pub const WINDOW: usize = 16;

/// What the kernel says of a vector for `fd`: its error, or whether there is anything in it. `call` is `preadv2` or `pwritev2`.
/// Nothing is moved: it looks at the descriptor and into the vector before it finds that it does not know the flag.
pub fn judge(call: libc::c_long, fd: i32, buffers: *const iovec, count: usize) -> Result<bool> {
    const UNKNOWN: i32 = 1 << 30;
    // SAFETY: the kernel checks the vector.
    match unsafe { syscall!(call, fd, buffers, count, -1isize, -1isize, UNKNOWN) } {
        Err(Errno(libc::EOPNOTSUPP | libc::ENOSYS)) => Ok(true),
        answer => answer.map(|_| false),
    }
}

/// Whether there is a byte in the `count` buffers at `buffers`, or room for one. A vector that cannot be read has none.
pub fn has_bytes(buffers: *const iovec, count: usize) -> bool {
    // SAFETY: any bytes are a buffer's address and length.
    let read = |index| unsafe { memory::read(buffers.wrapping_add(index)) };
    (0..count).map_while(|index| read(index).ok()).any(|buffer| buffer.iov_len > 0)
}

/// The vector of a call.
#[derive(Clone, Copy)]
pub struct Rest<'a> {
    buffers: &'a [iovec],
    skipped: usize,
}

impl<'a> Rest<'a> {
    /// All of the `count` buffers at `buffers`.
    ///
    /// # Safety
    /// There are that many, and they live for `'a`.
    pub unsafe fn new(buffers: *const iovec, count: usize) -> Rest<'a> {
        let buffers = if count == 0 || buffers.is_null() {
            &[]
        } else {
            // SAFETY: the caller's promise.
            unsafe { core::slice::from_raw_parts(buffers, count) }
        };
        Rest { buffers, skipped: 0 }
    }

    /// The bytes in it.
    pub fn total(&self) -> usize {
        self.buffers.iter().fold(0usize, |sum, buffer| sum.saturating_add(buffer.iov_len)) - self.skipped
    }

    /// Skips `count` bytes that were moved.
    pub fn skip(&mut self, count: usize) {
        self.skipped += count;
        while let Some((first, rest)) = self.buffers.split_first()
            && self.skipped >= first.iov_len
        {
            self.skipped -= first.iov_len;
            self.buffers = rest;
        }
    }

    /// The first buffers of what is left, and how many they are. None are empty but those of the program.
    pub fn window(&self) -> ([iovec; WINDOW], usize) {
        let mut window = [iovec { iov_base: core::ptr::null_mut(), iov_len: 0 }; WINDOW];
        let count = self.buffers.len().min(WINDOW);
        window[..count].copy_from_slice(&self.buffers[..count]);
        if count > 0 {
            window[0].iov_base = window[0].iov_base.wrapping_byte_add(self.skipped);
            window[0].iov_len -= self.skipped;
        }
        (window, count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_cover_what_is_left() {
        let mut bytes: Vec<u8> = (0..100).collect();
        let base = bytes.as_mut_ptr();
        // Buffers of 0, 1, 2, 0, 1, 2 ... bytes.
        let mut place = 0;
        let buffers: Vec<iovec> = (0..60)
            .map(|index| {
                let buffer = iovec { iov_base: base.wrapping_add(place).cast(), iov_len: index % 3 };
                place += index % 3;
                buffer
            })
            .collect();
        // SAFETY: `buffers` is live.
        let mut rest = unsafe { Rest::new(buffers.as_ptr(), buffers.len()) };
        let (mut seen, total) = (Vec::new(), rest.total());
        assert_eq!(total, 60);
        while rest.total() > 0 {
            let (window, count) = rest.window();
            let mut moved = 0;
            for buffer in &window[..count] {
                for offset in 0..buffer.iov_len.min(5 - moved) {
                    // SAFETY: inside `bytes`.
                    seen.push(unsafe { *buffer.iov_base.cast::<u8>().add(offset) });
                    moved += 1;
                }
            }
            rest.skip(moved);
        }
        assert_eq!(seen, (0..60).collect::<Vec<u8>>());
    }
}
