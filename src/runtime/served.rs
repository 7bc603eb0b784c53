//! Descriptors that green threads of the library serve on the program's behalf (the two ends that a TLS pump works on).
//! They lie out of the program's way, close on exec, and are closed in a fork child: its parent goes on serving them, and a
//! copy would keep the peer from ever seeing the end.
//!
//! Safety: a fork may come from any thread. In the child nobody else runs.

use crate::data::numbers::Numbers;
use crate::kernel::{Errno, Result};
use crate::syscall;

/// The first number that they get: programs look for room from below, and sets of descriptors end at 1024.
const FROM: usize = 512;

static SERVED: Numbers = Numbers::new();

/// A duplicate of `fd` out of the program's way. EMFILE.
pub fn duplicate(fd: i32) -> Result<i32> {
    // SAFETY: takes no pointer.
    let from = |first: usize| unsafe { syscall!(libc::SYS_fcntl, fd, libc::F_DUPFD_CLOEXEC, first) };
    let new = match from(FROM) {
        Err(Errno(libc::EINVAL | libc::EMFILE)) => from(3)?,
        answer => answer?,
    } as i32;
    SERVED.insert(new);
    Ok(new)
}

/// `fd` is about to be closed, or was closed by the program.
pub fn leaves(fd: i32) {
    SERVED.remove(fd);
}

/// In a fork child: closes them all.
pub(super) fn forked() {
    SERVED.drain(|fd| {
        // SAFETY: our own number.
        let _ = unsafe { syscall!(libc::SYS_close, fd) };
    });
}
