//! The deep layer: libc's internal calls lead to our rows as well.
//!
//! LD_PRELOAD sees only calls between libraries; stdio, name resolution, `system` wait inside libc. But each of those paths
//! ends in one exported function, or in the wait for an internal lock. A jump at its first bytes makes them all green:
//! ```text
//!   fgets -> _IO_file_read -> read:  jmp ---> trampoline page ---> detour of the row -> body
//!                                             (within 2 GiB)          |-> foreign thread, handler, vfork child: bare
//! ```
//! The old body is never run again: from then on the "real" function of such a row is its bare form, a system call.
//!
//! All is looked up by the constructor's rules but done at activation, once: a process that stays alone pays nothing.
//! A fork child inherits it.
//!
//! Where the text cannot be changed, or not yet, [`rescue`] is left: the hub is taken out of what keeps it, a little late.
//!
//! [`text`] says what may be changed; [`bare`] holds the system calls; `kernel::patch` changes the pages.
//!
//! Safety: a row's detour has the prototype of its function. An entry is changed only where libc's own tables say that a
//! function starts, nothing jumps into the bytes, and no thread stands within them.

pub mod bare;
mod rescue;
mod text;

use core::cell::UnsafeCell;
use core::ffi::{CStr, c_int};
use core::sync::atomic::{AtomicBool, Ordering};

use eventlet_core::blocking::lock::internal;
use eventlet_core::kernel::log;
use eventlet_core::kernel::options::{self, fault};
use eventlet_core::kernel::patch::{self, Edit, Way};
use eventlet_core::kernel::tasks::{self, Place};
use eventlet_core::runtime::{current, fork, hub, preempt, this};
use eventlet_core::syscall;

use crate::interpose::rows;
use crate::lookup;
use crate::table;
use text::{JUMP, Text};

/// What a detour does first. True: a child of posix_spawn calls, which shares our memory but is another process. Asked only
/// for rows that change what we keep (`stateful`).
#[inline(always)]
pub fn enter(stateful: bool) -> bool {
    if this().is_none() {
        return false;
    }
    hub().enter_libc();
    stateful && fork::in_child()
}

/// A function of libc and where its calls shall go.
struct Detour {
    entry: usize,
    target: usize,
}

/// What is to be changed, until it is.
struct Plan {
    text: Text,
    detours: Vec<Detour>,
}

impl Plan {
    fn add(&mut self, name: &str, function: usize, target: usize) {
        let refused = match self.text.function(function) {
            None => Err("no function starts there"),
            Some(code) => text::entry(code).map(|at| function + at),
        };
        match refused {
            Ok(entry) if self.detours.iter().any(|known| known.entry == entry) => {}
            Ok(entry) => self.detours.push(Detour { entry, target }),
            Err(why) => log::note(format_args!("{name} of libc stays as it is: {why}")),
        }
    }

    /// The internal lock functions that have no name: neighbours of those that have one.
    fn add_locks(&mut self, find: impl Fn(&CStr) -> usize) {
        const ROOM: usize = 0x80;
        let mut add =
            |name, caller, neighbour, target| match self.text.callee(find(caller), find(neighbour), ROOM) {
                Some(function) => self.add(name, function, target),
                None => log::note(format_args!("{name} of libc was not found")),
            };
        add(
            "__lll_lock_wait",
            c"pthread_mutex_lock",
            c"__lll_lock_wait_private",
            lock_wait as *const () as usize,
        );
        add(
            "__lll_lock_wake",
            c"pthread_mutex_unlock",
            c"__lll_lock_wake_private",
            lock_wake as *const () as usize,
        );
    }

    /// Writes the trampolines; the jumps to them, which are still to be made.
    fn prepare(mut self) -> Result<Vec<Edit>, &'static str> {
        self.detours.sort_unstable_by_key(|detour| detour.entry);
        // jmp [rip]; the address.
        let trampoline = |detour: &Detour| {
            let mut code = [0xff, 0x25, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xcc, 0xcc];
            code[6..14].copy_from_slice(&detour.target.to_le_bytes());
            code
        };
        let code: Vec<[u8; 16]> = self.detours.iter().map(trampoline).collect();
        let page = patch::page_near(self.text.code.clone(), code.as_flattened())
            .map_err(|_| "no page for the jumps near libc")?;
        let jump = |(number, detour): (usize, &Detour)| {
            let distance = (page + number * size_of::<[u8; 16]>()).wrapping_sub(detour.entry + JUMP);
            let mut bytes = [0xe9; JUMP];
            bytes[1..].copy_from_slice(&(distance as i32).to_le_bytes());
            Edit { at: detour.entry, bytes }
        };
        Ok(self.detours.iter().enumerate().map(jump).collect())
    }
}

