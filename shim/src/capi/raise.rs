//! Exceptions.

use core::ffi::{c_int, c_void};

use eventlet_core::blocking::face::{here, tpool};
use eventlet_core::kernel::log;
use eventlet_core::runtime::raise::{self, Outcome};

use super::{Function, exports, store};

exports! {
    fn eventlet_raise(code: c_int) -> ! {
        let code = if code > 0 { code } else { libc::EINVAL };
        match here() {
            Ok(g) => raise::raise(g, code),
            Err(_) if tpool::raise(code) => {}
            Err(_) => log::fatal(format_args!("eventlet_raise({code}) on a thread that is not green")),
        }
        raise::unwind()
    }

    fn eventlet_try(function: Function, arg: *mut c_void, result: *mut *mut c_void) -> c_int {
        let Some(function) = function else { return libc::EINVAL };
        let Ok(g) = here() else { return libc::EPERM };
        match raise::attempt(g, function, arg) {
            Outcome::Returned(value) => {
                store(result, value);
                0
            }
            Outcome::Raised(raised) => raised.code,
            Outcome::Exits => raise::unwind(),
        }
    }

    fn eventlet_hub_exceptions(on: c_int) -> c_int {
        raise::reports(on != 0).into()
    }
}
