//! Timeouts.

use core::ffi::{c_int, c_void};
use core::ptr;

use eventlet_core::blocking::face::counted::Counted;
use eventlet_core::blocking::face::here;
use eventlet_core::blocking::face::timeout::{self, Timeout};

use super::{Function, INVALID, at, exports, handle, store};
use crate::errno;

exports! {
    fn eventlet_timeout_start(seconds: f64, code: c_int) -> *mut Timeout {
        if code < 0 {
            return handle(Err(INVALID));
        }
        handle(Timeout::new(code).share().and_then(|timeout| {
            timeout.start(seconds).inspect_err(|_| timeout.release())?;
            Ok(ptr::from_ref(timeout))
        }))
    }

    fn eventlet_timeout_cancel(timeout: *mut Timeout) -> c_int {
        let Ok(timeout) = at(timeout) else { return 0 };
        // Its timer is the hub's.
        let done = here().map(|_| timeout.cancel());
        if done.is_ok() {
            timeout.release();
        }
        errno::from(done.map(c_int::from))
    }

    fn eventlet_timeout_pending(timeout: *mut Timeout) -> c_int {
        at(timeout).is_ok_and(|timeout| here().is_ok() && timeout.pending()).into()
    }

    fn eventlet_timeout_fired(timeout: *mut Timeout) -> c_int {
        at(timeout).is_ok_and(Timeout::fired).into()
    }

    fn eventlet_with_timeout(seconds: f64, function: Function, arg: *mut c_void, result: *mut *mut c_void) -> c_int {
        let Some(function) = function else { return errno::from(Err::<(), _>(INVALID)) };
        errno::from(timeout::with(seconds, function, arg).map(|value| store(result, value)))
    }
}
