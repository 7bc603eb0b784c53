//! What a deep row does for everybody but green threads: the system call, in libc's convention. libc's own function leads
//! back to the row, so it is not asked any more.
//!
//! Foreign threads can be cancelled while they wait: as in libc, cancellation is asynchronous for the length of the call.
//! (Another limit of libc's way is kept as well: what a call took at that very moment is lost.)
//!
//! Safety: the arguments are the C caller's, under the contract of the function; unwinding passes through `cancellable`,
//! which has nothing to destroy.

use core::ffi::c_int;

use eventlet_core::kernel::{Errno, Result};
use eventlet_core::runtime::this;
use eventlet_core::syscall;
use libc::{sigset_t, timespec};

use crate::errno;

/// The kernel's size of a signal set.
const SIGSET: usize = 8;
/// glibc's own signals: cancellation and set*id.
const INTERNAL: u64 = 0b11 << 31;

unsafe extern "C" {
    fn pthread_setcanceltype(kind: c_int, old: *mut c_int) -> c_int;
    fn pthread_setcancelstate(state: c_int, old: *mut c_int) -> c_int;
}

/// Runs `call`, which may wait; a cancellation point of foreign threads. In handlers and vfork children of a green thread
/// it is the call alone.
#[inline(always)]
pub fn cancellable<T>(call: impl FnOnce() -> T) -> T {
    const ASYNCHRONOUS: c_int = 1;
    if this().is_some() {
        return call();
    }
    let mut kind = 0;
    // SAFETY: the calling thread's own mode, which is put back; `call` is one system call.
    unsafe { pthread_setcanceltype(ASYNCHRONOUS, &mut kind) };
    let answer = call();
    // SAFETY: as above.
    unsafe { pthread_setcanceltype(kind, &mut kind) };
    answer
}

/// Runs `call`, which is no cancellation point here.
#[inline(always)]
pub fn undisturbed<T>(call: impl FnOnce() -> T) -> T {
    const DISABLED: c_int = 1;
    let mut state = 0;
    // SAFETY: the calling thread's own state, which is put back.
    unsafe { pthread_setcancelstate(DISABLED, &mut state) };
    let answer = call();
    // SAFETY: as above.
    unsafe { pthread_setcancelstate(state, &mut state) };
    answer
}

/// The kernel writes what is left into the time it is given; libc shows it a copy.
fn copy(time: *const timespec) -> (timespec, bool) {
    // SAFETY: NULL or live.
    match unsafe { time.as_ref() } {
        Some(time) => (*time, true),
        None => (timespec { tv_sec: 0, tv_nsec: 0 }, false),
    }
}

fn place<T>(value: &mut T, there: bool) -> *mut T {
    if there { value } else { core::ptr::null_mut() }
}

/// `ppoll`.
pub unsafe fn ppoll(
    fds: *mut libc::pollfd,
    count: libc::nfds_t,
    timeout: *const timespec,
    mask: *const sigset_t,
) -> Result<usize> {
    let (mut time, there) = copy(timeout);
    // SAFETY: the C function's contract.
    unsafe { syscall!(libc::SYS_ppoll, fds, count, place(&mut time, there), mask, SIGSET) }
}

/// `pselect`, and `select` for that matter.
pub unsafe fn pselect(
    n: c_int,
    sets: [*mut libc::fd_set; 3],
    timeout: *const timespec,
    mask: *const sigset_t,
) -> Result<usize> {
    let (mut time, there) = copy(timeout);
    let mask = [mask as usize, SIGSET];
    let time = place(&mut time, there);
    // SAFETY: the C function's contract.
    unsafe { syscall!(libc::SYS_pselect6, n, sets[0], sets[1], sets[2], time, mask.as_ptr()) }
}

/// `clock_nanosleep`, which has the pthread convention.
pub unsafe fn clock_nanosleep(
    clock: libc::clockid_t,
    flags: c_int,
    wait: *const timespec,
    left: *mut timespec,
) -> Result<()> {
    let clock = match clock {
        libc::CLOCK_THREAD_CPUTIME_ID => return Err(Errno(libc::EINVAL)),
        // As glibc: the number that names the calling process for sure.
        libc::CLOCK_PROCESS_CPUTIME_ID => -6,
        clock => clock,
    };
    // SAFETY: the C function's contract.
    unsafe { syscall!(libc::SYS_clock_nanosleep, clock, flags, wait, left).map(drop) }
}

/// `sigtimedwait`; glibc hides from the program that a thread was meant.
pub unsafe fn sigtimedwait(
    set: *const sigset_t,
    info: *mut libc::siginfo_t,
    timeout: *const timespec,
) -> Result<usize> {
    // SAFETY: the C function's contract.
    unsafe {
        let sig = syscall!(libc::SYS_rt_sigtimedwait, set, info, timeout, SIGSET)?;
        if let Some(info) = info.as_mut()
            && info.si_code == libc::SI_TKILL
        {
            info.si_code = libc::SI_USER;
        }
        Ok(sig)
    }
}

/// `sigsuspend`.
pub unsafe fn sigsuspend(set: *const sigset_t) -> Result<usize> {
    // SAFETY: the C function's contract.
    unsafe { syscall!(libc::SYS_rt_sigsuspend, set, SIGSET) }
}

/// `sigprocmask`; nobody can block glibc's own signals.
pub unsafe fn sigprocmask(how: c_int, set: *const sigset_t, old: *mut sigset_t) -> Result<usize> {
    // SAFETY: the C function's contract; the kernel's set is the first word of libc's.
    unsafe {
        let mut word = set.cast::<u64>().as_ref().map_or(0, |word| word & !INTERNAL);
        syscall!(libc::SYS_rt_sigprocmask, how, place(&mut word, !set.is_null()), old, SIGSET)
    }
}

/// `epoll_pwait`.
pub unsafe fn epoll_pwait(
    fd: c_int,
    events: *mut libc::epoll_event,
    room: c_int,
    timeout: c_int,
    mask: *const sigset_t,
) -> Result<usize> {
    // SAFETY: the C function's contract.
    unsafe { syscall!(libc::SYS_epoll_pwait, fd, events, room, timeout, mask, SIGSET) }
}

/// A call that is no cancellation point.
pub fn at_once(answer: Result<usize>) -> c_int {
    errno::from(answer)
}
