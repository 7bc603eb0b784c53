//! Descriptors: what is known of each number, from its birth to its death. How threads wait there is [`super::edges`]' matter.
//!
//! A number has lives, counted by its generation; an event carries the generation of its registration, so that one
//! that comes late finds nobody. Closing wakes the waiters, whichever thread closes: foreign threads and handlers
//! leave a mark in the entry, and the hub looks for marks between rounds.
//!
//! Safety: on the hub's kernel thread alone, but for the functions that say "any thread".

use core::sync::atomic::{AtomicBool, AtomicI32, AtomicU32, Ordering};

use crate::data::bell::Mark;
use crate::data::fdtable::{self, FdTable, Kind, flag, gone};
use crate::data::list::List;
use crate::data::numbers::Numbers;
use crate::kernel::tasks;
use crate::syscall;

use super::green::{Green, Wake, this};
use super::hub::{hand, hub};
use super::poller::Poller;
use super::{inbox, rescue};

/// What is known of one descriptor number.
pub type Entry = fdtable::Entry<Green>;

/// Numbers in the table at most: 64 MiB of reserved addresses.
const LIMIT: usize = 1 << 20;
pub(super) static TABLE: FdTable<Green> = FdTable::new();
/// Counts changes of modes that several entries may share.
static EPOCH: AtomicU32 = AtomicU32::new(1);
static MARKED: Mark = Mark::new();
/// A foreign thread has made a child process.
static INHERITED: AtomicBool = AtomicBool::new(false);
/// The library's own descriptors: epoll, kick, timer; io_uring, the signalfd, the clock's.
static OWN: [AtomicI32; 6] = [const { AtomicI32::new(-1) }; 6];

/// For how many numbers the kernel's table had room before we put ours at its end; 0: not known.
static ROOM: AtomicU32 = AtomicU32::new(0);

/// Before activation, and before the first descriptor of ours. A fork child has its parent's.
pub(super) fn measure() {
    if ROOM.load(Ordering::Relaxed) == 0 {
        ROOM.store(tasks::descriptor_room().unwrap_or(0) as u32, Ordering::Relaxed);
    }
}

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
    let room = ROOM.load(Ordering::Relaxed) as usize;
    TABLE.used().next_multiple_of(64).max(libc::FD_SETSIZE).max(room) as i32
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
    leaves_green(fd);
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
        | flag::LINGER;
    let (old, new) = (TABLE.get(from), TABLE.get(to));
    closing(to);
    if is_green(from) {
        make_green(to);
    }
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

/// What is green whatever is patched. A fork child has it as it was, dormant too.
static GREEN: Numbers = Numbers::new();

/// `fd` is green whatever is patched, and so are its duplicates and what it accepts. Any thread.
pub fn make_green(fd: i32) {
    GREEN.insert(fd);
}

/// `fd` is about to be closed or replaced by whoever tells nothing else. Any thread.
pub fn leaves_green(fd: i32) {
    GREEN.remove(fd);
}

/// The same for `from..=to`.
pub fn all_leave_green(from: u32, to: u32) {
    GREEN.remove_all(from, to);
}

/// Whether some descriptor may be so. Any thread.
#[inline(always)]
pub fn any_green() -> bool {
    GREEN.any()
}

/// Whether `fd` is green whatever is patched. Any thread.
#[inline(always)]
pub fn is_green(fd: i32) -> bool {
    GREEN.has(fd)
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
    leaves_green(fd);
    if entry.kind() != Kind::Unknown || entry.waited_for() {
        forget(fd, entry);
    }
}

/// The numbers of `from..=to` whose kind is known.
pub fn each_known(from: u32, to: u32) -> impl Iterator<Item = i32> {
    let all = TABLE.each(from as usize, (to as usize).saturating_add(1));
    all.filter(|(_, entry)| entry.kind() != Kind::Unknown).map(|(fd, _)| fd)
}

/// All numbers of `from..=to` are about to be closed.
pub fn closing_range(from: u32, to: u32) {
    all_leave_green(from, to);
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
    leaves_green(fd);
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

/// In a fork child, dormant: nothing is known but what is green, nobody waits. What is used there later is classified then.
pub(super) fn forked() {
    ROOM.store(sets_end() as u32, Ordering::Relaxed);
    TABLE.forget();
    MARKED.forget();
    OWN.iter().for_each(|own| own.store(-1, Ordering::Relaxed));
}
