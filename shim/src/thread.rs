//! Group thread: threads and locks.

use core::ffi::{c_int, c_long};

use eventlet_core::blocking::lock::futex;
use eventlet_core::kernel::syscall::{check, raw6};

use crate::errno;
use crate::interpose::rows;

rows! { Thread;
    #[also(__sched_yield)]
    fn sched_yield() -> c_int { |g| { g.yield_now(); 0 } }

    fn gettid() -> libc::pid_t { |g| g.tid.get() }

    /// Raw for everybody but for what belongs to threads: it also works before the constructor has run.
    #[unchecked = "variadic"]
    fn syscall(number: c_long, a: usize, b: usize, c: usize, d: usize, e: usize, f: usize) -> c_long {
        errno::from(match number {
            libc::SYS_futex => futex::futex(green(), &futex::Call([a, b, c, d, e, f])),
            libc::SYS_gettid => Ok(super::gettid::body() as usize),
            _ => check(raw6(number, a, b, c, d, e, f)),
        })
    }
}
