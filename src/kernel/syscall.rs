//! Raw system calls, and [`Errno`]: the error of everything below the edge.
//!
//! Safety: a system call given a pointer reads or writes what the kernel documents for it; the caller vouches
//! for that memory. The assembly clobbers just what the x86-64 kernel ABI says (rcx, r11).

use core::arch::asm;

/// An errno value, positive. The edge turns it into the C convention.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Errno(pub i32);

impl Errno {
    /// Not the kernel's: the wait ended for pthread_cancel. The edge acts on it, with the real `pthread_testcancel`.
    pub const CANCELLED: Errno = Errno(i32::MAX);
}

/// What a blocking call of floor 3 gives back.
pub type Result<T> = core::result::Result<T, Errno>;

impl core::fmt::Debug for Errno {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "errno {}", self.0)
    }
}

/// `io_pgetevents`, which the `libc` crate does not name.
#[cfg(target_arch = "x86_64")]
pub const IO_PGETEVENTS: i64 = 333;

/// The kernel's answer (-4095..=-1 is an error) as a `Result`.
#[inline(always)]
pub fn check(answer: isize) -> Result<usize> {
    if (-4095..0).contains(&answer) { Err(Errno(-answer as i32)) } else { Ok(answer as usize) }
}

/// One system call with six arguments; the kernel ignores those it does not take.
///
/// # Safety
/// Pointers among the arguments must be good for what the call does with them.
#[inline(always)]
pub unsafe fn raw6(n: i64, a: usize, b: usize, c: usize, d: usize, e: usize, f: usize) -> isize {
    let answer: isize;
    // SAFETY: the kernel's calling convention; memory effects are the caller's promise.
    unsafe {
        asm!("syscall", inlateout("rax") n as isize => answer, in("rdi") a, in("rsi") b, in("rdx") c,
             in("r10") d, in("r8") e, in("r9") f, lateout("rcx") _, lateout("r11") _, options(nostack));
    }
    answer
}

/// What can be an argument of a system call: a number, a pointer, a reference.
pub trait Word {
    /// The register's content.
    fn word(self) -> usize;
}

macro_rules! words {
    ($($number:ty),*) => { $(impl Word for $number {
        #[inline(always)]
        fn word(self) -> usize { self as usize }
    })* };
}

words!(usize, isize, u64, i64, u32, i32, u16, u8);

impl<T> Word for *const T {
    #[inline(always)]
    fn word(self) -> usize {
        self as usize
    }
}

impl<T> Word for *mut T {
    #[inline(always)]
    fn word(self) -> usize {
        self as usize
    }
}

impl<T> Word for &T {
    #[inline(always)]
    fn word(self) -> usize {
        core::ptr::from_ref(self) as usize
    }
}

impl<T> Word for &mut T {
    #[inline(always)]
    fn word(self) -> usize {
        core::ptr::from_mut(self) as usize
    }
}

/// `syscall!(number, args...)`: one system call, `Result<usize>`.
#[macro_export]
macro_rules! syscall {
    ($n:expr) => {
        $crate::syscall!($n, 0)
    };
    ($n:expr, $a:expr) => {
        $crate::syscall!($n, $a, 0)
    };
    ($n:expr, $a:expr, $b:expr) => {
        $crate::syscall!($n, $a, $b, 0)
    };
    ($n:expr, $a:expr, $b:expr, $c:expr) => {
        $crate::syscall!($n, $a, $b, $c, 0)
    };
    ($n:expr, $a:expr, $b:expr, $c:expr, $d:expr) => {
        $crate::syscall!($n, $a, $b, $c, $d, 0)
    };
    ($n:expr, $a:expr, $b:expr, $c:expr, $d:expr, $e:expr) => {
        $crate::syscall!($n, $a, $b, $c, $d, $e, 0)
    };
    ($n:expr, $a:expr, $b:expr, $c:expr, $d:expr, $e:expr, $f:expr) => {
        $crate::kernel::syscall::check($crate::kernel::syscall::raw6(
            $n as i64,
            $crate::kernel::syscall::Word::word($a),
            $crate::kernel::syscall::Word::word($b),
            $crate::kernel::syscall::Word::word($c),
            $crate::kernel::syscall::Word::word($d),
            $crate::kernel::syscall::Word::word($e),
            $crate::kernel::syscall::Word::word($f),
        ))
    };
}
