//! What libc's own helper threads do for a caller who then waits for them: POSIX AIO and `getaddrinfo_a`. Their answers
//! come by memory and a private futex, and helpers are real threads: so the caller looks, and naps in between.

use crate::data::Deadline;
use crate::kernel::{Errno, Result};
use crate::runtime::{Green, Wait, Wake, edges, hub, raise};

/// Waits until `look` gives something. EAGAIN: `deadline` passed. EINTR: a handler without SA_RESTART ran.
pub fn until<T>(
    g: &Green,
    call: &'static str,
    deadline: Deadline,
    cancellable: bool,
    mut look: impl FnMut() -> Option<T>,
) -> Result<T> {
    let mut naps = 0;
    let mut last = false;
    loop {
        if cancellable && g.is_cancelled() {
            return Err(Errno::CANCELLED);
        }
        if let Some(answer) = look() {
            hub().charge(g);
            return Ok(answer);
        }
        if last {
            return Err(Errno(libc::EAGAIN));
        }
        let wait = Wait { cancellable, raises: true, ..Wait::opaque(call) };
        match edges::nap(g, &wait, &mut naps, deadline) {
            _ if raise::is_due(g) => return Err(Errno::CANCELLED),
            Wake::Cancelled => return Err(Errno::CANCELLED),
            Wake::Interrupted => return Err(Errno(libc::EINTR)),
            Wake::TimedOut => last = true,
            _ => {}
        }
    }
}
