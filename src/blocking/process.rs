//! Waiting for children. One child is waited for through a pidfd; where there is none to ask (any child, a group, a
//! stop), by looking again and again: children are never learned of by stealing SIGCHLD.
//!
//! Safety: as the C functions; what the kernel writes goes straight to the caller's structs.

use core::mem::MaybeUninit;
use core::ptr;

use libc::{c_int, id_t, idtype_t, pid_t, rusage, siginfo_t};

use crate::data::Deadline;
use crate::kernel::{Errno, Result};
use crate::runtime::descriptors::{self, Side};
use crate::runtime::poller;
use crate::runtime::{Green, Wait, Wake};
use crate::syscall;

/// `wait4`, and `wait`, `waitpid`, `wait3` with what they leave out.
pub unsafe fn wait4(
    g: &Green,
    pid: pid_t,
    status: *mut c_int,
    options: c_int,
    usage: *mut rusage,
) -> Result<pid_t> {
    let child = if pid > 0 { Some(Child::Id(pid)) } else { None };
    wait(g, child, options, || {
        // SAFETY: the C function's contract.
        let taken = unsafe { syscall!(libc::SYS_wait4, pid, status, options | libc::WNOHANG, usage)? };
        Ok((taken != 0).then_some(taken as pid_t))
    })
    .map(|taken| taken.unwrap_or(0))
}

/// `waitid`, which the kernel gives a `usage` too.
pub unsafe fn waitid(
    g: &Green,
    kind: idtype_t,
    id: id_t,
    info: *mut siginfo_t,
    options: c_int,
    usage: *mut rusage,
) -> Result<()> {
    let child = match kind {
        libc::P_PID => Some(Child::Id(id as pid_t)),
        libc::P_PIDFD => Some(Child::Descriptor(id as c_int)),
        _ => None,
    };
    // SAFETY: all zeros is a siginfo.
    let mut own: siginfo_t = unsafe { core::mem::zeroed() };
    let place = if info.is_null() { &raw mut own } else { info };
    wait(g, child, options, || {
        // SAFETY: the C function's contract; a siginfo without a child has a pid of 0.
        unsafe {
            syscall!(libc::SYS_waitid, kind, id, place, options | libc::WNOHANG, usage)?;
            Ok(((*place).si_pid() != 0).then_some(()))
        }
    })
    .map(drop)
}

#[derive(Clone, Copy)]
enum Child {
    Id(pid_t),
    Descriptor(c_int),
}

/// Asks `look` until it has an answer, in between waiting for `child` to end if it is one. None: WNOHANG. A
/// cancellation point.
fn wait<T>(
    g: &Green,
    child: Option<Child>,
    options: c_int,
    mut look: impl FnMut() -> Result<Option<T>>,
) -> Result<Option<T>> {
    if g.is_cancelled() {
        return Err(Errno::CANCELLED);
    }
    let mut naps = 0;
    loop {
        let found = look()?;
        if found.is_some() || options & libc::WNOHANG != 0 {
            return Ok(found);
        }
        let ends_only = options & (libc::WSTOPPED | libc::WCONTINUED) == 0;
        let wake = match child {
            Some(Child::Id(pid)) if ends_only => park_for(g, pid, &mut naps),
            Some(Child::Descriptor(fd)) if ends_only => park_on(g, fd, 0)?,
            _ => descriptors::nap(g, "wait", &mut naps, Deadline::NEVER),
        };
        match wake {
            Wake::Interrupted => return Err(Errno(libc::EINTR)),
            Wake::Cancelled => return Err(Errno::CANCELLED),
            Wake::Ready | Wake::TimedOut | Wake::Closed | Wake::Restart => {}
        }
    }
}

/// Parks until the child `pid` has ended, or a little if no pidfd can be had.
fn park_for(g: &Green, pid: pid_t, naps: &mut u32) -> Wake {
    // SAFETY: takes no pointers.
    let wake = unsafe { syscall!(libc::SYS_pidfd_open, pid, 0) }.and_then(|fd| {
        let fd = poller::move_high(fd as c_int);
        let wake = park_on(g, fd, pid);
        // SAFETY: our own descriptor.
        let _ = unsafe { syscall!(libc::SYS_close, fd) };
        wake
    });
    wake.unwrap_or_else(|_| descriptors::nap(g, "wait", naps, Deadline::NEVER))
}

fn park_on(g: &Green, fd: c_int, pid: pid_t) -> Result<Wake> {
    let wait = Wait { over: has_ended, a: pid as usize, b: fd as usize, ..Wait::opaque("wait") };
    descriptors::park(g, (fd, descriptors::entry(fd)), Side::Read, &wait, Deadline::NEVER, false)
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
