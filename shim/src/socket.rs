//! Group socket.

use core::ffi::{c_int, c_uint, c_void};

use eventlet_core::blocking::face::tls::{self, ledger};
use eventlet_core::blocking::{batch, connection, life, socket as sockets};
use eventlet_core::runtime::{Green, current};
use libc::{mmsghdr, msghdr, sockaddr, socklen_t, timespec};

use crate::errno;
use crate::interpose::{end, fortify, natively, rows};

/// A green thread's accept, which also a thread makes that has only a wrapped listener to make it green: in a fork child.
unsafe fn accept_at(
    green: Option<&'static Green>,
    fd: c_int,
    address: *mut sockaddr,
    length: *mut socklen_t,
    flags: c_int,
) -> Option<c_int> {
    let g = green.or_else(|| tls::waits_at(fd))?;
    // SAFETY: the C function's contract.
    let answer = errno::from(unsafe { connection::accept(g, fd, address, length, flags) });
    end(g);
    Some(answer)
}

rows! { Socket;
    #[also(__socket)]
    fn socket(domain: c_int, kind: c_int, protocol: c_int) -> c_int {
        |_g| errno::from(life::socket(domain, kind, protocol))
    }

    fn socketpair(domain: c_int, kind: c_int, protocol: c_int, pair: *mut c_int) -> c_int {
        |_g| errno::from(life::socketpair(domain, kind, protocol, pair))
    }

    #[deep]
    fn accept(fd: c_int, address: *mut sockaddr, length: *mut socklen_t) -> c_int {
        accept_at(green_at([fd]), fd, address, length, 0)
            .unwrap_or_else(|| natively(|| real()(fd, address, length)))
    } else SYS_accept

    #[deep]
    fn accept4(fd: c_int, address: *mut sockaddr, length: *mut socklen_t, flags: c_int) -> c_int {
        accept_at(green_at([fd]), fd, address, length, flags)
            .unwrap_or_else(|| natively(|| real()(fd, address, length, flags)))
    } else SYS_accept4

    #[deep] #[also(__connect)]
    fn connect(fd: c_int, address: *const sockaddr, length: socklen_t) -> c_int {
        |g| errno::from(connection::connect(g, fd, address, length))
    } else SYS_connect

    fn shutdown(fd: c_int, how: c_int) -> c_int {
        if current().is_some() { errno::from(life::shutdown(fd, how)) } else { real()(fd, how) }
    }

    fn getpeername(fd: c_int, address: *mut sockaddr, length: *mut socklen_t) -> c_int {
        match ledger::name(fd, true, address, length) {
            Some(answer) => errno::from(answer),
            None => real()(fd, address, length),
        }
    }

    fn getsockname(fd: c_int, address: *mut sockaddr, length: *mut socklen_t) -> c_int {
        match ledger::name(fd, false, address, length) {
            Some(answer) => errno::from(answer),
            None => real()(fd, address, length),
        }
    }

    fn getsockopt(fd: c_int, level: c_int, name: c_int, value: *mut c_void, length: *mut socklen_t) -> c_int {
        real()(ledger::option_of(fd, level, name), level, name, value, length)
    }

    fn setsockopt(fd: c_int, level: c_int, name: c_int, value: *const c_void, length: socklen_t) -> c_int {
        let fd = ledger::option_of(fd, level, name);
        if current().is_some() { return errno::from(life::setsockopt(fd, level, name, value, length)); }
        let answer = real()(fd, level, name, value, length);
        life::option_set_elsewhere(fd, level, name);
        answer
    }

    #[deep] #[also(__recv)]
    fn recv(fd: c_int, buf: *mut c_void, n: usize, flags: c_int) -> isize {
        |g| errno::from(sockets::recv(g, fd, buf, n, flags))
    } else SYS_recvfrom

    #[unchecked = "not declared"]
    fn __recv_chk(fd: c_int, buf: *mut c_void, n: usize, room: usize, flags: c_int) -> isize {
        fortify(n <= room);
        super::recv::body(fd, buf, n, flags)
    }

    #[deep]
    fn recvfrom(
        fd: c_int, buf: *mut c_void, n: usize, flags: c_int, from: *mut sockaddr, length: *mut socklen_t
    ) -> isize { |g| errno::from(sockets::recvfrom(g, fd, buf, n, flags, from, length)) } else SYS_recvfrom

    #[unchecked = "not declared"]
    fn __recvfrom_chk(
        fd: c_int, buf: *mut c_void, n: usize, room: usize, flags: c_int, from: *mut sockaddr,
        length: *mut socklen_t
    ) -> isize {
        fortify(n <= room);
        super::recvfrom::body(fd, buf, n, flags, from, length)
    }

    #[deep]
    fn recvmsg(fd: c_int, message: *mut msghdr, flags: c_int) -> isize {
        |g| errno::from(sockets::recvmsg(g, fd, message, flags))
    } else SYS_recvmsg

    #[deep] #[also(__send)]
    fn send(fd: c_int, buf: *const c_void, n: usize, flags: c_int) -> isize {
        |g| errno::from(sockets::send(g, fd, buf, n, flags))
    } else SYS_sendto

    #[deep]
    fn sendto(
        fd: c_int, buf: *const c_void, n: usize, flags: c_int, to: *const sockaddr, length: socklen_t
    ) -> isize { |g| errno::from(sockets::sendto(g, fd, buf, n, flags, to, length)) } else SYS_sendto

    #[deep]
    fn sendmsg(fd: c_int, message: *const msghdr, flags: c_int) -> isize {
        |g| errno::from(sockets::sendmsg(g, fd, message, flags))
    } else SYS_sendmsg

    #[deep]
    fn recvmmsg(
        fd: c_int, messages: *mut mmsghdr, count: c_uint, flags: c_int, timeout: *mut timespec
    ) -> c_int { |g| errno::from(batch::receive(g, fd, messages, count, flags, timeout)) } else SYS_recvmmsg

    #[deep]
    fn sendmmsg(fd: c_int, messages: *mut mmsghdr, count: c_uint, flags: c_int) -> c_int {
        |g| errno::from(batch::send(g, fd, messages, count, flags))
    } else SYS_sendmmsg
}
