//! Group thread: `syscall()`. Programs make by it what libc has no function for, and what they want without libc's ways:
//! each number that has a row goes to the row's body, all others to the kernel.
//!
//! The kernel's forms are not always libc's: signal sets come with their size, times are written back, some results are
//! other ones. And `syscall` is no cancellation point, whatever it calls.
//! While dormant and before the constructor it is the kernel alone: an allocator may stand behind the call.

use core::ffi::{c_int, c_long, c_ulong, c_void};

use eventlet_core::blocking::lock::futex;
use eventlet_core::blocking::poll::timespec_deadline;
use eventlet_core::blocking::{offloaded, owner, process, rings, sched, signal};
use eventlet_core::kernel::syscall::{IO_PGETEVENTS, check, raw6};
use eventlet_core::kernel::{Errno, Result, signal::Action};
use eventlet_core::runtime::signals::children;
use eventlet_core::runtime::{Green, credentials, current, everybody, fork, hub, this};
use libc::{siginfo_t, timespec};

use crate::errno;
use crate::interpose::{end, rows};
use crate::memory;

type Arguments = [usize; 6];

/// The kernel's size of a signal set.
const SIGSET: usize = 8;

unsafe fn kernel(number: c_long, [a, b, c, d, e, f]: Arguments) -> Result<usize> {
    // SAFETY: the program's own system call.
    check(unsafe { raw6(number, a, b, c, d, e, f) })
}

/// `match` of numbers and row bodies; the arguments are cast to what the body takes.
macro_rules! bodies {
    ($number:ident; $($call:ident => $file:ident $row:ident($($argument:expr),*),)*) => {
        match $number {
            $(libc::$call => Some(crate::$file::rows::$row::body($($argument as _),*) as c_long),)*
            _ => None,
        }
    };
}

/// Calls that change or ask what we keep, whoever makes them.
#[allow(clippy::unnecessary_cast, reason = "of what is cast to what the body takes")]
unsafe fn kept(number: c_long, [a, b, c, d, e, _]: Arguments) -> Option<c_long> {
    // SAFETY: the C contract of the system call is that of the row's function.
    unsafe {
        bodies! { number;
            SYS_gettid => thread gettid(),
            SYS_tgkill => signal tgkill(a, b, c),
            SYS_close => os close(a),
            SYS_close_range => os close_range(a, b, c),
            SYS_dup2 => os dup2(a, b),
            SYS_dup3 => os dup3(a, b, c),
            SYS_ioctl => os ioctl(a, b, c),
            SYS_setsockopt => socket setsockopt(a, b, c, d, e),
            SYS_sigaltstack => signal sigaltstack(a, b),
            SYS_prctl => thread prctl(a, b, c, d, e),
            SYS_clock_gettime => sched clock_gettime(a, b),
            SYS_setpriority => sched setpriority(a, b, c),
            SYS_getrusage => sched getrusage(a, b),
            SYS_sched_rr_get_interval => sched sched_rr_get_interval(a, b),
            SYS_sched_getparam => sched sched_getparam(a, b),
            SYS_sched_setparam => sched sched_setparam(a, b),
            SYS_sched_getscheduler => sched sched_getscheduler(a),
            SYS_sched_setscheduler => sched sched_setscheduler(a, b, c),
            SYS_sched_setaffinity => sched sched_setaffinity(a, b, c),
        }
    }
}

