//! [`prefetch`]: memory that is needed soon is asked for now.
//!
//! A green thread's turn begins with its own lines (its `Green`, its stack, its thread-locals), each found by way of the one
//! before. When it waited long, they are in no near cache, and the processor stands still for each in turn, some 100 ns.

use core::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};

const LINE: usize = 64;

/// Asks for the `bytes` from `address` on. No address can fault.
#[inline(always)]
pub fn prefetch(address: usize, bytes: usize) {
    for place in (0..bytes).step_by(LINE) {
        // SAFETY: a hint; the processor drops it where nothing can be read.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(address.wrapping_add(place) as *const i8) };
    }
}
