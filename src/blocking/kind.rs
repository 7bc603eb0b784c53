//! What a descriptor is and how the program set it: asked of the kernel at first sight, or when it may have changed.
//!
//! Safety: the system calls here ask about a number and write into our own variables.

use core::ffi::c_int;

use crate::data::fdtable::{Kind, flag};
use crate::kernel::Result;
use crate::runtime::answers;
use crate::runtime::descriptors::{self, Entry};
use crate::runtime::edges::Side;
use crate::syscall;

/// The kind of `fd`; at first sight the kernel is asked.
#[inline(always)]
pub fn of(fd: i32, entry: &Entry) -> Kind {
    match entry.kind() {
        Kind::Unknown => first_sight(fd, entry),
        kind => kind,
    }
}

#[cold]
fn first_sight(fd: i32, entry: &Entry) -> Kind {
    // EBADF: the call itself will say so.
    let Ok(stat) = status(fd) else { return Kind::Inline };
    let (kind, flags) = match stat.st_mode & libc::S_IFMT {
        libc::S_IFSOCK => socket_at(fd),
        libc::S_IFIFO => (Kind::Pipe, 0),
        libc::S_IFCHR if !is_memory(stat.st_rdev) => {
            (Kind::Device, if is_terminal(fd) { flag::TERMINAL } else { 0 })
        }
        0 => (Kind::Event, 0),
        _ => (Kind::Inline, 0),
    };
    descriptors::classified(fd, entry, kind, flags);
    if kind == Kind::Pipe {
        // pipe(2) gives the end that is read first.
        let before = status(fd - 1).is_ok_and(|end| (end.st_dev, end.st_ino) == (stat.st_dev, stat.st_ino));
        if before {
            answers::joined(fd, fd - 1);
        }
    }
    kind
}

/// `fstat`.
pub fn status(fd: i32) -> Result<libc::stat> {
    // SAFETY: zeroes are a valid stat, and the kernel fills it in.
    let mut stat: libc::stat = unsafe { core::mem::zeroed() };
    // SAFETY: `stat` is a live struct of the kernel's layout.
    unsafe { syscall!(libc::SYS_fstat, fd, &mut stat)? };
    Ok(stat)
}

fn is_terminal(fd: i32) -> bool {
    let mut settings = [0u64; 16];
    // SAFETY: the kernel's `struct termios` is smaller.
    unsafe { syscall!(libc::SYS_ioctl, fd, libc::TCGETS, &mut settings) }.is_ok()
}

/// /dev/null, /dev/zero, /dev/urandom and kin, which never wait; /dev/kmsg among them does.
fn is_memory(device: libc::dev_t) -> bool {
    const KMSG: u32 = 11;
    libc::major(device) == 1 && libc::minor(device) != KMSG
}

fn socket_at(fd: i32) -> (Kind, u16) {
    let ask = |name| option::<c_int>(fd, libc::SOL_SOCKET, name).unwrap_or(0);
    let (kind, flags) = socket(ask(libc::SO_DOMAIN), ask(libc::SO_TYPE), ask(libc::SO_PROTOCOL));
    let lowat = if ask(libc::SO_RCVLOWAT) > 1 { flag::LOWAT } else { 0 };
    let mut name = [0u8; 16];
    let layered = kind == Kind::Tcp
        && text(fd, libc::SOL_TCP, libc::TCP_ULP, &mut name).is_ok_and(|length| length > 0 && name[0] != 0);
    let lingers = if lingers(fd) { flag::LINGER } else { 0 };
    (kind, flags | lowat | lingers | if layered { flag::LAYERED } else { 0 })
}

/// Whether a close of `fd` waits for what is still to be sent.
pub fn lingers(fd: i32) -> bool {
    option::<libc::linger>(fd, libc::SOL_SOCKET, libc::SO_LINGER)
        .is_ok_and(|linger| linger.l_onoff != 0 && linger.l_linger > 0)
}

