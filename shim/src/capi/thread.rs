//! Green threads.

use core::ffi::{c_int, c_void};
use core::ptr;
use core::time::Duration;

use eventlet_core::blocking::face::thread::{self, Linked, Plan, Thread};
use eventlet_core::blocking::face::{self, deadline};
use eventlet_core::kernel::{Errno, Result};
use eventlet_core::runtime::raise;

use super::{Function, INVALID, at, ended, exports, handle, on_hub};
use crate::errno;

fn spawn(
    function: Function,
    change: impl FnOnce(&mut Plan) -> Result<()>,
    arg: *mut c_void,
) -> Result<&'static Thread> {
    let mut plan = Plan::new(function.ok_or(INVALID)?, arg);
    change(&mut plan)?;
    thread::spawn(plan)
}

fn after(seconds: f64, local: bool) -> impl FnOnce(&mut Plan) -> Result<()> {
    move |plan| {
        plan.due = deadline(if seconds < 0.0 { 0.0 } else { seconds })?;
        plan.local = local;
        Ok(())
    }
}

/// A foreign thread's sleep.
fn sleep_natively(seconds: f64) {
    if seconds.is_nan() {
        return;
    }
    let seconds = if seconds >= 0.0 { seconds } else { f64::INFINITY };
    std::thread::sleep(Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX));
}

exports! {
    fn eventlet_spawn(function: Function, arg: *mut c_void) -> *mut Thread {
        handle(spawn(function, |_| Ok(()), arg).map(ptr::from_ref))
    }

    fn eventlet_spawn_n(function: Function, arg: *mut c_void) -> c_int {
        errno::from(spawn(function, |_| Ok(()), arg).map(Thread::let_go))
    }

    fn eventlet_spawn_after(seconds: f64, function: Function, arg: *mut c_void) -> *mut Thread {
        handle(spawn(function, after(seconds, false), arg).map(ptr::from_ref))
    }

    fn eventlet_spawn_after_local(seconds: f64, function: Function, arg: *mut c_void) -> *mut Thread {
        handle(spawn(function, after(seconds, true), arg).map(ptr::from_ref))
    }

    fn eventlet_wait(thread: *mut Thread, result: *mut *mut c_void) -> c_int {
        match at(thread).and_then(Thread::wait) {
            Ok(ending) => ended(ending, result, 0),
            Err(error) => errno::from(Err::<(), _>(error)),
        }
    }

    fn eventlet_cancel(thread: *mut Thread) -> c_int {
        errno::from(at(thread).and_then(Thread::cancel).map(c_int::from))
    }

    fn eventlet_kill(thread: *mut Thread, code: c_int) -> c_int {
        let code = match code {
            0 => Ok(raise::EXIT),
            1.. => Ok(code),
            _ => Err(INVALID),
        };
        errno::from(code.and_then(|code| at(thread)?.kill(code)))
    }

    fn eventlet_link(thread: *mut Thread, function: Option<Linked>, arg: *mut c_void) -> c_int {
        errno::from(at(thread).and_then(|thread| thread.link(function.ok_or(INVALID)?, arg)))
    }

    fn eventlet_unlink(thread: *mut Thread, function: Option<Linked>, arg: *mut c_void) -> c_int {
        errno::from(at(thread).and_then(|thread| thread.unlink(function.ok_or(INVALID)?, arg)).map(c_int::from))
    }

    fn eventlet_dead(thread: *mut Thread) -> c_int {
        at(thread).is_ok_and(Thread::dead).into()
    }

    fn eventlet_getcurrent() -> *mut Thread {
        thread::current().map_or(ptr::null(), ptr::from_ref).cast_mut()
    }

    fn eventlet_release(thread: *mut Thread) {
        if at(thread).is_ok() {
            // Once more there: another thread may have been faster.
            on_hub(move || {
                if let Ok(thread) = at(thread) {
                    thread.let_go();
                }
            });
        }
    }

    fn eventlet_sleep(seconds: f64) {
        match face::here() {
            Ok(g) => {
                if let Err(error @ Errno::CANCELLED) = face::sleep(g, seconds) {
                    errno::set(error);
                }
            }
            Err(_) => sleep_natively(seconds),
        }
    }
}
