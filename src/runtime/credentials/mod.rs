//! Credentials: to the kernel they are a thread's. `setuid` and kin of libc change those of all threads, and do so here
//! too: there is one kernel thread. What changes one thread's alone (`setfsuid`, `setfsgid`, and all of them by
//! `syscall`) is kept by green thread and put in force at its turns, from the first time that a thread does it.
//!
//! A change that has no way back (root is given up for good) cannot be one thread's: it is everybody's, and a line of the
//! log says so. When a turn begins and the kernel's credentials are not those that we left, libc has changed them for all,
//! and by that each thread's own are gone.
//!
//! Safety: on the hub's kernel thread; the system calls take numbers, or write into our own words.

mod lists;

use core::cell::Cell;
use core::sync::atomic::{AtomicBool, Ordering};

use crate::kernel::{Result, log};
use crate::syscall;

use super::green::Green;
use super::hub::hub;

/// Real, effective, saved, and that of files.
type Ids = [u32; 4];

/// The lower and the upper half of each set, as the kernel wants them.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(C)]
struct Capabilities([Half; 2]);

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(C)]
struct Half {
    effective: u32,
    permitted: u32,
    inheritable: u32,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Credentials {
    users: Ids,
    groups: Ids,
    /// The supplementary groups.
    others: &'static [u32],
    capabilities: Capabilities,
}

const NO_CAPABILITIES: Capabilities = Capabilities([Half { effective: 0, permitted: 0, inheritable: 0 }; 2]);
const NONE: Credentials =
    Credentials { users: [0; 4], groups: [0; 4], others: &[], capabilities: NO_CAPABILITIES };
/// What leaves an id as it is.
const SAME: u32 = u32::MAX;

/// Whether any thread has its own.
static DIFFER: AtomicBool = AtomicBool::new(false);

struct Known {
    /// What threads have that have none of their own.
    shared: Cell<Credentials>,
    /// What we left in force.
    in_force: Cell<Credentials>,
}

// SAFETY: the hub's kernel thread alone (file header).
unsafe impl Sync for Known {}

static KNOWN: Known = Known { shared: Cell::new(NONE), in_force: Cell::new(NONE) };

/// Those of the calling kernel thread.
fn read() -> Credentials {
    let (mut users, mut groups): (Ids, Ids) = ([0; 4], [0; 4]);
    // SAFETY: room for three answers each. Cannot fail; an id that is none changes nothing and gives the one there is.
    unsafe {
        let _ = syscall!(libc::SYS_getresuid, &raw mut users[0], &raw mut users[1], &raw mut users[2]);
        let _ = syscall!(libc::SYS_getresgid, &raw mut groups[0], &raw mut groups[1], &raw mut groups[2]);
        users[3] = syscall!(libc::SYS_setfsuid, SAME).unwrap_or(0) as u32;
        groups[3] = syscall!(libc::SYS_setfsgid, SAME).unwrap_or(0) as u32;
    }
    Credentials { users, groups, others: lists::in_force(), capabilities: Capabilities::read() }
}

impl Capabilities {
    /// The kernel's header: its third form, the calling thread.
    const OWN: [u32; 2] = [0x2008_0522, 0];

    fn read() -> Capabilities {
        let mut header = Capabilities::OWN;
        let mut read = NO_CAPABILITIES;
        // SAFETY: room for both halves.
        let _ = unsafe { syscall!(libc::SYS_capget, &mut header, &raw mut read) };
        read
    }

    /// Puts them in force. What fails shows in the reading.
    fn enforce(&self) {
        let mut header = Capabilities::OWN;
        // SAFETY: both halves.
        let _ = unsafe { syscall!(libc::SYS_capset, &mut header, &raw const *self) };
    }

    /// With all in force that may be.
    fn in_full(self) -> Capabilities {
        Capabilities(self.0.map(|half| Half { effective: half.permitted, ..half }))
    }

