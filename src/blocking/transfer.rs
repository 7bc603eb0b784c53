//! Data on its way from one descriptor to another: `sendfile`, `splice`, `tee`, `vmsplice`.
//!
//! SPLICE_F_NONBLOCK forbids the kernel to wait for a pipe, and for nothing else:
//!
//! | end | how a try does not wait there |
//! | --- | --- |
//! | pipe | SPLICE_F_NONBLOCK |
//! | socket that is read | it is polled first |
//! | socket that is written | it is non-blocking for the length of the try, or, if others share it, the call is offloaded |
//! | terminal | the call is offloaded |
//!
//! Of a pipe the kernel takes what is there, and gives a pipe what fits; a socket gets everything.
//!
//! Safety: offsets and vectors are the C caller's; the kernel checks them.

use core::ffi::{c_int, c_uint};

use libc::{iovec, loff_t, off_t};

use crate::data::fdtable::{Kind, flag};
use crate::kernel::syscall::Word;
use crate::kernel::{Errno, Result};
use crate::runtime::answers;
use crate::runtime::edges::Side;
use crate::runtime::offload::{self, Call};
use crate::runtime::{Green, hub};
use crate::syscall;

use super::turn::{AGAIN, Turn, poll_now, without_waiting};
use super::{kind, socket};

const NOWAIT: c_uint = libc::SPLICE_F_NONBLOCK;
/// What one try sends at most: a fast receiver must not keep the others waiting.
const CHUNK: usize = 1 << 20;
/// More than this is refused, or cut to less.
const LARGEST: usize = 0x7fff_f000;

/// The ends of a transfer at which it may wait.
struct Transfer {
    source: Option<Turn>,
    target: Option<Turn>,
    /// Whether the program forbids to wait for pipes.
    nowait: bool,
}

/// `turn`, if its descriptor can keep anybody waiting.
fn end(turn: Turn) -> Option<Turn> {
    let waits = !matches!(kind::of(turn.fd, turn.entry), Kind::Inline | Kind::Event);
    waits.then_some(turn)
}

fn is_pipe(turn: &Option<Turn>) -> bool {
    turn.as_ref().is_some_and(|turn| turn.entry.kind() == Kind::Pipe)
}

impl Transfer {
    fn new(g: &'static Green, call: &'static str, from: c_int, to: c_int, flags: c_uint) -> Result<Transfer> {
        Ok(Transfer {
            source: end(Turn::new(g, from, Side::Read, call)?),
            target: end(Turn::new(g, to, Side::Write, call)?),
            nowait: flags & NOWAIT != 0,
        })
    }

    /// The call will fail: there is nothing to wait for.
    fn is_wrong(&mut self, wrong: bool) {
        if wrong {
            self.source = None;
            self.target = None;
        }
    }

    /// Moves `length` bytes by `attempt`, which is told how many it may move and does not wait for pipes. `call` is the
    /// whole as the program asked for it.
    fn run(
        &mut self,
        g: &'static Green,
        call: &Call,
        length: usize,
        mut attempt: impl FnMut(usize) -> Result<usize>,
    ) -> Result<usize> {
        if length > LARGEST {
            return attempt(length);
        }
        let kind = self.target.as_ref().map_or(Kind::Inline, |turn| turn.entry.kind());
        let goes_on = kind.is_socket();
        let mut turns_mode = false;
        if kind == Kind::Device
            // SAFETY: the program's own call.
            && let Some(answer) = unsafe { offload::call(g, call) }
        {
            return answer;
        }
        if let Some(target) = self.target.as_ref().filter(|_| kind.is_socket())
            && !kind::nonblocking(target.fd, target.entry)?
        {
            turns_mode = true;
            if target.entry.has(flag::SHARED)
                // SAFETY: the program's own call.
                && let Some(answer) = unsafe { offload::call(g, call) }
            {
                return answer;
            }
        }
        let mut moved = 0;
        let answer = loop {
            if let Err(errno) = self.wait_for_source(moved > 0) {
                break Err(errno);
            }
            let part = (length - moved).min(CHUNK);
            let answer = match &self.target {
                Some(target) if turns_mode => without_waiting(target.fd, || attempt(part)),
                _ => attempt(part),
            };
            match answer {
                Ok(count) => {
                    moved += count;
                    if let Some(target) = self.target.as_ref().filter(|_| kind == Kind::Pipe) {
                        answers::wrote(target.entry);
                    }
                    if count == 0 || moved == length || !goes_on {
                        break Ok(moved);
                    }
                    hub().charge(g);
                }
                Err(AGAIN) => {
                    if let Err(errno) = self.wait(moved > 0) {
                        break Err(errno);
                    }
                }
                Err(errno) => break Err(errno),
            }
        };
        for turn in [&self.source, &self.target].into_iter().flatten() {
            turn.left(false);
        }
        match answer {
            // What was moved counts more than what ended it.
            Err(errno) if moved > 0 && errno != Errno::CANCELLED => Ok(moved),
            answer => answer,
        }
    }

    /// What is read must have something to read; a pipe the try itself asks, the first time. `begun`: else that was all.
    fn wait_for_source(&mut self, begun: bool) -> Result<()> {
        let pipe = self.target.as_ref().filter(|turn| turn.entry.kind() == Kind::Pipe).map(|turn| turn.fd);
        let Some(source) = self.source.as_mut().filter(|turn| begun || turn.entry.kind() != Kind::Pipe)
        else {
            return Ok(());
        };
        while poll_now(source.fd, libc::POLLIN) == 0 {
            // A TCP socket waits all the same, once the pipe has room.
            let has_room = || pipe.is_none_or(|fd| poll_now(fd, libc::POLLOUT) != 0);
            if begun || self.nowait && !(source.entry.kind() == Kind::Tcp && has_room()) {
                return Err(AGAIN);
            }
            source.wait()?;
        }
        Ok(())
    }

