//! `accept` and `connect`, which have no flag that forbids them to wait.
//!
//! io_uring's accept has one, and a listener is often shared with other processes, which must not see its mode change.
//! Where it is not there, and for `connect`, the description is non-blocking for the length of the system call: FIONBIO
//! sets that one bit and leaves the others alone.
//!
//! Safety: addresses are the C caller's; the kernel checks them.

use core::ffi::{c_int, c_void};

use libc::{sockaddr, socklen_t};

use crate::data::Deadline;
use crate::data::fdtable::{Kind, flag};
use crate::kernel::{Errno, Result};
use crate::runtime::descriptors;
use crate::runtime::edges::Side;
use crate::runtime::{Green, uring};
use crate::syscall;

use super::face::tls;
use super::kind;
use super::turn::{AGAIN, Turn, without_waiting};

/// `accept4`; `accept` is the same without flags. An accept proves nothing of the queue: the next waiter has a look.
pub unsafe fn accept(
    green: &'static Green,
    fd: c_int,
    address: *mut sockaddr,
    length: *mut socklen_t,
    flags: c_int,
) -> Result<c_int> {
    let mut turn = Turn::new(green, fd, Side::Read, "accept")?;
    // SAFETY: the C function's contract.
    let attempt = || unsafe {
        syscall!(libc::SYS_accept4, fd, address.cast::<c_void>(), length, flags).map(|fd| fd as c_int)
    };
    if !kind::of(fd, turn.entry).is_socket() || kind::nonblocking(fd, turn.entry)? {
        let answer = turn.once(attempt());
        return answer.and_then(|new| welcome(&turn, new, flags));
    }
    if turn.may_skip_accept() {
        turn.wait()?;
    }
    loop {
        // SAFETY: the C function's contract.
        match unsafe { accept_now(&turn, address, length, flags) } {
            Err(AGAIN) => turn.wait()?,
            answer => return answer,
        }
    }
}

/// One try that does not wait, on a listener that blocks or does not. EAGAIN: nobody has come.
pub unsafe fn accept_now(
    turn: &Turn,
    address: *mut sockaddr,
    length: *mut socklen_t,
    flags: c_int,
) -> Result<c_int> {
    let fd = turn.fd;
    // SAFETY: the C function's contract.
    let attempt = || unsafe {
        syscall!(libc::SYS_accept4, fd, address.cast::<c_void>(), length, flags).map(|fd| fd as c_int)
    };
    let answer = if kind::nonblocking(fd, turn.entry)? {
        attempt()
    } else {
        // SAFETY: the C function's contract.
        let answer = unsafe { uring::accept(fd, address.cast(), length.cast(), flags) };
        answer.unwrap_or_else(|| without_waiting(fd, attempt))
    };
    match answer {
        Err(AGAIN) if turn.entry.short_read() => turn.entry.set(flag::LISTENS),
        // AF_UNIX: only an accept that waits is told that nobody can come any more.
        Err(AGAIN) if turn.reports(libc::POLLRDHUP) && !kind::nonblocking(fd, turn.entry)? => {
            return Err(Errno(libc::EINVAL));
        }
        Err(AGAIN) => {}
        _ => turn.left(false),
    }
    answer.and_then(|new| welcome(turn, new, flags))
}

/// What the program gets for an accepted socket.
fn welcome(turn: &Turn, new: c_int, flags: c_int) -> Result<c_int> {
    inherit(turn, new, flags);
    tls::accepted(turn.fd, new, flags)
}

/// An accepted socket is what its listener is; its mode comes from the flags, its timeouts may be the listener's.
fn inherit(turn: &Turn, new: c_int, flags: c_int) {
    let listener = turn.entry;
    let kept = listener.flags() & (flag::LAYERED | flag::LOWAT | flag::RECORDS | flag::LINGER);
    descriptors::born(new, listener.kind(), kept, flags & libc::SOCK_NONBLOCK != 0);
    if descriptors::is_green(turn.fd) {
        descriptors::make_green(new);
    }
    if !descriptors::is_fresh(listener) || listener.receive_ms() != 0 || listener.has(flag::SNDTIMEO) {
        descriptors::mode_changed(new);
    }
}

/// `connect`. A second call ends what the first began, as the kernel's own wait would: it gives the exact error, and
/// leaves the socket as a blocking connect does.
pub unsafe fn connect(
    green: &'static Green,
    fd: c_int,
    address: *const sockaddr,
    length: socklen_t,
) -> Result<()> {
    // SAFETY: the C function's contract.
    unsafe { connect_until(green, fd, address, length, None) }
}

/// The same with a deadline in place of SO_SNDTIMEO. EINPROGRESS, EAGAIN (AF_UNIX): it passed.
pub unsafe fn connect_until(
    green: &'static Green,
    fd: c_int,
    address: *const sockaddr,
    length: socklen_t,
    deadline: Option<Deadline>,
) -> Result<()> {
    let mut turn = Turn::new(green, fd, Side::Write, "connect")?;
    if let Some(deadline) = deadline {
        turn.until(deadline);
    }
    // SAFETY: the C function's contract.
    let attempt = || unsafe { syscall!(libc::SYS_connect, fd, address.cast::<c_void>(), length).map(drop) };
    let kind = kind::of(fd, turn.entry);
    let waits = kind.is_stream() || turn.entry.has(flag::RECORDS);
    if !waits || kind::nonblocking(fd, turn.entry)? {
        return turn.once(attempt());
    }
    // What edges told of the socket without a peer does not count; those to come do.
    turn.entry.clear(flag::SPECIAL | flag::DRAINED);
    loop {
        match without_waiting(fd, attempt) {
            Err(Errno(libc::EINPROGRESS | libc::EALREADY)) => {
                // SAFETY: the C function's contract.
                let answer = unsafe { finish(&mut turn, address.cast(), length) };
                return if answer.is_ok() { turn.once(answer) } else { answer };
            }
            // AF_UNIX: the listener's backlog is full, and nothing tells when it is not.
            Err(AGAIN) if kind != Kind::Tcp => turn.nap()?,
            answer => return turn.once(answer),
        }
    }
}

/// Waits for the end of a connection that has begun.
///
/// # Safety
/// As of `connect`.
pub unsafe fn finish(turn: &mut Turn, address: *const c_void, length: socklen_t) -> Result<()> {
    let fd = turn.fd;
    loop {
        turn.wait().map_err(|errno| in_progress(errno, AGAIN))?;
        // SAFETY: the caller's promise.
        match without_waiting(fd, || unsafe { syscall!(libc::SYS_connect, fd, address, length) }) {
            Err(Errno(libc::EINPROGRESS | libc::EALREADY)) => {}
            Ok(_) | Err(Errno(libc::EISCONN)) => return Ok(()),
            Err(errno) => {
                turn.left(false);
                return Err(errno);
            }
        }
    }
}

/// SO_SNDTIMEO passed: the connection goes on without us.
fn in_progress(errno: Errno, timed_out: Errno) -> Errno {
    if errno == timed_out { Errno(libc::EINPROGRESS) } else { errno }
}
