//! Group select: waiting on several descriptors.

use core::ffi::c_int;

use eventlet_core::blocking::poll::{milliseconds, timespec_deadline};
use eventlet_core::blocking::{epoll, life, poll as polling, select as selecting};
use eventlet_core::kernel::Errno;
use eventlet_core::runtime::{Green, current, descriptors, poller};
use libc::{epoll_event, fd_set, nfds_t, pollfd, sigset_t, timespec};

use crate::deep::bare::{self, cancellable};
use crate::errno;
use crate::interpose::{fortify, natively, rows};

/// Who calls `select`: Eventlet's own descriptors are green there too.
unsafe fn green_in(g: Option<&'static Green>, n: c_int, sets: [*mut fd_set; 3]) -> Option<&'static Green> {
    // SAFETY: the C function's contract.
    g.or_else(|| current().filter(|_| unsafe { selecting::any_green(n, sets) }))
}

rows! { Select;
    #[deep] #[also(__poll)]
    fn poll(fds: *mut pollfd, count: nfds_t, timeout: c_int) -> c_int {
        |g: (polling::any_green(fds, count))| errno::from(polling::poll(g, fds, count, timeout))
    } else SYS_poll

    #[unchecked = "not declared"]
    fn __poll_chk(fds: *mut pollfd, count: nfds_t, timeout: c_int, room: usize) -> c_int {
        fortify(room / size_of::<pollfd>() >= count as usize);
        super::poll::body(fds, count, timeout)
    }

    #[deep]
    fn ppoll(fds: *mut pollfd, count: nfds_t, timeout: *const timespec, mask: *const sigset_t) -> c_int {
        |g: (polling::any_green(fds, count))| errno::from(polling::ppoll(g, fds, count, timeout, mask))
    } else { cancellable(|| errno::from(bare::ppoll(fds, count, timeout, mask))) }

    #[unchecked = "not declared"]
    fn __ppoll_chk(
        fds: *mut pollfd, count: nfds_t, timeout: *const timespec, mask: *const sigset_t, room: usize
    ) -> c_int {
        fortify(room / size_of::<pollfd>() >= count as usize);
        super::ppoll::body(fds, count, timeout, mask)
    }

    #[deep] #[also(__select)]
    fn select(
        n: c_int, read: *mut fd_set, write: *mut fd_set, except: *mut fd_set, timeout: *mut libc::timeval
    ) -> c_int {
        match green_in(green(), n, [read, write, except]) {
            Some(g) => errno::from(selecting::select(g, n, [read, write, except], timeout)),
            None => natively(|| real()(selecting::in_use(n), read, write, except, timeout)),
        }
    } else SYS_select

    #[deep]
    fn pselect(
        n: c_int, read: *mut fd_set, write: *mut fd_set, except: *mut fd_set, timeout: *const timespec,
        mask: *const sigset_t
    ) -> c_int {
        match green_in(green(), n, [read, write, except]) {
            Some(g) => errno::from(selecting::pselect(g, n, [read, write, except], timeout, mask)),
            None => natively(|| real()(selecting::in_use(n), read, write, except, timeout, mask)),
        }
    } else {
        cancellable(|| errno::from(bare::pselect(n, [read, write, except], timeout, mask)))
    }

    fn epoll_create(size: c_int) -> c_int {
        |_g| errno::from(if size > 0 { life::epoll_create(0) } else { Err(Errno(libc::EINVAL)) })
    }

    /// The hub's own comes through here too (mio makes it): it leaves the numbers that the bare program would see.
    fn epoll_create1(flags: c_int) -> c_int {
        if green().is_some() { return errno::from(life::epoll_create(flags)); }
        let fd = real()(flags);
        if fd >= 0 && poller::making() { poller::move_high(fd) } else { fd }
    }

    /// One that watches a descriptor of Eventlet's own is waited for as that is.
    fn epoll_ctl(fd: c_int, operation: c_int, watched: c_int, event: *mut epoll_event) -> c_int {
        let answer = real()(fd, operation, watched, event);
        if answer == 0 && operation == libc::EPOLL_CTL_ADD && descriptors::is_green(watched) {
            life::watches(fd);
        }
        answer
    }

    #[deep]
    fn epoll_wait(fd: c_int, events: *mut epoll_event, room: c_int, timeout: c_int) -> c_int {
        |g| errno::from(epoll::wait(g, fd, events, room, milliseconds(timeout), core::ptr::null()))
    } else SYS_epoll_wait

    #[deep]
    fn epoll_pwait(
        fd: c_int, events: *mut epoll_event, room: c_int, timeout: c_int, mask: *const sigset_t
    ) -> c_int { |g| errno::from(epoll::wait(g, fd, events, room, milliseconds(timeout), mask)) } else {
        cancellable(|| errno::from(bare::epoll_pwait(fd, events, room, timeout, mask)))
    }

    #[optional]
    fn epoll_pwait2(
        fd: c_int, events: *mut epoll_event, room: c_int, timeout: *const timespec, mask: *const sigset_t
    ) -> c_int {
        |g| errno::from(match timespec_deadline(timeout) {
            Ok(deadline) => epoll::wait(g, fd, events, room, deadline, mask),
            Err(errno) => Err(errno),
        })
    }
}
