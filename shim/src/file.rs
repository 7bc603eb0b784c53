//! Group os: files, their locks, and what System V calls IPC.

use core::ffi::{c_char, c_int, c_long, c_void};

use eventlet_core::blocking::offloaded;
use eventlet_core::syscall;
use libc::{mode_t, off_t, sembuf, size_t, timespec};

use crate::deep::bare::{cancellable, undisturbed};
use crate::errno;
use crate::interpose::rows;

/// Without a mode no file may be made: libc says so and ends the program.
const MAKES: c_int = libc::O_CREAT | libc::O_TMPFILE & !libc::O_DIRECTORY;

rows! { Os;
    #[deep] #[unchecked = "variadic"] #[also(open64, __open, __open64)]
    fn open(path: *const c_char, flags: c_int, mode: mode_t) -> c_int {
        |g| errno::from(offloaded::open(g, libc::AT_FDCWD, path, flags, mode))
    } else { cancellable(|| errno::from(syscall!(libc::SYS_openat, libc::AT_FDCWD, path, flags, mode))) }

    #[deep] #[unchecked = "variadic"] #[also(openat64)]
    fn openat(directory: c_int, path: *const c_char, flags: c_int, mode: mode_t) -> c_int {
        |g| errno::from(offloaded::open(g, directory, path, flags, mode))
    } else SYS_openat

    /// How libc opens files of its own, and a stream with `c` in its mode.
    #[deep] #[optional] #[unchecked = "variadic"] #[also(__open64_nocancel)]
    fn __open_nocancel(path: *const c_char, flags: c_int, mode: mode_t) -> c_int {
        |g| undisturbed(|| errno::from(offloaded::open(g, libc::AT_FDCWD, path, flags, mode)))
    } else { errno::from(syscall!(libc::SYS_openat, libc::AT_FDCWD, path, flags, mode)) }

    #[unchecked = "not declared"]
    fn __open_2(path: *const c_char, flags: c_int) -> c_int {
        if flags & MAKES != 0 { return real()(path, flags); }
        super::open::body(path, flags, 0)
    }

    #[unchecked = "not declared"]
    fn __open64_2(path: *const c_char, flags: c_int) -> c_int {
        if flags & MAKES != 0 { return real()(path, flags); }
        super::open::body(path, flags, 0)
    }

    #[unchecked = "not declared"]
    fn __openat_2(directory: c_int, path: *const c_char, flags: c_int) -> c_int {
        if flags & MAKES != 0 { return real()(directory, path, flags); }
        super::openat::body(directory, path, flags, 0)
    }

    #[unchecked = "not declared"]
    fn __openat64_2(directory: c_int, path: *const c_char, flags: c_int) -> c_int {
        if flags & MAKES != 0 { return real()(directory, path, flags); }
        super::openat::body(directory, path, flags, 0)
    }

    #[also(creat64)]
    fn creat(path: *const c_char, mode: mode_t) -> c_int {
        |g| errno::from(offloaded::open(g, libc::AT_FDCWD, path, libc::O_CREAT | libc::O_WRONLY | libc::O_TRUNC, mode))
    }

    fn flock(fd: c_int, operation: c_int) -> c_int { |g| errno::from(offloaded::flock(g, fd, operation)) }

    #[also(lockf64)]
    fn lockf(fd: c_int, command: c_int, length: off_t) -> c_int {
        if let Some(g) = green() && let Some(answer) = offloaded::lockf(g, fd, command, length) {
            return errno::from(answer);
        }
        real()(fd, command, length)
    }

    fn msgrcv(queue: c_int, message: *mut c_void, size: size_t, kind: c_long, flags: c_int) -> isize {
        |g| errno::from(offloaded::msgrcv(g, queue, message, size, kind, flags))
    }

    fn msgsnd(queue: c_int, message: *const c_void, size: size_t, flags: c_int) -> c_int {
        |g| errno::from(offloaded::msgsnd(g, queue, message, size, flags))
    }

    fn semop(set: c_int, operations: *mut sembuf, count: size_t) -> c_int {
        |g| errno::from(offloaded::semtimedop(g, set, operations, count, core::ptr::null()))
    }

    #[unchecked = "not declared"]
    fn semtimedop(set: c_int, operations: *mut sembuf, count: size_t, timeout: *const timespec) -> c_int {
        |g| errno::from(offloaded::semtimedop(g, set, operations, count, timeout))
    }

    fn tcdrain(fd: c_int) -> c_int { |g| errno::from(offloaded::tcdrain(g, fd)) }
}
