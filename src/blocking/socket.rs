//! Receiving from sockets and sending to them.
//!
//! Every try is a call with MSG_DONTWAIT: nobody who shares the socket sees its mode change. A blocking send on a
//! stream delivers everything, or the count already sent when something ends it; only its first part may raise SIGPIPE
//! and carries control data.
//!
//! Safety: buffers, vectors, messages and addresses are the C caller's; the kernel checks them at the first try, before
//! anything here looks into a message.

use core::ffi::{c_int, c_void};

use libc::{iovec, msghdr, sockaddr, socklen_t};

use crate::data::fdtable::{Kind, flag};
use crate::kernel::{Errno, Result};
use crate::runtime::Green;
use crate::runtime::edges::Side;
use crate::syscall;

use super::face::tls::ledger;
use super::turn::{AGAIN, Turn, poll_now};
use super::vector::Rest;
use super::whole::{fills, receive_all};
use super::{connection, kind};

/// Flags with which a receive never waits.
const RECEIVES_ONCE: c_int = libc::MSG_DONTWAIT | libc::MSG_OOB | libc::MSG_ERRQUEUE;

/// `recv`.
#[inline(always)]
pub unsafe fn recv(
    green: &'static Green,
    fd: c_int,
    buffer: *mut c_void,
    n: usize,
    flags: c_int,
) -> Result<usize> {
    let mut turn = Turn::new(green, fd, Side::Read, "recv")?;
    // SAFETY: the C function's contract.
    unsafe {
        if flags == 0 && turn.entry.kind() == Kind::Tcp {
            receive(&mut turn, || n, || syscall!(libc::SYS_recvfrom, fd, buffer, n, libc::MSG_DONTWAIT))
        } else {
            let nowhere = core::ptr::null_mut();
            receive_any(turn, buffer, n, flags, nowhere, nowhere.cast())
        }
    }
}

/// `recvfrom`.
pub unsafe fn recvfrom(
    green: &'static Green,
    fd: c_int,
    buffer: *mut c_void,
    n: usize,
    flags: c_int,
    from: *mut sockaddr,
    length: *mut socklen_t,
) -> Result<usize> {
    let turn = Turn::new(green, fd, Side::Read, "recvfrom")?;
    // SAFETY: the C function's contract.
    unsafe { receive_any(turn, buffer, n, flags, from.cast(), length) }
}

#[inline(never)]
unsafe fn receive_any(
    mut turn: Turn,
    buffer: *mut c_void,
    n: usize,
    flags: c_int,
    from: *mut c_void,
    length: *mut socklen_t,
) -> Result<usize> {
    let fd = turn.fd;
    let kind = kind::of(fd, turn.entry);
    let now = flags & !libc::MSG_WAITALL | libc::MSG_DONTWAIT;
    // SAFETY: the C function's contract.
    let attempt = || unsafe { syscall!(libc::SYS_recvfrom, fd, buffer, n, now, from, length) };
    if !kind.is_socket() || flags & RECEIVES_ONCE != 0 {
        // SAFETY: the C function's contract.
        let answer =
            turn.once(unsafe { syscall!(libc::SYS_recvfrom, fd, buffer, n, flags, from, length) })?;
        return came(&turn, answer, || n);
    }
    if fills(kind, flags) {
        let whole = iovec { iov_base: buffer, iov_len: n };
        // SAFETY: one buffer, on this frame.
        let whole = || unsafe { Rest::new(&whole, 1) };
        return receive_all(&mut turn, &whole, flags, &mut || attempt().map(|count| (count, false)));
    }
    if flags & libc::MSG_PEEK != 0 {
        return peek(&mut turn, attempt);
    }
    receive(&mut turn, || n, attempt)
}

/// `recvmsg`.
pub unsafe fn recvmsg(green: &'static Green, fd: c_int, message: *mut msghdr, flags: c_int) -> Result<usize> {
    let mut turn = Turn::new(green, fd, Side::Read, "recvmsg")?;
    let kind = kind::of(fd, turn.entry);
    // SAFETY: the C function's contract; `message` is looked into after the kernel has taken it.
    unsafe {
        if !kind.is_socket() || flags & RECEIVES_ONCE != 0 {
            let count = turn.once(syscall!(libc::SYS_recvmsg, fd, message, flags))?;
            return came(&turn, count, || Rest::new((*message).msg_iov, (*message).msg_iovlen).total());
        }
        let now = flags & !libc::MSG_WAITALL | libc::MSG_DONTWAIT;
        let attempt = || syscall!(libc::SYS_recvmsg, fd, message, now);
        let buffers = || Rest::new((*message).msg_iov, (*message).msg_iovlen);
        if fills(kind, flags) {
            let mut first = || {
                let count = attempt()?;
                let ends = libc::MSG_EOR | libc::MSG_CTRUNC;
                Ok((count, (*message).msg_controllen > 0 || (*message).msg_flags & ends != 0))
            };
            return receive_all(&mut turn, &buffers, flags, &mut first);
        }
        if flags & libc::MSG_PEEK != 0 {
            return peek(&mut turn, attempt);
        }
        receive(&mut turn, || buffers().total(), attempt)
    }
}

