//! Group select: waiting on several descriptors.

use core::ffi::c_int;

use eventlet_core::runtime::poller;

use crate::interpose::rows;

rows! { Select;
    #[deep] #[also(__poll)]
    fn poll(fds: *mut libc::pollfd, count: libc::nfds_t, timeout: c_int) -> c_int { real()(fds, count, timeout) }

    #[optional]
    fn epoll_pwait2(
        fd: c_int, events: *mut libc::epoll_event, room: c_int, timeout: *const libc::timespec,
        mask: *const libc::sigset_t
    ) -> c_int { real()(fd, events, room, timeout, mask) }

    /// The hub's own comes through here too (mio makes it): it leaves the numbers that the bare program would see.
    fn epoll_create1(flags: c_int) -> c_int {
        let fd = real()(flags);
        if fd >= 0 && poller::making() { poller::move_high(fd) } else { fd }
    }
}
