//! The program's memory, where the kernel has not looked at it yet: an address that leads nowhere gives EFAULT, as the
//! kernel's own copying does.
//!
//! A fault at the one instruction that copies is led to its end by the handler of SIGSEGV (see [`recovers`]). Where the
//! program ignores SIGSEGV no handler of ours is there, and it dies.
//!
//! Safety: what is copied is plain data. Whether the address is good shows when it is used.

use core::arch::global_asm;
use core::mem::MaybeUninit;

use super::{Errno, Result};

global_asm!(
    ".globl eventlet_copy",
    ".hidden eventlet_copy",
    ".type eventlet_copy,@function",
    "eventlet_copy:",
    ".cfi_startproc",
    "mov rcx, rdx",
    ".hidden eventlet_copying",
    ".globl eventlet_copying",
    "eventlet_copying:",
    "rep movsb",
    // What is left: nothing, unless it was cut.
    ".hidden eventlet_copied",
    ".globl eventlet_copied",
    "eventlet_copied:",
    "mov rax, rcx",
    "ret",
    ".cfi_endproc",
    ".size eventlet_copy, . - eventlet_copy",
);

unsafe extern "C" {
    fn eventlet_copy(to: *mut u8, from: *const u8, length: usize) -> usize;
    fn eventlet_copying();
    fn eventlet_copied();
}

/// Copies `length` bytes, of which one side may lead nowhere: EFAULT, and a part may have been copied.
///
/// # Safety
/// If it leads somewhere, the target is plain data that nobody minds to be overwritten.
#[inline(always)]
pub unsafe fn copy(from: *const u8, to: *mut u8, length: usize) -> Result<()> {
    // SAFETY: see the file's header.
    if unsafe { eventlet_copy(to, from, length) } == 0 { Ok(()) } else { Err(Errno(libc::EFAULT)) }
}

/// Reads what the program has at `from`.
///
/// # Safety
/// Any bytes are a valid `T`.
#[inline(always)]
pub unsafe fn read<T: Copy>(from: *const T) -> Result<T> {
    let mut value = MaybeUninit::<T>::uninit();
    // SAFETY: the value is ours; it is whole when all was copied.
    unsafe {
        copy(from.cast(), value.as_mut_ptr().cast(), size_of::<T>())?;
        Ok(value.assume_init())
    }
}

/// Writes `value` to where the program wants it.
///
/// # Safety
/// As of [`copy`].
pub unsafe fn write<T: Copy>(to: *mut T, value: T) -> Result<()> {
    // SAFETY: the caller's promise.
    unsafe { copy((&raw const value).cast(), to.cast(), size_of::<T>()) }
}

/// For the handler of SIGSEGV and SIGBUS: whether the fault at `context` was in [`copy`], which then goes on with an error.
pub fn recovers(context: &mut libc::ucontext_t) -> bool {
    let pc = &mut context.uc_mcontext.gregs[libc::REG_RIP as usize];
    let here = *pc as usize == eventlet_copying as *const () as usize;
    if here {
        *pc = eventlet_copied as *const () as i64;
    }
    here
}
