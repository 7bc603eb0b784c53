//! The wrapper: what the kernel calls instead of the program's handlers. It runs at any instruction, on the hub's kernel
//! thread or on a foreign one, and either calls the handler in place or lets the signal wait for its thread.
//!
//! In place means: on the stack it was called on, with the thread's bypass up, so that nothing in the handler parks. The
//! bypass holds the address of the outermost handler's frame. A handler that is left by longjmp cannot lower it: that
//! it is gone shows when the stack pointer has passed its frame.
//!
//! A handler that wants to wait (a garbage collector stops the world so, and exit joins threads) is *opened* at its first
//! call that might: the wait that it interrupted is left, the bypass lowered, and it goes on as any code of its thread.
//! That wait looks again when it has returned. It is not opened where the signal came in the midst of libc or of this
//! library, whose locks the thread may hold: there it waits as bare, and the hub with it.
//!
//! Safety: raw system calls and atomics only, no errno, no lock that the interrupted code may hold. The handler is
//! called with the kernel's own arguments.

use core::arch::asm;
use core::ffi::{c_int, c_void};
use core::sync::atomic::{AtomicI32, AtomicUsize, Ordering};

use libc::{siginfo_t, ucontext_t};

use crate::kernel::{memory, signal};
use crate::runtime::green::{Green, State, this};
use crate::runtime::hub::hub;
use crate::runtime::{inbox, offload, overflow, parking, preempt};
use crate::syscall;

use super::owners::Owner;
use super::{action, children, mask, queue, stack};

/// The signal that [`resend`] is sending: it has found its thread.
static RESENT: AtomicI32 = AtomicI32::new(0);

/// Handlers of the program that began on the hub's thread.
static HANDLED: AtomicUsize = AtomicUsize::new(0);

/// How many handlers of the program have begun on the hub's thread: whether one ran in between.
pub(super) fn handled() -> usize {
    HANDLED.load(Ordering::Relaxed)
}

/// The values of `bypass` below this are no frames (the hub's loop, a vfork under way): they hold until lowered.
const FRAMES: usize = 16;

pub(super) extern "C" fn wrapper(sig: c_int, info: *mut siginfo_t, context: *mut c_void) {
    // SAFETY: the kernel's own structs, on this stack.
    let (info, context) = unsafe { (&mut *info, &mut *context.cast::<ucontext_t>()) };
    if is_fault(sig, info) && memory::recovers(context) {
        return;
    }
    match this() {
        // A foreign thread, which the kernel chose.
        None => act(sig, info, context, &action::wanted(sig), None),
        Some(green) => match whose(green, sig, info, context) {
            Whose::Here => in_place(green, sig, info, context, may_open(green, context)),
            Whose::Resent => in_place(green, sig, info, context, !offload::serves(green)),
            Whose::Process => wait(sig, info, core::ptr::null()),
            Whose::Thread(target) => wait(sig, info, target),
            Whose::Nobody => {}
        },
    }
}

/// Lets the signal wait; whoever is on the processor makes way at its next call.
fn wait(sig: c_int, info: &siginfo_t, target: *const Green) {
    super::enqueue(sig, info, target);
    hub().spend();
    inbox::kick();
}

/// Sends `sig` to the running thread, which does not block it: the kernel calls the wrapper, which calls the handler,
/// before this returns.
pub(super) fn resend(sig: c_int, info: &siginfo_t) {
    RESENT.store(sig, Ordering::Relaxed);
    let _ = signal::send_here(sig, info);
    RESENT.store(0, Ordering::Relaxed);
}

