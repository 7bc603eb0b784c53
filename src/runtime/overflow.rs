//! A thread that overflows its stack: said in one line, then the process dies as it would have natively.
//!
//! The guard's SIGSEGV can be handled on another stack alone, so the hub's kernel thread has an alternate one, ours.
//! What is no overflow, and what comes after the line, is the matter of the program's own action for SIGSEGV: see
//! [`super::signals`], whose wrapper asks here first.
//!
//! Safety: called in signal handlers, anywhere: it reads published data and makes system calls.

use core::ffi::c_void;

use crate::data::stack;
use crate::kernel::{Result, log};

use super::identity;

/// Bytes of the alternate stack: the kernel's frame, the line, and handlers of the program that ask for SA_ONSTACK.
const ALTERNATE: usize = 128 << 10;

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
pub fn report(address: usize) -> bool {
    let Some(Overflow { tid, size }) = is_overflow(address) else { return false };
    log::warn(format_args!("thread {tid} has overflowed its stack of {} KiB", size >> 10));
    true
}

/// Gives the calling kernel thread its alternate stack. Once, on the hub's thread.
pub fn install() -> Result<()> {
    const FLAGS: i32 = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE | libc::MAP_STACK;
    let rights = libc::PROT_READ | libc::PROT_WRITE;
    // SAFETY: a new mapping, which becomes the alternate stack for ever.
    unsafe {
        let memory = crate::syscall!(libc::SYS_mmap, 0, ALTERNATE, rights, FLAGS, -1, 0)?;
        let stack = libc::stack_t { ss_sp: memory as *mut c_void, ss_flags: 0, ss_size: ALTERNATE };
        crate::syscall!(libc::SYS_sigaltstack, &raw const stack, 0)?;
    }
    Ok(())
}