/// A receive that takes what there is. `asked`: the room it has, asked for once the kernel knows the vector.
#[inline(always)]
pub fn receive(
    turn: &mut Turn,
    asked: impl Fn() -> usize,
    mut attempt: impl FnMut() -> Result<usize>,
) -> Result<usize> {
    if turn.entry.has(flag::LOWAT) && turn.entry.kind().is_stream() {
        return receive_enough(turn, &asked, &mut attempt);
    }
    if turn.may_skip_read() && asked() != 0 {
        turn.wait()?;
    }
    loop {
        match attempt() {
            Ok(count) => {
                turn.left(count != 0 && count < asked() && turn.entry.short_read());
                return came(turn, count, asked);
            }
            Err(AGAIN) => {
                if has_ended(turn) {
                    return Ok(0);
                }
                turn.entry.short_read();
                turn.wait()?;
            }
            Err(errno) => {
                turn.left(false);
                return Err(errno);
            }
        }
    }
}

/// Whether nothing more can be received: a socket of letters says EAGAIN then, but a receive that waits ends with 0.
#[inline(always)]
fn has_ended(turn: &Turn) -> bool {
    turn.entry.kind() == Kind::Datagram && turn.reports(libc::POLLRDHUP) && turn.must_block().is_ok()
}

/// `count` bytes came of those asked for. None: the end, or what a TLS connection failed with.
#[inline(always)]
pub(super) fn came(turn: &Turn, count: usize, asked: impl Fn() -> usize) -> Result<usize> {
    if count == 0 && asked() != 0 { ledger::end(turn.fd, turn.entry.kind()) } else { Ok(count) }
}

/// A look that takes nothing.
fn peek(turn: &mut Turn, mut attempt: impl FnMut() -> Result<usize>) -> Result<usize> {
    loop {
        match attempt() {
            Err(AGAIN) if !has_ended(turn) => turn.wait()?,
            answer => {
                turn.left(false);
                return came(turn, if answer == Err(AGAIN) { 0 } else { answer? }, || 1);
            }
        }
    }
}

/// A receive with SO_RCVLOWAT: less than that is not enough, unless less was asked for or nothing more can come.
#[cold]
fn receive_enough(
    turn: &mut Turn,
    asked: &dyn Fn() -> usize,
    attempt: &mut dyn FnMut() -> Result<usize>,
) -> Result<usize> {
    let fd = turn.fd;
    loop {
        let lowat = kind::option::<c_int>(fd, libc::SOL_SOCKET, libc::SO_RCVLOWAT).unwrap_or(1) as usize;
        let target = lowat.min(asked());
        let ends = libc::POLLHUP | libc::POLLERR | libc::POLLRDHUP;
        if queued(fd) >= target || poll_now(fd, libc::POLLRDHUP) & ends != 0 || turn.must_block().is_err() {
            match attempt() {
                Err(AGAIN) => turn.must_block()?,
                answer => return came(turn, turn.once(answer)?, asked),
            }
        }
        // TCP gives its edge at the mark; the others, and a smaller request, have none to wait for.
        if turn.entry.kind() == Kind::Tcp && target == lowat { turn.wait_for_edge()? } else { turn.nap()? }
    }
}

/// Bytes that wait to be read.
pub(super) fn queued(fd: c_int) -> usize {
    let mut count: c_int = 0;
    // SAFETY: FIONREAD writes an int.
    let _ = unsafe { syscall!(libc::SYS_ioctl, fd, libc::FIONREAD, &mut count) };
    count as usize
}

/// `send`.
#[inline(always)]
pub unsafe fn send(
    green: &'static Green,
    fd: c_int,
    buffer: *const c_void,
    n: usize,
    flags: c_int,
) -> Result<usize> {
    let mut turn = Turn::new(green, fd, Side::Write, "send")?;
    // SAFETY: the C function's contract.
    unsafe {
        if turn.entry.kind() == Kind::Tcp && flags & (libc::MSG_DONTWAIT | libc::MSG_FASTOPEN) == 0 {
            deliver_bytes(&mut turn, buffer, n, flags)
        } else {
            send_any(turn, buffer, n, flags, core::ptr::null(), 0)
        }
    }
}

