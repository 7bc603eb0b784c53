//! Group os: from descriptor to descriptor, and vectors with flags.

use core::ffi::{c_int, c_uint};

use eventlet_core::blocking::{io, transfer};
use eventlet_core::syscall;
use libc::{eventfd_t, iovec, loff_t, off_t, size_t};

use crate::errno;
use crate::interpose::rows;

rows! { Os;
    #[deep] #[also(sendfile64)]
    fn sendfile(to: c_int, from: c_int, offset: *mut off_t, length: size_t) -> isize {
        |g: [to, from]| errno::from(transfer::sendfile(g, to, from, offset, length))
    } else { errno::from(syscall!(libc::SYS_sendfile, to, from, offset, length)) }

    #[deep]
    fn splice(
        from: c_int, from_offset: *mut loff_t, to: c_int, to_offset: *mut loff_t, length: size_t, flags: c_uint
    ) -> isize {
        |g: [from, to]| errno::from(transfer::splice(g, from, from_offset, to, to_offset, length, flags))
    } else SYS_splice

    #[deep]
    fn tee(from: c_int, to: c_int, length: size_t, flags: c_uint) -> isize {
        |g| errno::from(transfer::tee(g, from, to, length, flags))
    } else SYS_tee

    #[deep]
    fn vmsplice(pipe: c_int, buffers: *const iovec, count: size_t, flags: c_uint) -> isize {
        |g| errno::from(transfer::vmsplice(g, pipe, buffers, count, flags))
    } else SYS_vmsplice

    #[also(preadv64v2)]
    fn preadv2(fd: c_int, buffers: *const iovec, count: c_int, offset: off_t, flags: c_int) -> isize {
        match green_at([fd]) {
            Some(g) if io::is_plain_vector(fd, offset, flags) => errno::from(io::readv(g, fd, buffers, count)),
            _ => real()(fd, buffers, count, offset, flags),
        }
    }

    #[also(pwritev64v2)]
    fn pwritev2(fd: c_int, buffers: *const iovec, count: c_int, offset: off_t, flags: c_int) -> isize {
        match green_at([fd]) {
            Some(g) if io::is_plain_vector(fd, offset, flags) => errno::from(io::writev(g, fd, buffers, count)),
            _ => real()(fd, buffers, count, offset, flags),
        }
    }

    fn eventfd_read(fd: c_int, value: *mut eventfd_t) -> c_int {
        |_g| if crate::os::rows::read::body(fd, value.cast(), size_of::<eventfd_t>()) == 8 { 0 } else { -1 }
    }

    fn eventfd_write(fd: c_int, value: eventfd_t) -> c_int {
        |_g| if crate::os::rows::write::body(fd, (&raw const value).cast(), size_of::<eventfd_t>()) == 8 { 0 } else { -1 }
    }
}
