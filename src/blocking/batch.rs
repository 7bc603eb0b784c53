//! `recvmmsg` and `sendmmsg`: one message after the other, as the kernel does it; what goes without waiting goes in one
//! system call.
//!
//! Safety: messages and time are the C caller's, `count` of them; the kernel checks them.

use core::ffi::{c_int, c_uint};

use libc::{mmsghdr, timespec};

use crate::data::fdtable::Kind;
use crate::kernel::{Errno, Result};
use crate::runtime::{Green, descriptors, hub};
use crate::syscall;

use super::poll::timespec_deadline;
use super::turn::AGAIN;
use super::{kind, socket};

/// More messages than this are not looked at.
const MOST: usize = 1024;

/// `sendmmsg`.
pub unsafe fn send(
    green: &'static Green,
    fd: c_int,
    messages: *mut mmsghdr,
    count: c_uint,
    flags: c_int,
) -> Result<usize> {
    let count = (count as usize).min(MOST);
    let mut sent = 0;
    if goes_at_once(fd, count) && !green.is_cancelled() {
        let now = flags | libc::MSG_DONTWAIT;
        // SAFETY: the C function's contract.
        sent = at_once(unsafe { syscall!(libc::SYS_sendmmsg, fd, messages, count, now) })?;
        if sent == count {
            hub().charge(green);
        }
    }
    while sent < count {
        // SAFETY: the C function's contract.
        unsafe {
            let message = messages.add(sent);
            match socket::sendmsg(green, fd, &raw const (*message).msg_hdr, flags) {
                Ok(length) => (*message).msg_len = length as c_uint,
                answer => return ended(sent, answer),
            }
        }
        sent += 1;
    }
    Ok(sent)
}

/// `recvmmsg`. As in the kernel, the time is looked at only after a message has come.
pub unsafe fn receive(
    green: &'static Green,
    fd: c_int,
    messages: *mut mmsghdr,
    count: c_uint,
    flags: c_int,
    timeout: *mut timespec,
) -> Result<usize> {
    let count = (count as usize).min(MOST);
    let deadline = timespec_deadline(timeout)?;
    let mut flags = flags;
    let mut got = 0;
    if timeout.is_null() && goes_at_once(fd, count) && !green.is_cancelled() {
        let now = flags | libc::MSG_DONTWAIT;
        // SAFETY: the C function's contract.
        got = at_once(unsafe { syscall!(libc::SYS_recvmmsg, fd, messages, count, now, 0) })?;
        if got == count || got > 0 && flags & libc::MSG_WAITFORONE != 0 {
            hub().charge(green);
            return Ok(got);
        }
    }
    while got < count {
        // SAFETY: the C function's contract.
        let special = unsafe {
            let message = messages.add(got);
            match socket::recvmsg(green, fd, &raw mut (*message).msg_hdr, flags & !libc::MSG_WAITFORONE) {
                Ok(length) => (*message).msg_len = length as c_uint,
                answer => return ended(got, answer),
            }
            (*message).msg_hdr.msg_flags & libc::MSG_OOB != 0
        };
        got += 1;
        if flags & libc::MSG_WAITFORONE != 0 {
            flags |= libc::MSG_DONTWAIT;
        }
        if let Some(left) = deadline.remaining() {
            // SAFETY: there is a deadline, so there is a time.
            unsafe {
                *timeout = timespec { tv_sec: left.as_secs() as i64, tv_nsec: left.subsec_nanos().into() }
            };
            if left.is_zero() {
                break;
            }
        }
        if special {
            break;
        }
    }
    Ok(got)
}

/// Whether the kernel is asked for all at once first: records come whole. Of none, it knows what to say.
fn goes_at_once(fd: c_int, count: usize) -> bool {
    count == 0 || kind::of(fd, descriptors::entry(fd)) == Kind::Datagram
}

/// How many went without waiting.
fn at_once(answer: Result<usize>) -> Result<usize> {
    if answer == Err(AGAIN) { Ok(0) } else { answer }
}

/// What was done counts more than the error that ended it.
fn ended(done: usize, answer: Result<usize>) -> Result<usize> {
    match answer {
        Err(errno) if done == 0 || errno == Errno::CANCELLED => Err(errno),
        _ => Ok(done),
    }
}