/// `sendto`.
pub unsafe fn sendto(
    green: &'static Green,
    fd: c_int,
    buffer: *const c_void,
    n: usize,
    flags: c_int,
    to: *const sockaddr,
    length: socklen_t,
) -> Result<usize> {
    let turn = Turn::new(green, fd, Side::Write, "sendto")?;
    // SAFETY: the C function's contract.
    unsafe { send_any(turn, buffer, n, flags, to.cast(), length) }
}

#[inline(never)]
unsafe fn send_any(
    mut turn: Turn,
    buffer: *const c_void,
    n: usize,
    flags: c_int,
    to: *const c_void,
    length: socklen_t,
) -> Result<usize> {
    let fd = turn.fd;
    let kind = kind::of(fd, turn.entry);
    // SAFETY: the C function's contract.
    let attempt = |flags: c_int| unsafe { syscall!(libc::SYS_sendto, fd, buffer, n, flags, to, length) };
    if !kind.is_socket() || flags & libc::MSG_DONTWAIT != 0 {
        return turn.once(attempt(flags));
    }
    let now = flags | libc::MSG_DONTWAIT;
    if kind == Kind::Datagram {
        return deliver_record(&mut turn, || attempt(now));
    }
    let whole = iovec { iov_base: buffer.cast_mut(), iov_len: n };
    // SAFETY: one buffer, on this frame.
    let rest = unsafe { Rest::new(&whole, 1) };
    if flags & libc::MSG_FASTOPEN != 0 {
        return open_and_deliver(&mut turn, || (to, length), || rest, flags, attempt);
    }
    deliver(&mut turn, || rest, flags, || attempt(now))
}

/// `sendmsg`.
pub unsafe fn sendmsg(
    green: &'static Green,
    fd: c_int,
    message: *const msghdr,
    flags: c_int,
) -> Result<usize> {
    let mut turn = Turn::new(green, fd, Side::Write, "sendmsg")?;
    let kind = kind::of(fd, turn.entry);
    let now = flags | libc::MSG_DONTWAIT;
    // SAFETY: the C function's contract; `message` is looked into after the kernel has taken it.
    unsafe {
        if !kind.is_socket() || flags & libc::MSG_DONTWAIT != 0 {
            turn.once(syscall!(libc::SYS_sendmsg, fd, message, flags))
        } else if kind == Kind::Datagram {
            deliver_record(&mut turn, || syscall!(libc::SYS_sendmsg, fd, message, now))
        } else {
            deliver_message(&mut turn, message, flags)
        }
    }
}

/// Sends all of `buffer` on a stream.
///
/// # Safety
/// `n` bytes lie there.
#[inline(always)]
pub unsafe fn deliver_bytes(turn: &mut Turn, buffer: *const c_void, n: usize, flags: c_int) -> Result<usize> {
    let (fd, now) = (turn.fd, flags | libc::MSG_DONTWAIT);
    let whole = iovec { iov_base: buffer.cast_mut(), iov_len: n };
    // SAFETY: the caller's promise.
    deliver(
        turn,
        || unsafe { Rest::new(&whole, 1) },
        flags,
        || unsafe { syscall!(libc::SYS_sendto, fd, buffer, n, now) },
    )
}

/// Sends all of `message` on a stream; its name and control data go with the first part.
///
/// # Safety
/// A message as of `sendmsg`.
pub unsafe fn deliver_message(turn: &mut Turn, message: *const msghdr, flags: c_int) -> Result<usize> {
    let (fd, now) = (turn.fd, flags | libc::MSG_DONTWAIT);
    // SAFETY: the caller's promise; looked into after the kernel has taken it.
    let whole = || unsafe { Rest::new((*message).msg_iov, (*message).msg_iovlen) };
    // SAFETY: as above.
    let attempt = |flags: c_int| unsafe { syscall!(libc::SYS_sendmsg, fd, message, flags) };
    if flags & libc::MSG_FASTOPEN != 0 {
        // SAFETY: as above.
        let to = || unsafe { ((*message).msg_name.cast_const(), (*message).msg_namelen) };
        return open_and_deliver(turn, to, whole, flags, attempt);
    }
    deliver(turn, whole, flags, || attempt(now))
}