enum Whose {
    Here,
    /// Sent by [`resend`], where nothing is half done.
    Resent,
    Process,
    Thread(&'static Green),
    Nobody,
}

/// For whom a signal is that the kernel gave to the hub's kernel thread, on the `%fs` of `green`.
fn whose(green: &Green, sig: c_int, info: &mut siginfo_t, context: &ucontext_t) -> Whose {
    if sig == libc::SIGCHLD && !queue::holds(sig) {
        // SAFETY: the kernel's SIGCHLD has a pid.
        children::comes(if info.si_code > 0 { unsafe { info.si_pid() } } else { 0 });
    }
    let owner = super::owner(sig, info);
    match owner {
        Owner::Gone => return Whose::Nobody,
        // One of its kind that is being sent again may be overtaken by it.
        Owner::Thread(target) if !core::ptr::eq(target, green) => return Whose::Thread(target),
        Owner::Thread(_) | Owner::Nobody => {}
    }
    let resent = RESENT.load(Ordering::Relaxed) == sig;
    if resent {
        RESENT.store(0, Ordering::Relaxed);
        return Whose::Resent;
    }
    if is_fault(sig, info) {
        return Whose::Here;
    }
    // On its way in or out, a thread is not on the processor: it looks into the queue when its turn begins.
    let running = hub().running().filter(|it| core::ptr::eq(*it, green) && it.state() == State::Running);
    let from_here = is_from_here(info);
    if let Owner::Thread(target) = owner {
        let free = running.is_some_and(|it| !in_midst(it, context));
        let now = free && !mask::blocks(target, sig) && !queue::holds(sig);
        return if now { Whose::Here } else { Whose::Thread(target) };
    }
    match running {
        // Of the clocks of processor time the kernel tells the thread that ran.
        Some(it) if is_clocks(sig, info) && !mask::blocks(it, sig) => {
            if in_midst(it, context) || queue::holds(sig) { Whose::Thread(it) } else { Whose::Here }
        }
        // Handlers may leave by longjmp, and what a row of ours has half done must not stay so.
        Some(it) if in_midst(it, context) => Whose::Process,
        Some(_) if from_here && (info.si_code == libc::SI_TKILL || sig == libc::SIGPIPE) => Whose::Here,
        _ if info.si_code == libc::SI_TKILL && !from_here => Whose::Thread(&hub().first),
        // Behind those of its kind that wait already.
        Some(it) if super::is_for(it, sig, core::ptr::null()) && !queue::holds(sig) => Whose::Here,
        _ => Whose::Process,
    }
}

/// Whether `green` was interrupted in this library's own code, where it will be cut before long if it does not come to the
/// end of its row. At a system call nothing is half done.
fn in_midst(green: &Green, context: &ucontext_t) -> bool {
    const SYSCALL: [u8; 2] = [0x0f, 0x05];
    let pc = context.uc_mcontext.gregs[libc::REG_RIP as usize] as usize;
    if !preempt::is_own(pc) || !green.preemptible.get() || !hub().contended() {
        return false;
    }
    // SAFETY: our own code, which does not begin or end with the page that it was interrupted in the midst of.
    unsafe { *((pc - 2) as *const [u8; 2]) != SYSCALL && *(pc as *const [u8; 2]) != SYSCALL }
}

/// The instruction's own fault, and no signal that somebody sent.
pub(super) fn is_fault(sig: c_int, info: &siginfo_t) -> bool {
    let kinds = [libc::SIGSEGV, libc::SIGBUS, libc::SIGFPE, libc::SIGILL, libc::SIGTRAP, libc::SIGSYS];
    info.si_code > 0 && kinds.contains(&sig)
}

fn is_clocks(sig: c_int, info: &siginfo_t) -> bool {
    info.si_code == libc::SI_KERNEL && [libc::SIGPROF, libc::SIGVTALRM, libc::SIGXCPU].contains(&sig)
}

/// Whether this process sent it (for SIGPIPE, the kernel in its name).
fn is_from_here(info: &siginfo_t) -> bool {
    // SAFETY: getpid takes nothing; both signals that ask have a pid in their siginfo.
    unsafe { syscall!(libc::SYS_getpid) == Ok(info.si_pid() as usize) }
}

/// Whether a handler that the kernel calls for `green` now may wait: nothing is half done where it was interrupted, and its
/// frame is not in the way of another thread's.
fn may_open(green: &Green, context: &ucontext_t) -> bool {
    preempt::switchable(context.uc_mcontext.gregs[libc::REG_RIP as usize] as usize)
        && !stack::is_shared(core::ptr::from_ref(context).addr())
        && !offload::serves(green)
}

/// See [`super::open`].
pub(super) fn open(green: &Green) -> bool {
    if !green.may_open.replace(false) {
        return false;
    }
    green.bypass.set(0);
    green.awaited.set(0);
    parking::abandon(green);
    mask::adopt(green, signal::mask());
    true
}

/// Calls the handler with the bypass of `green` up. `may_open`: it may lower it.
fn in_place(green: &Green, sig: c_int, info: &siginfo_t, context: &mut ucontext_t, may_open: bool) {
    HANDLED.store(handled().wrapping_add(1), Ordering::Relaxed);
    let interrupted = context.uc_mcontext.gregs[libc::REG_RSP as usize] as usize;
    let wanted = action::wanted(sig);
    let moves = wanted.flags & libc::SA_ONSTACK as usize != 0;
    let top = if moves { stack::top(green, interrupted) } else { None };
    let nested = green.bypass.get() != 0 && alive(green, interrupted);
    // One that is called in the midst of another does not open that one where it may not open itself.
    let outer_may = nested && green.may_open.get();
    let may_open = if nested { may_open && outer_may } else { may_open };
    let (before, deaf) = (kernel_mask(context), green.deaf.get());
    green.may_open.set(may_open);
    if !nested {
        // A word below the top: inside the stack, and above what the handler uses.
        green.bypass.set(top.map_or(core::ptr::from_mut(context) as usize, |top| top - 8));
    }
    mask::during(|| act(sig, info, context, &wanted, top));
    let opened = may_open && !green.may_open.get();
    green.may_open.set(outer_may && !opened);
    if !nested {
        green.bypass.set(0);
    }
    if opened {
        green.deaf.set(deaf);
        green.disturbed.set(true);
    }
    // A handler may change the mask that its return brings back; one that was opened has changed its thread's.
    if opened || !nested && kernel_mask(context) != before {
        mask::adopt(green, kernel_mask(context));
    }
    if opened && queue::any() {
        // What waited for the old mask to come back.
        super::reroute();
        hub().spend();
    }
}

fn kernel_mask(context: &ucontext_t) -> u64 {
    // SAFETY: the kernel's mask is the first word of it.
    unsafe { (&raw const context.uc_sigmask).cast::<u64>().read() }
}

/// Does with `sig` what the program wants, at the stack address `top` if it says one.
fn act(sig: c_int, info: &siginfo_t, context: &mut ucontext_t, wanted: &signal::Action, top: Option<usize>) {
    let fault = sig == libc::SIGSEGV && is_fault(sig, info);
    // SAFETY: a fault has an address in its siginfo.
    let address = if fault { (unsafe { info.si_addr() }) as usize } else { 0 };
    // Natively no handler can be called for an overflow but on an alternate stack.
    let handled = wanted.is_handler() && wanted.flags & libc::SA_ONSTACK as usize != 0;
    if !wanted.is_handler() || !handled && fault && overflow::is_overflow(address).is_some() {
        overflow::report(address);
        return by_default(sig, info, wanted.handler);
    }
    if wanted.flags & libc::SA_RESETHAND as usize != 0 {
        action::reset(sig);
    }
    let context = core::ptr::from_mut(context).cast();
    type Handler = extern "C" fn(c_int, *const siginfo_t, *mut c_void);
    // SAFETY: a signal handler of the program; the kernel too gives all three arguments to every handler. On the
    // alternate stack nobody stands.
    unsafe {
        match top {
            Some(top) => stack::call_at(sig, info, context, wanted.handler, top),
            None => core::mem::transmute::<usize, Handler>(wanted.handler)(sig, info, context),
        }
    }
    // One that has given up: the process dies of it now.
    if fault && action::seen(sig).is_ok_and(|action| !action.is_handler()) {
        overflow::report(address);
    }
}

/// No handler: the action was changed a moment ago, or it is SIGSEGV, which has the wrapper by default too. A faulting
/// instruction runs again on return, and the process dies by it.
fn by_default(sig: c_int, info: &siginfo_t, wanted: usize) {
    if is_fault(sig, info) || wanted != libc::SIG_IGN {
        let default = signal::Action { handler: libc::SIG_DFL, ..Default::default() };
        // SAFETY: no handler.
        let _ = unsafe { signal::set_action(sig, &default) };
        action::unwatch(sig);
        if !is_fault(sig, info) {
            let _ = signal::send_here(sig, info);
        }
    }
}

/// Whether the handler whose frame the bypass of `green` says still runs, seen from the stack address `here`.
fn alive(green: &Green, here: usize) -> bool {
    let frame = green.bypass.get();
    if frame < FRAMES {
        return true;
    }
    match (stack::alternate_at(green, frame), stack::alternate_at(green, here)) {
        (None, None) => here < frame,
        // A handler of the alternate stack has interrupted one of the thread's own.
        (None, Some(_)) => true,
        (Some(alternate), _) => alternate.contains(&here) && here < frame,
    }
}

/// [`alive`], seen from here.
pub(super) fn handler_alive(green: &Green) -> bool {
    let here: usize;
    // SAFETY: reads the stack pointer.
    unsafe { asm!("mov {}, rsp", out(reg) here, options(nomem, nostack, preserves_flags)) };
    alive(green, here)
}
