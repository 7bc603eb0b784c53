//! Group os: descriptors. What only keeps the table true (close, dup, modes) does so whatever is patched.

use core::ffi::{c_int, c_uint, c_ulong, c_void};

use eventlet_core::blocking::{io, life, offloaded, owner};
use eventlet_core::runtime::{current, hub};
use eventlet_core::syscall;
use libc::iovec;

use crate::deep::bare;
use crate::errno;
use crate::interpose::{fortify, rows};

rows! { Os;
    #[deep] #[also(__read)]
    fn read(fd: c_int, buf: *mut c_void, n: usize) -> isize { |g| errno::from(io::read(g, fd, buf, n)) } else SYS_read

    #[unchecked = "not declared"]
    fn __read_chk(fd: c_int, buf: *mut c_void, n: usize, room: usize) -> isize {
        fortify(n <= room);
        super::read::body(fd, buf, n)
    }

    #[deep]
    fn readv(fd: c_int, buffers: *const iovec, count: c_int) -> isize {
        |g| errno::from(io::readv(g, fd, buffers, count))
    } else SYS_readv

    #[deep] #[also(__write)]
    fn write(fd: c_int, buf: *const c_void, n: usize) -> isize { |g| errno::from(io::write(g, fd, buf, n)) } else SYS_write

    #[deep]
    fn writev(fd: c_int, buffers: *const iovec, count: c_int) -> isize {
        |g| errno::from(io::writev(g, fd, buffers, count))
    } else SYS_writev

    #[also(__pipe)]
    fn pipe(pair: *mut c_int) -> c_int { |_g| errno::from(life::pipe(pair, 0)) }

    fn pipe2(pair: *mut c_int, flags: c_int) -> c_int { |_g| errno::from(life::pipe(pair, flags)) }

    fn eventfd(count: c_uint, flags: c_int) -> c_int { |_g| errno::from(life::eventfd(count, flags)) }

    /// A number that is not to be closed looks as if it were closed already.
    #[stateful] #[deep] #[also(__close)]
    fn close(fd: c_int) -> c_int {
        match current() {
            Some(g) => errno::from(life::close(g, fd)),
            None => errno::answer(life::close_elsewhere(fd, || real()(fd))),
        }
    } else SYS_close

    /// How stdio, directories and the resolver close.
    #[stateful] #[deep] #[optional] #[unchecked = "not declared"]
    fn __close_nocancel(fd: c_int) -> c_int {
        match current() {
            Some(_) => errno::from(life::close_quietly(fd)),
            None => errno::answer(life::close_elsewhere(fd, || real()(fd))),
        }
    } else { bare::at_once(syscall!(libc::SYS_close, fd)) }

    /// The same in glibc 2.43.
    #[stateful] #[deep] #[optional] #[unchecked = "not declared"]
    fn __close_nocancel_nostatus(fd: c_int) -> () {
        match green() {
            Some(_) => { let _ = life::close_quietly(fd); }
            None => { let _ = life::close_elsewhere(fd, || real()(fd)); }
        }
    } else { let _ = syscall!(libc::SYS_close, fd); }

    /// How a stream reads and writes that was opened with `c` in its mode.
    #[deep] #[optional] #[unchecked = "not declared"]
    fn __read_nocancel(fd: c_int, buf: *mut c_void, n: usize) -> isize {
        |g| bare::undisturbed(|| errno::from(io::read(g, fd, buf, n)))
    } else { errno::from(syscall!(libc::SYS_read, fd, buf, n)) }

    #[deep] #[optional] #[unchecked = "not declared"]
    fn __write_nocancel(fd: c_int, buf: *const c_void, n: usize) -> isize {
        |g| bare::undisturbed(|| errno::from(io::write(g, fd, buf, n)))
    } else { errno::from(syscall!(libc::SYS_write, fd, buf, n)) }

    /// Around our own descriptors, whoever calls.
    fn close_range(first: c_uint, last: c_uint, flags: c_int) -> c_int {
        if !hub::active() {
            life::range_closes(first, last, flags);
            return real()(first, last, flags);
        }
        errno::from(life::close_range(first, last, flags, current().is_some()))
    }

    #[unchecked = "not declared"]
    fn closefrom(first: c_int) -> () {
        if !hub::active() {
            life::range_closes(first.max(0) as c_uint, c_uint::MAX, 0);
            return real()(first);
        }
        let _ = life::close_range(first.max(0) as c_uint, c_uint::MAX, 0, current().is_some());
    }

    /// libc closes the number out of our sight.
    #[also(_IO_fclose)]
    fn fclose(stream: *mut libc::FILE) -> c_int {
        if life::tells() { life::stream_closes(errno::keeping(|| libc::fileno(stream))); }
        real()(stream)
    }

    fn dup(fd: c_int) -> c_int {
        if life::tells() { errno::from(life::dup(fd)) } else { real()(fd) }
    }

    #[deep] #[stateful] #[also(__dup2)]
    fn dup2(fd: c_int, new: c_int) -> c_int {
        if life::tells() { return errno::from(life::dup2(fd, new)); }
        errno::answer(life::replace_elsewhere(new, || real()(fd, new)))
    } else { bare::at_once(syscall!(libc::SYS_dup2, fd, new)) }

    #[deep] #[stateful]
    fn dup3(fd: c_int, new: c_int, flags: c_int) -> c_int {
        if life::tells() { return errno::from(life::dup3(fd, new, flags)); }
        errno::answer(life::replace_elsewhere(new, || real()(fd, new, flags)))
    } else { bare::at_once(syscall!(libc::SYS_dup3, fd, new, flags)) }

    #[unchecked = "variadic"] #[also(fcntl64, __fcntl)]
    fn fcntl(fd: c_int, command: c_int, argument: usize) -> c_int {
        if hub::active() && let Some(answer) = owner::fcntl(fd, command, argument) { return errno::from(answer); }
        if life::tells() && let Some(answer) = life::fcntl(fd, command, argument) {
            return errno::from(answer);
        }
        if let Some(g) = green_at([fd]) && let Some(answer) = offloaded::fcntl(g, fd, command, argument) {
            return errno::from(answer);
        }
        let answer = real()(fd, command, argument);
        if command == libc::F_SETFL { life::mode_changed(fd, None); }
        answer
    }

    #[unchecked = "variadic"]
    fn ioctl(fd: c_int, request: c_ulong, argument: usize) -> c_int {
        if hub::active() && let Some(answer) = owner::ioctl(fd, request, argument) { return errno::from(answer); }
        if let Some(g) = green() && let Some(answer) = offloaded::ioctl(g, fd, request, argument) {
            return errno::from(answer);
        }
        let answer = real()(fd, request, argument);
        if request == libc::FIONBIO { life::mode_changed(fd, current()); }
        answer
    }
}
