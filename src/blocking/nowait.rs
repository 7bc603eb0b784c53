//! Reading and writing what has no MSG_DONTWAIT: pipes, eventfds, terminals.
//!
//! RWF_NOWAIT tries without waiting and changes nobody's mode. Where it does not work (FIFOs with a name, terminals, old
//! kernels) the descriptor is polled first, and a write then takes no more than fits for sure. Nothing fits for sure into a
//! terminal: it is opened once more, not to wait, for the length of a try.
//!
//! Safety: vectors are the C caller's; the kernel checks them before anything here looks into one.

use core::ptr;
use core::sync::atomic::{AtomicBool, Ordering};

use libc::iovec;

use crate::data::fdtable::{Kind, flag};
use crate::kernel::options::{self, fault};
use crate::kernel::syscall::Word;
use crate::kernel::{Errno, Result};
use crate::runtime::descriptors::Entry;
use crate::runtime::offload::{self, Call};
use crate::runtime::{answers, signals};
use crate::syscall;

use super::turn::{AGAIN, Turn, poll_now, without_waiting};
use super::vector::{self, Rest};
use super::{kind, terminal};

/// `readv` of `count` buffers.
///
/// # Safety
/// As of `readv`.
pub unsafe fn read(turn: &mut Turn, buffers: *const iovec, count: usize) -> Result<usize> {
    let fd = turn.fd;
    let entry = turn.entry;
    let mut waited = answers::let_answer(turn.green, entry);
    if waited && turn.green.is_cancelled() {
        return Err(Errno::CANCELLED);
    }
    let green = turn.green;
    let answer = turn.repeat(|| {
        // SAFETY: the caller's promise.
        let answer =
            unsafe { signals::shown(green, ptr::null(), || attempt_read(fd, entry, buffers, count)) };
        waited |= answer == Err(AGAIN);
        answer
    });
    if waited {
        entry.set(flag::WAITED);
    } else {
        entry.clear(flag::WAITED);
    }
    answer
}

/// One try.
///
/// # Safety
/// As of `readv`.
unsafe fn attempt_read(fd: i32, entry: &Entry, buffers: *const iovec, count: usize) -> Result<usize> {
    if has_nowait(entry, flag::NO_NOWAIT_READ) {
        // SAFETY: the caller's promise; offset -1 is the file's own position.
        let answer =
            unsafe { syscall!(libc::SYS_preadv2, fd, buffers, count, -1isize, -1isize, libc::RWF_NOWAIT) };
        if !is_unknown(answer) {
            return answer;
        }
        entry.set(flag::NO_NOWAIT_READ);
    }
    if entry.kind() == Kind::Device {
        terminal::before_read(fd)?;
    }
    if poll_now(fd, libc::POLLIN) == 0 {
        if !vector::judge(libc::SYS_preadv2, fd, buffers, count)? {
            return Ok(0);
        }
        // SAFETY: the caller's promise; the kernel knows the vector.
        let asked = unsafe { Rest::new(buffers, count) }.total();
        // Too little for a number: what counts says so and does not wait.
        if entry.kind() != Kind::Event || asked >= size_of::<u64>() {
            return Err(AGAIN);
        }
        // SAFETY: the caller's promise.
        return without_waiting(fd, || unsafe { syscall!(libc::SYS_readv, fd, buffers, count) });
    }
    // SAFETY: the caller's promise.
    unsafe { syscall!(libc::SYS_readv, fd, buffers, count) }
}

