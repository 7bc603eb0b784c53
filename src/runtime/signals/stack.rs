//! Alternate signal stacks. The kernel knows one, ours, and puts nothing there but the frames of SIGSEGV, which may come
//! of a thread that has overflowed its own stack. What `sigaltstack` says is each thread's: a handler that asks for it
//! is moved there from its frame.
//!
//! Safety: a thread's alternate stack is the program's memory and its promise. A call is moved to a stack on which
//! nobody stands.

use core::arch::naked_asm;
use core::ffi::{c_int, c_void};
use core::ops::Range;
use core::ptr;
use core::sync::atomic::{AtomicUsize, Ordering};

use libc::stack_t;

use crate::kernel::{Errno, Result};
use crate::runtime::green::Green;
use crate::runtime::preempt;
use crate::syscall;

/// Bytes of ours: the kernel's frame, a line on stderr, and handlers of SIGSEGV.
const SIZE: usize = 128 << 10;
/// MINSIGSTKSZ
const LEAST: usize = 2048;
/// Bits that are settings and not states.
const AUTODISARM: c_int = 1 << 31;

/// A stack as `sigaltstack` has it.
#[derive(Clone, Copy, Debug)]
pub struct Alternate {
    base: usize,
    size: usize,
    flags: c_int,
}

impl Alternate {
    /// SS_DISABLE.
    pub const NONE: Alternate = Alternate { base: 0, size: 0, flags: 0 };

    fn range(&self) -> Range<usize> {
        self.base..self.base + self.size
    }

    /// As C has it, seen from the address `here`.
    fn to_c(self, here: usize) -> stack_t {
        let state = match self.size {
            0 => libc::SS_DISABLE,
            _ if self.range().contains(&here) => libc::SS_ONSTACK,
            _ => 0,
        };
        stack_t { ss_sp: self.base as *mut c_void, ss_flags: state | self.flags, ss_size: self.size }
    }

    fn from_c(new: &stack_t) -> Result<Alternate> {
        match new.ss_flags & !AUTODISARM {
            libc::SS_DISABLE => Ok(Alternate { flags: new.ss_flags & AUTODISARM, ..Alternate::NONE }),
            0 | libc::SS_ONSTACK if new.ss_size < LEAST => Err(Errno(libc::ENOMEM)),
            0 | libc::SS_ONSTACK => Ok(Alternate {
                base: new.ss_sp as usize,
                size: new.ss_size,
                flags: new.ss_flags & AUTODISARM,
            }),
            _ => Err(Errno(libc::EINVAL)),
        }
    }
}

static OURS: AtomicUsize = AtomicUsize::new(0);

fn ours() -> Range<usize> {
    let base = OURS.load(Ordering::Relaxed);
    base..base + SIZE
}

/// Whether `address` is on the one alternate stack that all threads share.
pub(super) fn is_shared(address: usize) -> bool {
    ours().contains(&address)
}

/// Gives the hub's kernel thread its alternate stack; the one it had is `first`'s.
pub fn install(first: &Green) -> Result<()> {
    const FLAGS: c_int = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE | libc::MAP_STACK;
    let rights = libc::PROT_READ | libc::PROT_WRITE;
    if OURS.load(Ordering::Relaxed) == 0 {
        // SAFETY: a new mapping, ours for ever.
        let memory = unsafe { syscall!(libc::SYS_mmap, 0, SIZE, rights, FLAGS, -1, 0)? };
        OURS.store(memory, Ordering::Relaxed);
    }
    let stack = stack_t { ss_sp: ours().start as *mut c_void, ss_flags: 0, ss_size: SIZE };
    let mut before = Alternate::NONE.to_c(0);
    // SAFETY: both structs are live, and the memory is ours.
    unsafe { syscall!(libc::SYS_sigaltstack, &stack, &mut before)? };
    first.alternate.set(Alternate::from_c(&before).unwrap_or(Alternate::NONE));
    Ok(())
}

/// In a fork child, dormant: the kernel knows the thread's own.
pub(super) fn forked(green: &Green) {
    let stack = green.alternate.get().to_c(0);
    // SAFETY: the program's own stack, or none.
    let _ = unsafe { syscall!(libc::SYS_sigaltstack, &stack, ptr::null::<u8>()) };
}

/// `sigaltstack`, called at the stack address `here`.
pub fn exchange(green: &Green, new: Option<&stack_t>, here: usize) -> Result<stack_t> {
    let before = green.alternate.get();
    if let Some(new) = new {
        if before.range().contains(&here) {
            return Err(Errno(libc::EPERM));
        }
        let new = Alternate::from_c(new)?;
        if !green.is_first() && new.size != 0 {
            preempt::keep_off_stacks(preempt::Sign::Stack);
        }
        green.alternate.set(new);
    }
    Ok(before.to_c(here))
}

/// Where a handler that wants the alternate stack of `green` begins, if it is not on it yet.
pub(super) fn top(green: &Green, interrupted: usize) -> Option<usize> {
    let alternate = green.alternate.get();
    (alternate.size != 0 && !alternate.range().contains(&interrupted)).then(|| alternate.range().end & !15)
}

/// Which stack of `green`'s an address is on: its own, or an alternate one's range.
pub(super) fn alternate_at(green: &Green, address: usize) -> Option<Range<usize>> {
    [ours(), green.alternate.get().range()].into_iter().find(|range| range.contains(&address))
}

/// Calls `handler(sig, info, context)` with the stack pointer at `top`. Unwinders find the way back.
#[unsafe(naked)]
pub(super) unsafe extern "C" fn call_at(
    sig: c_int,
    info: *const libc::siginfo_t,
    context: *mut c_void,
    handler: usize,
    top: usize,
) {
    naked_asm!(
        ".cfi_startproc",
        "push rbp",
        ".cfi_def_cfa_offset 16",
        ".cfi_offset rbp, -16",
        "mov rbp, rsp",
        ".cfi_def_cfa_register rbp",
        "mov rsp, r8",
        "call rcx",
        "mov rsp, rbp",
        "pop rbp",
        ".cfi_def_cfa rsp, 8",
        "ret",
        ".cfi_endproc",
    )
}
