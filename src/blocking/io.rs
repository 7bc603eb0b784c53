//! `read`, `write` and their vectors: to the form that fits the descriptor's kind.
//!
//! Safety: buffers and vectors are the C caller's, good for the length given; the kernel checks them at the first try,
//! before anything here trusts a vector.

use core::ffi::{c_int, c_void};

use libc::iovec;

use crate::data::fdtable::{Kind, flag};
use crate::kernel::{Errno, Result};
use crate::runtime::descriptors;
use crate::runtime::edges::Side;
use crate::runtime::{Green, hub};
use crate::syscall;

use super::turn::Turn;
use super::vector::{self, Rest};
use super::{kind, nowait, socket};

/// More buffers than this are refused by `readv` and `writev` (sockets would say it differently).
const IOV_MAX: c_int = 1024;

/// Whether `n` bytes from `buffer` on are so many that `read` and `write` refuse them, whatever is there: they would reach
/// beyond all addresses. (A socket's own calls take less.)
#[inline(always)]
fn is_endless(buffer: *const c_void, n: usize) -> bool {
    n > (isize::MAX as usize).saturating_sub(buffer.addr())
}

/// `read`.
#[inline(always)]
pub unsafe fn read(green: &'static Green, fd: c_int, buffer: *mut c_void, n: usize) -> Result<usize> {
    let mut turn = Turn::new(green, fd, Side::Read, "read")?;
    // SAFETY: the C function's contract.
    unsafe {
        if turn.entry.kind() == Kind::Tcp && n > 0 && !is_endless(buffer, n) {
            match socket::receive(
                &mut turn,
                || n,
                || syscall!(libc::SYS_recvfrom, fd, buffer, n, libc::MSG_DONTWAIT),
            ) {
                NO_SOCKET => turn = reborn(turn, Side::Read)?,
                answer => return answer,
            }
        }
        anew(turn, Side::Read, |turn| read_any(turn, buffer, n))
    }
}

#[inline(never)]
unsafe fn read_any(turn: &mut Turn, buffer: *mut c_void, n: usize) -> Result<usize> {
    let fd = turn.fd;
    // SAFETY: the C function's contract.
    unsafe {
        match kind::of(fd, turn.entry) {
            // As in the kernel: nothing to read is nothing to wait for.
            _ if n == 0 || is_endless(buffer, n) => syscall!(libc::SYS_read, fd, buffer, n),
            Kind::Tcp | Kind::Stream | Kind::Datagram => socket::receive(
                turn,
                || n,
                || syscall!(libc::SYS_recvfrom, fd, buffer, n, libc::MSG_DONTWAIT),
            ),
            Kind::Pipe | Kind::Event | Kind::Device => {
                let one = iovec { iov_base: buffer, iov_len: n };
                nowait::read(turn, &one, 1)
            }
            Kind::Inline | Kind::Unknown => inline(turn.green, syscall!(libc::SYS_read, fd, buffer, n)),
        }
    }
}

/// What has no byte in it succeeds always, and no socket hears of it. (A vector that is none is for the kernel, too.)
fn is_empty(buffers: *const iovec, count: c_int) -> bool {
    !vector::has_bytes(buffers, count as usize)
}

/// `readv`.
pub unsafe fn readv(green: &'static Green, fd: c_int, buffers: *const iovec, count: c_int) -> Result<usize> {
    let turn = Turn::new(green, fd, Side::Read, "readv")?;
    // SAFETY: the C function's contract.
    unsafe { anew(turn, Side::Read, |turn| read_vector(turn, buffers, count)) }
}

unsafe fn read_vector(turn: &mut Turn, buffers: *const iovec, count: c_int) -> Result<usize> {
    let fd = turn.fd;
    // SAFETY: the C function's contract; a socket's message only points at the caller's vector.
    unsafe {
        match kind::of(fd, turn.entry) {
            kind if !(1..=IOV_MAX).contains(&count) || kind.is_socket() && is_empty(buffers, count) => {
                syscall!(libc::SYS_readv, fd, buffers, count)
            }
            kind if kind.is_socket() => {
                let total = || Rest::new(buffers, count as usize).total();
                let mut message = socket::message(buffers, count as usize);
                socket::receive(turn, total, || {
                    syscall!(libc::SYS_recvmsg, fd, &mut message, libc::MSG_DONTWAIT)
                })
            }
            Kind::Pipe | Kind::Event | Kind::Device => nowait::read(turn, buffers, count as usize),
            _ => inline(turn.green, syscall!(libc::SYS_readv, fd, buffers, count)),
        }
    }
}

/// `write`.
#[inline(always)]
pub unsafe fn write(green: &'static Green, fd: c_int, buffer: *const c_void, n: usize) -> Result<usize> {
    let mut turn = Turn::new(green, fd, Side::Write, "write")?;
    // SAFETY: the C function's contract.
    unsafe {
        if turn.entry.kind() == Kind::Tcp && !is_endless(buffer, n) {
            match socket::deliver_bytes(&mut turn, buffer, n, 0) {
                NO_SOCKET => turn = reborn(turn, Side::Write)?,
                answer => return answer,
            }
        }
        anew(turn, Side::Write, |turn| write_any(turn, buffer, n))
    }
}

