//! A fork child: only the thread that forked is left, and it is the first thread of a process in which the library is
//! dormant. So a child that execs pays nothing, one that goes on alone runs natively, and one that makes threads
//! activates as its parent did, on whatever stack it stands.
//!
//! The thread may stand on a green thread's stack, and below that stack lie the hub's loop and main's frames, copies of
//! the parent's. They are never returned into: such a thread ends by [`end`].
//!
//! vfork: the child runs in the parent's memory, on the calling thread's stack, until it execs. The row raises the
//! caller's bypass ([`VFORK`]) for that time: every row of the child passes through and no table is touched.
//!
//! Safety: [`child`] runs in the child before anything of the program's, on the only thread. What it drops is not
//! touched: the other threads' slots keep what the parent's memory held.

use core::ffi::{c_int, c_void};
use core::mem::offset_of;
use core::ptr;
use core::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering};

use crate::kernel::{fs, stats};
use crate::syscall;

use super::green::{Green, this};
use super::hub::{active, hub};
use super::{
    cpu, credentials, descriptors, identity, inbox, offload, parameters, parking, preempt, raise, served,
    signals, spawn, steps, uring,
};

/// The value of a bypass while the thread's vfork child runs.
pub const VFORK: usize = 2;
/// Where a [`Green`] keeps its bypass, for the row of vfork.
pub const BYPASS: usize = offset_of!(Green, bypass);

/// The TCB of the thread that forked, if it stands on a green thread's stack.
static FIRST: AtomicUsize = AtomicUsize::new(0);
/// Whether this is a child. A real thread may have made it, which libc ends, and with it the process, with status 0.
static CHILD: AtomicBool = AtomicBool::new(false);

/// How many processes this one stems from by forks. What was written down in another life is of threads that are none here.
static LIFE: AtomicU32 = AtomicU32::new(0);

/// The process's life.
#[inline(always)]
pub fn life() -> u32 {
    LIFE.load(Ordering::Relaxed)
}

/// Whether this is a vfork child, which has its own signal actions but not its own memory.
pub fn in_vfork() -> bool {
    this().is_some_and(|green| green.bypass.get() == VFORK)
}

/// Whether this is a child that libc made inside itself and that shares our memory (posix_spawn's). Of a green thread, or
/// while dormant of a process that has inherited descriptors which are green.
pub fn in_child() -> bool {
    // SAFETY: getpid takes nothing.
    let pid = unsafe { crate::syscall!(libc::SYS_getpid) };
    pid != Ok(hub().first.tid.get() as usize)
}

/// Runs `call`, whose child shares our memory until it execs, as vfork's does.
#[inline(always)]
pub fn sharing<T>(green: &Green, call: impl FnOnce() -> T) -> T {
    descriptors::all_shared();
    inherited(green, false, || {
        green.bypass.set(VFORK);
        let answer = call();
        green.bypass.set(0);
        answer
    })
}

fn inherited<T>(green: &Green, exec: bool, call: impl FnOnce() -> T) -> T {
    parameters::lend(green);
    let answer = signals::inherited(green, exec, call);
    parameters::take_back();
    answer
}

/// Runs `call`, an exec of `green`. It returns if that fails.
pub fn exec<T>(green: &Green, call: impl FnOnce() -> T) -> T {
    inherited(green, true, call)
}

/// Runs `call`, in which libc starts a program.
pub fn starting<T>(green: &Green, call: impl FnOnce() -> T) -> T {
    inherited(green, false, call)
}

/// Before a vfork: the child inherits the mask.
pub fn before_vfork(green: &Green) {
    descriptors::all_shared();
    parameters::lend(green);
    signals::expose(green);
}

/// In the parent, after it.
pub fn after_vfork(green: &Green) {
    signals::hide(green);
    parameters::take_back();
}

/// What the parent does after a fork (pthread_atfork).
pub extern "C" fn parent() {
    if active() {
        descriptors::all_shared();
    }
}

/// What the child does first (pthread_atfork).
pub extern "C" fn child() {
    CHILD.store(true, Ordering::Relaxed);
    LIFE.fetch_add(1, Ordering::Relaxed);
    if descriptors::any_green() {
        // SAFETY: getpid takes nothing.
        hub().first.tid.set(unsafe { syscall!(libc::SYS_getpid) }.unwrap_or(0) as i32);
    }
    if !active() {
        return;
    }
    signals::forked();
    if let Some(green) = this() {
        parameters::adopt(green);
        // SAFETY: getpid takes nothing.
        let pid = unsafe { syscall!(libc::SYS_getpid) }.unwrap_or(0);
        identity::forked(green.tcb(), pid as i32);
        if !green.is_first() {
            FIRST.store(green.tcb(), Ordering::Relaxed);
        }
        // SAFETY: the running thread's own word.
        unsafe { *fs::this_of(green.tcb()) = ptr::null() };
    }
    descriptors::forked();
    served::forked();
    steps::forked();
    uring::forked();
    offload::forked();
    inbox::forked();
    parking::forked();
    preempt::forked();
    spawn::forked();
    hub().forked();
    cpu::forked();
    credentials::forked();
    stats::reset();
}

/// Whether `green` made this process by a fork and is its first thread now.
pub fn is_made_by(green: &Green) -> bool {
    FIRST.load(Ordering::Relaxed) == green.tcb()
}

/// The last thing a green thread's body does in a fork child: as glibc, which ends the process with its last thread; and
/// as main, if it ends by a raise.
pub(super) fn end_if_first(green: &Green) {
    if !is_made_by(green) {
        return;
    }
    end_if_raised();
    if active() {
        spawn::outlive_all(identity::result(green.tcb()));
    } else {
        identity::finish_first();
    }
    // SAFETY: the end of the process, on its first thread.
    unsafe { libc::exit(0) }
}

/// Ends the process if its first thread was left by a raise, as main that is.
pub fn end_if_raised() {
    let Some(first) = this() else { return };
    let code = raise::escaped(first);
    if code != 0 {
        raise::report(first, code);
        // SAFETY: as main's return.
        unsafe { libc::exit(1) }
    }
}

unsafe extern "C" {
    fn on_exit(function: extern "C" fn(c_int, *mut c_void), arg: *mut c_void) -> c_int;
}

/// A raise is about to unwind the calling thread. If libc ends the process by it, that is no success.
pub(super) fn unwinds() {
    extern "C" fn ends(status: c_int, _: *mut c_void) {
        if status == 0 {
            end_if_raised();
        }
    }
    if CHILD.swap(false, Ordering::Relaxed) {
        // SAFETY: this library is never unloaded. An exit in a handler goes on with the others, and with its own status.
        unsafe { on_exit(ends, ptr::null_mut()) };
    }
}
