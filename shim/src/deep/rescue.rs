//! What the hub is taken out of, the rows do in its place (see the core's `runtime::rescue`).
//!
//! Safety: the arguments are those of a call that the thread has begun.

use core::ffi::{c_int, c_long};
use core::slice;

use eventlet_core::blocking::lock::futex;
use eventlet_core::kernel::options::{self, fault};
use eventlet_core::kernel::syscall::IO_PGETEVENTS;
use eventlet_core::kernel::{Errno, Result, log};
use eventlet_core::runtime::{Green, descriptors, rescue};

use crate::{errno, raw, table};

/// From now on. `blind`: libc's text is not changed, or not yet. Where a group is not patched nothing is rescued: its calls
/// wait as bare.
pub fn begin(blind: bool) {
    if options::FAULT.get() & fault::NO_RESCUE != 0 || table::groups() != table::EVERY {
        return;
    }
    rescue::install(instead);
    match rescue::set_blind(blind) {
        Ok(()) if blind => log::note(format_args!("the hub is taken out of calls inside libc that keep it")),
        Ok(()) => {}
        Err(errno) => log::note(format_args!("no thread can look after the hub: errno {}", errno.0)),
    }
}

unsafe fn instead(g: &'static Green, number: c_long, arguments: [usize; 6]) -> Result<usize> {
    if number == libc::SYS_futex {
        // SAFETY: file header.
        return unsafe { futex::sit_out(g, &futex::Call(arguments)) };
    }
    match number {
        libc::SYS_poll | libc::SYS_ppoll if arguments[1] == 0 => {}
        libc::SYS_poll | libc::SYS_ppoll => {
            // SAFETY: file header; the kernel has read them already.
            let fds = unsafe { slice::from_raw_parts(arguments[0] as *const libc::pollfd, arguments[1]) };
            fds.iter().for_each(|entry| descriptors::perhaps_reborn(entry.fd));
        }
        libc::SYS_openat | libc::SYS_wait4 | libc::SYS_io_getevents | IO_PGETEVENTS => {}
        _ => descriptors::perhaps_reborn(arguments[0] as c_int),
    }
    errno::keeping(|| {
        // SAFETY: file header.
        match unsafe { raw::waits(number, arguments) } {
            -1 => Err(Errno(errno::get())),
            answer => Ok(answer as usize),
        }
    })
}
