//! Signals as the kernel knows them: raw actions, masks of one word, and sending to ourselves.
//!
//! Safety: an action's handler follows the C contract of signal handlers, and its restorer makes the system call
//! `rt_sigreturn`. Masks and siginfos are memory of ours.

use core::arch::global_asm;
use core::ffi::c_int;

use crate::syscall;

use super::Result;

/// The highest signal.
pub const LAST: c_int = 64;

/// The bit of signal `sig` in a mask.
#[inline(always)]
pub const fn bit(sig: c_int) -> u64 {
    1 << (sig - 1)
}

/// The kernel's `struct sigaction`.
#[derive(Clone, Copy, Debug, Default)]
#[repr(C)]
pub struct Action {
    /// The handler's address, SIG_DFL or SIG_IGN.
    pub handler: usize,
    /// SA_*.
    pub flags: usize,
    /// Where a handler returns to.
    pub restorer: usize,
    /// What is blocked while the handler runs.
    pub mask: u64,
}

/// SA_RESTORER: what libc sets in every action, and shows.
pub const RESTORER: usize = 0x0400_0000;

global_asm!(
    // Byte for byte glibc's, and with a nop before it: debuggers and unwinders know a signal frame by that.
    "nop",
    ".p2align 4",
    "nop",
    ".globl eventlet_restorer",
    ".hidden eventlet_restorer",
    ".type eventlet_restorer,@function",
    "eventlet_restorer:",
    ".byte 0x48, 0xc7, 0xc0, 0x0f, 0, 0, 0", // mov rax, 15
    "syscall",
    ".size eventlet_restorer, . - eventlet_restorer",
);

unsafe extern "C" {
    fn eventlet_restorer();
}

impl Action {
    /// Whether it calls a function of the program (or of ours).
    pub fn is_handler(&self) -> bool {
        self.handler != libc::SIG_DFL && self.handler != libc::SIG_IGN
    }

    /// The same with a restorer.
    pub fn complete(self) -> Action {
        let restorer = eventlet_restorer as *const () as usize;
        Action { flags: self.flags | RESTORER, restorer, ..self }
    }
}

/// The action of `sig`.
pub fn action(sig: c_int) -> Result<Action> {
    let mut old = Action::default();
    // SAFETY: `old` is room for the kernel's struct; nothing is installed.
    unsafe { syscall!(libc::SYS_rt_sigaction, sig, core::ptr::null::<Action>(), &mut old, 8)? };
    Ok(old)
}

/// Installs `new`; the action before it.
///
/// # Safety
/// The handler, if there is one, is a signal handler.
pub unsafe fn set_action(sig: c_int, new: &Action) -> Result<Action> {
    let (new, mut old) = (new.complete(), Action::default());
    // SAFETY: both structs are live; the caller vouches for the handler.
    unsafe { syscall!(libc::SYS_rt_sigaction, sig, &new, &mut old, 8)? };
    Ok(old)
}

/// The calling kernel thread's mask.
pub fn mask() -> u64 {
    let mut mask = 0u64;
    // SAFETY: `mask` is room for the answer. Cannot fail.
    let _ = unsafe {
        syscall!(libc::SYS_rt_sigprocmask, 0, core::ptr::null::<u64>(), &mut mask, size_of::<u64>())
    };
    mask
}

/// Sets the calling kernel thread's mask; the one before it.
pub fn set_mask(mask: u64) -> u64 {
    let mut old = 0u64;
    // SAFETY: both words are live. Cannot fail.
    let _ =
        unsafe { syscall!(libc::SYS_rt_sigprocmask, libc::SIG_SETMASK, &mask, &mut old, size_of::<u64>()) };
    old
}

/// Runs `work`, in which no mask is changed, under another mask.
#[inline(always)]
pub fn masked<R>(mask: u64, work: impl FnOnce() -> R) -> R {
    let before = set_mask(mask);
    let answer = work();
    set_mask(before);
    answer
}

/// What is pending for the calling kernel thread and its process.
pub fn pending() -> u64 {
    let mut set = 0u64;
    // SAFETY: room for the answer. Cannot fail.
    let _ = unsafe { syscall!(libc::SYS_rt_sigpending, &mut set, size_of::<u64>()) };
    set
}

/// Takes a signal of `set` that is pending for the calling kernel thread or its process.
pub fn take(set: u64) -> Option<(c_int, libc::siginfo_t)> {
    let mut info = core::mem::MaybeUninit::<libc::siginfo_t>::uninit();
    let now = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: all three are live; `info` is written when a signal was taken.
    unsafe {
        let sig = syscall!(libc::SYS_rt_sigtimedwait, &set, info.as_mut_ptr(), &now, 8).ok()?;
        Some((sig as c_int, info.assume_init()))
    }
}

/// Sends `sig` with `info` to the calling kernel thread.
pub fn send_here(sig: c_int, info: &libc::siginfo_t) -> Result<()> {
    // SAFETY: takes nothing.
    let (pid, tid) = unsafe { (syscall!(libc::SYS_getpid)?, syscall!(libc::SYS_gettid)?) };
    // SAFETY: `info` is a complete siginfo.
    unsafe { syscall!(libc::SYS_rt_tgsigqueueinfo, pid, tid, sig, info)? };
    Ok(())
}

/// The information of a signal that pthread_kill sends.
pub fn info(sig: c_int, code: c_int) -> libc::siginfo_t {
    // SAFETY: all zeros is a siginfo.
    let mut info: libc::siginfo_t = unsafe { core::mem::zeroed() };
    info.si_signo = sig;
    info.si_code = code;
    // SAFETY: take nothing; pid and uid are the first words after the header (x86-64: at 16 and 20).
    unsafe {
        let pid = syscall!(libc::SYS_getpid).unwrap_or(0) as u32;
        let uid = syscall!(libc::SYS_getuid).unwrap_or(0) as u32;
        (&raw mut info).cast::<u32>().add(4).write(pid);
        (&raw mut info).cast::<u32>().add(5).write(uid);
    }
    info
}
