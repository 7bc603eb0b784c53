//! Reading and writing what has no MSG_DONTWAIT: pipes, eventfds, terminals.
//!
//! RWF_NOWAIT tries without waiting and changes nobody's mode. Where it does not work (FIFOs with a name, terminals, old
//! kernels) the descriptor is polled first, and a write then takes no more than fits for sure.
//!
//! Safety: vectors are the C caller's; the kernel checks them before anything here looks into one.

use libc::iovec;

use crate::data::fdtable::{Kind, flag};
use crate::kernel::options::{self, fault};
use crate::kernel::{Errno, Result};
use crate::runtime::answers;
use crate::runtime::descriptors::Entry;
use crate::syscall;

use super::terminal;
use super::turn::{AGAIN, Turn, poll_now};
use super::vector::Rest;

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
    let answer = turn.repeat(|| {
        // SAFETY: the caller's promise.
        let answer = unsafe { attempt_read(fd, entry, buffers, count) };
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
        return Err(AGAIN);
    }
    // SAFETY: the caller's promise.
    unsafe { syscall!(libc::SYS_readv, fd, buffers, count) }
}

/// `writev` of `count` buffers: all of it, or the count already written when something ends it.
///
/// # Safety
/// As of `writev`.
pub unsafe fn write(turn: &mut Turn, buffers: *const iovec, count: usize) -> Result<usize> {
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
    if poll_now(fd, libc::POLLOUT) == 0 {
        return Err(AGAIN);
    }
    // SAFETY: the caller's promise.
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