/// Calls that a green thread makes in its own way.
#[allow(clippy::unnecessary_cast, reason = "of what is cast to what the body takes")]
unsafe fn green(number: c_long, [a, b, c, d, e, f]: Arguments) -> Option<c_long> {
    // SAFETY: as above.
    unsafe {
        bodies! { number;
            SYS_sched_yield => thread sched_yield(),
            SYS_read => os read(a, b, c),
            SYS_write => os write(a, b, c),
            SYS_readv => os readv(a, b, c),
            SYS_writev => os writev(a, b, c),
            SYS_open => file open(a, b, c),
            SYS_openat => file openat(a, b, c, d),
            SYS_creat => file creat(a, b),
            SYS_dup => os dup(a),
            SYS_pipe => os pipe(a),
            SYS_pipe2 => os pipe2(a, b),
            SYS_eventfd => os eventfd(a, 0),
            SYS_eventfd2 => os eventfd(a, b),
            SYS_preadv2 => transfer preadv2(a, b, c, d, f),
            SYS_pwritev2 => transfer pwritev2(a, b, c, d, f),
            SYS_sendfile => transfer sendfile(a, b, c, d),
            SYS_splice => transfer splice(a, b, c, d, e, f),
            SYS_tee => transfer tee(a, b, c, d),
            SYS_vmsplice => transfer vmsplice(a, b, c, d),
            SYS_mq_timedreceive => file mq_timedreceive(a, b, c, d, e),
            SYS_mq_timedsend => file mq_timedsend(a, b, c, d, e),
            SYS_flock => file flock(a, b),
            SYS_fsync => file fsync(a),
            SYS_fdatasync => file fdatasync(a),
            SYS_syncfs => file syncfs(a),
            SYS_sync_file_range => file sync_file_range(a, b, c, d),
            SYS_copy_file_range => file copy_file_range(a, b, c, d, e, f),
            SYS_msgrcv => file msgrcv(a, b, c, d, e),
            SYS_msgsnd => file msgsnd(a, b, c, d),
            SYS_semop => file semop(a, b, c),
            SYS_semtimedop => file semtimedop(a, b, c, d),
            SYS_poll => select poll(a, b, c),
            SYS_select => select select(a, b, c, d, e),
            SYS_epoll_create => select epoll_create(a),
            SYS_epoll_create1 => select epoll_create1(a),
            SYS_epoll_wait => select epoll_wait(a, b, c, d),
            SYS_socket => socket socket(a, b, c),
            SYS_socketpair => socket socketpair(a, b, c, d),
            SYS_accept => socket accept(a, b, c),
            SYS_accept4 => socket accept4(a, b, c, d),
            SYS_connect => socket connect(a, b, c),
            SYS_shutdown => socket shutdown(a, b),
            SYS_recvfrom => socket recvfrom(a, b, c, d, e, f),
            SYS_sendto => socket sendto(a, b, c, d, e, f),
            SYS_recvmsg => socket recvmsg(a, b, c),
            SYS_sendmsg => socket sendmsg(a, b, c),
            SYS_recvmmsg => socket recvmmsg(a, b, c, d, e),
            SYS_sendmmsg => socket sendmmsg(a, b, c, d),
            SYS_nanosleep => time nanosleep(a, b),
            SYS_execve => process execve(a, b, c),
            SYS_execveat => process execveat(a, b, c, d, e),
            SYS_wait4 => process wait4(a, b, c, d),
            SYS_pause => signal pause(),
        }
    }
}

