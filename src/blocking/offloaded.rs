//! Waits that no descriptor's edge ends: locks of files, System V queues and semaphores, the other end of a FIFO, a
//! terminal's output. Each is tried without waiting first; only then it is offloaded. And a disk that is to be in step.
//!
//! Safety: as the C functions; the kernel checks what it is given.

use core::ffi::{c_char, c_int, c_long, c_uint, c_ulong, c_void};

use libc::{mode_t, sembuf, size_t, timespec};

use crate::data::Deadline;
use crate::data::fdtable::Kind;
use crate::kernel::syscall::Word;
use crate::kernel::{Errno, Result};
use crate::runtime::offload::{self, Call};
use crate::runtime::{Green, Wait, Wake, descriptors, edges, hub};
use crate::syscall;

use super::kind;

/// `attempt` says `busy` where `call` would wait.
///
/// # Safety
/// As of the system call.
unsafe fn try_then_wait(
    g: &'static Green,
    call: &Call,
    busy: Errno,
    mut attempt: impl FnMut() -> Result<usize>,
) -> Result<usize> {
    if call.cancellable && g.is_cancelled() {
        return Err(Errno::CANCELLED);
    }
    let mut naps = 0;
    loop {
        match attempt() {
            Err(errno) if errno == busy => {}
            answer => {
                hub().charge_inline(g);
                return answer;
            }
        }
        // SAFETY: the caller's promise.
        if let Some(answer) = unsafe { offload::call(g, call) } {
            return answer;
        }
        let wait = Wait { cancellable: call.cancellable, raises: true, ..Wait::opaque(call.name) };
        match edges::nap(g, &wait, &mut naps, Deadline::NEVER) {
            Wake::Cancelled => return Err(Errno::CANCELLED),
            Wake::Interrupted => return Err(Errno(libc::EINTR)),
            Wake::Restart if !call.restarts => return Err(Errno(libc::EINTR)),
            _ => {}
        }
    }
}

const AGAIN: Errno = Errno(libc::EAGAIN);
const TIMED_OUT: Errno = Errno(libc::ETIMEDOUT);

/// `flock`.
pub fn flock(g: &'static Green, fd: c_int, operation: c_int) -> Result<()> {
    let call = Call {
        name: "flock",
        restarts: true,
        cancellable: false,
        number: libc::SYS_flock,
        arguments: [fd.word(), operation.word(), 0, 0, 0, 0],
    };
    if operation & libc::LOCK_NB != 0 {
        // SAFETY: takes no pointer.
        return unsafe { syscall!(libc::SYS_flock, fd, operation).map(drop) };
    }
    // SAFETY: as above.
    unsafe {
        try_then_wait(g, &call, AGAIN, || syscall!(libc::SYS_flock, fd, operation | libc::LOCK_NB)).map(drop)
    }
}

/// The commands of `fcntl` that wait for a lock; None: another one.
pub unsafe fn fcntl(g: &'static Green, fd: c_int, command: c_int, lock: usize) -> Option<Result<c_int>> {
    let attempt = match command {
        libc::F_SETLKW => libc::F_SETLK,
        libc::F_OFD_SETLKW => libc::F_OFD_SETLK,
        _ => return None,
    };
    let call = Call {
        name: "fcntl",
        restarts: true,
        cancellable: true,
        number: libc::SYS_fcntl,
        arguments: [fd.word(), command.word(), lock, 0, 0, 0],
    };
    // SAFETY: the C function's contract.
    let answer = unsafe { try_then_wait(g, &call, AGAIN, || syscall!(libc::SYS_fcntl, fd, attempt, lock)) };
    Some(answer.map(|answer| answer as c_int))
}

/// `lockf` with F_LOCK; None: it does not wait.
pub fn lockf(g: &'static Green, fd: c_int, command: c_int, length: libc::off_t) -> Option<Result<c_int>> {
    if command != libc::F_LOCK {
        return None;
    }
    let lock = libc::flock {
        l_type: libc::F_WRLCK as i16,
        l_whence: libc::SEEK_CUR as i16,
        l_start: 0,
        l_len: length,
        l_pid: 0,
    };
    // SAFETY: `lock` is live.
    unsafe { fcntl(g, fd, libc::F_SETLKW, (&raw const lock) as usize) }
}

/// `openat`. A FIFO's other end is waited for.
pub unsafe fn open(
    g: &'static Green,
    directory: c_int,
    path: *const c_char,
    flags: c_int,
    mode: mode_t,
) -> Result<c_int> {
    let call = Call {
        name: "open",
        restarts: true,
        cancellable: true,
        number: libc::SYS_openat,
        arguments: [directory.word(), path.word(), flags.word(), mode.word(), 0, 0],
    };
    // SAFETY: the C function's contract.
    unsafe {
        let waits = waits_for_other_end(directory, path, flags);
        try_then_wait(g, &call, AGAIN, || {
            if waits { Err(AGAIN) } else { syscall!(libc::SYS_openat, directory, path, flags, mode) }
        })
        .map(|fd| fd as c_int)
    }
}

