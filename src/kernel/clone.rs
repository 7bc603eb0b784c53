//! Kernel threads of our own, of which libc knows nothing: raw clone, a small stack, raw system calls only.
//!
//! Safety: the thread never returns from its function, and uses libc no more than its thread pointer allows.

use core::arch::asm;
use core::ptr;
use core::sync::atomic::AtomicU32;

use crate::syscall;

use super::Result;
use super::signal;
use super::syscall::check;

/// A thread to start.
#[derive(Clone, Copy, Debug)]
pub struct Start<'a> {
    /// Where its stack ends, a multiple of 16.
    pub top: usize,
    /// What it runs.
    pub run: extern "C" fn(usize) -> !,
    /// What that is given.
    pub argument: usize,
    /// The signals that are blocked in it.
    pub mask: u64,
    /// Its TCB, and where its tid stands until the kernel has done with its stack. None: the caller's thread pointer, and
    /// nobody asks.
    pub own: Option<(usize, &'a AtomicU32)>,
}

/// Starts it; its tid. Its credentials and namespaces are the caller's of now.
///
/// # Safety
/// The stack is the thread's alone, with room for what it does; the TCB is one. Both stay as long as it runs.
pub unsafe fn start(thread: &Start) -> Result<i32> {
    let mut flags = libc::CLONE_VM
        | libc::CLONE_FS
        | libc::CLONE_FILES
        | libc::CLONE_SIGHAND
        | libc::CLONE_THREAD
        | libc::CLONE_SYSVSEM;
    let (mut tcb, mut tid) = (0, ptr::null());
    if let Some((own, place)) = thread.own {
        flags |= libc::CLONE_SETTLS | libc::CLONE_PARENT_SETTID | libc::CLONE_CHILD_CLEARTID;
        (tcb, tid) = (own, ptr::from_ref(place));
    }
    let words = thread.top as *mut [usize; 2];
    let answer = signal::masked(thread.mask, || {
        let answer: isize;
        // SAFETY: the two words at the top of the new stack are function and argument; there it goes on, with the stack
        // as the ABI wants it at a call.
        unsafe {
            let words = words.sub(1);
            *words = [thread.run as *const () as usize, thread.argument];
            asm!(
                "syscall",
                "test rax, rax",
                "jnz 2f",
                "xor ebp, ebp",
                "pop rax",
                "pop rdi",
                "call rax",
                "ud2",
                "2:",
                inlateout("rax") libc::SYS_clone as isize => answer,
                in("rdi") flags, in("rsi") words, in("rdx") tid, in("r10") tid, in("r8") tcb,
                lateout("rcx") _, lateout("r11") _,
            );
        }
        answer
    });
    check(answer).map(|tid| tid as i32)
}

/// Ends the calling thread of ours.
pub fn end() -> ! {
    loop {
        // SAFETY: the end of a thread that holds nothing.
        let _ = unsafe { syscall!(libc::SYS_exit, 0) };
    }
}
