//! Group os: descriptors.

use core::ffi::{c_int, c_void};

use crate::interpose::{fortify, rows};

rows! { Os;
    #[deep] #[also(__read)]
    fn read(fd: c_int, buf: *mut c_void, n: usize) -> isize { real()(fd, buf, n) }

    #[unchecked = "not declared"]
    fn __read_chk(fd: c_int, buf: *mut c_void, n: usize, room: usize) -> isize {
        fortify(n <= room);
        super::read::body(fd, buf, n)
    }

    #[deep] #[also(__write)]
    fn write(fd: c_int, buf: *const c_void, n: usize) -> isize { real()(fd, buf, n) }

    #[deep] #[also(__close)]
    fn close(fd: c_int) -> c_int { real()(fd) }
}
