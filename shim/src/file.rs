//! Group os: files, their locks, and what System V calls IPC.

use core::ffi::{c_char, c_int, c_long, c_uint, c_void};

use eventlet_core::blocking::{life, offloaded};
use eventlet_core::syscall;
use libc::{mode_t, mqd_t, off_t, sembuf, size_t, termios, timespec};

use crate::deep::bare::{cancellable, undisturbed};
use crate::errno;
use crate::interpose::{self, rows};

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

    fn fsync(fd: c_int) -> c_int {
        |g| errno::from(offloaded::on_disk(g, fd, ("fsync", libc::SYS_fsync), true, [fd as usize, 0, 0, 0, 0, 0]))
    }

    fn fdatasync(fd: c_int) -> c_int {
        |g| errno::from(
            offloaded::on_disk(g, fd, ("fdatasync", libc::SYS_fdatasync), true, [fd as usize, 0, 0, 0, 0, 0])
        )
    }

    fn syncfs(fd: c_int) -> c_int {
        |g| errno::from(offloaded::on_disk(g, fd, ("syncfs", libc::SYS_syncfs), false, [fd as usize, 0, 0, 0, 0, 0]))
    }

    fn sync_file_range(fd: c_int, offset: off_t, length: off_t, flags: c_uint) -> c_int {
        |g| {
            let arguments = [fd as usize, offset as usize, length as usize, flags as usize, 0, 0];
            let call = ("sync_file_range", libc::SYS_sync_file_range);
            errno::from(offloaded::on_disk(g, fd, call, true, arguments))
        }
    }

    #[unchecked = "its name for offsets differs"]
    fn copy_file_range(
        from: c_int, from_offset: *mut off_t, to: c_int, to_offset: *mut off_t, length: size_t, flags: c_uint
    ) -> isize {
        |g| {
            let arguments =
                [from as usize, from_offset as usize, to as usize, to_offset as usize, length, flags as usize];
            let call = ("copy_file_range", libc::SYS_copy_file_range);
            errno::from(offloaded::on_disk(g, from, call, true, arguments))
        }
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

    fn mq_receive(queue: mqd_t, message: *mut c_char, size: size_t, priority: *mut c_uint) -> isize {
        |g| errno::from(offloaded::mq_receive(g, queue, message, size, priority, core::ptr::null()))
    }

    #[deep]
    fn mq_timedreceive(
        queue: mqd_t, message: *mut c_char, size: size_t, priority: *mut c_uint, until: *const timespec
    ) -> isize { |g| errno::from(offloaded::mq_receive(g, queue, message, size, priority, until)) } else SYS_mq_timedreceive

    fn mq_send(queue: mqd_t, message: *const c_char, size: size_t, priority: c_uint) -> c_int {
        |g| errno::from(offloaded::mq_send(g, queue, message, size, priority, core::ptr::null()))
    }

    #[deep]
    fn mq_timedsend(
        queue: mqd_t, message: *const c_char, size: size_t, priority: c_uint, until: *const timespec
    ) -> c_int { |g| errno::from(offloaded::mq_send(g, queue, message, size, priority, until)) } else SYS_mq_timedsend

    fn mq_close(queue: mqd_t) -> c_int {
        match green() {
            Some(_) => errno::from(life::close_quietly(queue)),
            None => errno::answer(life::close_elsewhere(queue, || real()(queue))),
        }
    }

    /// With TCSADRAIN or TCSAFLUSH it waits for what is still to be put out.
    fn tcsetattr(fd: c_int, actions: c_int, settings: *const termios) -> c_int {
        match green() {
            Some(g) if actions != libc::TCSANOW => {
                offloaded::drain(g, fd);
                let answer = real()(fd, actions, settings);
                interpose::end(g);
                answer
            }
            _ => real()(fd, actions, settings),
        }
    }

    fn tcsendbreak(fd: c_int, duration: c_int) -> c_int {
        match green().filter(|_| duration <= 0).and_then(|g| offloaded::ioctl(g, fd, libc::TCSBRK, 0)) {
            Some(answer) => errno::from(answer),
            None => real()(fd, duration),
        }
    }

    fn tcdrain(fd: c_int) -> c_int { |g| errno::from(offloaded::tcdrain(g, fd)) }
}
