//! MSG_WAITALL: receives that wait for the whole of what was asked for.
//!
//! Safety: the buffers are the caller's and stay as they are during the call.

use core::ffi::c_int;

use crate::data::fdtable::Kind;
use crate::kernel::{Errno, Result};
use crate::syscall;

use super::socket::{came, message, queued};
use super::turn::{AGAIN, Turn};
use super::vector::Rest;

/// Whether MSG_WAITALL counts: on streams, but AF_UNIX looks (MSG_PEEK) at what is there and no further.
pub(super) fn fills(kind: Kind, flags: c_int) -> bool {
    let looks = flags & libc::MSG_PEEK != 0;
    flags & libc::MSG_WAITALL != 0 && (kind == Kind::Tcp || kind == Kind::Stream && !looks)
}

/// MSG_WAITALL: fills the vector, or gives what came before an end, an error, a timeout or a signal. `first` tells as
/// well whether its part stands alone (control data came with it). `whole` is the vector, once the kernel knows it.
pub(super) fn receive_all<'a>(
    turn: &mut Turn,
    whole: &dyn Fn() -> Rest<'a>,
    flags: c_int,
    first: &mut dyn FnMut() -> Result<(usize, bool)>,
) -> Result<usize> {
    let (fd, peeks) = (turn.fd, flags & libc::MSG_PEEK != 0);
    let now = flags & !libc::MSG_WAITALL | libc::MSG_DONTWAIT;
    let (mut got, mut rest) = (0, None);
    loop {
        // Nothing more will come: then this look is the last.
        let ending = peeks && turn.reports(libc::POLLRDHUP | libc::POLLERR);
        let answer = match rest {
            Some(rest) if !peeks => next_part(fd, rest, now),
            _ => first(),
        };
        match answer {
            Ok((count, alone)) => {
                got = if peeks { count } else { got + count };
                if count == 0 || alone || ending || got >= whole().total() {
                    break;
                }
                turn.has_part();
                rest.get_or_insert_with(whole).skip(if peeks { 0 } else { count });
                if !peeks && !turn.entry.short_read() {
                    continue;
                }
            }
            Err(AGAIN) => {
                turn.entry.short_read();
            }
            Err(errno) if got == 0 => {
                turn.left(false);
                return Err(errno);
            }
            Err(_) => break,
        }
        let ended = if peeks && got > 0 { turn.must_block().and_then(|()| turn.nap()) } else { turn.wait() };
        match ended {
            Err(errno) if got == 0 || errno == Errno::CANCELLED => return Err(errno),
            Err(_) => break,
            Ok(()) if got > 0 && turn.reports(libc::POLLERR) && queued(fd) == 0 => break,
            Ok(()) => {}
        }
    }
    turn.left(false);
    came(turn, got, || whole().total())
}

fn next_part(fd: c_int, rest: Rest<'_>, flags: c_int) -> Result<(usize, bool)> {
    let (window, count) = rest.window();
    let mut message = message(window.as_ptr(), count);
    // SAFETY: the window lies within the caller's buffers.
    let count = unsafe { syscall!(libc::SYS_recvmsg, fd, &mut message, flags)? };
    Ok((count, message.msg_flags & libc::MSG_EOR != 0))
}
