//! Group time: sleeping.

use core::ffi::{c_int, c_uint};

use eventlet_core::blocking::sleep as sleeping;
use libc::timespec;

use crate::deep::bare::{self, cancellable};
use crate::errno;
use crate::interpose::rows;

rows! { Time;
    fn sleep(seconds: c_uint) -> c_uint { |g|
        let mut left = 0;
        let _: c_int = errno::from(sleeping::seconds(g, seconds, &mut left));
        left
    }

    fn usleep(microseconds: c_uint) -> c_int { |g| errno::from(sleeping::microseconds(g, microseconds)) }

    #[also(__nanosleep)]
    fn nanosleep(wait: *const timespec, left: *mut timespec) -> c_int {
        |g| errno::from(sleeping::nanosleep(g, wait, left))
    }

    #[deep]
    fn clock_nanosleep(clock: libc::clockid_t, flags: c_int, wait: *const timespec, left: *mut timespec) -> c_int {
        |g| errno::code(sleeping::clock_nanosleep(g, clock, flags, wait, left))
    } else { cancellable(|| errno::code(bare::clock_nanosleep(clock, flags, wait, left))) }

    #[unchecked = "not declared"]
    fn thrd_sleep(wait: *const timespec, left: *mut timespec) -> c_int {
        |g| match errno::code(sleeping::nanosleep(g, wait, left)) {
            0 => 0,
            libc::EINTR => -1,
            _ => -2,
        }
    }
}