/// `writev` of `count` buffers: all of it, or the count already written when something ends it.
///
/// # Safety
/// As of `writev`.
pub unsafe fn write(turn: &mut Turn, buffers: *const iovec, count: usize) -> Result<usize> {
    if turn.entry.has(flag::TERMINAL) && !kind::nonblocking(turn.fd, turn.entry)? && !may_reopen(turn.fd) {
        // SAFETY: the caller's promise.
        if let Some(answer) = unsafe { offloaded(turn, buffers, count) } {
            return answer;
        }
    }
    // SAFETY: the caller's promise.
    let mut rest = unsafe { Rest::new(buffers, count) };
    let mut written = 0;
    loop {
        // SAFETY: the caller's promise; the window lies within the caller's buffers.
        let answer = unsafe {
            if written == 0 {
                attempt(turn, buffers, count)
            } else {
                let (window, count) = rest.window();
                attempt(turn, window.as_ptr(), count)
            }
        };
        match answer {
            Ok((count, more)) => {
                written += count;
                rest.skip(count);
                turn.has_part();
                answers::wrote(turn.entry);
                if !more || rest.total() == 0 {
                    break;
                }
            }
            Err(AGAIN) => match turn.wait() {
                Ok(()) => {}
                Err(errno) if written == 0 || errno == Errno::CANCELLED => return Err(errno),
                Err(_) => break,
            },
            Err(errno) if written == 0 => {
                turn.left(false);
                return Err(errno);
            }
            Err(_) => break,
        }
    }
    turn.left(false);
    Ok(written)
}

/// `writev` on a thread of its own.
unsafe fn offloaded(turn: &Turn, buffers: *const iovec, count: usize) -> Option<Result<usize>> {
    let arguments = [turn.fd.word(), buffers.word(), count, 0, 0, 0];
    let call =
        Call { name: turn.call, restarts: true, cancellable: true, number: libc::SYS_writev, arguments };
    // SAFETY: the caller's promise.
    unsafe { offload::call(turn.green, &call) }
}

/// Whether the terminal `fd` is the same when it is opened again: not so the master of a pseudo-terminal.
fn may_reopen(fd: i32) -> bool {
    const MULTIPLEXER: libc::dev_t = libc::makedev(5, 2);
    kind::status(fd).is_ok_and(|stat| stat.st_rdev != MULTIPLEXER) && reopened(fd, |_| Ok(0)).is_ok()
}

/// Does `call` with another description of what `fd` stands for, which does not wait.
fn reopened(fd: i32, call: impl FnOnce(i32) -> Result<usize>) -> Result<usize> {
    const FLAGS: i32 = libc::O_WRONLY | libc::O_NONBLOCK | libc::O_NOCTTY | libc::O_CLOEXEC;
    let mut path = *b"/proc/self/fd/\0\0\0\0\0\0\0\0\0\0\0\0";
    let mut place = b"/proc/self/fd/".len() + fd.checked_ilog10().unwrap_or(0) as usize;
    let mut number = fd;
    loop {
        path[place] = b'0' + (number % 10) as u8;
        number /= 10;
        if number == 0 {
            break;
        }
        place -= 1;
    }
    // SAFETY: the path ends in its NUL; the descriptor is ours.
    unsafe {
        let own = syscall!(libc::SYS_openat, libc::AT_FDCWD, path.as_ptr(), FLAGS)? as i32;
        let answer = call(own);
        let _ = syscall!(libc::SYS_close, own);
        answer
    }
}

/// `writev` to what takes all or nothing: an eventfd, which says writable as long as it can count one more. For large
/// numbers, its mode forbids to wait for the length of the try; where others share it, the call is offloaded.
///
/// `word`: where the only buffer is, if it has eight bytes, or NULL.
///
/// # Safety
/// As of `writev`.
pub unsafe fn write_event(
    turn: &mut Turn,
    buffers: *const iovec,
    count: usize,
    word: *const u64,
) -> Result<usize> {
    let (fd, entry) = (turn.fd, turn.entry);
    // SAFETY: the caller's promise.
    let attempt = || unsafe { syscall!(libc::SYS_writev, fd, buffers, count) };
    let answer = if kind::nonblocking(fd, entry)? {
        let answer = attempt();
        turn.left(false);
        answer
    // SAFETY: the caller's promise.
    } else if unsafe { is_small(word) } {
        // What is no counter at all never says writable.
        let judge = || vector::judge(libc::SYS_pwritev2, fd, buffers, count);
        turn.repeat(|| if poll_now(fd, libc::POLLOUT) == 0 { judge().and(Err(AGAIN)) } else { attempt() })
    } else if entry.has(flag::SHARED) {
        // SAFETY: the caller's promise.
        match unsafe { offloaded(turn, buffers, count) } {
            Some(answer) => answer,
            None => turn.repeat(|| without_waiting(fd, attempt)),
        }
    } else {
        turn.repeat(|| without_waiting(fd, attempt))
    };
    if answer.is_ok() {
        answers::wrote(entry);
    }
    answer
}