/// The same for those whose kernel form is not libc's.
unsafe fn green_as_kernel(number: c_long, arguments: Arguments) -> Option<c_long> {
    let [a, b, c, d, e, f] = arguments;
    let fits = |set: usize, size: usize| set == 0 || size == SIGSET;
    // SAFETY: the C contract of the system call.
    Some(unsafe {
        match number {
            libc::SYS_ppoll if fits(d, e) => counting_down(c as _, |time| {
                crate::select::rows::ppoll::body(a as _, b as _, time, d as _) as c_long
            }),
            libc::SYS_pselect6 => {
                let (mask, size) = (f as *const [usize; 2]).as_ref().map_or((0, 0), |it| (it[0], it[1]));
                if !fits(mask, size) {
                    return None;
                }
                counting_down(e as _, |time| {
                    crate::select::rows::pselect::body(a as _, b as _, c as _, d as _, time, mask as _)
                        as c_long
                })
            }
            libc::SYS_epoll_pwait if fits(e, f) => {
                crate::select::rows::epoll_pwait::body(a as _, b as _, c as _, d as _, e as _) as c_long
            }
            libc::SYS_epoll_pwait2 if fits(e, f) => {
                crate::select::rows::epoll_pwait2::body(a as _, b as _, c as _, d as _, e as _) as c_long
            }
            libc::SYS_clock_nanosleep => {
                match crate::time::rows::clock_nanosleep::body(a as _, b as _, c as _, d as _) {
                    0 => 0,
                    code => errno::from(Err::<usize, _>(Errno(code))),
                }
            }
            libc::SYS_futex_waitv => {
                by_body(crate::thread::rows::sched_yield::green()?, |g| offloaded::futex_waitv(g, arguments))
            }
            libc::SYS_io_uring_enter => {
                by_body(crate::os::rows::read::green()?, |g| rings::enter(g, arguments))
            }
            libc::SYS_io_getevents => by_body(crate::os::rows::read::green()?, |g| {
                rings::getevents(g, a, b as _, c as _, d, e as _, core::ptr::null())
            }),
            IO_PGETEVENTS => {
                let mask = rings::mask(f)?;
                by_body(crate::os::rows::read::green()?, |g| {
                    rings::getevents(g, a, b as _, c as _, d, e as _, mask)
                })
            }
            libc::SYS_waitid => by_body(crate::process::rows::waitid::green()?, |g| {
                process::waitid(g, a as _, b as _, c as _, d as _, e as _).map(|()| 0)
            }),
            libc::SYS_rt_sigprocmask if d == SIGSET => {
                crate::signal::rows::sigprocmask::body(a as _, b as _, c as _) as c_long
            }
            libc::SYS_rt_sigpending if b == SIGSET => crate::signal::rows::sigpending::body(a as _) as c_long,
            libc::SYS_rt_sigsuspend if b == SIGSET => crate::signal::rows::sigsuspend::body(a as _) as c_long,
            libc::SYS_rt_sigtimedwait if d == SIGSET => {
                by_body(crate::signal::rows::sigtimedwait::green()?, |g| {
                    signal::wait_unchanged(g, a as _, b as _, c as _).map(|sig| sig as usize)
                })
            }
            _ => return None,
        }
    })
}

/// A call that libc has begun, done in the calling green thread's way; -1 and errno.
pub unsafe fn waits(number: c_long, arguments: Arguments) -> c_long {
    // SAFETY: the C contract of the system call.
    unsafe {
        green(number, arguments)
            .or_else(|| green_as_kernel(number, arguments))
            .unwrap_or_else(|| errno::from(kernel(number, arguments)))
    }
}

/// As a row's body ends.
fn by_body(g: &'static Green, call: impl FnOnce(&'static Green) -> Result<usize>) -> c_long {
    let answer = errno::from(call(g));
    end(g);
    answer
}

/// What is left of a time goes back into it, as the kernel does it for select and poll.
unsafe fn counting_down(time: *mut timespec, wait: impl FnOnce(*const timespec) -> c_long) -> c_long {
    let deadline = timespec_deadline(time);
    let answer = wait(time);
    if let Ok(deadline) = deadline
        && let Some(left) = deadline.remaining()
        // SAFETY: NULL or the program's timespec, which was read.
        && let Some(time) = unsafe { time.as_mut() }
    {
        *time = timespec { tv_sec: left.as_secs() as i64, tv_nsec: left.subsec_nanos().into() };
    }
    answer
}

/// Calls with an answer of the kernel's kind, whoever makes them.
unsafe fn for_all(number: c_long, arguments: Arguments) -> Option<Result<usize>> {
    let [a, b, c, d, _, _] = arguments;
    // SAFETY: the C contract of the system call.
    Some(unsafe {
        match number {
            // glibc's own two signals are between it and the kernel.
            libc::SYS_rt_sigaction if d == SIGSET && !matches!(a, 32 | 33) && !fork::in_vfork() => {
                signal::raw_action(a as c_int, b as *const Action, c as *mut Action).map(|()| 0)
            }
            libc::SYS_setuid
            | libc::SYS_setgid
            | libc::SYS_setreuid
            | libc::SYS_setregid
            | libc::SYS_setresuid
            | libc::SYS_setresgid
            | libc::SYS_setfsuid
            | libc::SYS_setfsgid
            | libc::SYS_setgroups
            | libc::SYS_capset
                if let Some(g) = this().filter(|_| !fork::in_vfork()) =>
            {
                credentials::change(g, number, [a, b, c])
            }
            // The kernel would answer for the hub, and take the word that it clears at the hub's end.
            libc::SYS_set_tid_address => match this().filter(|g| !g.is_first() && !fork::in_vfork()) {
                Some(g) => Ok(g.tid.get() as usize),
                None => kernel(number, arguments),
            },
            libc::SYS_tkill => match this().and_then(|_| sched::by_tid(a as c_int)).filter(|_| a != 0) {
                Some(target) => signal::kill(target, b as c_int).map(|()| 0),
                None => kernel(number, arguments),
            },
            libc::SYS_rt_tgsigqueueinfo => {
                match this().and_then(|_| signal::thread(a as c_int, b as c_int)) {
                    Some(target) => signal::send(target, c as c_int, &*(d as *const siginfo_t)).map(|()| 0),
                    None => kernel(number, arguments),
                }
            }
            libc::SYS_getpriority if a == libc::PRIO_PROCESS as usize => match sched::by_tid(b as c_int) {
                Some(target) => sched::nice(target).map(|value| (20 - value) as usize),
                None => kernel(number, arguments),
            },
            libc::SYS_sched_getaffinity => match sched::by_tid(a as c_int) {
                Some(target) => sched::affinity(target, b, c as *mut c_void),
                None => kernel(number, arguments),
            },
            _ => return None,
        }
    })
}

