//! Group os: signals.
//!
//! Actions are the process's: their rows are for every thread once the library is active. Masks and waits are a green
//! thread's; in its handlers and elsewhere the kernel's mask is the truth, and the real functions see to it.

use core::ffi::{c_int, c_void};

use eventlet_core::blocking::signal;
use eventlet_core::kernel::Errno;
use eventlet_core::runtime::signals::timers;
use eventlet_core::runtime::{Green, fork, hub::active, this};
use libc::{sigset_t, timespec};

use crate::deep::bare::{self, cancellable};
use crate::errno;
use crate::interpose::rows;

/// Whether actions go through us: not while dormant, and not in a vfork child, whose actions are its own while its
/// memory is ours.
fn ours() -> bool {
    active() && !fork::in_vfork()
}

/// The green thread that a signal for `thread` belongs to. A thread sends to itself natively while one of its handlers
/// runs: then the kernel's mask is the handler's, and true.
fn target(thread: libc::pthread_t) -> Option<&'static Green> {
    if !active() {
        return None;
    }
    // SAFETY: the caller's contract: a thread that may still be joined.
    let target = unsafe { Green::of(thread as usize) }?;
    let in_handler = this().is_some_and(|it| core::ptr::eq(it, target)) && target.in_bypass();
    (!in_handler).then_some(target)
}

/// What `sigvec` takes.
mod old {
    use core::ffi::c_int;

    /// `struct sigvec`.
    #[repr(C)]
    pub struct Vector {
        handler: libc::sighandler_t,
        mask: u32,
        flags: c_int,
    }

    /// Bits of `sigvec`, and what they are to `sigaction`; SV_INTERRUPT is the contrary of SA_RESTART.
    const FLAGS: [(c_int, c_int); 3] =
        [(1, libc::SA_ONSTACK), (2, libc::SA_RESTART), (4, libc::SA_RESETHAND)];
    const INTERRUPT: c_int = 2;

    impl Vector {
        pub fn action(&self) -> libc::sigaction {
            // SAFETY: zeroes are an action.
            let mut action: libc::sigaction = unsafe { core::mem::zeroed() };
            action.sa_sigaction = self.handler;
            // SAFETY: a set of signals is larger than this, and its first bits are the first signals.
            unsafe { (&raw mut action.sa_mask).cast::<u32>().write(self.mask) };
            let has = |(old, _): &&(c_int, c_int)| (self.flags ^ INTERRUPT) & old != 0;
            action.sa_flags = FLAGS.iter().filter(has).map(|(_, flag)| flag).sum();
            action
        }

        pub fn of(action: &libc::sigaction) -> Vector {
            let has = |(_, flag): &&(c_int, c_int)| action.sa_flags & flag != 0;
            let flags: c_int = FLAGS.iter().filter(has).map(|(old, _)| old).sum();
            // SAFETY: as above.
            let mask = unsafe { (&raw const action.sa_mask).cast::<u32>().read() };
            Vector { handler: action.sa_sigaction, mask, flags: flags ^ INTERRUPT }
        }
    }
}

