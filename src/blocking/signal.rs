//! Signals: actions, masks, sending, and the calls that wait for one.
//!
//! Safety: as the C functions: pointers are NULL where C allows it, or lead to live structs. A C `sigset_t` and the
//! kernel's mask have the signals 1 to 64 in their first word alike; the rest of a `sigset_t` is not looked at.

use core::sync::atomic::{AtomicU64, Ordering};
use core::time::Duration;

use libc::{c_int, sigset_t, timespec};

use crate::data::Deadline;
use crate::kernel::signal::{self, Action, bit};
use crate::kernel::{Errno, Result};
use crate::runtime::signals::{self, action};
use crate::runtime::{Green, Wait, Wake, hub, preempt, this};
use crate::syscall;

use super::sched;

/// What SIG_ERR is.
const ERROR: usize = usize::MAX;
/// glibc's own signals, which it takes out of every mask.
const INTERNAL: u64 = bit(32) | bit(33);

/// `syscall(SYS_rt_sigaction)`. For every thread, once the library is active.
pub unsafe fn raw_action(sig: c_int, new: *const Action, old: *mut Action) -> Result<()> {
    // SAFETY: the system call's contract; both may be the same.
    let before = match unsafe { new.as_ref() } {
        None => action::seen(sig)?,
        Some(new) => action::set(sig, new)?,
    };
    if !old.is_null() {
        // SAFETY: as above.
        unsafe { old.write(before) };
    }
    Ok(())
}

/// `sigaction`. For every thread, once the library is active.
pub unsafe fn action(sig: c_int, new: *const libc::sigaction, old: *mut libc::sigaction) -> Result<()> {
    let mut before = Action::default();
    // SAFETY: the C function's contract.
    unsafe {
        let new = new.as_ref().map(from_c);
        raw_action(sig, new.as_ref().map_or(core::ptr::null(), core::ptr::from_ref), &mut before)?;
    }
    // SAFETY: as above.
    if let Some(old) = unsafe { old.as_mut() } {
        old.sa_sigaction = before.handler;
        old.sa_flags = before.flags as c_int;
        // SAFETY: an address or NULL, as the kernel gave it.
        old.sa_restorer = unsafe { core::mem::transmute::<usize, Option<extern "C" fn()>>(before.restorer) };
        // SAFETY: a set of all zeros is empty.
        old.sa_mask = unsafe { core::mem::zeroed() };
        set_word(&mut old.sa_mask, before.mask);
    }
    make_way();
    Ok(())
}

/// A loop of calls that never wait is mostly met by preemption inside them, where it cannot switch: they make up for it at
/// their end, while the caller holds what it held around the call and no more (Python's `raise_signal` lets its lock go).
fn make_way() {
    if let Some(g) = this().filter(|g| !g.in_bypass()) {
        hub().make_up(g);
    }
}

/// `signal` as BSD has it; the handler before.
pub fn bsd(sig: c_int, handler: usize) -> Result<usize> {
    let set = INTERRUPTING.load(Ordering::Relaxed) & set_of(sig)?;
    install(sig, handler, if set != 0 { 0 } else { libc::SA_RESTART }, set_of(sig)?)
}

/// `signal` as System V has it.
pub fn sysv(sig: c_int, handler: usize) -> Result<usize> {
    const SA_INTERRUPT: c_int = 0x2000_0000;
    install(sig, handler, libc::SA_RESETHAND | libc::SA_NODEFER | SA_INTERRUPT, 0)
}

/// The signals that `siginterrupt` told `signal` of.
static INTERRUPTING: AtomicU64 = AtomicU64::new(0);

/// `siginterrupt`, as far as later calls of `signal` go. Also while dormant.
pub fn note_interrupting(sig: c_int, interrupts: bool) {
    let set = set_of(sig).unwrap_or(0);
    if interrupts {
        INTERRUPTING.fetch_or(set, Ordering::Relaxed);
    } else {
        INTERRUPTING.fetch_and(!set, Ordering::Relaxed);
    }
}

/// `siginterrupt`, as far as the action of now goes.
pub fn interrupt(sig: c_int, interrupts: bool) -> Result<()> {
    let mut action = action::seen(sig)?;
    if interrupts {
        action.flags &= !(libc::SA_RESTART as usize);
    } else {
        action.flags |= libc::SA_RESTART as usize;
    }
    action::set(sig, &action).map(drop)
}

/// `sigset`: the handler before, or SIG_HOLD if the signal was blocked.
pub fn set(g: &Green, sig: c_int, handler: usize) -> Result<usize> {
    const HOLD: usize = 2;
    let (set, blocked) = (set_of(sig)?, g.mask.get());
    let before = if handler == HOLD { action::seen(sig)?.handler } else { install(sig, handler, 0, 0)? };
    signals::set_mask(g, if handler == HOLD { blocked | set } else { blocked & !set });
    Ok(if blocked & set != 0 { HOLD } else { before })
}

