//! The lowest frame of a thread: what its start routine returns to, and what the real `pthread_exit` unwinds to.
//!
//! ```text
//!   hub's coroutine frame
//!   eventlet_enter:  setjmp; __pthread_register_cancel(buffer)   <- backtraces and the unwinder end here
//!   start(arg)                                                       (undefined return address)
//!     ...  return, or pthread_exit / cancel: forced unwind, then longjmp to the setjmp
//! ```
//! An uncaught C++ exception finds the end of the stack here and reaches std::terminate with the stack intact. It
//! must not be Rust: setjmp returns twice. [`enter_main`] is the same for main(), but with a return address: there
//! the frames of libc's start code follow, as natively.
//!
//! Safety: between the frame and the start routine there is no Rust frame; frames above that the program leaves by
//! pthread_exit hold no value with a destructor of ours. `__pthread_unregister_cancel` puts the earlier buffer back
//! into force on both ways.

use core::arch::global_asm;
use core::ffi::{c_char, c_int, c_void};
use core::mem::MaybeUninit;
use core::sync::atomic::{AtomicPtr, Ordering};

use crate::kernel::{fs, valgrind};

use super::identity;

/// `__pthread_unwind_buf_t`: after a jmp_buf the buffer that was in force before, the handlers of the old kind that were, and two
/// words more; the last one says that a buffer is a frame of this file.
pub type Buffer = [usize; 13];
/// Where the one before is.
pub const BEFORE: usize = 9;
const MARK: usize = 0x5eed_0f7a_e4f7_a3e5;

unsafe extern "C" {
    /// Puts a buffer in force.
    pub fn __pthread_register_cancel(buffer: *mut Buffer);
    /// Puts the one that is before it in force again.
    pub fn __pthread_unregister_cancel(buffer: *mut Buffer);
    /// Unwinds to the one that is before it.
    pub fn __pthread_unwind_next(buffer: *mut Buffer) -> !;
}

/// Whether `buffer` is a frame of this file, not a cleanup handler's of the program.
///
/// # Safety
/// It is in force, or before one that is.
pub unsafe fn is_frame(buffer: *const Buffer) -> bool {
    // SAFETY: the caller's promise. A handler's has anything there.
    let mark = unsafe { &raw const (*buffer)[12] };
    valgrind::defined(mark.addr(), size_of::<usize>());
    // SAFETY: as above.
    unsafe { *mark == MARK }
}

/// libc's own frame below main's, to which pthread_exit unwinds when main has returned.
static BELOW_MAIN: AtomicPtr<Buffer> = AtomicPtr::new(core::ptr::null_mut());

/// Whether nobody is there who catches: `buffer` is NULL, before main, or libc's, after it.
pub fn is_none(buffer: *mut Buffer) -> bool {
    buffer.is_null() || buffer == BELOW_MAIN.load(Ordering::Relaxed)
}