fn prepare() -> Result<Vec<Edit>, &'static str> {
    if options::FAULT.get() & fault::NO_DEEP != 0 {
        return Err("forced by EVENTLET_FAULT");
    }
    let libc = lookup::libc();
    if libc.is_null() {
        return Err("libc.so.6 is not there");
    }
    let find = |name: &CStr| lookup::within(libc, name) as usize;
    let text = Text::around(find(c"read")).ok_or("its tables are not understood")?;
    let mut plan = Plan { text, detours: Vec::new() };
    for row in table::rows().iter().filter(|row| !row.detour.is_null()) {
        for name in row.names() {
            let function = find(&name);
            if function != 0 {
                plan.add(name.to_str().unwrap_or("?"), function, row.detour as usize);
            }
        }
        row.go_bare();
    }
    plan.add_locks(find);
    plan.prepare()
}

/// Waits until no other kernel thread stands within the bytes of an edit. Whether there is no other one at all; None: some
/// run on and cannot be seen.
fn clear_of_threads(edits: &[Edit], looks: u32) -> Option<bool> {
    let pause = libc::timespec { tv_sec: 0, tv_nsec: 500_000 };
    for look in 0..looks {
        if look > 0 {
            // SAFETY: `pause` is live.
            let _ = unsafe { syscall!(libc::SYS_nanosleep, &pause, 0) };
        }
        let (mut alone, mut clear) = (true, true);
        let looked = tasks::others(|tid, place| {
            alone = false;
            clear &= match place {
                Place::Runs => preempt::is_helper(tid),
                Place::Waits { at, .. } => {
                    !edits.iter().any(|edit| (edit.at + 1..edit.at + JUMP).contains(&at))
                }
            };
        });
        if looked.is_ok() && clear {
            return Some(alone);
        }
    }
    None
}

/// What is still to be done to libc.
struct Pending(UnsafeCell<Option<Vec<Edit>>>);

// SAFETY: used on the hub's kernel thread alone.
unsafe impl Sync for Pending {}

static PENDING: Pending = Pending(UnsafeCell::new(None));
static DONE: AtomicBool = AtomicBool::new(false);
/// Whether it was done in vain.
static BLIND: AtomicBool = AtomicBool::new(false);

/// Makes libc's own calls green: at activation or, if real threads stand in the way then, when a later thread is made.
pub fn install() {
    if DONE.load(Ordering::Relaxed) {
        return;
    }
    match try_to_install() {
        Ok(None) => return rescue::begin(true),
        Ok(Some((count, way))) => {
            log::note(format_args!("{count} functions inside libc are green ({way:?})"));
            rescue::begin(false);
        }
        Err(why) => {
            log::note(format_args!("calls inside libc stay as they are: {why}"));
            BLIND.store(true, Ordering::Relaxed);
            rescue::begin(true);
        }
    }
    DONE.store(true, Ordering::Relaxed);
}

/// Whether it was begun, and put off.
pub fn is_put_off() -> bool {
    // SAFETY: on the hub's kernel thread.
    unsafe { (*PENDING.0.get()).is_some() }
}

/// More is patched than before.
pub fn more_is_patched() {
    if DONE.load(Ordering::Relaxed) {
        rescue::begin(BLIND.load(Ordering::Relaxed));
    } else {
        install();
    }
}

/// All or nothing: if the calls that wait were changed but not the locks, a thread that waits with a lock of libc held
/// could not go on while another one waits for that lock in the kernel.
#[cold]
fn try_to_install() -> Result<Option<(usize, Way)>, &'static str> {
    const LOOKS: u32 = 20;
    // SAFETY: on the hub's kernel thread, and nothing here gives the hub away.
    let pending = unsafe { &mut *PENDING.0.get() };
    let looks = if pending.is_some() { 1 } else { LOOKS };
    if pending.is_none() {
        *pending = Some(prepare()?);
    }
    let Some(edits) = pending else { return Ok(None) };
    let Some(alone) = clear_of_threads(edits, looks) else {
        log::note(format_args!("real threads run: calls inside libc stay as they are for now"));
        return Ok(None);
    };
    // SAFETY: see the file's header.
    let way = unsafe { patch::text(edits, alone) }.map_err(|_| "its code cannot be changed")?;
    let count = edits.len();
    *pending = None;
    Ok(Some((count, way)))
}

unsafe extern "C" fn lock_wait(lock: *mut c_int, private: c_int) {
    // SAFETY: libc's own lock.
    unsafe { internal::wait(current(), lock, private) };
}

unsafe extern "C" fn lock_wake(lock: *mut c_int, private: c_int) {
    // SAFETY: as above.
    unsafe { internal::wake(lock, private) };
}

const PRIVATE: c_int = 0;

rows! { Thread;
    /// libc waits for one of its own locks. A thread that holds it may be parked whatever is patched.
    #[deep] #[optional] #[unchecked = "not declared"]
    fn __lll_lock_wait_private(lock: *mut c_int) -> () {
        internal::wait(current(), lock, PRIVATE)
    } else { internal::wait(None, lock, PRIVATE) }

    #[deep] #[optional] #[unchecked = "not declared"]
    fn __lll_lock_wake_private(lock: *mut c_int) -> () {
        internal::wake(lock, PRIVATE)
    } else { internal::wake(lock, PRIVATE) }
}
