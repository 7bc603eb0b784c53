//! Descriptors: who waits for which number, and how the poller's edges reach them.
//!
//! A registration is edge-triggered and made at the first need. It persists for what flag PERSISTS marks (the number's
//! birth was seen, or it is a socket), else it lives as long as somebody waits. It ends *before* the number is closed: a
//! dup or a fork child keeps the description, and its events, alive.
//!
//! One edge wakes one reader and one writer, and every poller. Whoever was woken and leaves without having proved the
//! descriptor drained calls [`wake_next`]: two queued connections give one edge.
//!
//! A number has lives, counted by its generation; an event carries the generation of its registration, so that one
//! that comes late finds nobody. Closing wakes the waiters, whichever thread closes: foreign threads and handlers
//! leave a mark in the entry, and the hub looks for marks between rounds.
//!
//! Safety: on the hub's kernel thread alone, but for the functions that say "any thread".

use core::ptr;
use core::sync::atomic::{AtomicBool, AtomicI32, AtomicU32, Ordering};

use crate::data::bell::Mark;
use crate::data::fdtable::{self, FdTable, Kind, flag, gone};
use crate::data::list::List;
use crate::data::{Deadline, list::Node};
use crate::kernel::{Errno, Result, cache};
use crate::syscall;

use super::green::{Green, Wait, Wake, this};
use super::hub::{hand, hub};
use super::poller::{Event, Poller};
use super::{inbox, rescue};

/// What is known of one descriptor number.
pub type Entry = fdtable::Entry<Green>;

/// The direction of a wait.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Side {
    /// Reading, accepting.
    Read,
    /// Writing, connecting.
    Write,
}

/// Numbers in the table at most: 64 MiB of reserved addresses.
const LIMIT: usize = 1 << 20;
/// How long a wait without an edge naps: the first nap, and the longest.
const NAP: (u64, u64) = (1_000_000, 10_000_000);

static TABLE: FdTable<Green> = FdTable::new();
/// Counts changes of modes that several entries may share.
static EPOCH: AtomicU32 = AtomicU32::new(1);
static MARKED: Mark = Mark::new();
/// A foreign thread has made a child process.
static INHERITED: AtomicBool = AtomicBool::new(false);
/// Whether a green thread ever read a terminal.
static TERMINAL: AtomicBool = AtomicBool::new(false);
/// The library's own descriptors: epoll, kick, timer; io_uring, the signalfd, the clock's.
static OWN: [AtomicI32; 6] = [const { AtomicI32::new(-1) }; 6];

/// Reserves the table, at activation. Without memory for it every number is far: slow, but right.
pub(super) fn activate(poller: &Poller) {
    for (place, fd) in OWN.iter().zip(poller.own()) {
        place.store(fd, Ordering::Relaxed);
    }
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: LIMIT as u64 };
    // SAFETY: `limit` is a live rlimit (the kernel's rlimit64 has the same layout on x86-64).
    let _ =
        unsafe { syscall!(libc::SYS_prlimit64, 0, libc::RLIMIT_NOFILE, core::ptr::null::<u8>(), &mut limit) };
    let mut count = LIMIT.min(limit.rlim_max as usize);
    while count > 0 && TABLE.reserve(count).is_err() {
        count /= 2;
    }
}

/// The library has one more descriptor of its own.
pub(super) fn adopt(fd: i32) {
    let free = OWN.iter().find(|own| own.load(Ordering::Relaxed) < 0);
    free.expect("a place for each").store(fd, Ordering::Relaxed);
}

/// Whether `fd` is the library's own: the program must not close it, and sees EBADF. Any thread.
pub fn is_own(fd: i32) -> bool {
    fd >= 0 && OWN.iter().any(|own| own.load(Ordering::Relaxed) == fd)
}

/// The library's own descriptors, in ascending order. Any thread.
pub fn own() -> [i32; 6] {
    let mut all = OWN.each_ref().map(|own| own.load(Ordering::Relaxed));
    all.sort_unstable();
    all
}

