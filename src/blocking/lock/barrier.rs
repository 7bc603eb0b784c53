//! Barriers, on glibc's words, so that foreign threads and other processes, which use the real functions, meet green
//! threads at one barrier.
//!
//! The words: `in` at 0 counts those who came, `round` at 4 those whose round is complete, `count` at 8, whether it is
//! process-shared at 12, `out` at 16 counts those who left. A thread's place is the value of `in` after it came; it
//! may go when `round` has reached its place. When `in` nears its end, those who came after the last full round below
//! [`LIMIT`] wait until the last one to leave has set all words back to 0, and come again. The same reset tells
//! `pthread_barrier_destroy` that all have left. A thread that is raised out of a round that is not complete takes itself out of
//! `in`: places are counted, so who comes next has its place.
//!
//! Safety: as the C functions. A thread does not touch the barrier after it has counted itself out.

use core::sync::atomic::{Ordering, fence};

use crate::data::Deadline;
use crate::kernel::{Errno, Result};
use crate::runtime::{Green, Wait, Wake, parking, raise};
use crate::syscall;

use super::{Patience, load, word};

const IN: usize = 0;
const ROUND: usize = 4;
const COUNT: usize = 8;
const SHARED: usize = 12;
const OUT: usize = 16;

/// Where counting ends at the latest.
const LIMIT: u32 = u32::MAX / 2;

/// `pthread_barrier_wait`. True for one thread of each round. What is raised takes the thread out of its round, unless that
/// is complete: then it leaves as the others do first.
pub unsafe fn wait(g: &Green, barrier: usize) -> Result<bool> {
    let count = load(barrier, COUNT);
    let last = LIMIT - LIMIT % count;
    let place = loop {
        let place = word(barrier, IN).fetch_add(1, Ordering::AcqRel) + 1;
        if place <= last {
            break place;
        }
        until(g, barrier, IN, |now| now <= last)?;
    };
    let mut round = load(barrier, ROUND);
    while round + count <= place {
        let complete = place - place % count;
        match word(barrier, ROUND).compare_exchange(round, complete, Ordering::AcqRel, Ordering::Relaxed) {
            Ok(_) => {
                round = complete;
                wake_all(barrier, ROUND, load(barrier, SHARED));
            }
            Err(now) => round = now,
        }
    }
    let waited = if round < place { until(g, barrier, ROUND, |now| now >= place) } else { Ok(()) };
    if waited.is_err() && step_back(barrier, place.next_multiple_of(count)) {
        return Err(Errno::CANCELLED);
    }
    fence(Ordering::Acquire);
    if word(barrier, OUT).fetch_add(1, Ordering::Release) + 1 == last {
        fence(Ordering::Acquire);
        let shared = load(barrier, SHARED);
        word(barrier, ROUND).store(0, Ordering::Relaxed);
        word(barrier, OUT).store(0, Ordering::Relaxed);
        word(barrier, IN).store(0, Ordering::Release);
        wake_all(barrier, IN, shared);
    }
    waited.map(|()| place % count == 0)
}

/// Takes one thread out of the round that is complete with `complete`. False: it is complete.
fn step_back(barrier: usize, complete: u32) -> bool {
    let one_less = |came| if came < complete { Some(came - 1) } else { None };
    word(barrier, IN).fetch_update(Ordering::AcqRel, Ordering::Relaxed, one_less).is_ok()
}

/// Parks until the word at `offset` satisfies `reached`.
fn until(g: &Green, barrier: usize, offset: usize, reached: impl Fn(u32) -> bool) -> Result<()> {
    g.expect(Wait {
        a: barrier,
        interruptible: false,
        cancellable: false,
        raises: true,
        ..Wait::opaque("pthread_barrier_wait")
    });
    let mut patience = Patience::new();
    while !reached(load(barrier, offset)) {
        let deadline = if load(barrier, SHARED) != 0 { patience.next() } else { Deadline::NEVER };
        let wake = parking::park(g, barrier + offset, deadline, false, || !reached(load(barrier, offset)));
        if wake == Some(Wake::Cancelled) || raise::is_due(g) {
            return Err(Errno::CANCELLED);
        }
    }
    Ok(())
}

/// A foreign thread comes from the real `pthread_barrier_wait`: it may have completed the round, or the reset.
pub fn foreign_passed(barrier: usize) {
    parking::wake(barrier + ROUND, usize::MAX);
    parking::wake(barrier + IN, usize::MAX);
}

/// Wakes green threads, and foreign ones in the kernel. The barrier may be gone by now: only its address is used.
fn wake_all(barrier: usize, offset: usize, shared: u32) {
    let private = if shared == 0 { libc::FUTEX_PRIVATE_FLAG } else { 0 };
    parking::wake(barrier + offset, usize::MAX);
    // SAFETY: wakes threads that wait at this address; the kernel reads nothing there.
    let _ = unsafe { syscall!(libc::SYS_futex, barrier + offset, libc::FUTEX_WAKE | private, i32::MAX) };
}

/// The green part of `pthread_barrier_destroy`: waits until all who came have left. The real function does the same,
/// but asleep, while those who must still leave need the hub.
pub unsafe fn drain(g: &Green, barrier: usize) {
    let came = load(barrier, IN);
    while load(barrier, OUT) < came {
        g.yield_now();
    }
}