/// The frame, with its return address as `$unwind` says. Its stack: 104 bytes `__pthread_unwind_buf_t` at rsp
/// (aligned to 16), the value at 112, how it ended at 120; five pushed registers above.
macro_rules! frame {
    ($name:literal, $unwind:literal) => {
        global_asm!(
            concat!(".globl ", $name),
            concat!(".hidden ", $name),
            concat!(".type ", $name, ",@function"),
            concat!($name, ":"),
            ".cfi_startproc",
            $unwind,
            "push rbp",
            ".cfi_adjust_cfa_offset 8",
            ".cfi_rel_offset rbp, 0",
            "push rbx",
            ".cfi_adjust_cfa_offset 8",
            ".cfi_rel_offset rbx, 0",
            "push r12",
            ".cfi_adjust_cfa_offset 8",
            ".cfi_rel_offset r12, 0",
            "push r13",
            ".cfi_adjust_cfa_offset 8",
            ".cfi_rel_offset r13, 0",
            "push r14",
            ".cfi_adjust_cfa_offset 8",
            ".cfi_rel_offset r14, 0",
            "sub rsp, 128",
            ".cfi_adjust_cfa_offset 128",
            "mov rbx, rdi", // the function
            "mov r12, rsi", // its arguments
            "mov r13, rdx",
            "mov r14, rcx",
            "mov rdi, rsp",
            "xor esi, esi",
            "call __sigsetjmp@PLT",
            "mov qword ptr [rsp + 112], 0",
            "mov qword ptr [rsp + 120], 1",
            "test eax, eax",
            "jnz 2f",
            "movabs rax, {mark}",
            "mov qword ptr [rsp + 96], rax", // the last word of the buffer, which libc leaves alone
            "mov rdi, rsp",
            "call __pthread_register_cancel@PLT",
            "mov rdi, r12",
            "mov rsi, r13",
            "mov rdx, r14",
            "call rbx",
            "mov qword ptr [rsp + 112], rax",
            "mov qword ptr [rsp + 120], 0",
            "2:",
            "mov rdi, rsp",
            "call __pthread_unregister_cancel@PLT",
            "mov rax, qword ptr [rsp + 112]",
            "mov rdx, qword ptr [rsp + 120]",
            "add rsp, 128",
            ".cfi_adjust_cfa_offset -128",
            "pop r14",
            ".cfi_adjust_cfa_offset -8",
            ".cfi_restore r14",
            "pop r13",
            ".cfi_adjust_cfa_offset -8",
            ".cfi_restore r13",
            "pop r12",
            ".cfi_adjust_cfa_offset -8",
            ".cfi_restore r12",
            "pop rbx",
            ".cfi_adjust_cfa_offset -8",
            ".cfi_restore rbx",
            "pop rbp",
            ".cfi_adjust_cfa_offset -8",
            ".cfi_restore rbp",
            "ret",
            ".cfi_endproc",
            concat!(".size ", $name, ", . - ", $name),
            mark = const MARK,
        );
    };
}

frame!("eventlet_enter", ".cfi_undefined rip");
frame!("eventlet_enter_main", "");

/// A thread's start routine.
pub type Start = extern "C" fn(*mut c_void) -> *mut c_void;
/// main(), as libc calls it.
pub type Main = unsafe extern "C" fn(c_int, *mut *mut c_char, *mut *mut c_char) -> c_int;

/// How a function ended that was entered through the frame.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct Outcome {
    value: usize,
    exited: usize,
}

impl Outcome {
    /// What the function returned, if it did.
    pub fn value(self) -> *mut c_void {
        self.value as *mut c_void
    }

    /// By pthread_exit, cancellation or a raise, not by a return.
    pub fn exited(self) -> bool {
        self.exited != 0
    }
}

unsafe extern "C" {
    fn eventlet_enter(start: Start, arg: *mut c_void) -> Outcome;
    fn eventlet_enter_main(main: Main, argc: c_int, argv: *mut *mut c_char, env: *mut *mut c_char)
    -> Outcome;
}

/// Calls `start(arg)` at the end of what backtraces see.
///
/// # Safety
/// `start` is a thread's start routine and may be called now, on this thread.
pub unsafe fn enter(start: Start, arg: *mut c_void) -> Outcome {
    // SAFETY: the caller's promise.
    unsafe { eventlet_enter(start, arg) }
}

/// Runs a green thread's start routine; gives, and leaves as [`identity::result`], what it returned or passed to
/// pthread_exit.
///
/// # Safety
/// As [`enter`], on the thread's own TCB.
pub unsafe fn run(start: Start, arg: *mut c_void) -> *mut c_void {
    // SAFETY: the caller's promise.
    let outcome = unsafe { enter(start, arg) };
    if !outcome.exited() {
        identity::block::set_result(fs::get(), outcome.value());
    }
    identity::result(fs::get())
}

/// Calls main(). `None`: it left by pthread_exit; libc's own buffer is in force again.
///
/// # Safety
/// As libc's call of main.
pub unsafe fn run_main(
    main: Main,
    argc: c_int,
    argv: *mut *mut c_char,
    env: *mut *mut c_char,
) -> Option<c_int> {
    let mut buffer = MaybeUninit::<Buffer>::zeroed();
    // SAFETY: libc writes it, and it is in force no longer than here.
    unsafe {
        __pthread_register_cancel(buffer.as_mut_ptr());
        BELOW_MAIN.store(buffer.assume_init_ref()[BEFORE] as *mut Buffer, Ordering::Relaxed);
        __pthread_unregister_cancel(buffer.as_mut_ptr());
    }
    // SAFETY: the caller's promise.
    let outcome = unsafe { eventlet_enter_main(main, argc, argv, env) };
    (!outcome.exited()).then_some(outcome.value as c_int)
}