/// The entry of `fd`.
#[inline(always)]
pub fn entry(fd: i32) -> &'static Entry {
    TABLE.get(fd)
}

/// Whether `entry` is the one of all numbers beyond the table.
pub fn is_far(entry: &Entry) -> bool {
    TABLE.is_far(entry)
}

/// First sight of `fd`. A socket's registration may persist: sockets are closed where a row sees it, unless libc's own
/// closes are not led to the rows.
pub fn classified(fd: i32, entry: &Entry, kind: Kind, flags: u16) {
    if !TABLE.is_far(entry) {
        let persists = if kind.is_socket() && !rescue::blind() { flag::PERSISTS } else { 0 };
        entry.set(flags | flag::SHARED | persists);
        entry.set_kind(kind);
        TABLE.note(fd);
    }
}

/// libc uses `fd` where no row sees births and ends: if it is a number that libc has made, it may be another one by now.
pub fn perhaps_reborn(fd: i32) {
    let entry = TABLE.get(fd);
    if rescue::blind() && !entry.has(flag::PERSISTS) && !entry.waited_for() && !TABLE.is_far(entry) {
        forget(fd, entry);
    }
}

/// Its registration may persist although its birth was not seen (an epoll descriptor).
pub fn persist(entry: &Entry) {
    if !TABLE.is_far(entry) {
        entry.set(flag::PERSISTS);
    }
}

/// The end of the numbers that a descriptor set can speak of. Programs hand `getdtablesize()` to `select` with smaller
/// sets and rely on the kernel to stop at the numbers in use; our own high ones must not change that.
pub fn sets_end() -> i32 {
    TABLE.used().next_multiple_of(64).max(libc::FD_SETSIZE) as i32
}

/// `fd` is in use. On the hub's thread: others have no say in where the numbers end.
pub fn note(fd: i32) {
    if this().is_some() {
        TABLE.note(fd);
    }
}

/// A row saw the birth of `fd`. `nonblock`: it was made with O_NONBLOCK.
pub fn born(fd: i32, kind: Kind, flags: u16, nonblock: bool) {
    let entry = TABLE.get(fd);
    if TABLE.is_far(entry) {
        return;
    }
    if entry.kind() != Kind::Unknown || entry.waited_for() {
        // It was closed where no row saw it.
        forget(fd, entry);
    }
    entry.renew(kind, flags | flag::PERSISTS | if nonblock { flag::NONBLOCK } else { 0 });
    entry.epoch.set(EPOCH.load(Ordering::Relaxed));
    TABLE.note(fd);
}

/// `to`, a new number, stands for what `from` stands for.
pub fn duplicated(from: i32, to: i32) {
    const KEPT: u16 = flag::PERSISTS
        | flag::LAYERED
        | flag::LOWAT
        | flag::NONBLOCK
        | flag::SNDTIMEO
        | flag::NO_NOWAIT_READ
        | flag::NO_NOWAIT_WRITE
        | flag::RECORDS
        | flag::LINGER
        | flag::GREEN;
    let (old, new) = (TABLE.get(from), TABLE.get(to));
    closing(to);
    TABLE.note(to);
    if TABLE.is_far(new) || old.kind() == Kind::Unknown {
        return;
    }
    old.set(flag::SHARED);
    new.renew(old.kind(), old.flags() & KEPT | flag::SHARED);
    new.epoch.set(old.epoch.get());
    new.set_receive_ms(old.receive_ms());
}

/// A child process has been made, or is about to be, that shares all descriptors. Any thread.
pub(super) fn all_shared() {
    if this().is_none() {
        // The hub sees to it.
        INHERITED.store(true, Ordering::Relaxed);
        MARKED.set();
        return;
    }
    for (_, entry) in TABLE.each(0, usize::MAX).filter(|(_, entry)| entry.kind() != Kind::Unknown) {
        entry.set(flag::SHARED);
    }
}