/// `sighold`.
pub fn hold(g: &Green, sig: c_int) -> Result<()> {
    signals::set_mask(g, g.mask.get() | set_of(sig)?);
    Ok(())
}

/// `sigrelse`.
pub fn release(g: &Green, sig: c_int) -> Result<()> {
    signals::set_mask(g, g.mask.get() & !set_of(sig)?);
    Ok(())
}

fn install(sig: c_int, handler: usize, flags: c_int, mask: u64) -> Result<usize> {
    if handler == ERROR {
        return Err(Errno(libc::EINVAL));
    }
    let new = Action { handler, flags: flags as usize | signal::RESTORER, mask, restorer: 0 };
    let old = action::set(sig, &new)?;
    make_way();
    Ok(old.handler)
}

fn set_of(sig: c_int) -> Result<u64> {
    if (1..=signal::LAST).contains(&sig) { Ok(bit(sig)) } else { Err(Errno(libc::EINVAL)) }
}

/// `pthread_sigmask` and `sigprocmask`.
pub unsafe fn mask(g: &Green, how: c_int, set: *const sigset_t, old: *mut sigset_t) -> Result<()> {
    let before = g.mask.get();
    // SAFETY: the C function's contract; `old` may be `set`.
    let set = unsafe { set.as_ref() }.map(|set| word(set) & !INTERNAL);
    let after = match (set, how) {
        (None, _) => before,
        (Some(set), libc::SIG_BLOCK) => before | set,
        (Some(set), libc::SIG_UNBLOCK) => before & !set,
        (Some(set), libc::SIG_SETMASK) => set,
        _ => return Err(Errno(libc::EINVAL)),
    };
    // SAFETY: as above.
    if let Some(old) = unsafe { old.as_mut() } {
        set_word(old, before);
    }
    if set.is_some() {
        signals::set_mask(g, after);
    }
    make_way();
    Ok(())
}

/// `sigaltstack`, of a green thread, in its handlers too.
pub unsafe fn alternate(g: &Green, new: *const libc::stack_t, old: *mut libc::stack_t) -> Result<()> {
    // SAFETY: the C function's contract.
    let new = unsafe { new.as_ref() };
    let here = core::ptr::from_ref(&new) as usize;
    let before = signals::stack::exchange(g, new, here)?;
    if !old.is_null() {
        // SAFETY: as above.
        unsafe { old.write(before) };
    }
    Ok(())
}

/// Any jump, before it: it may leave a call that was made natively.
pub fn leaves() {
    preempt::resume();
}

/// `siglongjmp`, before the jump: the mask that `env` holds, if it holds one, is the thread's. In a handler it is the
/// kernel's mask that the jump changes.
pub unsafe fn jumps(g: &Green, env: *const core::ffi::c_void) {
    // SAFETY: a jmp_buf of the x86-64 ABI: eight registers, whether a mask was saved, the mask.
    let (saved, mask) =
        unsafe { (env.byte_add(64).cast::<c_int>().read(), env.byte_add(72).cast::<u64>().read()) };
    if saved != 0 {
        signals::set_mask(g, mask);
    }
}

/// `sigpending`.
pub unsafe fn pending(g: &Green, set: *mut sigset_t) -> Result<()> {
    // SAFETY: the C function's contract.
    set_word(unsafe { set.as_mut() }.ok_or(Errno(libc::EFAULT))?, signals::pending(g));
    Ok(())
}

/// `pthread_kill` to a green thread; from its own handlers it is the real one's matter.
pub fn kill(target: &Green, sig: c_int) -> Result<()> {
    signals::send(target, sig, &signal::info(sig, libc::SI_TKILL))?;
    make_way();
    Ok(())
}

/// `rt_tgsigqueueinfo`.
pub fn send(target: &Green, sig: c_int, info: &libc::siginfo_t) -> Result<()> {
    signals::send(target, sig, info)
}

/// The green thread whose tid is `thread`, if `process` is this one (for `tgkill`).
pub fn thread(process: c_int, thread: c_int) -> Option<&'static Green> {
    // SAFETY: getpid takes nothing.
    let here = unsafe { syscall!(libc::SYS_getpid) } == Ok(process as usize);
    here.then(|| signals::thread(thread)).flatten()
}

/// The green thread that a timer of SIGEV_THREAD_ID is for, and what the kernel is told.
///
/// # Safety
/// `event` is NULL or live.
pub unsafe fn of_timer(event: *const libc::sigevent) -> Option<(&'static Green, libc::sigevent)> {
    // SAFETY: the caller's promise.
    let event = unsafe { event.as_ref() }.filter(|event| event.sigev_notify == libc::SIGEV_THREAD_ID)?;
    let target = sched::by_tid(event.sigev_notify_thread_id).filter(|_| event.sigev_notify_thread_id != 0)?;
    let mut own = *event;
    own.sigev_notify_thread_id = hub().first.tid.get();
    Some((target, own))
}

