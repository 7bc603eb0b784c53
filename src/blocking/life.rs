//! Births, deaths and changes of mode of descriptors: calls that do not wait, but that the table must see.
//!
//! Safety: pointers are the C caller's; the kernel checks them, and what it filled in is read after its success.

use core::ffi::{c_int, c_uint, c_void};
use core::sync::atomic::{AtomicBool, Ordering};

use crate::data::fdtable::{Kind, flag, gone};
use crate::kernel::{Errno, Result};
use crate::runtime::answers;
use crate::runtime::descriptors::{self, closing, duplicated, is_own};
use crate::runtime::fork::{in_child, in_vfork};
use crate::runtime::hub::active;
use crate::runtime::offload::{self, Call};
use crate::runtime::{Green, current, this};
use crate::syscall;

use super::kind;

/// SO_LINGER was set where the table did not see it: while dormant, or by a foreign thread.
static LINGERS: AtomicBool = AtomicBool::new(false);

const BAD: Errno = Errno(libc::EBADF);
/// A flag of `close_range`, which then closes nothing yet.
const CLOEXEC: c_int = 4;

/// Whether the table hears of what the caller does: a green thread, or a fork child that is dormant still and has
/// descriptors which stay green.
pub fn tells() -> bool {
    current().is_some() || has_inherited()
}

fn has_inherited() -> bool {
    !active() && descriptors::any_green() && !in_child()
}

/// `socket`.
pub fn socket(domain: c_int, kind: c_int, protocol: c_int) -> Result<c_int> {
    // SAFETY: takes no pointer.
    let fd = unsafe { syscall!(libc::SYS_socket, domain, kind, protocol)? } as c_int;
    let (seen, flags) = kind::socket(domain, kind, protocol);
    descriptors::born(fd, seen, flags, kind & libc::SOCK_NONBLOCK != 0);
    Ok(fd)
}

/// `socketpair`.
pub unsafe fn socketpair(domain: c_int, kind: c_int, protocol: c_int, pair: *mut c_int) -> Result<()> {
    // SAFETY: the C function's contract.
    unsafe { syscall!(libc::SYS_socketpair, domain, kind, protocol, pair)? };
    let (seen, flags) = kind::socket(domain, kind, protocol);
    // SAFETY: the kernel has filled the pair in.
    for fd in unsafe { [*pair, *pair.add(1)] } {
        descriptors::born(fd, seen, flags, kind & libc::SOCK_NONBLOCK != 0);
    }
    Ok(())
}

/// `pipe2`; `pipe` is the same without flags.
pub unsafe fn pipe(pair: *mut c_int, flags: c_int) -> Result<()> {
    // SAFETY: the C function's contract.
    unsafe { syscall!(libc::SYS_pipe2, pair, flags)? };
    // SAFETY: the kernel has filled the pair in.
    for fd in unsafe { [*pair, *pair.add(1)] } {
        descriptors::born(fd, Kind::Pipe, 0, flags & libc::O_NONBLOCK != 0);
    }
    // SAFETY: as above.
    unsafe { answers::joined(*pair.add(1), *pair) };
    Ok(())
}

/// `eventfd`.
pub fn eventfd(count: c_uint, flags: c_int) -> Result<c_int> {
    // SAFETY: takes no pointer.
    let fd = unsafe { syscall!(libc::SYS_eventfd2, count, flags)? } as c_int;
    descriptors::born(fd, Kind::Event, 0, flags & libc::EFD_NONBLOCK != 0);
    Ok(fd)
}

/// `epoll_create1`.
pub fn epoll_create(flags: c_int) -> Result<c_int> {
    // SAFETY: takes no pointer.
    let fd = unsafe { syscall!(libc::SYS_epoll_create1, flags)? } as c_int;
    descriptors::born(fd, Kind::Event, 0, false);
    Ok(fd)
}

/// `close`: wakes who waits there. A cancellation point.
pub fn close(green: &Green, fd: c_int) -> Result<()> {
    if green.is_cancelled() {
        return Err(Errno::CANCELLED);
    }
    close_quietly(fd)
}

/// The same, but no cancellation point.
pub fn close_quietly(fd: c_int) -> Result<()> {
    if is_own(fd) {
        return Err(BAD);
    }
    let lingers = lingers(fd);
    closing(fd);
    if lingers
        && let Some(green) = current()
        && let Some(answer) = close_lingering(green, fd)
    {
        return answer;
    }
    // SAFETY: takes no pointer.
    unsafe { syscall!(libc::SYS_close, fd).map(drop) }
}