    fn covers(&self, other: &Capabilities) -> bool {
        self.0.iter().zip(&other.0).all(|(own, other)| other.permitted & !own.permitted == 0)
    }
}

impl Credentials {
    fn has_root(&self) -> bool {
        self.users[..3].contains(&0)
    }

    /// Whether a thread that has these may take up `other`.
    fn reaches(&self, other: &Credentials) -> bool {
        let within = |ids: &Ids, of: &Ids| ids[..3].iter().all(|id| of[..3].contains(id));
        let by_ids = || {
            within(&other.users, &self.users)
                && within(&other.groups, &self.groups)
                && self.others == other.others
        };
        self.capabilities.covers(&other.capabilities) && (self.has_root() || by_ids())
    }

    /// Puts them in force, where `before` is.
    fn enforce(&self, before: &Credentials) {
        let ([real, effective, saved, files], groups) = (self.users, self.groups);
        before.capabilities.in_full().enforce();
        // SAFETY: take numbers, and a list. What fails shows in the reading.
        unsafe {
            if self.others != before.others {
                let _ = syscall!(libc::SYS_setgroups, self.others.len(), self.others.as_ptr());
            }
            if groups != before.groups {
                let _ = syscall!(libc::SYS_setresgid, groups[0], groups[1], groups[2]);
                let _ = syscall!(libc::SYS_setfsgid, groups[3]);
            }
            let _ = syscall!(libc::SYS_setresuid, real, effective, saved);
            // Another effective user than root took them.
            self.capabilities.in_full().enforce();
            let _ = syscall!(libc::SYS_setfsuid, files);
        }
        self.capabilities.enforce();
    }
}

/// Makes the system call `number`, which changes the credentials of `green` alone.
///
/// # Safety
/// `setgroups`, `capset`, or one of the set*id calls, which take numbers.
pub unsafe fn change(green: &Green, number: i64, arguments: [usize; 3]) -> Result<usize> {
    let before = read();
    // SAFETY: the caller's promise.
    let answer = unsafe { syscall!(number, arguments[0], arguments[1], arguments[2]) };
    let after = read();
    if after == before {
        return answer;
    }
    KNOWN.in_force.set(after);
    if !DIFFER.load(Ordering::Relaxed) {
        KNOWN.shared.set(before);
    }
    if after.reaches(&KNOWN.shared.get()) {
        green.credentials.set(Some(after));
        DIFFER.store(true, Ordering::Relaxed);
    } else {
        log::note(format_args!("one thread gave up its credentials for good: all threads have done so"));
        share(after);
    }
    answer
}

/// The own credentials of `green`.
pub fn of(green: &Green) -> Option<Credentials> {
    green.credentials.get()
}

/// `green` has its turn.
#[inline(always)]
pub(super) fn load(green: &Green) {
    if DIFFER.load(Ordering::Relaxed) {
        take_up(green);
    }
}

#[cold]
fn take_up(green: &Green) {
    let now = read();
    if now != KNOWN.in_force.get() {
        return share(now);
    }
    let wanted = green.credentials.get().unwrap_or(KNOWN.shared.get());
    if wanted != now {
        wanted.enforce(&now);
        KNOWN.in_force.set(read());
    }
    if KNOWN.in_force.get() != wanted {
        log::note(format_args!("a thread has lost its credentials: another thread's are in force"));
        share(KNOWN.in_force.get());
    }
}

/// All threads have the same again.
fn share(credentials: Credentials) {
    DIFFER.store(false, Ordering::Relaxed);
    KNOWN.shared.set(credentials);
    let list = &hub().threads;
    let mut next = list.front();
    while let Some(node) = next {
        // SAFETY: the owner of a node in the list of all threads is alive.
        unsafe { (*node.owner()).credentials.set(None) };
        next = list.after(node);
    }
}

/// In a fork child, which has what its thread had.
pub(super) fn forked() {
    DIFFER.store(false, Ordering::Relaxed);
    hub().first.credentials.set(None);
}
