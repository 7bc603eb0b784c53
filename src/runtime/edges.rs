//! Edges: how green threads wait for descriptors, and how the poller's events reach them.
//!
//! A registration is edge-triggered and made at the first need. It persists for what flag PERSISTS marks (the number's
//! birth was seen, or it is a socket), else it lives as long as somebody waits. It ends *before* the number is closed: a
//! dup or a fork child keeps the description, and its events, alive.
//!
//! One edge wakes one reader and one writer, and every poller. Whoever was woken and leaves without having proved the
//! descriptor drained calls [`wake_next`]: two queued connections give one edge.
//!
//! Safety: on the hub's kernel thread alone.

use core::ptr;

use crate::data::fdtable::flag;
use crate::data::list::List;
use crate::data::{Deadline, list::Node};
use crate::kernel::{Errno, Result, cache};
use crate::syscall;

use super::descriptors::{Entry, TABLE};
use super::green::{Green, Wait, Wake};
use super::hub::{hand, hub};
use super::poller::Event;

/// The direction of a wait.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Side {
    /// Reading, accepting.
    Read,
    /// Writing, connecting.
    Write,
}

/// How long a wait without an edge naps: the first nap, and the longest.
const NAP: (u64, u64) = (1_000_000, 10_000_000);

/// Sees to it that edges of `fd` reach us. EPERM: it cannot be polled.
pub fn register(fd: i32, entry: &Entry) -> Result<()> {
    if entry.has(flag::REGISTERED) {
        return Ok(());
    }
    let token = (entry.generation.get() as u64) << 32 | fd as u32 as u64;
    let poller = hub().poller();
    if let Err(errno) = poller.add(fd, token) {
        if errno != Errno(libc::EEXIST) {
            return Err(errno);
        }
        // The same description came back to the number after a close that nobody saw.
        poller.remove(fd)?;
        poller.add(fd, token)?;
    }
    entry.set(flag::REGISTERED);
    Ok(())
}

/// Ends a registration that nobody needs any more, unless it persists.
fn release(fd: i32, entry: &Entry) {
    if entry.flags() & (flag::REGISTERED | flag::PERSISTS) == flag::REGISTERED && !entry.waited_for() {
        let _ = hub().poller().remove(fd);
        entry.clear(flag::REGISTERED | flag::DRAINED | flag::SPECIAL);
    }
}

/// Parks `green` until `side` of `fd` is worth a try. `front`: it was woken in vain and keeps its place. With an error
/// it has not parked: there will be no edge.
pub fn park(
    green: &Green,
    (fd, entry): (i32, &Entry),
    side: Side,
    wait: &Wait,
    deadline: Deadline,
    front: bool,
) -> Result<Wake> {
    register(fd, entry)?;
    let generation = entry.generation.get();
    let list = list(entry, side);
    if front {
        list.push_front(&green.node, green);
    } else {
        list.push_back(&green.node, green);
    }
    let wake = green.park(&Wait { looks: true, ..*wait }, deadline);
    green.node.unlink();
    if entry.generation.get() != generation {
        return Ok(Wake::Closed);
    }
    release(fd, entry);
    Ok(wake)
}

/// Parks `green` until `fd`, which is ours and was made for this wait, can be read; and closes it, also if the wait is left
/// by longjmp or cancellation.
pub fn park_lent(green: &Green, fd: i32, wait: &Wait) -> Result<Wake> {
    green.lent.set(fd);
    let wake = park(green, (fd, TABLE.get(fd)), Side::Read, wait, Deadline::NEVER, false);
    take_back(green);
    wake
}

/// Closes what was lent to the wait of `green`, which is over.
pub(super) fn take_back(green: &Green) {
    let fd = green.lent.replace(-1);
    if fd >= 0 {
        release(fd, TABLE.get(fd));
        // SAFETY: our own descriptor.
        let _ = unsafe { syscall!(libc::SYS_close, fd) };
    }
}