/// Whether a close of `fd` waits until all is sent.
fn lingers(fd: c_int) -> bool {
    let may_linger = descriptors::entry(fd).has(flag::LINGER) || LINGERS.load(Ordering::Relaxed);
    may_linger && kind::lingers(fd)
}

/// A close that waits until all is sent (SO_LINGER). The number is free at once. A signal ends the wait, and the close
/// succeeds; EINTR says that it has not begun.
#[cold]
fn close_lingering(green: &'static Green, fd: c_int) -> Option<Result<()>> {
    let arguments = [fd as usize, 0, 0, 0, 0, 0];
    let call = Call { name: "close", restarts: true, cancellable: false, number: libc::SYS_close, arguments };
    loop {
        // SAFETY: takes no pointer.
        let answer = unsafe { offload::call(green, &call)? };
        if answer != Err(Errno(libc::EINTR)) {
            return Some(answer.map(drop));
        }
    }
}

/// A close of `fd` by a foreign thread or a signal handler: `close` does it, and the hub learns of it. EBADF: the number
/// is the library's own. What a vfork child closes is its own matter.
pub fn close_elsewhere<T>(fd: c_int, close: impl FnOnce() -> T) -> Result<T> {
    if has_inherited() {
        descriptors::leaves_green(fd);
    }
    if !active() || in_vfork() {
        return Ok(close());
    }
    if is_own(fd) {
        return Err(BAD);
    }
    if this().is_none() {
        descriptors::closed_elsewhere(fd, gone::CLOSED);
        return Ok(close());
    }
    let answer = close();
    descriptors::closed_elsewhere(fd, gone::PERHAPS);
    Ok(answer)
}

/// The same for a number that another descriptor takes.
pub fn replace_elsewhere<T>(fd: c_int, replace: impl FnOnce() -> T) -> Result<T> {
    if active() && !in_vfork() {
        if is_own(fd) {
            return Err(BAD);
        }
        if this().is_none() {
            descriptors::closed_elsewhere(fd, gone::CLOSED);
        }
    }
    Ok(replace())
}

/// `fclose` of a stream on `fd`, by somebody who [`tells`].
pub fn stream_closes(fd: c_int) {
    closing(fd);
}

/// `close_range` while dormant.
pub fn range_closes(first: c_uint, last: c_uint, flags: c_int) {
    if flags & CLOEXEC == 0 && has_inherited() {
        descriptors::all_leave_green(first, last);
    }
}

/// `close_range`, around the library's own. Any thread; a green thread's call also tells the table.
pub fn close_range(first: c_uint, last: c_uint, flags: c_int, tells: bool) -> Result<()> {
    if tells && flags & CLOEXEC == 0 {
        descriptors::each_known(first, last).filter(|fd| lingers(*fd)).for_each(|fd| _ = close_quietly(fd));
    }
    let mut from = first;
    let holes = descriptors::own().into_iter().filter(|own| *own >= 0).map(|own| own as c_uint);
    for hole in holes.filter(|own| (first..=last).contains(own)) {
        if hole > from {
            close_span(from, hole - 1, flags, tells && flags & CLOEXEC == 0)?;
        }
        from = hole + 1;
    }
    if from <= last || first > last {
        close_span(from, last, flags, tells && flags & CLOEXEC == 0)?;
    }
    Ok(())
}

fn close_span(first: c_uint, last: c_uint, flags: c_int, tells: bool) -> Result<()> {
    if tells && first <= last {
        descriptors::closing_range(first, last);
    }
    // SAFETY: takes no pointer.
    unsafe { syscall!(libc::SYS_close_range, first, last, flags).map(drop) }
}

/// `dup`.
pub fn dup(fd: c_int) -> Result<c_int> {
    // SAFETY: takes no pointer.
    let new = unsafe { syscall!(libc::SYS_dup, fd)? } as c_int;
    duplicated(fd, new);
    Ok(new)
}

/// `dup2`.
pub fn dup2(fd: c_int, new: c_int) -> Result<c_int> {
    let replaced = replace(fd, new)?;
    // SAFETY: takes no pointer.
    unsafe { syscall!(libc::SYS_dup2, fd, new)? };
    if fd != new {
        duplicated(fd, new);
    }
    drop(replaced);
    Ok(new)
}

/// `dup3`.
pub fn dup3(fd: c_int, new: c_int, flags: c_int) -> Result<c_int> {
    let replaced = if flags & !libc::O_CLOEXEC == 0 { replace(fd, new)? } else { None };
    // SAFETY: takes no pointer.
    unsafe { syscall!(libc::SYS_dup3, fd, new, flags)? };
    duplicated(fd, new);
    drop(replaced);
    Ok(new)
}

