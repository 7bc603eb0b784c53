//! Group socket.

use core::ffi::c_int;

use libc::{sockaddr, socklen_t};

use crate::interpose::rows;

rows! { Socket;
    fn socket(domain: c_int, kind: c_int, protocol: c_int) -> c_int { real()(domain, kind, protocol) }

    fn accept(fd: c_int, address: *mut sockaddr, length: *mut socklen_t) -> c_int { real()(fd, address, length) }
}