/// A send with MSG_FASTOPEN, which connects to `to`. Without a cookie the connection is waited for first, and nothing was
/// sent.
#[cold]
fn open_and_deliver<'a>(
    turn: &mut Turn,
    to: impl Fn() -> (*const c_void, socklen_t),
    whole: impl Fn() -> Rest<'a>,
    flags: c_int,
    attempt: impl Fn(c_int) -> Result<usize>,
) -> Result<usize> {
    let later = flags & !libc::MSG_FASTOPEN;
    let mut opened = Some(attempt(flags | libc::MSG_DONTWAIT));
    if opened == Some(Err(Errno(libc::EINPROGRESS))) {
        let (address, length) = to();
        // SAFETY: the kernel has taken the address.
        unsafe { connection::finish(turn, address, length)? };
        opened = None;
    }
    deliver(turn, whole, later, || opened.take().unwrap_or_else(|| attempt(later | libc::MSG_DONTWAIT)))
}

/// A send on a stream whose first try is `first`; `whole` is the vector.
#[inline(always)]
fn deliver<'a>(
    turn: &mut Turn,
    whole: impl Fn() -> Rest<'a>,
    flags: c_int,
    mut first: impl FnMut() -> Result<usize>,
) -> Result<usize> {
    loop {
        match first() {
            Ok(count) => {
                let rest = whole();
                if count < rest.total() {
                    return deliver_rest(turn, rest, flags, count);
                }
                turn.left(false);
                return Ok(count);
            }
            Err(AGAIN) => {
                turn.wait()?;
                if let Err(errno) = after_wait(turn) {
                    turn.left(false);
                    return Err(errno);
                }
            }
            Err(errno) => {
                turn.left(false);
                return Err(errno);
            }
        }
    }
}

/// What a send on an AF_UNIX stream that has waited ends with: an error of the socket, or EPIPE without a signal. A new
/// one would say EPIPE first, and raise SIGPIPE.
pub fn after_wait(turn: &Turn) -> Result<()> {
    let ask = |name| kind::option::<c_int>(turn.fd, libc::SOL_SOCKET, name).unwrap_or(0);
    if turn.entry.kind() != Kind::Stream || ask(libc::SO_DOMAIN) != libc::AF_UNIX {
        return Ok(());
    }
    match if turn.reports(libc::POLLERR) { ask(libc::SO_ERROR) } else { 0 } {
        0 => {}
        errno => return Err(Errno(errno)),
    }
    let quietly = libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL;
    // SAFETY: nothing is sent.
    match unsafe { syscall!(libc::SYS_sendto, turn.fd, 0, 0, quietly) } {
        Err(Errno(libc::EPIPE)) => Err(Errno(libc::EPIPE)),
        _ => Ok(()),
    }
}

/// Sends what is left after `sent` bytes.
#[cold]
fn deliver_rest(turn: &mut Turn, mut rest: Rest<'_>, flags: c_int, mut sent: usize) -> Result<usize> {
    let now = flags | libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL;
    rest.skip(sent);
    turn.has_part();
    loop {
        let (window, count) = rest.window();
        let part = message(window.as_ptr(), count);
        // SAFETY: the window lies within the caller's buffers.
        match unsafe { syscall!(libc::SYS_sendmsg, turn.fd, &part, now) } {
            Ok(count) => {
                sent += count;
                rest.skip(count);
                if rest.total() == 0 {
                    break;
                }
            }
            Err(AGAIN) => match turn.wait() {
                Err(Errno::CANCELLED) => return Err(Errno::CANCELLED),
                // An error is for the next call to find.
                Ok(()) if after_wait(turn).is_ok() && !turn.reports(libc::POLLERR | libc::POLLHUP) => {}
                _ => break,
            },
            Err(_) => break,
        }
    }
    turn.left(false);
    Ok(sent)
}

/// Sends one record. AF_UNIX refuses while the receiver's queue is full and still says writable: there is no edge then.
pub fn deliver_record(turn: &mut Turn, mut attempt: impl FnMut() -> Result<usize>) -> Result<usize> {
    loop {
        match attempt() {
            Err(AGAIN) => {
                turn.must_block()?;
                if poll_now(turn.fd, libc::POLLOUT) & libc::POLLOUT != 0 {
                    turn.nap()?;
                } else {
                    turn.wait_for_edge()?;
                }
            }
            answer => {
                turn.left(false);
                return answer;
            }
        }
    }
}

/// A message of these buffers and nothing else.
pub fn message(buffers: *const iovec, count: usize) -> msghdr {
    msghdr {
        msg_name: core::ptr::null_mut(),
        msg_namelen: 0,
        msg_iov: buffers.cast_mut(),
        msg_iovlen: count,
        msg_control: core::ptr::null_mut(),
        msg_controllen: 0,
        msg_flags: 0,
    }
}