    /// The try found a pipe empty or an end full.
    fn wait(&mut self, begun: bool) -> Result<()> {
        let empty =
            |turn: &&mut Turn| turn.entry.kind() == Kind::Pipe && poll_now(turn.fd, libc::POLLIN) == 0;
        let Some(turn) = self.source.as_mut().filter(empty).or(self.target.as_mut()) else {
            return Err(AGAIN);
        };
        if self.nowait && turn.entry.kind() == Kind::Pipe {
            return Err(AGAIN);
        }
        if turn.entry.kind() == Kind::Datagram && poll_now(turn.fd, libc::POLLOUT) & libc::POLLOUT != 0 {
            turn.must_block().and_then(|()| turn.nap())?;
        } else {
            turn.wait()?;
            socket::after_wait(turn)?;
        }
        // An error is for the next call to find.
        if begun && turn.reports(libc::POLLERR | libc::POLLHUP) { Err(AGAIN) } else { Ok(()) }
    }
}

/// `sendfile`. No cancellation point.
pub unsafe fn sendfile(
    g: &'static Green,
    to: c_int,
    from: c_int,
    offset: *mut off_t,
    length: usize,
) -> Result<usize> {
    let side = |fd, side| end(Turn::uncancellable(g, fd, side, "sendfile"));
    let call = Call {
        name: "sendfile",
        restarts: true,
        cancellable: false,
        number: libc::SYS_sendfile,
        arguments: [to.word(), from.word(), offset.word(), length, 0, 0],
    };
    let (source, target) = (side(from, Side::Read), side(to, Side::Write));
    // Into a pipe it is a splice, which can be told not to wait; but not from one. Elsewhere from files alone.
    let piped = is_pipe(&target) && !is_pipe(&source);
    let mut transfer = Transfer { source: source.filter(|_| piped), target, nowait: false };
    // SAFETY: the C function's contract.
    transfer.run(g, &call, length, |part| unsafe {
        if piped {
            syscall!(libc::SYS_splice, from, offset, to, 0, part, NOWAIT)
        } else {
            syscall!(libc::SYS_sendfile, to, from, offset, part)
        }
    })
}

/// `splice`.
pub unsafe fn splice(
    g: &'static Green,
    from: c_int,
    from_offset: *mut loff_t,
    to: c_int,
    to_offset: *mut loff_t,
    length: usize,
    flags: c_uint,
) -> Result<usize> {
    let call = Call {
        name: "splice",
        restarts: true,
        cancellable: true,
        number: libc::SYS_splice,
        arguments: [from.word(), from_offset.word(), to.word(), to_offset.word(), length, flags.word()],
    };
    let mut transfer = Transfer::new(g, "splice", from, to, flags)?;
    let (reads_pipe, writes_pipe) = (is_pipe(&transfer.source), is_pipe(&transfer.target));
    let seeks_pipe = reads_pipe && !from_offset.is_null() || writes_pipe && !to_offset.is_null();
    transfer.is_wrong(!reads_pipe && !writes_pipe || seeks_pipe);
    // What can be read from an offset never waits.
    transfer.source = transfer.source.filter(|_| from_offset.is_null());
    // SAFETY: the C function's contract.
    transfer.run(g, &call, length, |part| unsafe {
        syscall!(libc::SYS_splice, from, from_offset, to, to_offset, part, flags | NOWAIT)
    })
}

/// `tee`.
pub fn tee(g: &'static Green, from: c_int, to: c_int, length: usize, flags: c_uint) -> Result<usize> {
    let call = Call {
        name: "tee",
        restarts: true,
        cancellable: true,
        number: libc::SYS_tee,
        arguments: [from.word(), to.word(), length, flags.word(), 0, 0],
    };
    let mut transfer = Transfer::new(g, "tee", from, to, flags)?;
    transfer.is_wrong(!is_pipe(&transfer.source) || !is_pipe(&transfer.target));
    // SAFETY: takes no pointer.
    transfer.run(g, &call, length, |part| unsafe { syscall!(libc::SYS_tee, from, to, part, flags | NOWAIT) })
}

/// `vmsplice`, either way. It does not ask for the pipe's own mode.
pub unsafe fn vmsplice(
    g: &'static Green,
    pipe: c_int,
    buffers: *const iovec,
    count: usize,
    flags: c_uint,
) -> Result<usize> {
    const READ: usize = libc::O_RDONLY as usize;
    // SAFETY: F_GETFL takes nothing.
    let mode = unsafe { syscall!(libc::SYS_fcntl, pipe, libc::F_GETFL)? };
    let side = if mode & libc::O_ACCMODE as usize == READ { Side::Read } else { Side::Write };
    let mut turn = Turn::new(g, pipe, side, "vmsplice")?;
    kind::of(pipe, turn.entry);
    loop {
        // SAFETY: the C function's contract.
        match unsafe { syscall!(libc::SYS_vmsplice, pipe, buffers, count, flags | NOWAIT) } {
            Err(AGAIN) if flags & NOWAIT == 0 => turn.wait_for_edge()?,
            answer => {
                turn.left(false);
                if side == Side::Write && answer.is_ok() {
                    answers::wrote(turn.entry);
                }
                return answer;
            }
        }
    }
}
