//! A thread that overflows its stack: said in one line, then the process dies as it would have natively.
//!
//! The guard's SIGSEGV can be handled on another stack alone, so the hub's kernel thread has an alternate one, ours.
//! What is no overflow, and what comes after the line, is the matter of the program's own action for SIGSEGV.
//!
//! Safety: the handler runs on the faulting thread's `%fs`, anywhere. It reads published data and makes system calls;
//! the saved action is written once, before the handler is in force.

use core::cell::UnsafeCell;
use core::ffi::{c_int, c_void};
use core::mem::MaybeUninit;
use core::ptr;

use crate::data::stack;
use crate::kernel::{Result, log, real::real};

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

struct Saved(UnsafeCell<MaybeUninit<libc::sigaction>>);

// SAFETY: written before the handler is in force (file header).
unsafe impl Sync for Saved {}

/// The program's action for SIGSEGV.
static PROGRAM: Saved = Saved(UnsafeCell::new(MaybeUninit::uninit()));

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

/// Gives the calling kernel thread its alternate stack and takes SIGSEGV over. Once, on the hub's thread, after
/// [`identity::build`].
pub fn install() -> Result<()> {
    const FLAGS: i32 = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE | libc::MAP_STACK;
    let rights = libc::PROT_READ | libc::PROT_WRITE;
    // SAFETY: a new mapping, which becomes the alternate stack for ever; a handler with the prototype that SA_SIGINFO
    // asks for, in force once the program's action is saved.
    unsafe {
        let memory = crate::syscall!(libc::SYS_mmap, 0, ALTERNATE, rights, FLAGS, -1, 0)?;
        let stack = libc::stack_t { ss_sp: memory as *mut c_void, ss_flags: 0, ss_size: ALTERNATE };
        crate::syscall!(libc::SYS_sigaltstack, &raw const stack, 0)?;
        let saved = (*PROGRAM.0.get()).as_mut_ptr();
        (real().sigaction)(libc::SIGSEGV, ptr::null(), saved);
        let mut action = *saved;
        action.sa_sigaction = handler as *const () as usize;
        action.sa_flags |= libc::SA_SIGINFO | libc::SA_ONSTACK;
        (real().sigaction)(libc::SIGSEGV, &action, ptr::null_mut());
    }
    Ok(())
}

extern "C" fn handler(signal: c_int, info: *mut libc::siginfo_t, context: *mut c_void) {
    // SAFETY: the kernel's siginfo; an address is in it if the kernel itself made the signal.
    let (by_kernel, address) = unsafe { ((*info).si_code > 0, (*info).si_addr() as usize) };
    let overflow = by_kernel && report(address);
    // SAFETY: saved by `install`.
    let program = unsafe { (*PROGRAM.0.get()).assume_init_ref() };
    match program.sa_sigaction {
        libc::SIG_IGN if !by_kernel => {}
        libc::SIG_DFL | libc::SIG_IGN => die(by_kernel),
        // The kernel could not have called it: there was no stack left.
        _ if overflow && program.sa_flags & libc::SA_ONSTACK == 0 => die(by_kernel),
        function if program.sa_flags & libc::SA_SIGINFO != 0 => {
            // SAFETY: the program said that it has this prototype.
            let function = unsafe {
                core::mem::transmute::<usize, extern "C" fn(c_int, *mut libc::siginfo_t, *mut c_void)>(
                    function,
                )
            };
            function(signal, info, context);
        }
        function => {
            // SAFETY: as above.
            let function = unsafe { core::mem::transmute::<usize, extern "C" fn(c_int)>(function) };
            function(signal);
        }
    }
}

/// Puts the default action in force: on return the faulting instruction runs again and the process dies by it. A
/// signal that somebody sent is sent again.
fn die(by_kernel: bool) {
    // SAFETY: plain data, valid as all zeros (SIG_DFL); the system calls take nothing of ours.
    unsafe {
        let action: libc::sigaction = core::mem::zeroed();
        (real().sigaction)(libc::SIGSEGV, &action, ptr::null_mut());
        if !by_kernel {
            let tid = crate::syscall!(libc::SYS_gettid).unwrap_or(0);
            let pid = crate::syscall!(libc::SYS_getpid).unwrap_or(0);
            let _ = crate::syscall!(libc::SYS_tgkill, pid, tid, libc::SIGSEGV);
        }
    }
}