rows! { Os;
    #[also(__sigaction)]
    fn sigaction(sig: c_int, new: *const libc::sigaction, old: *mut libc::sigaction) -> c_int {
        if !ours() { return real()(sig, new, old) }
        errno::from(signal::action(sig, new, old))
    }

    #[also(bsd_signal, ssignal)]
    fn signal(sig: c_int, handler: libc::sighandler_t) -> libc::sighandler_t {
        if !ours() { return real()(sig, handler) }
        errno::from(signal::bsd(sig, handler))
    }

    #[unchecked = "not declared"] #[also(sysv_signal)]
    fn __sysv_signal(sig: c_int, handler: libc::sighandler_t) -> libc::sighandler_t {
        if !ours() { return real()(sig, handler) }
        errno::from(signal::sysv(sig, handler))
    }

    /// For programs linked before glibc 2.21, and hidden from all others: even while dormant, libc's own is not called.
    #[optional] #[unchecked = "not declared"]
    fn sigvec(sig: c_int, new: *const old::Vector, before: *mut old::Vector) -> c_int {
        let wanted = new.as_ref().map(old::Vector::action);
        let mut action = core::mem::zeroed();
        let answer =
            super::sigaction::body(sig, wanted.as_ref().map_or(core::ptr::null(), |it| it), &mut action);
        if answer == 0 && let Some(before) = before.as_mut() { *before = old::Vector::of(&action) }
        answer
    }

    #[unchecked = "not declared"]
    fn siginterrupt(sig: c_int, interrupts: c_int) -> c_int {
        signal::note_interrupting(sig, interrupts != 0);
        if !ours() { return real()(sig, interrupts) }
        errno::from(signal::interrupt(sig, interrupts != 0))
    }

    #[unchecked = "not declared"]
    fn sigset(sig: c_int, handler: libc::sighandler_t) -> libc::sighandler_t {
        |g| errno::from(signal::set(g, sig, handler))
    }

    #[unchecked = "not declared"]
    fn sighold(sig: c_int) -> c_int { |g| errno::from(signal::hold(g, sig)) }

    #[unchecked = "not declared"]
    fn sigrelse(sig: c_int) -> c_int { |g| errno::from(signal::release(g, sig)) }

    #[unchecked = "not declared by libc for this target"]
    fn pthread_sigmask(how: c_int, set: *const sigset_t, old: *mut sigset_t) -> c_int {
        |g| errno::code(signal::mask(g, how, set, old))
    }

    #[deep] #[stateful]
    fn sigprocmask(how: c_int, set: *const sigset_t, old: *mut sigset_t) -> c_int {
        |g| errno::from(signal::mask(g, how, set, old))
    } else { bare::at_once(bare::sigprocmask(how, set, old)) }

    fn sigpending(set: *mut sigset_t) -> c_int { |g| errno::from(signal::pending(g, set)) }

    fn sigaltstack(new: *const libc::stack_t, old: *mut libc::stack_t) -> c_int {
        match this() {
            Some(g) if !fork::in_vfork() => errno::from(signal::alternate(g, new, old)),
            _ => real()(new, old),
        }
    }

    #[unchecked = "does not return"] #[also(longjmp, _longjmp)]
    fn siglongjmp(env: *const c_void, value: c_int) -> () {
        signal::leaves();
        if let Some(g) = green() { signal::jumps(g, env) }
        real()(env, value)
    }

    #[unchecked = "does not return"]
    fn __longjmp_chk(env: *const c_void, value: c_int) -> () {
        signal::leaves();
        if let Some(g) = green() { signal::jumps(g, env) }
        real()(env, value)
    }

    fn pause() -> c_int { |g| errno::from(signal::pause(g)) }

    #[deep] #[also(__sigsuspend)] #[unchecked = "not declared"]
    fn sigsuspend(set: *const sigset_t) -> c_int { |g| errno::from(signal::suspend(g, set)) } else { cancellable(|| errno::from(bare::sigsuspend(set))) }

    #[unchecked = "not declared"]
    fn __xpg_sigpause(sig: c_int) -> c_int { |g| errno::from(signal::pause_without(g, sig)) }

    #[unchecked = "not declared"]
    fn sigpause(mask: c_int) -> c_int { |g| errno::from(signal::pause_with(g, mask as u32 as u64)) }

    #[unchecked = "not declared"]
    fn sigwait(set: *const sigset_t, sig: *mut c_int) -> c_int { |g| errno::code(signal::wait_on(g, set, sig)) }

    fn sigwaitinfo(set: *const sigset_t, info: *mut libc::siginfo_t) -> c_int {
        |g| errno::from(signal::wait(g, set, info, core::ptr::null()))
    }

    #[deep]
    fn sigtimedwait(set: *const sigset_t, info: *mut libc::siginfo_t, timeout: *const timespec) -> c_int {
        |g| errno::from(signal::wait(g, set, info, timeout))
    } else { cancellable(|| errno::from(bare::sigtimedwait(set, info, timeout))) }

    fn timer_create(clock: libc::clockid_t, event: *mut libc::sigevent, timer: *mut libc::timer_t) -> c_int {
        let Some((target, mut own)) = signal::of_timer(event) else { return real()(clock, event, timer) };
        let answer = real()(clock, &mut own, timer);
        if answer == 0 && !timers::made(*timer as c_int, target) {
            super::timer_delete::real()(*timer);
            return errno::from(Err::<c_int, _>(Errno(libc::EAGAIN)));
        }
        answer
    }

    /// libc's own timers, whose numbers are addresses, are none of ours.
    fn timer_delete(timer: libc::timer_t) -> c_int {
        let answer = real()(timer);
        if answer == 0 && let Ok(number) = c_int::try_from(timer as isize) { timers::deleted(number) }
        answer
    }

    #[also(gsignal)]
    fn raise(sig: c_int) -> c_int { |g| errno::from(signal::kill(g, sig)) }

    #[unchecked = "not declared"]
    fn pthread_kill(thread: libc::pthread_t, sig: c_int) -> c_int {
        match target(thread) {
            Some(target) => errno::code(signal::kill(target, sig)),
            None => real()(thread, sig),
        }
    }

    fn pthread_sigqueue(thread: libc::pthread_t, sig: c_int, value: libc::sigval) -> c_int {
        match target(thread) {
            Some(target) => errno::code(signal::queue(target, sig, value)),
            None => real()(thread, sig, value),
        }
    }

    fn tgkill(process: libc::pid_t, thread: libc::pid_t, sig: c_int) -> c_int {
        match this().and_then(|_| signal::thread(process, thread)) {
            Some(target) => errno::from(signal::kill(target, sig)),
            None => real()(process, thread, sig),
        }
    }
}
