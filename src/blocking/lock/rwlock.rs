//! Read-write locks: the real try operations, and one queue for readers and writers in order of arrival.
//!
//! Whoever leaves the lock free wakes the oldest waiter. A reader that got in lets all waiting readers in, as glibc
//! does; where writers are preferred, those up to the next writer.
//!
//! The ABI of `pthread_rwlock_t` on x86-64: at 0 `__readers` (bit 1: a writer has it or waits in glibc; from bit 3 on the
//! number of readers), at 24 the writer's tid, at 28 whether it is process-shared, at 48 the preference.
//!
//! Safety: as the C functions.

use core::cell::Cell;
use core::ffi::c_void;

use crate::kernel::real::real;
use crate::kernel::{Errno, Result};
use crate::runtime::{Green, Wait, hub, parking};

use super::{Until, load, queue, result};

const WRITER: usize = 24;
const SHARED: usize = 28;
const PREFERENCE: usize = 48;

const WRITE_LOCKED: u32 = 2;
const READER: u32 = 8;
/// PTHREAD_RWLOCK_PREFER_WRITER_NONRECURSIVE_NP
const PREFER_WRITERS: u32 = 2;

/// What is asked for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Side {
    /// To read, with others.
    Read,
    /// To write, alone.
    Write,
}

use Side::{Read, Write};

fn writable(lock: usize, _: usize) -> bool {
    load(lock, 0) & WRITE_LOCKED == 0 && load(lock, 0) < READER
}

fn readable(lock: usize, _: usize) -> bool {
    load(lock, 0) & WRITE_LOCKED == 0
}

fn attempt(lock: *mut c_void, side: Side) -> Option<Result<()>> {
    // SAFETY: the C function's contract.
    let code = unsafe {
        match side {
            Read => (real().pthread_rwlock_tryrdlock)(lock),
            Write => (real().pthread_rwlock_trywrlock)(lock),
        }
    };
    if code == libc::EBUSY { None } else { Some(result(code)) }
}

/// `pthread_rwlock_rdlock`, `pthread_rwlock_wrlock`.
#[inline(always)]
pub unsafe fn lock(g: &Green, lock: *mut c_void, side: Side) -> Result<()> {
    wait_for(g, lock, side, Until::NEVER)
}

/// Their `clock` forms, and with CLOCK_REALTIME their `timed` forms. The time is looked at in any case.
#[inline(always)]
pub unsafe fn lock_until(
    g: &Green,
    lock: *mut c_void,
    side: Side,
    clock: libc::clockid_t,
    time: *const libc::timespec,
) -> Result<()> {
    // SAFETY: the C function's contract.
    wait_for(g, lock, side, unsafe { Until::at(clock, time)? })
}

#[inline(always)]
fn wait_for(g: &Green, lock: *mut c_void, side: Side, until: Until) -> Result<()> {
    let address = lock as usize;
    // glibc does not know of the writers in our queue: their preference is ours to keep.
    let behind = side == Read && load(address, PREFERENCE) == PREFER_WRITERS && parking::awaited(address);
    if !behind && let Some(answer) = attempt(lock, side) {
        return answer;
    }
    contended(g, lock, side, until)
}

#[cold]
fn contended(g: &Green, lock: *mut c_void, side: Side, until: Until) -> Result<()> {
    let address = lock as usize;
    if load(address, WRITER) == g.tid.get() as u32 {
        return Err(Errno(libc::EDEADLK));
    }
    let (call, over): (_, fn(usize, usize) -> bool) = match side {
        Read if load(address, PREFERENCE) == PREFER_WRITERS => ("pthread_rwlock_rdlock", writable),
        Read => ("pthread_rwlock_rdlock", readable),
        Write => ("pthread_rwlock_wrlock", writable),
    };
    let wait = Wait {
        over,
        a: address,
        interruptible: false,
        cancellable: false,
        raises: true,
        ..Wait::opaque(call)
    };
    let unseen = || load(address, SHARED) != 0;
    let answer = queue(g, address, wait, until, unseen, || attempt(lock, side));
    if answer.is_ok() && side == Read {
        if load(address, PREFERENCE) == PREFER_WRITERS {
            parking::wake(address, 1);
        } else {
            parking::wake_where(address, usize::MAX, |wait| (wait.over)(wait.a, wait.b));
        }
    }
    answer
}

/// `pthread_rwlock_tryrdlock`, `pthread_rwlock_trywrlock`.
#[inline(always)]
pub unsafe fn try_lock(g: &Green, lock: *mut c_void, side: Side) -> Result<()> {
    match attempt(lock, side) {
        Some(answer) => answer,
        None => {
            hub().charge(g);
            Err(Errno(libc::EBUSY))
        }
    }
}

/// What follows the real `pthread_rwlock_unlock`, on every thread. The lock may be gone by now, unless somebody waits
/// for it.
#[inline(always)]
pub fn unlocked(lock: *mut c_void) {
    // Only the oldest waiter counts: order of arrival.
    let oldest = Cell::new(true);
    parking::wake_where(lock as usize, 1, |wait| oldest.replace(false) && (wait.over)(wait.a, wait.b));
}
