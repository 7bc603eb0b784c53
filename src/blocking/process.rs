//! Waiting for children. The end of one child is waited for through its pidfd. For all others (any child, a group, a stop)
//! the kernel is asked on a thread of its own, which leaves the child as it is ([`offload`]): children are never learned
//! of by stealing SIGCHLD. Whoever was told looks for itself, and waits again if another one was faster.
//!
//! Safety: as the C functions; what the kernel writes goes straight to the caller's structs.

use core::mem::MaybeUninit;
use core::ptr;

use libc::{c_int, id_t, idtype_t, pid_t, rusage, siginfo_t};

use crate::data::Deadline;
use crate::kernel::syscall::Word;
use crate::kernel::{Errno, Result};
use crate::runtime::descriptors;
use crate::runtime::edges::{self, Side};
use crate::runtime::offload::{self, Call};
use crate::runtime::poller;
use crate::runtime::{Green, Wait, Wake, raise};
use crate::syscall;

/// `wait4`, and `wait`, `waitpid`, `wait3` with what they leave out.
pub unsafe fn wait4(
    g: &'static Green,
    pid: pid_t,
    status: *mut c_int,
    options: c_int,
    usage: *mut rusage,
) -> Result<pid_t> {
    let child = match pid {
        -1 => Child { kind: libc::P_ALL, id: 0 },
        // SAFETY: takes nothing.
        0 => Child { kind: libc::P_PGID, id: unsafe { syscall!(libc::SYS_getpgid, 0)? } as id_t },
        pid if pid < 0 => Child { kind: libc::P_PGID, id: pid.unsigned_abs() },
        pid => Child { kind: libc::P_PID, id: pid as id_t },
    };
    wait(g, child, options | libc::WEXITED, || {
        // SAFETY: the C function's contract.
        let taken = unsafe { syscall!(libc::SYS_wait4, pid, status, options | libc::WNOHANG, usage)? };
        Ok((taken != 0).then_some(taken as pid_t))
    })
    .map(|taken| taken.unwrap_or(0))
}

/// `waitid`, which the kernel gives a `usage` too.
pub unsafe fn waitid(
    g: &'static Green,
    kind: idtype_t,
    id: id_t,
    info: *mut siginfo_t,
    options: c_int,
    usage: *mut rusage,
) -> Result<()> {
    if kind == libc::P_PIDFD && is_nonblocking(id as c_int) {
        // SAFETY: the C function's contract. It does not wait.
        return unsafe { syscall!(libc::SYS_waitid, kind, id, info, options, usage).map(drop) };
    }
    // SAFETY: all zeros is a siginfo.
    let mut own: siginfo_t = unsafe { core::mem::zeroed() };
    let place = if info.is_null() { &raw mut own } else { info };
    wait(g, Child { kind, id }, options, || {
        // SAFETY: the C function's contract; a siginfo without a child has a pid of 0.
        unsafe {
            syscall!(libc::SYS_waitid, kind, id, place, options | libc::WNOHANG, usage)?;
            Ok(((*place).si_pid() != 0).then_some(()))
        }
    })
    .map(drop)
}

fn is_nonblocking(fd: c_int) -> bool {
    // SAFETY: takes no pointers.
    unsafe { syscall!(libc::SYS_fcntl, fd, libc::F_GETFL) }
        .is_ok_and(|mode| mode as c_int & libc::O_NONBLOCK != 0)
}

/// For whom `waitid` waits.
#[derive(Clone, Copy)]
struct Child {
    kind: idtype_t,
    id: id_t,
}

/// Asks `look` until it has an answer, in between waiting for `child` to change as `options` say (those of `waitid`). None:
/// WNOHANG. A cancellation point.
fn wait<T>(
    g: &'static Green,
    child: Child,
    options: c_int,
    mut look: impl FnMut() -> Result<Option<T>>,
) -> Result<Option<T>> {
    if g.is_cancelled() {
        return Err(Errno::CANCELLED);
    }
    let mut naps = 0;
    // A tracer, who asks with a flag of Linux's own, hears of stops as well.
    let end_only = options & !(libc::WNOHANG | libc::WNOWAIT) == libc::WEXITED;
    loop {
        let found = look()?;
        if found.is_some() || options & libc::WNOHANG != 0 {
            return Ok(found);
        }
        let wake = match child.kind {
            libc::P_PID if end_only => park_for(g, child.id as pid_t, &mut naps),
            libc::P_PIDFD if end_only => {
                let fd = child.id as c_int;
                edges::park(
                    g,
                    (fd, descriptors::entry(fd)),
                    Side::Read,
                    &ends(0, fd),
                    Deadline::NEVER,
                    false,
                )?
            }
            _ => match ask(g, child, options) {
                Some(answer) => answer.map(|()| Wake::Ready)?,
                None => edges::nap(g, &Wait::opaque("wait"), &mut naps, Deadline::NEVER),
            },
        };
        match wake {
            _ if raise::is_due(g) => return Err(Errno::CANCELLED),
            Wake::Interrupted => return Err(Errno(libc::EINTR)),
            Wake::Cancelled => return Err(Errno::CANCELLED),
            Wake::Ready | Wake::TimedOut | Wake::Closed | Wake::Restart => {}
        }
    }
}

/// Waits on another thread, which takes nothing. None: there is none to be had, or the children asked for are those of the
/// calling thread alone.
fn ask(g: &'static Green, child: Child, options: c_int) -> Option<Result<()>> {
    if options & libc::__WNOTHREAD != 0 {
        return None;
    }
    let options = options | libc::WNOWAIT;
    let call = Call {
        name: "wait",
        restarts: true,
        cancellable: true,
        number: libc::SYS_waitid,
        arguments: [child.kind.word(), child.id.word(), 0, options.word(), 0, 0],
    };
    // SAFETY: no memory is given.
    unsafe { offload::call(g, &call) }.map(|answer| answer.map(drop))
}

/// Parks until the child `pid` has ended, or a little if no pidfd can be had.
fn park_for(g: &Green, pid: pid_t, naps: &mut u32) -> Wake {
    // SAFETY: takes no pointers.
    let wake = unsafe { syscall!(libc::SYS_pidfd_open, pid, 0) }.and_then(|fd| {
        let fd = poller::move_high(fd as c_int);
        edges::park_lent(g, fd, &ends(pid, fd))
    });
    wake.unwrap_or_else(|_| edges::nap(g, &Wait::opaque("wait"), naps, Deadline::NEVER))
}

fn ends(pid: pid_t, fd: c_int) -> Wait {
    Wait { over: has_ended, a: pid as usize, b: fd as usize, ..Wait::opaque("wait") }
}

fn has_ended(pid: usize, fd: usize) -> bool {
    let (kind, id) = if pid != 0 { (libc::P_PID, pid) } else { (libc::P_PIDFD, fd) };
    let mut info = MaybeUninit::<siginfo_t>::zeroed();
    let options = libc::WEXITED | libc::WNOHANG | libc::WNOWAIT;
    // SAFETY: `info` is room for the answer, and zeros are a siginfo.
    unsafe {
        let answer = syscall!(libc::SYS_waitid, kind, id, info.as_mut_ptr(), options, ptr::null::<rusage>());
        answer.is_ok() && info.assume_init_ref().si_pid() != 0
    }
}