/// A child with a memory of its own begins as fork's does; libc knows nothing of it, and runs no handler.
unsafe fn fork_by(number: c_long, arguments: Arguments) -> Result<usize> {
    memory::before_fork();
    let green = current().inspect(|g| children::makes(g));
    // SAFETY: the program's own system call.
    let child = unsafe { kernel(number, arguments) };
    memory::after_fork();
    if child == Ok(0) {
        fork::child();
    } else if let Some(g) = green {
        children::made(g, child.map_or(0, |pid| pid as c_int));
    }
    child
}

/// The flags of a child that shares its parent's memory, or goes on elsewhere than here.
fn is_fork(number: c_long, [a, b, _, _, _, _]: Arguments) -> bool {
    let shares = c_ulong::from(libc::CLONE_VM as u32) as usize;
    match number {
        libc::SYS_fork => true,
        libc::SYS_clone => a & shares == 0 && b == 0,
        // SAFETY: NULL or the program's `clone_args`: flags first, the stack's address sixth.
        libc::SYS_clone3 => unsafe { (a as *const [u64; 6]).as_ref() }
            .is_some_and(|it| it[0] as usize & shares == 0 && it[5] == 0),
        _ => false,
    }
}

/// While the library is active; `waits`: a green thread calls, which may park.
unsafe fn active(number: c_long, arguments: Arguments, waits: bool) -> c_long {
    let [fd, command, argument, ..] = arguments;
    // SAFETY: the C contract of the system call.
    unsafe {
        if number == libc::SYS_fcntl {
            // A group as owner is a negative number, which libc knows from an error in its own way.
            if command as c_int != libc::F_GETOWN {
                return crate::os::rows::fcntl::body(fd as _, command as _, argument) as c_long;
            }
            if let Some(answer) = owner::fcntl(fd as c_int, libc::F_GETOWN, argument) {
                return errno::from::<c_int, c_int>(answer).into();
            }
        }
        if is_fork(number, arguments) {
            return errno::from(fork_by(number, arguments));
        }
        kept(number, arguments)
            .or_else(|| for_all(number, arguments).map(errno::from))
            .or_else(|| if waits { green(number, arguments) } else { None })
            .or_else(|| if waits { green_as_kernel(number, arguments) } else { None })
            .unwrap_or_else(|| {
                let answer = kernel(number, arguments);
                if answer.is_ok() {
                    everybody::changed(number, [arguments[0], arguments[1]]);
                }
                errno::from(answer)
            })
    }
}

rows! { Thread;
    #[unchecked = "variadic"]
    fn syscall(number: c_long, a: usize, b: usize, c: usize, d: usize, e: usize, f: usize) -> c_long {
        let arguments = [a, b, c, d, e, f];
        match number {
            libc::SYS_futex => errno::from(futex::futex(green(), &futex::Call(arguments))),
            _ if !hub::active() => errno::from(kernel(number, arguments)),
            _ => match current() {
                Some(g) => g.uncancelled(|| active(number, arguments, true)),
                None => active(number, arguments, false),
            },
        }
    }
}
