//! Eventlet's face: what `eventlet.h` offers, in Rust types. All of it waits on the hub that the rows wait on.
//!
//! Objects are [`counted`].
//!
//! Safety: on the hub's kernel thread alone, so `Cell`s do. A wait ends by a return, whatever was raised: only the edge
//! unwinds, when no frame here has anything left to drop.

pub mod address;
pub mod counted;
pub mod event;
pub mod inspect;
pub mod line;
pub mod net;
pub mod pile;
pub mod pool;
pub mod queue;
pub mod semaphore;
pub mod serve;
pub mod thread;
pub mod timeout;
pub mod tls;
pub mod tpool;

use crate::data::Deadline;
use crate::kernel::real::installed;
use crate::kernel::{Errno, Result, clock};
use crate::runtime::{Green, current, raise, spawn};

/// The calling green thread, made one if it is the process's first. EPERM: a foreign thread, a signal handler, or a libc
/// that the library does not understand.
#[inline(always)]
pub fn here() -> Result<&'static Green> {
    current().map_or_else(first_call, Ok)
}

#[cold]
fn first_call() -> Result<&'static Green> {
    if !installed() || !spawn::ready() {
        return Err(Errno(libc::EPERM));
    }
    current().ok_or(Errno(libc::EPERM))
}

/// `seconds` from now; negative: never. EINVAL: NaN.
pub fn deadline(seconds: f64) -> Result<Deadline> {
    if seconds.is_nan() {
        return Err(Errno(libc::EINVAL));
    }
    if seconds < 0.0 {
        return Ok(Deadline::NEVER);
    }
    // A conversion from floating point saturates.
    Ok(Deadline(clock::now().saturating_add((seconds * 1e9) as u64)))
}

/// Lets every other runnable thread and input go first.
pub fn breathe(g: &Green) -> Result<()> {
    g.yield_last();
    if raise::is_due(g) { Err(Errno::CANCELLED) } else { Ok(()) }
}

/// Sleeps; 0 still lets the others go first.
pub fn sleep(g: &Green, seconds: f64) -> Result<()> {
    use crate::runtime::{Wait, Wake};
    if seconds == 0.0 {
        return breathe(g);
    }
    let deadline = deadline(seconds)?;
    if deadline.passed() {
        return breathe(g);
    }
    let wait = Wait { interruptible: false, ..Wait::opaque("eventlet_sleep") };
    loop {
        match g.park(&wait, deadline) {
            Wake::Cancelled => return Err(Errno::CANCELLED),
            Wake::TimedOut => return Ok(()),
            _ => {}
        }
    }
}
