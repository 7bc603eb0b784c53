//! Rescue: a hub that sleeps in a system call which no row stands before is taken out of it. Such calls are those of
//! programs that make them without libc, and those that libc makes inside itself where the deep layer does not reach; all
//! of them, while libc's text cannot be changed: then the layer is *blind*.
//!
//! ```text
//!   fgets -> _IO_file_read -> read: syscall      the hub's kernel thread sleeps, and all green threads with it
//!                                      |
//!   preemption's helper, 5 to 10 ms later: still the same slice, and asleep in one of [`CALLS`]?  SIGNAL
//!                                      |
//!   the handler, on the thread's own stack:      the row's body does the call instead: it parks, others run
//!                                      |
//!   its answer goes to rax, and the thread goes on behind the `syscall` instruction
//! ```
//! Inside libc the thread parks in the very place where it would park under a detour. But it is late by that look, each
//! time; and nobody leads the releases of libc's locks here, so who waits for one looks again by itself.
//!
//! Facts (signal(7), the kernel's x86 signal code): a call that restarts is found with its number in rax and the PC at the
//! `syscall` instruction, one that does not with -EINTR and the PC behind it; the arguments are in their registers still.
//! `/proc/self/task/TID/syscall` says number and PC of a thread that sleeps.
//!
//! Safety: the handler changes a signal frame only if it shows the call that the helper saw, interrupted.

use core::ffi::{c_int, c_long};
use core::sync::atomic::{AtomicBool, AtomicI64, AtomicPtr, AtomicUsize, Ordering};

use crate::kernel::Result;
use crate::kernel::syscall::IO_PGETEVENTS;
use crate::kernel::tasks::{self, Place};

use super::green::Green;
use super::preempt;

/// What does a system call in the row's way.
pub type Instead = unsafe fn(&'static Green, c_long, [usize; 6]) -> Result<usize>;

/// The calls that it is taken out of: each restarts, or can be begun anew.
const CALLS: [c_long; 20] = [
    libc::SYS_accept,
    libc::SYS_futex,
    libc::SYS_io_getevents,
    IO_PGETEVENTS,
    libc::SYS_io_uring_enter,
    libc::SYS_openat,
    libc::SYS_poll,
    libc::SYS_ppoll,
    libc::SYS_read,
    libc::SYS_readv,
    libc::SYS_recvfrom,
    libc::SYS_recvmmsg,
    libc::SYS_recvmsg,
    libc::SYS_sendmmsg,
    libc::SYS_sendmsg,
    libc::SYS_sendto,
    libc::SYS_wait4,
    libc::SYS_write,
    libc::SYS_writev,
    libc::SYS_flock,
];

/// The size of a `syscall` instruction.
const SYSCALL: usize = 2;

static INSTEAD: AtomicPtr<()> = AtomicPtr::new(core::ptr::null_mut());
static BLIND: AtomicBool = AtomicBool::new(false);
/// The call that the helper saw: the PC behind it, 0: none; and its number.
static SITE: AtomicUsize = AtomicUsize::new(0);
static NUMBER: AtomicI64 = AtomicI64::new(0);

/// From now on `instead` does the calls that the hub is taken out of. On the hub's thread, once active.
pub fn install(instead: Instead) {
    INSTEAD.store(instead as *mut (), Ordering::Release);
}

/// Whether libc's own calls are led to no row. If they are not, rescue works without preemption too.
pub fn set_blind(blind: bool) -> Result<()> {
    if blind && !BLIND.swap(true, Ordering::Relaxed) {
        preempt::start_for_rescue()?;
    }
    BLIND.store(blind, Ordering::Relaxed);
    Ok(())
}

/// See [`set_blind`].
pub fn blind() -> bool {
    BLIND.load(Ordering::Relaxed)
}

/// Whether the hub's thread sleeps where it can be taken out. By the helper: no libc, no TLS.
pub(super) fn look(hub: c_int) -> bool {
    if INSTEAD.load(Ordering::Relaxed).is_null() {
        return false;
    }
    let Some(Place::Waits { number, at }) = tasks::of(hub) else { return false };
    if !CALLS.contains(&number) || preempt::is_own(at) {
        return false;
    }
    NUMBER.store(number, Ordering::Relaxed);
    SITE.store(at, Ordering::Release);
    true
}

/// The signal has come while `green` ran. Whether the call was done.
///
/// # Safety
/// `context` is the signal frame's.
pub(super) unsafe fn on_signal(green: &'static Green, context: *mut libc::ucontext_t) -> bool {
    let site = SITE.swap(0, Ordering::Acquire);
    let instead = INSTEAD.load(Ordering::Acquire);
    // What does a call already is not taken out of its own.
    if site == 0 || instead.is_null() || green.deaf.get() {
        return false;
    }
    // SAFETY: the caller's promise.
    let registers = unsafe { &mut (*context).uc_mcontext.gregs };
    let (pc, answer) = (registers[libc::REG_RIP as usize] as usize, registers[libc::REG_RAX as usize]);
    let number = NUMBER.load(Ordering::Relaxed);
    let restarts = pc + SYSCALL == site && answer == number;
    let interrupted = pc == site && answer == -i64::from(libc::EINTR);
    // What it took outweighs that its wait was interrupted.
    let submitted = pc == site
        && number == libc::SYS_io_uring_enter
        && answer > 0
        && answer == registers[libc::REG_RSI as usize];
    if !restarts && !interrupted && !submitted {
        return false;
    }
    let arguments = [libc::REG_RDI, libc::REG_RSI, libc::REG_RDX, libc::REG_R10, libc::REG_R8, libc::REG_R9];
    let mut arguments = arguments.map(|register| registers[register as usize] as usize);
    if submitted {
        arguments[1] = 0;
    }
    // SAFETY: stored by `begin`.
    let instead = unsafe { core::mem::transmute::<*mut (), Instead>(instead) };
    // SAFETY: the call that libc has begun, with its arguments.
    let answer = green.uncancelled(|| unsafe { instead(green, number, arguments) });
    registers[libc::REG_RAX as usize] = match answer {
        _ if submitted => registers[libc::REG_RSI as usize],
        Ok(answer) => answer as i64,
        Err(errno) => -i64::from(errno.0),
    };
    registers[libc::REG_RIP as usize] = site as i64;
    true
}
