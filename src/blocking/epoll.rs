//! `epoll_wait`: the program's own epoll descriptor is itself one that becomes readable. The hub waits for that; what is
//! registered in it, edge-triggered, one-shot or exclusive, stays the kernel's business.
//!
//! Safety: the array is the C caller's; the kernel checks it. The mask is NULL or live.

use core::ffi::c_int;

use libc::{epoll_event, sigset_t};

use crate::data::Deadline;
use crate::kernel::Result;
use crate::runtime::edges::Side;
use crate::runtime::{Green, descriptors, signals};
use crate::syscall;

use super::kind;
use super::poll::{SIGSET_BYTES, masked};
use super::turn::{AGAIN, Turn};

/// `epoll_pwait` until `deadline`; the other forms are this one.
pub unsafe fn wait(
    green: &'static Green,
    fd: c_int,
    events: *mut epoll_event,
    room: c_int,
    deadline: Deadline,
    mask: *const sigset_t,
) -> Result<usize> {
    let mut turn = Turn::new(green, fd, Side::Read, "epoll_wait")?;
    turn.until(deadline);
    let mut last = deadline == Deadline(0);
    loop {
        // SAFETY: the C function's contract.
        let look = || unsafe { syscall!(libc::SYS_epoll_pwait, fd, events, room, 0, mask, SIGSET_BYTES) };
        // SAFETY: the mask is NULL or live.
        match unsafe { signals::shown(green, mask, look) } {
            Ok(0) if !last => {}
            answer => return turn.once(answer),
        }
        kind::of(fd, turn.entry);
        descriptors::persist(turn.entry);
        // SAFETY: the mask is NULL or live.
        match unsafe { masked(green, mask, || turn.wait_for_edge()) } {
            Ok(()) => {}
            Err(AGAIN) => last = true,
            Err(errno) => return Err(errno),
        }
    }
}
