//! Threads, by their `pthread_t`: join, detach, cancel, names, attributes.
//!
//! Every function takes a green target. The caller may be any thread: what changes a thread's state is done on the
//! hub ([`errand`]).
//!
//! Safety: a `pthread_t` is good until its thread was joined, or has ended detached (POSIX asks the same); what is
//! left of a thread after that says ESRCH as long as its slot is not taken again.

use core::ffi::{CStr, c_char, c_int, c_void};
use core::ptr;
use core::sync::atomic::Ordering;

use crate::kernel::{Errno, Result};
use crate::runtime::green::{Affinity, Joiner};
use crate::runtime::{Green, Wait, Wake, cancel, errand, hub, parking, raise, spawn};
use crate::syscall;

use super::lock::{Patience, Until};
use super::sched;

unsafe extern "C" {
    fn pthread_attr_setaffinity_np(
        attributes: *mut libc::pthread_attr_t,
        size: usize,
        set: *const c_void,
    ) -> c_int;
}

fn ended(target: &Green) -> bool {
    target.ended.load(Ordering::Acquire) != 0
}

/// `pthread_join` and its timed forms: the result. `g` is the caller if it may park; else it waits natively.
pub fn join(g: Option<&Green>, target: &'static Green, until: Until) -> Result<*mut c_void> {
    match g {
        Some(g) => {
            claim(g, target)?;
            wait(g, target, until).inspect_err(|_| target.joiner.set(Joiner::None))?;
            Ok(collect(target))
        }
        None => {
            errand::on_hub(|| claim_for(target, Joiner::Foreign))?;
            let waited = wait_natively(target, until);
            errand::on_hub(|| match waited {
                Err(errno) if !ended(target) => {
                    target.joiner.set(Joiner::None);
                    Err(errno)
                }
                _ => Ok(collect(target)),
            })
        }
    }
}

/// Joins a foreign thread from a green one, by the real `pthread_tryjoin_np`, again and again.
pub fn join_foreign(g: &Green, until: Until, attempt: impl Fn() -> c_int) -> Result<()> {
    let mut patience = Patience::new();
    loop {
        match attempt() {
            0 => return Ok(()),
            libc::EBUSY if until.passed() => return Err(Errno(libc::ETIMEDOUT)),
            libc::EBUSY => {}
            code => return Err(Errno(code)),
        }
        let wait = Wait { interruptible: false, ..Wait::opaque("pthread_join") };
        if g.park(&wait, until.deadline().min(patience.next())) == Wake::Cancelled || raise::is_due(g) {
            return Err(Errno::CANCELLED);
        }
    }
}

/// `pthread_tryjoin_np`. A loop around it must not keep the hub from the target.
pub fn try_join(g: Option<&Green>, target: &'static Green) -> Result<*mut c_void> {
    if !ended(target) {
        if let Some(g) = g {
            hub().charge(g);
        }
        return Err(Errno(libc::EBUSY));
    }
    join(g, target, Until::NEVER)
}

fn claim(g: &Green, target: &Green) -> Result<()> {
    if ptr::eq(g, target) || g.joiner.get() == Joiner::Green(target) {
        return Err(Errno(libc::EDEADLK));
    }
    claim_for(target, Joiner::Green(g))
}

fn claim_for(target: &Green, joiner: Joiner) -> Result<()> {
    match target.joiner.get() {
        Joiner::Joined => Err(Errno(libc::ESRCH)),
        Joiner::Detached | Joiner::Green(_) | Joiner::Foreign => Err(Errno(libc::EINVAL)),
        Joiner::None => {
            target.joiner.set(joiner);
            Ok(())
        }
    }
}

fn wait(g: &Green, target: &Green, until: Until) -> Result<()> {
    // SAFETY: asked while the target is being joined, so it is there.
    let over = |target, _| ended(unsafe { &*(target as *const Green) });
    let a = ptr::from_ref(target) as usize;
    g.expect(Wait { over, a, interruptible: false, ..Wait::opaque("pthread_join") });
    loop {
        match parking::park(g, target.ended.as_ptr() as usize, until.deadline(), false, || !ended(target)) {
            Some(_) if raise::is_due(g) => return Err(Errno::CANCELLED),
            _ if ended(target) => return Ok(()),
            Some(Wake::Cancelled) => return Err(Errno::CANCELLED),
            Some(Wake::TimedOut) if until.passed() => return Err(Errno(libc::ETIMEDOUT)),
            _ => {}
        }
    }
}

