//! Group os: vfork, the one row in assembly. It returns twice on the caller's own stack, so it may not have a frame:
//! the return address waits in a register, as in glibc.
//!
//! The child runs in our memory, on the caller's `%fs`: so the caller's bypass is up while the child runs, and the
//! parent, which the kernel lets go on only then, puts back what it was before. The same with the kernel's mask.
//!
//! Safety: rsi and rdx are the parent's again after the system call, whatever the child did with its own. What the calls
//! before and after it leave on the stack lies below the return address, which is there while they run.

use core::arch::naked_asm;
use core::ffi::{c_int, c_void};
use core::ptr;

use eventlet_core::kernel::Errno;
use eventlet_core::runtime::current;
use eventlet_core::runtime::fork::{self, BYPASS, VFORK};
use eventlet_core::runtime::signals::children;

use crate::errno;
use crate::interpose::{Real, next};
use crate::table::{Group, Row, flag};

macro_rules! export {
    ($name:ident) => {
        #[unsafe(no_mangle)]
        #[unsafe(naked)]
        pub unsafe extern "C" fn $name() -> c_int {
            naked_asm!(
                "sub rsp, 8",
                "call {before}",
                "add rsp, 8",
                "pop rdi",
                "mov rsi, qword ptr [rip + eventlet_this@GOTTPOFF]",
                "mov rsi, fs:[rsi]",
                "test rsi, rsi",
                "jz 2f",
                "mov rdx, qword ptr [rsi + {bypass}]",
                "mov qword ptr [rsi + {bypass}], {vfork}",
                "2:",
                "mov eax, {number}",
                "syscall",
                "push rdi",
                "test eax, eax",
                "jz 4f",
                "test rsi, rsi",
                "jz 3f",
                "mov qword ptr [rsi + {bypass}], rdx",
                "push rax",
                "mov edi, eax",
                "call {after}",
                "pop rax",
                "3:",
                "test eax, eax",
                "jns 4f",
                "mov edi, eax",
                "jmp {failed}",
                "4:",
                "ret",
                bypass = const BYPASS,
                vfork = const VFORK,
                number = const libc::SYS_vfork,
                before = sym before,
                after = sym after,
                failed = sym failed,
            )
        }
    };
}

export!(vfork);
export!(__vfork);

extern "C" fn before() {
    if let Some(g) = current() {
        children::makes(g);
        fork::before_vfork(g);
    }
}

extern "C" fn after(child: c_int) {
    if let Some(g) = current() {
        fork::after_vfork(g);
        children::made(g, child);
    }
}

extern "C" fn failed(answer: c_int) -> c_int {
    errno::from::<usize, c_int>(Err(Errno(-answer)))
}

static REAL: Real = Real::new();

fn find() -> *mut c_void {
    next(c"vfork")
}

/// The row of this file.
pub const ROWS: &[Row] = &[Row {
    name: c"vfork".as_ptr(),
    aliases: c"__vfork ".as_ptr(),
    group: Group::Os.name().as_ptr(),
    flags: flag::unchecked,
    export: vfork as unsafe extern "C" fn() -> c_int as *const c_void,
    imported: core::ptr::null(),
    imported_for_sockets: core::ptr::null(),
    real: &raw const REAL,
    bind: || {
        REAL.get(find);
    },
    bare: ptr::null(),
    detour: ptr::null(),
}];