/// Parks `green` until one of `fds` is worth a look. Numbers beyond the table and those that cannot be registered
/// are looked at from time to time. Registrations stay until [`leave_many`]: a new one tells at once what is
/// ready in either direction, so that whoever registers anew for each look never sleeps.
pub fn park_many(
    green: &Green,
    fds: impl Iterator<Item = i32> + Clone,
    wait: &Wait,
    deadline: Deadline,
) -> Wake {
    // SAFETY: the nodes of the running thread; none is linked, since it does not wait.
    let nodes = || unsafe { &mut *green.nodes.get() };
    let mut far = false;
    let count = fds.clone().count();
    if nodes().len() < count {
        nodes().resize_with(count, Node::new);
    }
    for (fd, node) in fds.clone().zip(nodes().iter()) {
        let entry = TABLE.get(fd);
        if TABLE.is_far(entry) || register(fd, entry).is_err() {
            far = true;
        } else {
            TABLE.note(fd);
            entry.pollers.push_back(node, green);
        }
    }
    let next_look = Deadline(crate::kernel::clock::now() + NAP.1);
    let until = if far { deadline.min(next_look) } else { deadline };
    let wake = green.park(&Wait { looks: true, ..*wait }, until);
    // Asked for again: a signal handler may have waited for more of them meanwhile.
    for (_, node) in fds.zip(nodes().iter()) {
        node.unlink();
    }
    if wake == Wake::TimedOut && far && deadline > next_look { Wake::Ready } else { wake }
}

/// Ends the registrations that [`park_many`] made for one call.
pub fn leave_many(fds: impl Iterator<Item = i32>) {
    fds.for_each(|fd| release(fd, TABLE.get(fd)));
}

/// Lets `green` sleep a little where the kernel gives no edge to wait for; `naps` counts them.
pub fn nap(green: &Green, wait: &Wait, naps: &mut u32, deadline: Deadline) -> Wake {
    let length = (NAP.0 << (*naps).min(8)).min(NAP.1);
    *naps += 1;
    let until = Deadline(crate::kernel::clock::now() + length);
    match green.park(wait, until.min(deadline)) {
        Wake::TimedOut if until < deadline => Wake::Ready,
        wake => wake,
    }
}

#[inline(always)]
fn list(entry: &Entry, side: Side) -> &List<Green> {
    match side {
        Side::Read => &entry.readers,
        Side::Write => &entry.writers,
    }
}

/// Wakes the next waiter of `side`, if there is one.
#[inline(always)]
pub fn wake_next(entry: &Entry, side: Side) {
    let list = list(entry, side);
    if !list.is_empty() {
        wake_first(list);
    }
}

fn wake_first(list: &List<Green>) {
    let mut next = list.front();
    while let Some(node) = next {
        next = list.after(node);
        // SAFETY: a linked node's owner is alive.
        if hand(unsafe { &*node.owner() }, Wake::Ready) {
            list.remove(node);
            return;
        }
    }
}

/// Asks for the entry of an event that comes soon.
pub(super) fn prefetch(token: u64) {
    cache::prefetch(ptr::from_ref(TABLE.get(token as u32 as i32)).addr(), 1);
}

/// Asks for whoever waits there, when [`prefetch`] has been answered.
pub(super) fn prefetch_reader(token: u64) {
    if let Some(node) = TABLE.get(token as u32 as i32).readers.front() {
        Green::prefetch_of(node);
    }
}

/// Hands one event to whoever waits for it.
pub(super) fn on_event(event: Event) {
    let entry = TABLE.get(event.token as u32 as i32);
    if entry.generation.get() != (event.token >> 32) as u32 || !entry.has(flag::REGISTERED) {
        return;
    }
    if event.special {
        entry.set(flag::SPECIAL);
    }
    if event.readable {
        entry.clear(flag::DRAINED);
        wake_next(entry, Side::Read);
    }
    if event.writable {
        wake_next(entry, Side::Write);
    }
    let mut next = entry.pollers.front();
    while let Some(node) = next {
        next = entry.pollers.after(node);
        // SAFETY: a linked node's owner is alive.
        hand(unsafe { &*node.owner() }, Wake::Ready);
    }
}