/// A foreign thread's wait. It is no cancellation point of ours: nothing of libc's is beneath it.
fn wait_natively(target: &Green, until: Until) -> Result<()> {
    while target.ended.load(Ordering::Acquire) == 0 {
        let operation = libc::FUTEX_WAIT | libc::FUTEX_PRIVATE_FLAG;
        let left = match until.deadline().remaining() {
            None => None,
            Some(left) if left.is_zero() => return Err(Errno(libc::ETIMEDOUT)),
            Some(left) => {
                Some(libc::timespec { tv_sec: left.as_secs() as i64, tv_nsec: left.subsec_nanos().into() })
            }
        };
        let left = left.as_ref().map_or(ptr::null(), ptr::from_ref);
        // SAFETY: the target cannot be reaped while we are its joiner.
        let _ = unsafe { syscall!(libc::SYS_futex, &target.ended, operation, 0, left) };
    }
    Ok(())
}

/// Takes the result of an ended thread, which is no more afterwards.
fn collect(target: &'static Green) -> *mut c_void {
    let result = target.result.get();
    spawn::reap(target);
    result
}

/// `pthread_detach`.
pub fn detach(target: &'static Green) -> Result<()> {
    errand::on_hub(|| match target.joiner.get() {
        Joiner::Joined => Err(Errno(libc::ESRCH)),
        Joiner::Detached => Err(Errno(libc::EINVAL)),
        // As glibc: who joins already takes it.
        Joiner::Green(_) | Joiner::Foreign => Ok(()),
        Joiner::None => {
            target.joiner.set(Joiner::Detached);
            if ended(target) {
                spawn::reap(target);
            }
            Ok(())
        }
    })
}

/// `pthread_cancel` of another thread.
pub fn cancel(target: &Green) -> Result<()> {
    errand::on_hub(|| {
        if target.joiner.get() == Joiner::Joined {
            return Err(Errno(libc::ESRCH));
        }
        if !ended(target) {
            cancel::ask(target);
        }
        Ok(())
    })
}

/// `pthread_setname_np`. ERANGE: longer than 15 bytes.
///
/// # Safety
/// `name` is a C string.
pub unsafe fn set_name(target: &Green, name: *const c_char) -> Result<()> {
    // SAFETY: the caller's promise.
    let name = unsafe { CStr::from_ptr(name) }.to_bytes_with_nul();
    let mut bytes = [0; 16];
    bytes.get_mut(..name.len()).ok_or(Errno(libc::ERANGE))?.copy_from_slice(name);
    target.name.set(bytes);
    Ok(())
}

/// `prctl(PR_SET_NAME)`: cuts a longer name.
///
/// # Safety
/// `name` is a C string, or longer than 15 bytes.
pub unsafe fn set_name_cut(target: &Green, name: *const c_char) -> Result<()> {
    let mut bytes = [0; 16];
    for (index, byte) in bytes[..15].iter_mut().enumerate() {
        // SAFETY: nothing is read after the NUL.
        *byte = unsafe { *name.add(index) } as u8;
        if *byte == 0 {
            break;
        }
    }
    target.name.set(bytes);
    Ok(())
}

/// `pthread_getname_np`. A thread that was given no name has the process's. ERANGE: no room for 16 bytes.
///
/// # Safety
/// `room` bytes at `name` are writable.
pub unsafe fn name(target: &Green, name: *mut c_char, room: usize) -> Result<()> {
    let mut bytes = target.name.get();
    if room < bytes.len() {
        return Err(Errno(libc::ERANGE));
    }
    if bytes[0] == 0 {
        // SAFETY: PR_GET_NAME writes 16 bytes.
        unsafe { syscall!(libc::SYS_prctl, libc::PR_GET_NAME, bytes.as_mut_ptr())? };
    }
    // SAFETY: the caller's promise.
    unsafe { ptr::copy_nonoverlapping(bytes.as_ptr(), name.cast(), bytes.len()) };
    Ok(())
}

/// `pthread_getattr_np`: stack, guard, detach state, processors.
///
/// # Safety
/// `attributes` is writable.
pub unsafe fn attributes(target: &Green, attributes: *mut libc::pthread_attr_t) -> Result<()> {
    let (lowest, size, guard) = target.stack;
    let detached = if target.joiner.get() == Joiner::Detached {
        libc::PTHREAD_CREATE_DETACHED
    } else {
        libc::PTHREAD_CREATE_JOINABLE
    };
    let code = |code: c_int| if code == 0 { Ok(()) } else { Err(Errno(code)) };
    // SAFETY: an attribute object that is initialised here; glibc's setters only store.
    unsafe {
        code(libc::pthread_attr_init(attributes))?;
        code(libc::pthread_attr_setstack(attributes, lowest as *mut c_void, size))?;
        code(libc::pthread_attr_setguardsize(attributes, guard))?;
        let mut set: Affinity = [0; 16];
        let length = sched::affinity(target, size_of::<Affinity>(), set.as_mut_ptr().cast())?;
        code(pthread_attr_setaffinity_np(attributes, length, set.as_ptr().cast()))?;
        code(libc::pthread_attr_setdetachstate(attributes, detached))
    }
}
