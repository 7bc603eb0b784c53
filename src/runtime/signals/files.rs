//! Descriptors that one thread hears of by a signal (F_SETOWN_EX with F_OWNER_TID). To the kernel the owner is the hub's
//! kernel thread; whose it is, we know by the number of the descriptor, which the siginfo has.
//!
//! It has it only where the program has named a signal (F_SETSIG). Where it has not, we name the one that comes anyway,
//! SIGIO, and the program sees nothing of it.
//!
//! A number that was closed may be another file's: the kernel is asked before an entry is believed.

use core::ffi::c_int;

use crate::kernel::{Errno, Result};
use crate::runtime::green::Green;
use crate::runtime::hub::hub;
use crate::syscall;

use super::owners::{Owner, Owners};
use super::wrapper::is_fault;

/// The signal that tells of a descriptor; 0: SIGIO, and nothing more.
pub const F_SETSIG: c_int = 10;
/// The same, asked.
pub const F_GETSIG: c_int = 11;
/// The owner, and of what kind it is.
pub const F_SETOWN_EX: c_int = 15;
/// The same, asked.
pub const F_GETOWN_EX: c_int = 16;
/// A thread.
pub const F_OWNER_TID: c_int = 0;

/// `struct f_owner_ex`.
#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct OwnerEx {
    /// F_OWNER_TID and others.
    pub kind: c_int,
    /// Who.
    pub pid: libc::pid_t,
}

pub(super) static TABLE: Owners = Owners::new();
/// Added to a number for which the program has named no signal.
const UNNAMED: c_int = 1 << 30;

fn control(fd: c_int, command: c_int, argument: usize) -> Result<c_int> {
    // SAFETY: the callers give numbers, or live structs of ours.
    unsafe { syscall!(libc::SYS_fcntl, fd, command, argument) }.map(|answer| answer as c_int)
}

fn hub_owns() -> OwnerEx {
    OwnerEx { kind: F_OWNER_TID, pid: hub().first.tid.get() }
}

/// The key of `fd` in the table, and whose it is. None: nobody's in particular.
fn entry(fd: c_int) -> Option<(c_int, &'static Green)> {
    if !TABLE.any() {
        return None;
    }
    let mut owner = OwnerEx { kind: -1, pid: 0 };
    control(fd, F_GETOWN_EX, &raw mut owner as usize).ok()?;
    let of = |key| match TABLE.of(key) {
        Owner::Thread(green) if owner == hub_owns() => Some((key, green)),
        _ => None,
    };
    of(fd).or_else(|| of(fd | UNNAMED))
}

/// The thread that a signal with this information tells of its descriptor.
pub(super) fn owner(sig: c_int, info: &mut libc::siginfo_t) -> Owner {
    /// POLL_IN and kin.
    const KINDS: core::ops::RangeInclusive<c_int> = 1..=6;
    if !TABLE.any() || !KINDS.contains(&info.si_code) || sig == libc::SIGCHLD || is_fault(sig, info) {
        return Owner::Nobody;
    }
    // SAFETY: the descriptor lies behind the band (x86-64: at 24).
    let fd = unsafe { (&raw const *info).byte_add(24).cast::<c_int>().read() };
    match entry(fd) {
        None => Owner::Nobody,
        Some((key, green)) => {
            if key & UNNAMED != 0 {
                // SAFETY: all zeros is a siginfo.
                *info = unsafe { core::mem::zeroed() };
                (info.si_signo, info.si_code) = (sig, libc::SI_KERNEL);
            }
            Owner::Thread(green)
        }
    }
}

/// Makes `green` the owner of `fd`.
pub fn own(fd: c_int, green: &Green) -> Result<()> {
    disown(fd);
    let named = control(fd, F_GETSIG, 0)? != 0;
    let key = if named { fd } else { fd | UNNAMED };
    if !named {
        control(fd, F_SETSIG, libc::SIGIO as usize)?;
    }
    if !TABLE.insert(key, green) {
        return Err(Errno(libc::EAGAIN));
    }
    let owner = hub_owns();
    control(fd, F_SETOWN_EX, &raw const owner as usize).map(drop)
}

/// `fd` gets another owner, who is no green thread.
pub fn disown(fd: c_int) {
    if TABLE.remove(fd | UNNAMED) && control(fd, F_GETSIG, 0) == Ok(libc::SIGIO) {
        let _ = control(fd, F_SETSIG, 0);
    }
    TABLE.remove(fd);
}

/// `green` has ended: what it owned is nobody's.
pub(super) fn leave(green: &Green) {
    for key in TABLE.numbers(green) {
        let fd = key & !UNNAMED;
        if entry(fd).is_some() {
            let nobody = OwnerEx { kind: F_OWNER_TID, pid: 0 };
            let _ = control(fd, F_SETOWN_EX, &raw const nobody as usize);
        }
        disown(fd);
    }
}

/// The tid of the thread that owns `fd`. None: the kernel knows better.
pub fn owner_of(fd: c_int) -> Option<c_int> {
    entry(fd).map(|(_, green)| green.tid.get())
}

/// F_SETSIG. None: it is the kernel's alone.
pub fn name(fd: c_int, sig: c_int) -> Option<Result<c_int>> {
    let (key, green) = entry(fd)?;
    let answer = control(fd, F_SETSIG, if sig == 0 { libc::SIGIO } else { sig } as usize);
    if answer.is_ok() {
        TABLE.remove(key);
        TABLE.insert(if sig == 0 { fd | UNNAMED } else { fd }, green);
    }
    Some(answer)
}

/// F_GETSIG. None: the kernel knows better.
pub fn named(fd: c_int) -> Option<c_int> {
    entry(fd).and_then(|(key, _)| (key & UNNAMED != 0).then_some(0))
}
