//! Group thread: C11. Inside libc these call the bodies of the pthread functions; here they call those of our rows, and
//! give C11's results.
//!
//! What only reads the thread's own block (`thrd_current`, `thrd_equal`, `tss_*`) and what only writes an object
//! (`mtx_init`, `cnd_init`, the destroying ones) needs no row.

use core::ffi::{c_int, c_void};

use libc::{CLOCK_REALTIME, pthread_cond_t, pthread_mutex_t, pthread_t, timespec};

use crate::interpose::rows;
use crate::lock::rows as lock;
use crate::thread::rows as thread;

const SUCCESS: c_int = 0;
const BUSY: c_int = 1;
const ERROR: c_int = 2;
const NO_MEMORY: c_int = 3;
const TIMED_OUT: c_int = 4;

/// The result for a pthread function's code.
fn c11(code: c_int) -> c_int {
    match code {
        0 => SUCCESS,
        libc::EBUSY => BUSY,
        libc::ENOMEM => NO_MEMORY,
        libc::ETIMEDOUT => TIMED_OUT,
        _ => ERROR,
    }
}

rows! { Thread;
    /// The start routine gives an int: `thrd_join` takes no more of it.
    #[unchecked = "not declared"]
    fn thrd_create(
        made: *mut pthread_t, start: extern "C" fn(*mut c_void) -> *mut c_void, arg: *mut c_void
    ) -> c_int { c11(thread::pthread_create::body(made, core::ptr::null(), start, arg)) }

    #[unchecked = "not declared"]
    fn thrd_join(of: pthread_t, result: *mut c_int) -> c_int {
        let mut value = core::ptr::null_mut();
        let code = thread::pthread_join::body(of, &mut value);
        if !result.is_null() {
            *result = value as usize as c_int;
        }
        c11(code)
    }

    #[unchecked = "not declared"]
    fn thrd_detach(of: pthread_t) -> c_int { c11(thread::pthread_detach::body(of)) }

    #[unchecked = "not declared"]
    fn thrd_yield() -> () { thread::sched_yield::body(); }

    #[unchecked = "not declared"]
    fn mtx_lock(of: *mut pthread_mutex_t) -> c_int { c11(lock::pthread_mutex_lock::body(of)) }

    #[unchecked = "not declared"]
    fn mtx_trylock(of: *mut pthread_mutex_t) -> c_int { c11(lock::pthread_mutex_trylock::body(of)) }

    #[unchecked = "not declared"]
    fn mtx_timedlock(of: *mut pthread_mutex_t, time: *const timespec) -> c_int {
        c11(lock::pthread_mutex_clocklock::body(of, CLOCK_REALTIME, time))
    }

    #[unchecked = "not declared"]
    fn mtx_unlock(of: *mut pthread_mutex_t) -> c_int { c11(lock::pthread_mutex_unlock::body(of)) }

    #[unchecked = "not declared"]
    fn cnd_wait(of: *mut pthread_cond_t, with: *mut pthread_mutex_t) -> c_int {
        c11(lock::pthread_cond_wait::body(of, with))
    }

    #[unchecked = "not declared"]
    fn cnd_timedwait(of: *mut pthread_cond_t, with: *mut pthread_mutex_t, time: *const timespec) -> c_int {
        c11(lock::pthread_cond_timedwait::body(of, with, time))
    }

    #[unchecked = "not declared"]
    fn cnd_signal(of: *mut pthread_cond_t) -> c_int { c11(lock::pthread_cond_signal::body(of)) }

    #[unchecked = "not declared"]
    fn cnd_broadcast(of: *mut pthread_cond_t) -> c_int { c11(lock::pthread_cond_broadcast::body(of)) }

    #[unchecked = "not declared"]
    fn call_once(control: *mut c_int, initialiser: extern "C" fn()) -> () {
        lock::pthread_once::body(control, initialiser);
    }
}