/// Whether any descriptor was ever marked by [`make_green`].
static ANY_GREEN: AtomicBool = AtomicBool::new(false);

/// `fd` is green whatever is patched, and so are its duplicates and what it accepts.
pub fn make_green(fd: i32) {
    let entry = TABLE.get(fd);
    if !TABLE.is_far(entry) {
        entry.set(flag::GREEN);
        ANY_GREEN.store(true, Ordering::Relaxed);
    }
}

/// Whether some descriptor may be so. Any thread.
#[inline(always)]
pub fn any_green() -> bool {
    ANY_GREEN.load(Ordering::Relaxed)
}

/// Whether `fd` is green whatever is patched. Any thread.
#[inline(always)]
pub fn is_green(fd: i32) -> bool {
    any_green() && TABLE.get(fd).has(flag::GREEN)
}

/// Whether the remembered mode of `entry` still holds.
#[inline(always)]
pub fn is_fresh(entry: &Entry) -> bool {
    entry.epoch.get() == EPOCH.load(Ordering::Relaxed)
}

/// The mode of `entry` was just asked for.
pub fn refreshed(entry: &Entry) {
    entry.epoch.set(EPOCH.load(Ordering::Relaxed));
}

/// Whether other numbers may stand for what `entry` stands for: they may be known where this one is not.
fn may_be_shared(entry: &Entry) -> bool {
    entry.has(flag::SHARED) || entry.kind() == Kind::Unknown
}

/// The mode of `fd` was changed by a green thread.
pub fn mode_changed(fd: i32) {
    let entry = TABLE.get(fd);
    if may_be_shared(entry) {
        mode_changed_elsewhere();
    } else {
        entry.epoch.set(0);
    }
}

/// The mode of some number was changed. Any thread.
pub fn mode_changed_elsewhere() {
    EPOCH.fetch_add(1, Ordering::Relaxed);
}

/// Sets `flags`, which call for more care, at `fd` and at whatever may share its description.
pub fn beware(fd: i32, flags: u16) {
    let entry = TABLE.get(fd);
    if !may_be_shared(entry) {
        entry.set(flags);
        return;
    }
    for (_, entry) in TABLE.each(0, usize::MAX).filter(|(_, entry)| entry.has(flag::SHARED)) {
        entry.set(flags);
    }
}

/// `fd` is about to be closed, or replaced: ends its registration and wakes its waiters.
pub fn closing(fd: i32) {
    let entry = TABLE.get(fd);
    if entry.kind() != Kind::Unknown || entry.waited_for() {
        forget(fd, entry);
    }
}

/// All numbers of `from..=to` are about to be closed.
pub fn closing_range(from: u32, to: u32) {
    for (fd, _) in TABLE.each(from as usize, (to as usize).saturating_add(1)) {
        closing(fd);
    }
}

#[cold]
fn forget(fd: i32, entry: &Entry) {
    if entry.has(flag::REGISTERED) {
        let _ = hub().poller().remove(fd);
    }
    release_all(&entry.readers, Wake::Closed);
    release_all(&entry.writers, Wake::Closed);
    // The next look tells a poller.
    release_all(&entry.pollers, Wake::Ready);
    if !TABLE.is_far(entry) {
        entry.renew(Kind::Unknown, 0);
    }
}

fn release_all(list: &List<Green>, wake: Wake) {
    while let Some(node) = list.pop_front() {
        // SAFETY: a linked node's owner is alive.
        hand(unsafe { &*node.owner() }, wake);
    }
}

