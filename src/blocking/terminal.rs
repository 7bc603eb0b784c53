//! Terminals: a process in the background that reads its terminal stops.
//!
//! The kernel does that inside the read, before it looks for input; a read that only polls would wait for input instead. A
//! read of no bytes stops the process as well, and in the foreground it never waits. The kernel's own read would begin anew after
//! Ctrl-Z and `bg`; nothing tells us that they came, so a reader that waits looks again from time to time.
//!
//! Safety: the system calls here write into our own variables, or nothing.

use core::ffi::c_int;

use crate::kernel::{Errno, Result, signal};
use crate::syscall;

/// What the kernel does before a read of `fd`. EIO: a terminal that this process may not read from the background.
pub fn before_read(fd: c_int) -> Result<()> {
    while in_background(fd) {
        // SAFETY: no byte is written.
        match unsafe { syscall!(libc::SYS_read, fd, core::ptr::dangling::<u8>(), 0) } {
            // Continued, with a handler for that.
            Err(Errno(libc::EINTR)) => {}
            answer => return answer.map(drop),
        }
    }
    Ok(())
}

/// Whether `fd` is our controlling terminal, and another process group has it. Where the program handles the signal, it
/// waits for input.
fn in_background(fd: c_int) -> bool {
    let mut group: libc::pid_t = 0;
    // SAFETY: the kernel writes one pid.
    if unsafe { syscall!(libc::SYS_ioctl, fd, libc::TIOCGPGRP, &mut group) }.is_err() {
        return false;
    }
    // SAFETY: takes no pointers.
    let ours = unsafe { syscall!(libc::SYS_getpgid, 0) };
    ours != Ok(group as usize) && !signal::action(libc::SIGTTIN).is_ok_and(|action| action.is_handler())
}
