//! What `/proc` tells of one of our descriptors.
//!
//! Safety: raw system calls on a path and a buffer of our own.

use core::ffi::c_int;
use core::str;
use std::io::Write;

use crate::syscall;

use super::Result;

/// The first lines of it.
#[derive(Debug)]
pub struct Lines {
    text: [u8; 512],
    length: usize,
}

impl Lines {
    /// Those of `fd`.
    pub fn of(fd: c_int) -> Result<Lines> {
        let mut path = [0u8; 32];
        let _ = write!(&mut path[..], "/proc/self/fdinfo/{fd}\0");
        let mut lines = Lines { text: [0; 512], length: 0 };
        // SAFETY: file header; the descriptor is closed at once.
        unsafe {
            let flags = libc::O_RDONLY | libc::O_CLOEXEC;
            let fd = syscall!(libc::SYS_openat, libc::AT_FDCWD, path.as_ptr(), flags)?;
            let length = syscall!(libc::SYS_read, fd, lines.text.as_mut_ptr(), lines.text.len());
            let _ = syscall!(libc::SYS_close, fd);
            lines.length = length?;
        }
        Ok(lines)
    }

    /// The number behind `name`.
    pub fn number(&self, name: &str) -> Option<u32> {
        let text = str::from_utf8(&self.text[..self.length]).ok()?;
        let value = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?.trim();
        match value.strip_prefix("0x") {
            Some(digits) => u32::from_str_radix(digits, 16),
            None => value.parse(),
        }
        .ok()
    }
}
