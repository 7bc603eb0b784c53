//! The thread pointer (`%fs`) and the two words of ours in every thread's TLS block.
//!
//! Picture: `%fs` points at a `struct pthread` (the TCB); the static TLS of the preloaded objects lies just below.
//! Our object `eventlet_this` there holds the address of the block's green thread; a foreign kernel thread, whose
//! block glibc made, finds NULL. It is an initial-exec variable by hand: stable Rust has no such `thread_local!`,
//! and `__tls_get_addr` is not allowed where the hub runs on another thread's `%fs`.
//!
//! Safety: [`set`] changes what every thread-local means from that instruction on. Callers hold no address of a
//! thread-local over it, and the new value is a complete TCB.
//! Facts: `wrfsbase` is usable when AT_HWCAP2 bit 1 is set (kernel >= 5.9); valgrind clears the bit.

use core::arch::{asm, global_asm};
use core::sync::atomic::{AtomicBool, Ordering};

global_asm!(
    ".pushsection .tbss,\"awT\",@nobits",
    ".globl eventlet_this",
    ".hidden eventlet_this",
    ".type eventlet_this,@object",
    ".size eventlet_this,8",
    ".p2align 3",
    "eventlet_this:",
    ".zero 8",
    ".popsection",
);

static WRFSBASE: AtomicBool = AtomicBool::new(false);

/// Finds out how `%fs` may be written. Called once, before the first [`set`].
pub fn init() {
    const HWCAP2_FSGSBASE: u64 = 2;
    // SAFETY: getauxval reads the process's own auxiliary vector.
    let hwcap2 = unsafe { libc::getauxval(libc::AT_HWCAP2) };
    WRFSBASE.store(hwcap2 & HWCAP2_FSGSBASE != 0, Ordering::Relaxed);
}

/// The thread pointer: the address of the running thread's TCB, which is also its `pthread_t`.
#[inline(always)]
pub fn get() -> usize {
    let tcb;
    // SAFETY: the first words of a TCB hold its own address (at 0 and at 16).
    unsafe { asm!("mov {}, fs:[16]", out(reg) tcb, options(nostack, readonly, preserves_flags)) };
    tcb
}

/// Makes `tcb` the thread pointer.
///
/// # Safety
/// `tcb` is a complete TCB, and no address of a thread-local is held over this call.
#[inline(always)]
pub unsafe fn set(tcb: usize) {
    if WRFSBASE.load(Ordering::Relaxed) {
        // SAFETY: the CPU and the kernel allow it (init).
        unsafe { asm!("wrfsbase {}", in(reg) tcb, options(nostack, preserves_flags)) };
    } else {
        const ARCH_SET_FS: usize = 0x1002;
        // SAFETY: ARCH_SET_FS with a canonical address cannot fail.
        let _ = unsafe { crate::syscall!(libc::SYS_arch_prctl, ARCH_SET_FS, tcb) };
    }
}

/// The stack pointer.
#[inline(always)]
pub fn stack_pointer() -> usize {
    let sp;
    // SAFETY: reads a register.
    unsafe { asm!("mov {}, rsp", out(reg) sp, options(nomem, nostack, preserves_flags)) };
    sp
}

/// The running thread's own word: its green thread, or NULL on a foreign thread and while dormant.
#[inline(always)]
pub fn this() -> *const () {
    let word;
    // SAFETY: an initial-exec read of our own TLS object. Not `pure`: `%fs` changes across a park.
    unsafe {
        asm!("mov {0}, qword ptr [rip + eventlet_this@GOTTPOFF]", "mov {0}, fs:[{0}]", out(reg) word,
             options(nostack, readonly, preserves_flags));
    }
    word
}

/// Where the word lies in the TLS block of the thread whose TCB is `tcb`.
#[inline(always)]
pub fn this_of(tcb: usize) -> *mut *const () {
    let offset: usize;
    // SAFETY: reads the GOT slot with the object's offset from the thread pointer (negative, the same for all).
    unsafe {
        asm!("mov {0}, qword ptr [rip + eventlet_this@GOTTPOFF]", out(reg) offset,
             options(nostack, readonly, preserves_flags));
    }
    tcb.wrapping_add(offset) as *mut *const ()
}

/// The SSE and x87 control words (rounding, precision, exception masks), which corosensei does not save.
#[derive(Clone, Copy, PartialEq, Eq)]
#[repr(C)]
pub struct FpControl {
    mxcsr: u32,
    x87: u16,
}

impl FpControl {
    /// What the x86-64 ABI gives a fresh process.
    pub const DEFAULT: FpControl = FpControl { mxcsr: 0x1f80, x87: 0x37f };

    /// MXCSR's sticky exception flags are data, not control, but travel with it as in a kernel switch.
    #[inline(always)]
    pub fn read() -> FpControl {
        let mut control = FpControl { mxcsr: 0, x87: 0 };
        // SAFETY: both store into the struct on our stack.
        unsafe {
            asm!("stmxcsr [{0}]", "fnstcw [{0} + 4]", in(reg) &mut control, options(nostack, preserves_flags));
        }
        control
    }

    /// Loads the words into the processor.
    #[inline(always)]
    pub fn load(&self) {
        // SAFETY: values that `read` took from the processor are valid for it.
        unsafe { asm!("ldmxcsr [{0}]", "fldcw [{0} + 4]", in(reg) self, options(nostack, preserves_flags)) };
    }
}
