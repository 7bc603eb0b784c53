//! A thread that overflows its stack: said in one line, then the process dies as it would have natively.
//!
//! The guard's SIGSEGV can be handled on another stack alone: see [`super::signals::stack`]. What is no overflow, and what comes after the line, is the matter of the program's own action for SIGSEGV: see
//! [`super::signals`], whose wrapper asks here first.
//!
//! Safety: called in signal handlers, anywhere: it reads published data and makes system calls.

use crate::data::stack;
use crate::kernel::log;

use super::identity;

/// Who overflowed.
#[derive(Clone, Copy, Debug)]
pub struct Overflow {
    /// The thread's tid, as the program sees it.
    pub tid: i32,
    /// The size of its stack in bytes.
    pub size: usize,
}

/// Whether an access to `address` hit the guard of a green thread's stack. For signal handlers.
pub fn is_overflow(address: usize) -> Option<Overflow> {
    let slot = stack::find(address)?;
    slot.guards(address)
        .then(|| Overflow { tid: identity::tid(identity::block::place(&slot)), size: slot.size() })
}

/// Says that `address` is an overflow, if it is one.
pub fn report(address: usize) {
    if let Some(Overflow { tid, size }) = is_overflow(address) {
        log::warn(format_args!("thread {tid} has overflowed its stack of {} KiB", size >> 10));
    }
}
