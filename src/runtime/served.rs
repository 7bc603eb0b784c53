//! Descriptors that green threads of the library serve on the program's behalf (the two ends that a TLS pump works on).
//! They lie out of the program's way, close on exec, and are closed in a fork child: its parent goes on serving them, and a
//! copy would keep the peer from ever seeing the end.
//!
//! Safety: one bit for each number, atomic: a fork may come from any thread. In the child nobody else runs.

use core::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use crate::kernel::{Errno, Result};
use crate::syscall;

/// Higher numbers are not kept.
const LIMIT: usize = 1 << 20;
/// The first number that they get: programs look for room from below, and sets of descriptors end at 1024.
const FROM: usize = 512;

static BITS: [AtomicU64; LIMIT / 64] = [const { AtomicU64::new(0) }; LIMIT / 64];
static WORDS: AtomicUsize = AtomicUsize::new(0);

/// A duplicate of `fd` out of the program's way. EMFILE.
pub fn duplicate(fd: i32) -> Result<i32> {
    // SAFETY: takes no pointer.
    let from = |first: usize| unsafe { syscall!(libc::SYS_fcntl, fd, libc::F_DUPFD_CLOEXEC, first) };
    let new = match from(FROM) {
        Err(Errno(libc::EINVAL | libc::EMFILE)) => from(3)?,
        answer => answer?,
    };
    if new < LIMIT {
        BITS[new / 64].fetch_or(1 << (new % 64), Ordering::Relaxed);
        WORDS.fetch_max(new / 64 + 1, Ordering::Relaxed);
    }
    Ok(new as i32)
}

/// `fd` is about to be closed, or was closed by the program.
pub fn leaves(fd: i32) {
    if (0..LIMIT as i32).contains(&fd) {
        BITS[fd as usize / 64].fetch_and(!(1 << (fd % 64)), Ordering::Relaxed);
    }
}

/// In a fork child: closes them all.
pub(super) fn forked() {
    for (place, word) in BITS.iter().enumerate().take(WORDS.swap(0, Ordering::Relaxed)) {
        let mut bits = word.swap(0, Ordering::Relaxed);
        while bits != 0 {
            let fd = place * 64 + bits.trailing_zeros() as usize;
            // SAFETY: our own number.
            let _ = unsafe { syscall!(libc::SYS_close, fd) };
            bits &= bits - 1;
        }
    }
}
