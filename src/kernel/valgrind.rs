//! What Valgrind is told, when it runs the process: which memory is a stack, and which blocks our own heap has given out.
//! Then it finds its way among the stacks, and finds what becomes of handles as it does of malloc's memory: used after
//! their end, or forgotten.
//!
//! A request is six instructions that do nothing on a processor; Valgrind knows them by their order.

use core::arch::asm;
use core::sync::atomic::{AtomicU32, Ordering};

/// The numbers of `valgrind.h` and `memcheck.h`.
const RUNNING_ON_VALGRIND: usize = 0x1001;
const MALLOCLIKE_BLOCK: usize = 0x1301;
const FREELIKE_BLOCK: usize = 0x1302;
const STACK_REGISTER: usize = 0x1501;
const STACK_DEREGISTER: usize = 0x1502;
const MAKE_MEM_UNDEFINED: usize = 0x4d43_0001;
const MAKE_MEM_DEFINED: usize = 0x4d43_0002;

/// Valgrind's answer; 0 without it.
#[inline(always)]
fn request(number: usize, arguments: [usize; 4]) -> usize {
    let [a, b, c, d] = arguments;
    let words = [number, a, b, c, d, 0];
    let mut answer = 0;
    // SAFETY: turns a register once around and exchanges another with itself; Valgrind reads the words.
    unsafe {
        asm!(
            "rol rdi, 3",
            "rol rdi, 13",
            "rol rdi, 61",
            "rol rdi, 51",
            "xchg rbx, rbx",
            in("rax") &words,
            inout("rdx") answer,
            // `rdi` is as before at the end.
            options(nostack),
        );
    }
    answer
}

/// Whether Valgrind runs this process.
#[inline]
pub fn runs() -> bool {
    const UNKNOWN: u32 = 2;
    static RUNS: AtomicU32 = AtomicU32::new(UNKNOWN);
    match RUNS.load(Ordering::Relaxed) {
        UNKNOWN => {
            let runs = (request(RUNNING_ON_VALGRIND, [0; 4]) != 0) as u32;
            RUNS.store(runs, Ordering::Relaxed);
            runs != 0
        }
        runs => runs != 0,
    }
}

/// A stack from here on; its number.
pub fn stack(lowest: usize, end: usize) -> u32 {
    request(STACK_REGISTER, [lowest, end - 1, 0, 0]) as u32
}

/// The stack of that number is none any more.
pub fn no_stack(number: u32) {
    request(STACK_DEREGISTER, [number as usize, 0, 0, 0]);
}

/// Our heap gives a block out.
pub fn allocated(block: *mut u8, size: usize, zeroed: bool) {
    request(MALLOCLIKE_BLOCK, [block as usize, size, 0, zeroed as usize]);
}

/// And takes it back.
pub fn freed(block: *mut u8) {
    request(FREELIKE_BLOCK, [block as usize, 0, 0, 0]);
}

/// Our heap uses a block's memory again.
pub fn reused(block: *mut u8, size: usize) {
    request(MAKE_MEM_UNDEFINED, [block as usize, size, 0, 0]);
}

/// What lies there may be looked at, whatever it is.
pub fn defined(place: usize, size: usize) {
    request(MAKE_MEM_DEFINED, [place, size, 0, 0]);
}
