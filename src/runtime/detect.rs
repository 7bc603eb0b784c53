//! The lost-wake-up detector (EVENTLET_DETECT; all tests run with it): when nothing is runnable, every thread that has
//! been parked for a second is asked whether its wait is over. If so, and still so at a second look, nobody will ever
//! wake it: the process ends and says which thread, which call, on what.
//!
//! The second look comes [`AGAIN`] later, with a turn of the loop between: what is on its way (an event in the kernel,
//! a foreign thread between a word and its wake-up) has arrived by then. A second is not too long for that: the room of
//! a terminal is given back by a kernel thread, which a starved machine keeps waiting as well.
//!
//! Safety: runs in the hub's loop. A wait's `over` uses raw system calls and the subject, which is there while
//! somebody waits for it.

use crate::data::Deadline;
use crate::kernel::{clock, log, options};

use super::green::{Green, State};
use super::hub::hub;

/// Parked for so long, a thread is looked at.
const LONG: u64 = 1_000_000_000;
/// From the first look at a wait that is over to the second.
const AGAIN: u64 = 1_000_000_000;

/// `green` parks.
#[inline(always)]
pub(super) fn parks(green: &Green) {
    if options::DETECT.on() {
        green.parked_at.set(clock::now());
        green.over_since.set(0);
    }
}

/// The hub is about to sleep until `deadline`: looks at all that are parked; until when it may sleep.
pub(super) fn look(deadline: Deadline) -> Deadline {
    if !options::DETECT.on() {
        return deadline;
    }
    let now = clock::now();
    let mut wait = LONG;
    let mut node = hub().threads.front();
    while let Some(place) = node {
        // SAFETY: the owner of a node in the list of all threads is alive.
        let green = unsafe { &*place.owner() };
        if green.state() == State::Parked
            && now.saturating_sub(green.parked_at.get()) >= LONG
            && examine(green, now)
        {
            wait = AGAIN;
        }
        node = hub().threads.after(place);
    }
    deadline.min(Deadline(now + wait))
}

/// Whether the wait of `green` is over; the end if it has been for long.
fn examine(green: &Green, now: u64) -> bool {
    let wait = green.wait();
    if !(wait.over)(wait.a, wait.b) {
        green.over_since.set(0);
        return false;
    }
    let since = green.over_since.get();
    if since == 0 {
        green.over_since.set(now);
    } else if now - since >= AGAIN {
        log::fatal(format_args!(
            "lost wake-up: thread {} is parked in {} on {:#x}, and the wait is over",
            green.tid.get(),
            wait.call,
            wait.a
        ));
    }
    true
}
