//! Group thread: threads and locks.

use core::ffi::c_int;

use crate::interpose::rows;

rows! { Thread;
    #[also(__sched_yield)]
    fn sched_yield() -> c_int { |g| { g.yield_now(); 0 } }

    fn gettid() -> libc::pid_t { real()() }
}
