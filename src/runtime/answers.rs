//! Pipes and eventfds by which threads pass work to and fro.
//!
//! ```text
//!   A: write(there)  read(back) waits            of the four system calls of a turn two are left: the write wakes
//!   B:               read(there)  write(back)    the reader without the poller, and the try to read comes when
//!   A:                              goes on      the answer is there
//! ```
//! All of it is a guess: a reader that was woken for nothing waits again, and what others write is told by the poller.

use crate::data::fdtable::{Kind, flag};

use super::descriptors::{Entry, entry, is_far};
use super::edges::{Side, wake_next};
use super::green::Green;
use super::hub::hub;

/// What is written to the pipe `from` can be read from `to`.
pub fn joined(from: i32, to: i32) {
    let end = entry(from);
    if !is_far(end) {
        end.set_other_end(to);
    }
}

/// A write to `at`, a pipe or an eventfd, succeeded: who reads at the other end need not wait for the poller to tell.
pub fn wrote(at: &Entry) {
    let end = match at.kind() {
        Kind::Event => at,
        _ => match at.other_end() {
            Some(fd) => entry(fd),
            None => return,
        },
    };
    // If that number has another life now, someone has a look for nothing.
    if !end.readers.is_empty() || end.has(flag::EXPECTED) {
        wake_next(end, Side::Read);
        hub().woke();
    }
}

/// A read from `entry` is about to be tried. Programs that pass work to and fro write to one pipe and read from another, which
/// is empty then: where the last read had to wait, and this turn has woken someone, the others go first, and the try
/// finds their answer. Whether they did.
pub fn let_answer(green: &Green, entry: &Entry) -> bool {
    let likely = entry.flags() & (flag::WAITED | flag::NONBLOCK) == flag::WAITED;
    let waits = likely && green.preemptible.get() && hub().has_woken();
    if waits {
        entry.set(flag::EXPECTED);
        green.yield_now();
        entry.clear(flag::EXPECTED);
    }
    waits
}
