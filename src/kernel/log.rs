//! One line on stderr, without libc: a stack buffer and one `write`. Any thread, any time, signal handlers included.
//!
//! Safety: the buffer is ours and `write` only reads it.

use core::fmt::{Arguments, Write};

use super::options;

struct Line {
    bytes: [u8; 512],
    length: usize,
}

impl Write for Line {
    fn write_str(&mut self, text: &str) -> core::fmt::Result {
        let room = self.bytes.len() - 1 - self.length;
        let taken = text.len().min(room);
        self.bytes[self.length..self.length + taken].copy_from_slice(&text.as_bytes()[..taken]);
        self.length += taken;
        Ok(())
    }
}

/// What the user must know: always printed.
pub fn warn(message: Arguments<'_>) {
    let mut line = Line { bytes: [0; 512], length: 0 };
    let _ = line.write_str("eventlet: ");
    let _ = line.write_fmt(message);
    line.bytes[line.length] = b'\n';
    // SAFETY: writes the initialised part of our own buffer; a failing stderr changes nothing.
    let _ = unsafe { crate::syscall!(libc::SYS_write, 2, line.bytes.as_ptr(), line.length + 1) };
}

/// What helps to understand a run: printed under EVENTLET_LOG.
pub fn note(message: Arguments<'_>) {
    if options::LOG.on() {
        warn(message);
    }
}

/// The end: the message, then SIGABRT.
pub fn fatal(message: Arguments<'_>) -> ! {
    warn(message);
    // SAFETY: abort takes nothing and ends the process; it is not interposed.
    unsafe { libc::abort() }
}
