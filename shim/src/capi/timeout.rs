//! Timeouts.

use core::ffi::{c_int, c_void};

use eventlet_core::blocking::face::timeout::{self, Timeout};

use super::{Function, INVALID, exports, handle, store};
use crate::errno;

exports! {
    fn eventlet_timeout_start(seconds: f64, code: c_int) -> *mut Timeout {
        if code < 0 {
            return handle(Err(INVALID));
        }
        let timeout = Box::into_raw(Box::new(Timeout::new(code)));
        handle((*timeout).start(seconds).map(|()| timeout.cast_const()).inspect_err(|_| drop(Box::from_raw(timeout))))
    }

    fn eventlet_timeout_cancel(timeout: *mut Timeout) -> c_int {
        if timeout.is_null() {
            return 0;
        }
        let disarmed = (*timeout).cancel();
        drop(Box::from_raw(timeout));
        disarmed.into()
    }

    fn eventlet_timeout_pending(timeout: *mut Timeout) -> c_int {
        timeout.as_ref().is_some_and(Timeout::pending).into()
    }

    fn eventlet_timeout_fired(timeout: *mut Timeout) -> c_int {
        timeout.as_ref().is_some_and(Timeout::fired).into()
    }

    fn eventlet_with_timeout(seconds: f64, function: Function, arg: *mut c_void, result: *mut *mut c_void) -> c_int {
        let Some(function) = function else { return errno::from(Err::<(), _>(INVALID)) };
        errno::from(timeout::with(seconds, function, arg).map(|value| store(result, value)))
    }
}