/// Somebody counts by numbers so large that a counter may be full.
static LARGE: AtomicBool = AtomicBool::new(false);

/// Whether what counts at all can count `word` more: nothing was ever as large. Before it is looked at, the kernel says that
/// there is something to look at: it takes eight bytes, a signal set, and refuses what shall be done with it.
///
/// # Safety
/// Nobody takes the memory away meanwhile.
unsafe fn is_small(word: *const u64) -> bool {
    const NOTHING: i32 = -1;
    // SAFETY: the kernel copies eight bytes or says that it cannot; only then they are read.
    unsafe {
        let known = !word.is_null()
            && syscall!(libc::SYS_rt_sigprocmask, NOTHING, word, 0, size_of::<u64>())
                == Err(Errno(libc::EINVAL));
        if known && word.read_unaligned() > u32::MAX.into() {
            LARGE.store(true, Ordering::Relaxed);
        }
        known && !LARGE.load(Ordering::Relaxed)
    }
}

/// One try; whether more may follow it.
///
/// # Safety
/// As of `writev`.
unsafe fn attempt(turn: &Turn, buffers: *const iovec, count: usize) -> Result<(usize, bool)> {
    let (fd, entry) = (turn.fd, turn.entry);
    if has_nowait(entry, flag::NO_NOWAIT_WRITE) {
        // SAFETY: the caller's promise; offset -1 is the file's own position.
        let answer =
            unsafe { syscall!(libc::SYS_pwritev2, fd, buffers, count, -1isize, -1isize, libc::RWF_NOWAIT) };
        if !is_unknown(answer) {
            return answer.map(|count| (count, true));
        }
        entry.set(flag::NO_NOWAIT_WRITE);
    }
    if entry.has(flag::TERMINAL) {
        // SAFETY: the caller's promise.
        let write = |fd| unsafe { syscall!(libc::SYS_writev, fd, buffers, count) };
        let answer = if kind::nonblocking(fd, entry)? { write(fd) } else { reopened(fd, write) };
        return answer.map(|count| (count, true));
    }
    vector::judge(libc::SYS_pwritev2, fd, buffers, count)?;
    if poll_now(fd, libc::POLLOUT) == 0 {
        return Err(AGAIN);
    }
    // SAFETY: the caller's promise; the kernel knows the vector.
    let mut all = unsafe { Rest::new(buffers, count) };
    // Empty buffers at the front could fill the window.
    all.skip(0);
    let (mut window, mut count) = all.window();
    let mut room = libc::PIPE_BUF;
    for (place, buffer) in window[..count].iter_mut().enumerate() {
        buffer.iov_len = buffer.iov_len.min(room);
        room -= buffer.iov_len;
        if room == 0 {
            count = place + 1;
            break;
        }
    }
    let asked: usize = window[..count].iter().map(|buffer| buffer.iov_len).sum();
    // SAFETY: the window lies within the caller's buffers.
    let written = unsafe { syscall!(libc::SYS_writev, fd, window.as_ptr(), count)? };
    // Less than what fits is the answer that the program would have got.
    Ok((written, written == asked))
}

/// Whether RWF_NOWAIT may be tried, as far as is known; `flag` says that it did not work.
fn has_nowait(entry: &Entry, flag: u16) -> bool {
    entry.kind() != Kind::Device && !entry.has(flag) && options::FAULT.get() & fault::NO_NOWAIT == 0
}

fn is_unknown(answer: Result<usize>) -> bool {
    matches!(answer, Err(Errno(libc::EOPNOTSUPP | libc::ENOSYS)))
}
