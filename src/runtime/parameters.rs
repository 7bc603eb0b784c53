//! Name, affinity, scheduling parameters and nice value: kept by green thread, and not in force (GAPS.md). A process that a
//! thread makes has them; so they are put in force in a fork child, and for as long as another program is started.
//!
//! Safety: on the hub's kernel thread alone; system calls with live memory of the sizes that they are told.

use core::cell::Cell;

use crate::kernel::Result;
use crate::syscall;

use super::green::{Affinity, Green, Scheduling};

/// What the hub's kernel thread had.
#[derive(Clone, Copy)]
struct Own {
    affinity: Option<Affinity>,
    scheduling: Option<Scheduling>,
    nice: Option<i32>,
}

struct Place(Cell<Option<Own>>);

// SAFETY: one kernel thread (file header).
unsafe impl Sync for Place {}

static OWN: Place = Place(Cell::new(None));

/// In the child of `green`, for good.
pub(super) fn adopt(green: &Green) {
    let name = green.name.take();
    if name[0] != 0 {
        // SAFETY: it ends in its NUL.
        let _ = unsafe { syscall!(libc::SYS_prctl, libc::PR_SET_NAME, name.as_ptr()) };
    }
    let (affinity, scheduling, nice) = (green.affinity.take(), green.scheduling.take(), green.nice.take());
    set(&Own { affinity, scheduling, nice });
}

/// `green` is about to start a program, which inherits.
#[inline(always)]
pub(super) fn lend(green: &Green) {
    let own =
        Own { affinity: green.affinity.get(), scheduling: green.scheduling.get(), nice: green.nice.get() };
    if own.affinity.is_some() || own.scheduling.is_some() || own.nice.is_some() {
        lend_some(own);
    }
}

#[cold]
fn lend_some(own: Own) {
    let before = Own {
        affinity: own.affinity.and_then(|_| affinity().ok()),
        scheduling: own.scheduling.and_then(|_| scheduling().ok()),
        nice: own.nice.and_then(|_| nice().ok()).filter(|before| may_return_to(*before)),
    };
    OWN.0.set(Some(before));
    set(&Own { nice: own.nice.filter(|_| before.nice.is_some()), ..own });
}

/// The end of [`lend`].
#[inline(always)]
pub(super) fn take_back() {
    if let Some(own) = OWN.0.take() {
        set(&own);
    }
}

fn set(own: &Own) {
    // SAFETY: see the file's header.
    unsafe {
        if let Some(affinity) = own.affinity {
            let _ = syscall!(libc::SYS_sched_setaffinity, 0, size_of_val(&affinity), &affinity);
        }
        if let Some(Scheduling { policy, priority }) = own.scheduling {
            let _ = syscall!(libc::SYS_sched_setscheduler, 0, policy, &priority);
        }
        if let Some(nice) = own.nice {
            let _ = syscall!(libc::SYS_setpriority, libc::PRIO_PROCESS, 0, nice);
        }
    }
}

fn affinity() -> Result<Affinity> {
    let mut affinity: Affinity = [0; _];
    // SAFETY: see the file's header.
    unsafe { syscall!(libc::SYS_sched_getaffinity, 0, size_of_val(&affinity), &mut affinity)? };
    Ok(affinity)
}

fn scheduling() -> Result<Scheduling> {
    let mut priority = 0i32;
    // SAFETY: see the file's header; a `sched_param` is one number.
    unsafe {
        let policy = syscall!(libc::SYS_sched_getscheduler, 0)? as i32;
        syscall!(libc::SYS_sched_getparam, 0, &mut priority)?;
        Ok(Scheduling { policy, priority })
    }
}

fn nice() -> Result<i32> {
    // SAFETY: takes no pointer. The kernel's answer is 20 minus the value.
    unsafe { syscall!(libc::SYS_getpriority, libc::PRIO_PROCESS, 0) }.map(|answer| 20 - answer as i32)
}

/// Whether the hub's kernel thread gets down to this value again: without a privilege only as far as RLIMIT_NICE says.
fn may_return_to(nice: i32) -> bool {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: see the file's header.
    let (user, asked) = unsafe {
        let none = core::ptr::null::<libc::rlimit>();
        (syscall!(libc::SYS_geteuid), syscall!(libc::SYS_prlimit64, 0, libc::RLIMIT_NICE, none, &mut limit))
    };
    user == Ok(0) || asked.is_ok() && limit.rlim_cur as i64 >= i64::from(20 - nice)
}