/// A socket that goes by `dup2`, under another number until it has sent all: its end is a close that waits.
struct Lingering(c_int);

impl Drop for Lingering {
    fn drop(&mut self) {
        let waited = current().and_then(|green| close_lingering(green, self.0));
        if waited.is_none() {
            // SAFETY: takes no pointer.
            let _ = unsafe { syscall!(libc::SYS_close, self.0) };
        }
    }
}

/// What stands at `new` is about to go, if `fd` is there to take its place.
fn replace(fd: c_int, new: c_int) -> Result<Option<Lingering>> {
    if is_own(new) {
        return Err(BAD);
    }
    if fd == new {
        return Ok(None);
    }
    // SAFETY: F_GETFD takes nothing.
    unsafe { syscall!(libc::SYS_fcntl, fd, libc::F_GETFD)? };
    let lingers = lingers(new);
    closing(new);
    // SAFETY: takes no pointer.
    let aside = || unsafe { syscall!(libc::SYS_fcntl, new, libc::F_DUPFD_CLOEXEC, 0) };
    Ok(if lingers { aside().ok().map(|aside| Lingering(aside as c_int)) } else { None })
}

/// The commands of `fcntl` that the table must see; None: another one.
pub fn fcntl(fd: c_int, command: c_int, argument: usize) -> Option<Result<c_int>> {
    // SAFETY: these commands take numbers.
    let call = || unsafe { syscall!(libc::SYS_fcntl, fd, command, argument).map(|answer| answer as c_int) };
    match command {
        libc::F_DUPFD | libc::F_DUPFD_CLOEXEC => Some(call().inspect(|&new| duplicated(fd, new))),
        libc::F_SETFL => Some(call().inspect(|_| descriptors::mode_changed(fd))),
        _ => None,
    }
}

/// `fd` has a new mode by the hand of whoever calls: F_SETFL, FIONBIO.
pub fn mode_changed(fd: c_int, green: Option<&Green>) {
    match green {
        Some(_) => descriptors::mode_changed(fd),
        None if active() => descriptors::mode_changed_elsewhere(),
        None => {}
    }
}

/// Somebody who is no green thread sets an option of a socket.
pub fn option_set_elsewhere(fd: c_int, level: c_int, name: c_int) {
    if (level, name) == (libc::SOL_SOCKET, libc::SO_LINGER) {
        LINGERS.store(true, Ordering::Relaxed);
    }
    if level == libc::SOL_SOCKET {
        mode_changed(fd, None);
    }
}

/// `setsockopt`.
pub unsafe fn setsockopt(
    fd: c_int,
    level: c_int,
    name: c_int,
    value: *const c_void,
    length: libc::socklen_t,
) -> Result<()> {
    // SAFETY: the C function's contract.
    unsafe { syscall!(libc::SYS_setsockopt, fd, level, name, value, length)? };
    /// The forms with a 64-bit time, which x86-64 has as well.
    const NEW_TIMEOUTS: [c_int; 2] = [66, 67];
    match (level, name) {
        (libc::SOL_SOCKET, libc::SO_RCVTIMEO | libc::SO_SNDTIMEO) => descriptors::mode_changed(fd),
        (libc::SOL_SOCKET, name) if NEW_TIMEOUTS.contains(&name) => descriptors::mode_changed(fd),
        (libc::SOL_SOCKET, libc::SO_RCVLOWAT) => descriptors::beware(fd, flag::LOWAT),
        (libc::SOL_SOCKET, libc::SO_LINGER) => descriptors::beware(fd, flag::LINGER),
        (libc::SOL_TCP, libc::TCP_ULP) => descriptors::beware(fd, flag::LAYERED),
        _ => {}
    }
    Ok(())
}

/// `shutdown`: who waits learns it by an edge; who comes later must ask.
pub fn shutdown(fd: c_int, how: c_int) -> Result<()> {
    descriptors::entry(fd).clear(flag::DRAINED | flag::LISTENS);
    // SAFETY: takes no pointer.
    unsafe { syscall!(libc::SYS_shutdown, fd, how).map(drop) }
}

/// `epoll`, a program's epoll descriptor, watches one that is green whatever is patched.
pub fn watches(epoll: c_int) {
    if !is_own(epoll) {
        kind::of(epoll, descriptors::entry(epoll));
        descriptors::make_green(epoll);
    }
}

/// Whether `fd` is open.
pub fn is_open(fd: c_int) -> bool {
    // SAFETY: F_GETFD takes nothing.
    unsafe { syscall!(libc::SYS_fcntl, fd, libc::F_GETFD) }.is_ok()
}