unsafe fn waits_for_other_end(directory: c_int, path: *const c_char, flags: c_int) -> bool {
    const NOT: c_int = libc::O_NONBLOCK | libc::O_PATH | libc::O_DIRECTORY;
    let new = flags & (libc::O_CREAT | libc::O_EXCL) == libc::O_CREAT | libc::O_EXCL;
    if flags & NOT != 0 || new || flags & libc::O_ACCMODE == libc::O_RDWR {
        return false;
    }
    let follow = if flags & libc::O_NOFOLLOW != 0 { libc::AT_SYMLINK_NOFOLLOW } else { 0 };
    // SAFETY: zeroes are a valid stat, and the kernel fills it in.
    let mut stat: libc::stat = unsafe { core::mem::zeroed() };
    // SAFETY: the caller's path; `stat` is live.
    let found = unsafe { syscall!(libc::SYS_newfstatat, directory, path, &mut stat, follow) };
    found.is_ok() && stat.st_mode & libc::S_IFMT == libc::S_IFIFO
}

/// `msgrcv`.
pub unsafe fn msgrcv(
    g: &'static Green,
    queue: c_int,
    message: *mut c_void,
    size: size_t,
    kind: c_long,
    flags: c_int,
) -> Result<usize> {
    let call = Call {
        name: "msgrcv",
        restarts: false,
        cancellable: true,
        number: libc::SYS_msgrcv,
        arguments: [queue.word(), message.word(), size, kind as usize, flags.word(), 0],
    };
    // The errno of a wait that is not wanted is left as it is.
    let busy = if flags & libc::IPC_NOWAIT == 0 { Errno(libc::ENOMSG) } else { Errno(0) };
    // SAFETY: the C function's contract.
    unsafe {
        try_then_wait(g, &call, busy, || {
            syscall!(libc::SYS_msgrcv, queue, message, size, kind, flags | libc::IPC_NOWAIT)
        })
    }
}

/// `msgsnd`.
pub unsafe fn msgsnd(
    g: &'static Green,
    queue: c_int,
    message: *const c_void,
    size: size_t,
    flags: c_int,
) -> Result<()> {
    let call = Call {
        name: "msgsnd",
        restarts: false,
        cancellable: true,
        number: libc::SYS_msgsnd,
        arguments: [queue.word(), message.word(), size, flags.word(), 0, 0],
    };
    let busy = if flags & libc::IPC_NOWAIT == 0 { AGAIN } else { Errno(0) };
    // SAFETY: the C function's contract.
    unsafe {
        try_then_wait(g, &call, busy, || {
            syscall!(libc::SYS_msgsnd, queue, message, size, flags | libc::IPC_NOWAIT)
        })
        .map(drop)
    }
}

/// `semtimedop`, and `semop` without a timeout.
pub unsafe fn semtimedop(
    g: &'static Green,
    set: c_int,
    operations: *mut sembuf,
    count: size_t,
    timeout: *const timespec,
) -> Result<()> {
    let call = Call {
        name: "semop",
        restarts: false,
        cancellable: false,
        number: libc::SYS_semtimedop,
        arguments: [set.word(), operations.word(), count, timeout.word(), 0, 0],
    };
    let at_once = timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the C function's contract. A single IPC_NOWAIT among the operations is for the kernel to judge.
    unsafe {
        try_then_wait(g, &call, AGAIN, || syscall!(libc::SYS_semtimedop, set, operations, count, &at_once))
            .map(drop)
    }
}

/// `syscall(SYS_futex_waitv)`. Whoever wakes looks into the kernel too, so the thread that waits there is found.
pub unsafe fn futex_waitv(g: &'static Green, arguments: [usize; 6]) -> Result<usize> {
    let call = Call {
        name: "futex_waitv",
        restarts: true,
        cancellable: false,
        number: libc::SYS_futex_waitv,
        arguments,
    };
    let [waiters, count, flags, ..] = arguments;
    let past = timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the system call's contract.
    unsafe {
        try_then_wait(g, &call, TIMED_OUT, || {
            syscall!(libc::SYS_futex_waitv, waiters, count, flags, &past, libc::CLOCK_MONOTONIC)
        })
    }
}

/// `mq_timedreceive`, and `mq_receive` without a time. Not by polling the queue: a message for which somebody waits is not
/// told to others (mq_notify).
pub unsafe fn mq_receive(
    g: &'static Green,
    queue: c_int,
    message: *mut c_char,
    size: size_t,
    priority: *mut c_uint,
    until: *const timespec,
) -> Result<usize> {
    let call = Call {
        name: "mq_receive",
        restarts: true,
        cancellable: true,
        number: libc::SYS_mq_timedreceive,
        arguments: [queue.word(), message.word(), size, priority.word(), until.word(), 0],
    };
    // SAFETY: the C function's contract.
    unsafe {
        let now = in_the_past(until);
        try_then_wait(g, &call, TIMED_OUT, || {
            syscall!(libc::SYS_mq_timedreceive, queue, message, size, priority, &now)
        })
    }
}