/// `pthread_sigqueue`.
pub unsafe fn queue(target: &Green, sig: c_int, value: libc::sigval) -> Result<()> {
    let mut info = signal::info(sig, libc::SI_QUEUE);
    // SAFETY: the value lies after pid and uid (x86-64: at 24).
    unsafe { (&raw mut info).byte_add(24).cast::<libc::sigval>().write(value) };
    signals::send(target, sig, &info)
}

/// `pause`. Always an error.
pub fn pause(g: &Green) -> Result<()> {
    loop {
        match g.park(&Wait::opaque("pause"), Deadline::NEVER) {
            Wake::Interrupted | Wake::Restart => return Err(Errno(libc::EINTR)),
            Wake::Cancelled => return Err(Errno::CANCELLED),
            Wake::Ready | Wake::TimedOut | Wake::Closed => {}
        }
    }
}

/// `sigsuspend`. Always an error.
pub unsafe fn suspend(g: &Green, set: *const sigset_t) -> Result<()> {
    // SAFETY: the C function's contract.
    pause_with(g, word(unsafe { set.as_ref() }.ok_or(Errno(libc::EFAULT))?))
}

/// `sigpause` of X/Open.
pub fn pause_without(g: &Green, sig: c_int) -> Result<()> {
    pause_with(g, g.mask.get() & !set_of(sig)?)
}

/// Pauses with another mask, which is not the kernel's before the thread has parked: so no signal is lost between.
pub fn pause_with(g: &Green, mask: u64) -> Result<()> {
    let before = signals::set_mask_later(g, mask);
    let answer = pause(g);
    signals::set_mask(g, before);
    answer
}

/// `sigtimedwait`, `sigwaitinfo` (no `timeout`): the signal. glibc hides from the program that a thread was meant.
pub unsafe fn wait(
    g: &Green,
    set: *const sigset_t,
    info: *mut libc::siginfo_t,
    timeout: *const timespec,
) -> Result<c_int> {
    // SAFETY: the C function's contract.
    unsafe {
        let sig = wait_unchanged(g, set, info, timeout)?;
        if let Some(info) = info.as_mut()
            && info.si_code == libc::SI_TKILL
        {
            info.si_code = libc::SI_USER;
        }
        Ok(sig)
    }
}

/// `syscall(SYS_rt_sigtimedwait)`.
pub unsafe fn wait_unchanged(
    g: &Green,
    set: *const sigset_t,
    info: *mut libc::siginfo_t,
    timeout: *const timespec,
) -> Result<c_int> {
    // SAFETY: the C function's contract.
    let (set, timeout) = unsafe { (set.as_ref().ok_or(Errno(libc::EFAULT))?, timeout.as_ref()) };
    let deadline = match timeout {
        None => Deadline::NEVER,
        Some(time) => Deadline::after(duration(time)?),
    };
    let (sig, taken) = signals::wait(g, word(set) & !INTERNAL, deadline)?;
    if !info.is_null() {
        // SAFETY: the C function's contract.
        unsafe { info.write(taken) };
    }
    Ok(sig)
}

/// `sigwait`, which goes on after a handler.
pub unsafe fn wait_on(g: &Green, set: *const sigset_t, sig: *mut c_int) -> Result<()> {
    loop {
        // SAFETY: the C function's contract.
        match unsafe { wait(g, set, core::ptr::null_mut(), core::ptr::null()) } {
            Err(Errno(libc::EINTR)) => {}
            // SAFETY: as above.
            answer => return answer.map(|taken| unsafe { *sig = taken }),
        }
    }
}

fn duration(time: &timespec) -> Result<Duration> {
    match (u64::try_from(time.tv_sec), u32::try_from(time.tv_nsec)) {
        (Ok(seconds), Ok(rest)) if rest < 1_000_000_000 => Ok(Duration::new(seconds, rest)),
        _ => Err(Errno(libc::EINVAL)),
    }
}

fn from_c(action: &libc::sigaction) -> Action {
    Action {
        handler: action.sa_sigaction,
        flags: action.sa_flags as u32 as usize | signal::RESTORER,
        restorer: 0,
        mask: word(&action.sa_mask),
    }
}

fn word(set: &sigset_t) -> u64 {
    // SAFETY: see the file's header.
    unsafe { core::ptr::from_ref(set).cast::<u64>().read() }
}

fn set_word(set: &mut sigset_t, mask: u64) {
    // SAFETY: see the file's header.
    unsafe { core::ptr::from_mut(set).cast::<u64>().write(mask) };
}