#[inline(never)]
unsafe fn write_any(turn: &mut Turn, buffer: *const c_void, n: usize) -> Result<usize> {
    let fd = turn.fd;
    // SAFETY: the C function's contract.
    unsafe {
        match kind::of(fd, turn.entry) {
            _ if is_endless(buffer, n) => syscall!(libc::SYS_write, fd, buffer, n),
            Kind::Tcp | Kind::Stream => socket::deliver_bytes(turn, buffer, n, 0),
            Kind::Datagram => {
                let flags = record_end(turn) | libc::MSG_DONTWAIT;
                socket::deliver_record(turn, || syscall!(libc::SYS_sendto, fd, buffer, n, flags))
            }
            kind @ (Kind::Pipe | Kind::Event | Kind::Device) if n > 0 => {
                let one = iovec { iov_base: buffer.cast_mut(), iov_len: n };
                if kind == Kind::Event {
                    nowait::write_event(turn, &one, 1, if n == 8 { buffer.cast() } else { core::ptr::null() })
                } else {
                    nowait::write(turn, &one, 1)
                }
            }
            _ => inline(turn.green, syscall!(libc::SYS_write, fd, buffer, n)),
        }
    }
}

/// `writev`.
pub unsafe fn writev(green: &'static Green, fd: c_int, buffers: *const iovec, count: c_int) -> Result<usize> {
    let turn = Turn::new(green, fd, Side::Write, "writev")?;
    // SAFETY: the C function's contract.
    unsafe { anew(turn, Side::Write, |turn| write_vector(turn, buffers, count)) }
}

unsafe fn write_vector(turn: &mut Turn, buffers: *const iovec, count: c_int) -> Result<usize> {
    let fd = turn.fd;
    // SAFETY: the C function's contract; a socket's message only points at the caller's vector.
    unsafe {
        match kind::of(fd, turn.entry) {
            kind if !(1..=IOV_MAX).contains(&count) || kind.is_socket() && is_empty(buffers, count) => {
                syscall!(libc::SYS_writev, fd, buffers, count)
            }
            kind if kind.is_stream() => {
                socket::deliver_message(turn, &socket::message(buffers, count as usize), 0)
            }
            Kind::Datagram => {
                let message = socket::message(buffers, count as usize);
                let flags = record_end(turn) | libc::MSG_DONTWAIT;
                socket::deliver_record(turn, || syscall!(libc::SYS_sendmsg, fd, &message, flags))
            }
            Kind::Event => nowait::write_event(turn, buffers, count as usize, core::ptr::null()),
            Kind::Pipe | Kind::Device => nowait::write(turn, buffers, count as usize),
            _ => inline(turn.green, syscall!(libc::SYS_writev, fd, buffers, count)),
        }
    }
}

/// What may stand in the flags of `preadv2` and changes nothing about what can be waited for.
const HARMLESS: c_int = libc::RWF_HIPRI | libc::RWF_DSYNC | libc::RWF_SYNC | libc::RWF_APPEND;

/// Whether `preadv2` or `pwritev2` with these arguments is `readv` or `writev`: at the file's own position, of something
/// that can keep its caller waiting. The rest, other flags among it, is for the kernel to judge and never waits.
pub fn is_plain_vector(fd: c_int, offset: libc::off_t, flags: c_int) -> bool {
    offset == -1 && flags & !HARMLESS == 0 && kind::of(fd, descriptors::entry(fd)) != Kind::Inline
}

/// `write` on a SOCK_SEQPACKET socket ends a record; `send` does not.
fn record_end(turn: &Turn) -> c_int {
    if turn.entry.has(flag::RECORDS) { libc::MSG_EOR } else { 0 }
}

/// Makes `call`, once more if the number is no socket any more.
#[inline(always)]
fn anew(mut turn: Turn, side: Side, call: impl Fn(&mut Turn) -> Result<usize>) -> Result<usize> {
    match call(&mut turn) {
        NO_SOCKET => call(&mut reborn(turn, side)?),
        answer => answer,
    }
}

/// What was known of the number is not so.
const NO_SOCKET: Result<usize> = Err(Errno(libc::ENOTSOCK));

/// The number was closed and came back as something else where no row saw it: starts anew.
#[cold]
fn reborn(turn: Turn, side: Side) -> Result<Turn> {
    descriptors::closing(turn.fd);
    Turn::new(turn.green, turn.fd, side, turn.call)
}

/// What never waits counts against the caller's turn all the same.
fn inline(green: &Green, answer: Result<usize>) -> Result<usize> {
    hub().charge_inline(green);
    answer
}
