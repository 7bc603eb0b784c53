//! Group time: sleeping.

use core::ffi::c_int;

use libc::timespec;

use crate::interpose::rows;

rows! { Time;
    #[also(__nanosleep)]
    fn nanosleep(wait: *const timespec, left: *mut timespec) -> c_int { real()(wait, left) }
}