/// `mq_timedsend`, and `mq_send` without a time.
pub unsafe fn mq_send(
    g: &'static Green,
    queue: c_int,
    message: *const c_char,
    size: size_t,
    priority: c_uint,
    until: *const timespec,
) -> Result<()> {
    let call = Call {
        name: "mq_send",
        restarts: true,
        cancellable: true,
        number: libc::SYS_mq_timedsend,
        arguments: [queue.word(), message.word(), size, priority.word(), until.word(), 0],
    };
    // SAFETY: the C function's contract.
    unsafe {
        let now = in_the_past(until);
        try_then_wait(g, &call, TIMED_OUT, || {
            syscall!(libc::SYS_mq_timedsend, queue, message, size, priority, &now)
        })
        .map(drop)
    }
}

/// A time at which a queue that would wait gives up at once; one that is no time stays what it is, for the kernel to see.
///
/// # Safety
/// `until` is NULL or live.
unsafe fn in_the_past(until: *const timespec) -> timespec {
    // SAFETY: the caller's promise.
    let wrong = unsafe { until.as_ref() }
        .filter(|time| time.tv_sec < 0 || !(0..1_000_000_000).contains(&time.tv_nsec));
    wrong.copied().unwrap_or(timespec { tv_sec: 0, tv_nsec: 0 })
}

/// Whether the terminal `fd` has something to put out yet.
fn has_output(fd: c_int) -> bool {
    let mut left: c_int = 0;
    // SAFETY: `left` is live.
    unsafe { syscall!(libc::SYS_ioctl, fd, libc::TIOCOUTQ, &mut left).is_ok() && left > 0 }
}

fn on_terminal(name: &'static str, fd: c_int, command: c_ulong, argument: usize, cancellable: bool) -> Call {
    let arguments = [fd.word(), command.word(), argument, 0, 0, 0];
    Call { name, restarts: true, cancellable, number: libc::SYS_ioctl, arguments }
}

/// `tcdrain`.
pub fn tcdrain(g: &'static Green, fd: c_int) -> Result<()> {
    const DRAIN: usize = 1;
    let call = on_terminal("tcdrain", fd, libc::TCSBRK, DRAIN, true);
    let attempt = || {
        if has_output(fd) {
            return Err(AGAIN);
        }
        // SAFETY: takes no pointer.
        unsafe { syscall!(libc::SYS_ioctl, fd, libc::TCSBRK, DRAIN) }
    };
    // SAFETY: takes no pointer.
    unsafe { try_then_wait(g, &call, AGAIN, attempt).map(drop) }
}

/// Waits until the terminal `fd` has put everything out: what the call that follows would wait for.
pub fn drain(g: &'static Green, fd: c_int) {
    const DRAIN: usize = 1;
    let call = on_terminal("tcsetattr", fd, libc::TCSBRK, DRAIN, false);
    // SAFETY: takes no pointer. An error is for the call that follows to find.
    let _ = unsafe { try_then_wait(g, &call, AGAIN, || if has_output(fd) { Err(AGAIN) } else { Ok(0) }) };
}

/// The commands of `ioctl` that wait for a terminal's output; None: another one.
pub unsafe fn ioctl(
    g: &'static Green,
    fd: c_int,
    command: c_ulong,
    argument: usize,
) -> Option<Result<c_int>> {
    // A break takes its time, whatever is still to be put out.
    let takes_time = match (command, argument) {
        (libc::TCSBRK, 0) | (libc::TCSBRKP, _) => true,
        (libc::TCSBRK | libc::TCSETSW | libc::TCSETSF | libc::TCSETAW | libc::TCSETAF, _) => false,
        _ => return None,
    };
    let call = on_terminal("ioctl", fd, command, argument, false);
    let attempt = || {
        if takes_time || has_output(fd) {
            return Err(AGAIN);
        }
        // SAFETY: the C function's contract.
        unsafe { syscall!(libc::SYS_ioctl, fd, command, argument) }
    };
    // SAFETY: as above.
    Some(unsafe { try_then_wait(g, &call, AGAIN, attempt) }.map(|answer| answer as c_int))
}

/// What a disk may take its time for. There is no try: where `fd` is a file it begins on a kernel thread, and all else says
/// at once that it is none.
pub unsafe fn on_disk(
    g: &'static Green,
    fd: c_int,
    (name, number): (&'static str, c_long),
    cancellable: bool,
    arguments: [usize; 6],
) -> Result<usize> {
    if cancellable && g.is_cancelled() {
        return Err(Errno::CANCELLED);
    }
    let call = Call { name, restarts: true, cancellable, number, arguments };
    let is_file = kind::of(fd, descriptors::entry(fd)) == Kind::Inline;
    // SAFETY: the C function's contract.
    let answer = if is_file { unsafe { offload::call(g, &call) } } else { None };
    answer.unwrap_or_else(|| {
        let [a, b, c, d, e, f] = arguments;
        // SAFETY: as above. Without a thread for it, as bare.
        unsafe { syscall!(number, a, b, c, d, e, f) }
    })
}