/// A foreign thread or a signal handler closes `fd`, or has closed it: `mark` is one of [`gone`]. Any thread.
#[cold]
pub fn closed_elsewhere(fd: i32, mark: u8) {
    let entry = TABLE.get(fd);
    if TABLE.is_far(entry) || entry.kind() == Kind::Unknown {
        return;
    }
    if mark == gone::CLOSED && entry.has(flag::REGISTERED) {
        // SAFETY: epoll_ctl may be called by any thread; DEL takes no event.
        let _ = unsafe {
            syscall!(libc::SYS_epoll_ctl, OWN[0].load(Ordering::Relaxed), libc::EPOLL_CTL_DEL, fd, 0)
        };
    }
    entry.gone.store(mark, Ordering::Relaxed);
    MARKED.set();
    inbox::kick();
}

/// Deals with what was closed elsewhere. Between rounds.
#[inline(always)]
pub(super) fn sweep() {
    if MARKED.take() {
        sweep_marked();
    }
}

#[cold]
fn sweep_marked() {
    let inherited = INHERITED.swap(false, Ordering::Relaxed);
    for (fd, entry) in TABLE.each(0, usize::MAX) {
        if inherited && entry.kind() != Kind::Unknown {
            entry.set(flag::SHARED);
        }
        match entry.gone.swap(gone::NO, Ordering::Relaxed) {
            gone::CLOSED => {
                // The closer has ended the registration.
                entry.clear(flag::REGISTERED);
                forget(fd, entry);
            }
            // SAFETY: F_GETFD takes nothing.
            gone::PERHAPS if unsafe { syscall!(libc::SYS_fcntl, fd, libc::F_GETFD) }.is_err() => {
                forget(fd, entry);
            }
            _ => {}
        }
    }
}

/// A terminal is read: from now on its readers look again when the process was stopped.
pub fn read_terminal() {
    TERMINAL.store(true, Ordering::Relaxed);
}

/// The process was interrupted while it waited, perhaps stopped and continued.
pub(super) fn interrupted() {
    if TERMINAL.load(Ordering::Relaxed) {
        TABLE
            .each(0, usize::MAX)
            .filter(|(_, entry)| entry.kind() == Kind::Device)
            .for_each(|(_, entry)| wake_next(entry, Side::Read));
    }
}

/// In a fork child, dormant: nothing is known, nobody waits. What is used there later is classified then.
pub(super) fn forked() {
    TABLE.forget();
    MARKED.forget();
    OWN.iter().for_each(|own| own.store(-1, Ordering::Relaxed));
}

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
    let wake = green.park(wait, deadline);
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
    let nodes = unsafe { &mut *green.nodes.get() };
    let mut far = false;
    let count = fds.clone().count();
    if nodes.len() < count {
        nodes.resize_with(count, Node::new);
    }
    for (fd, node) in fds.clone().zip(nodes.iter()) {
        let entry = TABLE.get(fd);
        if TABLE.is_far(entry) || register(fd, entry).is_err() {
            far = true;
        } else {
            TABLE.note(fd);
            entry.pollers.push_back(node, green);
        }
    }
    let next_look = Deadline(crate::kernel::clock::now() + NAP.1);
    let wake = green.park(wait, if far { deadline.min(next_look) } else { deadline });
    for (_, node) in fds.zip(nodes.iter()) {
        node.unlink();
    }
    if wake == Wake::TimedOut && far && deadline > next_look { Wake::Ready } else { wake }
}

/// Ends the registrations that [`park_many`] made for one call.
pub fn leave_many(fds: impl Iterator<Item = i32>) {
    fds.for_each(|fd| release(fd, TABLE.get(fd)));
}

/// Lets `green` sleep a little where the kernel gives no edge to wait for; `naps` counts them.
pub fn nap(
    green: &Green,
    (call, cancellable): (&'static str, bool),
    naps: &mut u32,
    deadline: Deadline,
) -> Wake {
    let length = (NAP.0 << (*naps).min(8)).min(NAP.1);
    *naps += 1;
    let until = Deadline(crate::kernel::clock::now() + length);
    match green.park(&Wait { cancellable, ..Wait::opaque(call) }, until.min(deadline)) {
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
