//! Atomics of the structures that several kernel threads share: core's own, or in the models (feature `loom`) loom's, which
//! try every order of steps and every value that the memory model allows a load to see.

#[cfg(not(feature = "loom"))]
pub use core::sync::atomic::{AtomicBool, AtomicPtr, AtomicUsize, Ordering, fence};
#[cfg(feature = "loom")]
pub use loom::sync::atomic::{AtomicBool, AtomicPtr, AtomicUsize, Ordering, fence};

/// A `const fn`; in the models, whose atomics are not made at compile time, an ordinary one.
macro_rules! constant {
    ($(#[$meta:meta])* pub fn $($rest:tt)*) => {
        #[cfg(not(feature = "loom"))]
        $(#[$meta])*
        pub const fn $($rest)*
        #[cfg(feature = "loom")]
        $(#[$meta])*
        pub fn $($rest)*
    };
}

pub(crate) use constant;

/// A full fence right after an atomic read-modify-write: on x86-64 that instruction was one already.
#[inline(always)]
pub fn fence_after_rmw() {
    #[cfg(any(feature = "loom", not(target_arch = "x86_64")))]
    fence(Ordering::SeqCst);
}

/// Lets time pass in a loop that waits for another kernel thread, for the `turn`th time (from 1).
#[inline(always)]
pub fn relax(turn: u32) {
    #[cfg(feature = "loom")]
    {
        let _ = turn;
        loom::thread::yield_now();
    }
    #[cfg(not(feature = "loom"))]
    {
        if turn.is_multiple_of(64) {
            // SAFETY: sched_yield takes nothing; the other thread may share our core.
            let _ = unsafe { crate::syscall!(libc::SYS_sched_yield) };
        }
        core::hint::spin_loop();
    }
}