/// The kind of a socket made by these arguments of `socket`, with the flags that go with it.
pub fn socket(domain: c_int, kind: c_int, protocol: c_int) -> (Kind, u16) {
    const KIND: c_int = !(libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC);
    let inet = matches!(domain, libc::AF_INET | libc::AF_INET6);
    match kind & KIND {
        libc::SOCK_STREAM if inet && matches!(protocol, 0 | libc::IPPROTO_TCP) => (Kind::Tcp, 0),
        libc::SOCK_STREAM => (Kind::Stream, 0),
        libc::SOCK_SEQPACKET => (Kind::Datagram, flag::RECORDS),
        _ => (Kind::Datagram, 0),
    }
}

/// Whether the program itself asked for non-blocking mode.
pub fn nonblocking(fd: i32, entry: &Entry) -> Result<bool> {
    if !(entry.has(flag::PERSISTS) && descriptors::is_fresh(entry)) {
        refresh(fd, entry)?;
    }
    Ok(entry.has(flag::NONBLOCK))
}

/// Asks the kernel for the mode: O_NONBLOCK, and the timeouts of a socket.
#[cold]
fn refresh(fd: i32, entry: &Entry) -> Result<()> {
    // SAFETY: F_GETFL takes nothing.
    let mode = unsafe { syscall!(libc::SYS_fcntl, fd, libc::F_GETFL)? } as c_int;
    entry.clear(flag::NONBLOCK | flag::SNDTIMEO);
    entry.set_receive_ms(0);
    if mode & libc::O_NONBLOCK != 0 {
        entry.set(flag::NONBLOCK);
    }
    if of(fd, entry).is_socket() {
        let wait = milliseconds(time(fd, libc::SO_RCVTIMEO));
        entry.set_receive_ms(wait);
        if time(fd, libc::SO_SNDTIMEO) != 0 {
            entry.set(flag::SNDTIMEO);
        }
    }
    descriptors::refreshed(entry);
    Ok(())
}

fn milliseconds(nanoseconds: u64) -> u32 {
    nanoseconds.div_ceil(1_000_000).try_into().unwrap_or(u32::MAX)
}

/// SO_RCVTIMEO or SO_SNDTIMEO in nanoseconds, when the mode is fresh; None: no timeout.
pub fn timeout(fd: i32, entry: &Entry, side: Side) -> Option<u64> {
    match side {
        Side::Read => match entry.receive_ms() {
            0 => None,
            wait => Some(wait as u64 * 1_000_000),
        },
        Side::Write => {
            let wait = if entry.has(flag::SNDTIMEO) { time(fd, libc::SO_SNDTIMEO) } else { 0 };
            (wait != 0).then_some(wait)
        }
    }
}

fn time(fd: i32, name: c_int) -> u64 {
    let time: libc::timeval =
        option(fd, libc::SOL_SOCKET, name).unwrap_or(libc::timeval { tv_sec: 0, tv_usec: 0 });
    (time.tv_sec as u64).saturating_mul(1_000_000_000).saturating_add(time.tv_usec as u64 * 1000)
}

/// One socket option.
pub fn option<T: Copy>(fd: i32, level: c_int, name: c_int) -> Result<T> {
    let mut value = core::mem::MaybeUninit::<T>::zeroed();
    let mut length = size_of::<T>() as libc::socklen_t;
    // SAFETY: the kernel writes `length` bytes at most.
    unsafe { syscall!(libc::SYS_getsockopt, fd, level, name, &mut value, &mut length)? };
    // SAFETY: plain numbers, for which zeroes are valid too.
    Ok(unsafe { value.assume_init() })
}

fn text(fd: i32, level: c_int, name: c_int, into: &mut [u8]) -> Result<usize> {
    let mut length = into.len() as libc::socklen_t;
    // SAFETY: the kernel writes `length` bytes at most.
    unsafe { syscall!(libc::SYS_getsockopt, fd, level, name, into.as_mut_ptr(), &mut length)? };
    Ok(length as usize)
}
