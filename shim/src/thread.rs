//! Group thread: threads by their `pthread_t`, what they yield and how they are called.

use core::ffi::{c_char, c_int, c_ulong, c_void};

use eventlet_core::blocking::lock::{Until, check_clock};
use eventlet_core::blocking::{create, thread};
use eventlet_core::kernel::Result;
use eventlet_core::runtime::{Green, cancel, everybody, hub, spawn, this};
use libc::{CLOCK_REALTIME, clockid_t, pthread_attr_t, pthread_t, size_t, timespec};

use crate::errno;
use crate::interpose::rows;
use crate::table::patched;

/// The green thread behind a `pthread_t`.
pub fn target(thread: pthread_t) -> Option<&'static Green> {
    // SAFETY: the program's `pthread_t`, under the contract of the call that it gives it to.
    if hub::active() { unsafe { Green::of(thread as usize) } } else { None }
}

/// Stores a joined thread's result where the program wants it.
unsafe fn joined(value: *mut *mut c_void, result: Result<*mut c_void>) -> c_int {
    errno::code(result.map(|result| {
        if !value.is_null() {
            // SAFETY: the program's pointer.
            unsafe { *value = result };
        }
    }))
}

/// Joins any thread: green or foreign target, green or foreign caller.
unsafe fn join(g: Option<&Green>, of: pthread_t, value: *mut *mut c_void, until: Until) -> Option<c_int> {
    let Some(target) = target(of) else {
        let g = g?;
        // SAFETY: the C contract of a join.
        let attempt = || unsafe { rows::pthread_tryjoin_np::real()(of, value) };
        return Some(errno::code(thread::join_foreign(g, until, attempt)));
    };
    // SAFETY: as above.
    Some(unsafe { joined(value, thread::join(g, target, until)) })
}

rows! { Thread;
    #[unchecked = "the start routine is no option here"]
    fn pthread_create(
        thread: *mut pthread_t, attributes: *const pthread_attr_t, start: extern "C" fn(*mut c_void) -> *mut c_void,
        arg: *mut c_void
    ) -> c_int {
        if !patched(Group::Thread) && table::forced() & Group::Thread as u32 == 0 {
            return real()(thread, attributes, start, arg);
        }
        match create::plan(attributes, start, arg) {
            Ok(Some(plan)) => match spawn::spawn(plan) {
                Some(made) => errno::code(made.map(|made| *thread = made as pthread_t)),
                None => real()(thread, attributes, start, arg),
            },
            Ok(None) => real()(thread, attributes, start, arg),
            Err(errno) => errno.0,
        }
    }

    fn pthread_join(thread: pthread_t, value: *mut *mut c_void) -> c_int {
        join(green(), thread, value, Until::NEVER).unwrap_or_else(|| real()(thread, value))
    }

    #[unchecked = "not declared"]
    fn pthread_tryjoin_np(thread: pthread_t, value: *mut *mut c_void) -> c_int {
        match target(thread) {
            Some(target) => joined(value, thread::try_join(green(), target)),
            None => real()(thread, value),
        }
    }

    #[unchecked = "not declared"]
    fn pthread_timedjoin_np(thread: pthread_t, value: *mut *mut c_void, time: *const timespec) -> c_int {
        if time.is_null() {
            return super::pthread_join::body(thread, value);
        }
        // With nanoseconds out of range glibc waits on.
        let until = Until::at(CLOCK_REALTIME, time).unwrap_or(Until::NEVER);
        join(green(), thread, value, until).unwrap_or_else(|| real()(thread, value, time))
    }

    #[unchecked = "not declared"]
    fn pthread_clockjoin_np(
        thread: pthread_t, value: *mut *mut c_void, clock: clockid_t, time: *const timespec
    ) -> c_int {
        if check_clock(clock).is_ok() && time.is_null() {
            return super::pthread_join::body(thread, value);
        }
        match check_clock(clock) {
            Ok(()) => join(green(), thread, value, Until::at(clock, time).unwrap_or(Until::NEVER)),
            Err(_) => None,
        }
        .unwrap_or_else(|| real()(thread, value, clock, time))
    }

    fn pthread_detach(thread: pthread_t) -> c_int {
        match target(thread) {
            Some(target) => errno::code(thread::detach(target)),
            None => real()(thread),
        }
    }

    #[unchecked = "not declared"]
    fn pthread_cancel(thread: pthread_t) -> c_int {
        match target(thread) {
            Some(target) if !this().is_some_and(|g| core::ptr::eq(g, target)) => errno::code(thread::cancel(target)),
            own => {
                if let Some(g) = own {
                    cancel::note(g);
                }
                real()(thread)
            }
        }
    }

    fn pthread_getattr_np(thread: pthread_t, attributes: *mut pthread_attr_t) -> c_int {
        match target(thread) {
            Some(target) if !target.is_first() => errno::code(thread::attributes(target, attributes)),
            _ => real()(thread, attributes),
        }
    }

    fn pthread_setname_np(thread: pthread_t, name: *const c_char) -> c_int {
        match target(thread) {
            Some(target) if !target.is_first() => errno::code(thread::set_name(target, name)),
            _ => real()(thread, name),
        }
    }

    fn pthread_getname_np(thread: pthread_t, name: *mut c_char, room: size_t) -> c_int {
        match target(thread) {
            Some(target) if !target.is_first() => errno::code(thread::name(target, name, room)),
            _ => real()(thread, name, room),
        }
    }

    /// The name of the calling thread is its own; the rest is everybody's.
    #[unchecked = "variadic"]
    fn prctl(option: c_int, a: c_ulong, b: c_ulong, c: c_ulong, d: c_ulong) -> c_int {
        match (option, this()) {
            (libc::PR_SET_NAME, Some(g)) if !g.is_first() => errno::from(thread::set_name_cut(g, a as *const c_char)),
            (libc::PR_GET_NAME, Some(g)) if !g.is_first() => errno::from(thread::name(g, a as *mut c_char, 16)),
            _ => {
                let answer = real()(option, a, b, c, d);
                if answer != -1 {
                    everybody::changed(libc::SYS_prctl, [option as usize, a as usize]);
                }
                answer
            }
        }
    }

    #[also(__sched_yield)]
    fn sched_yield() -> c_int { |g| { g.yield_now(); 0 } }

    #[optional] #[unchecked = "not declared"]
    fn pthread_yield() -> c_int { super::sched_yield::body() }

    fn gettid() -> libc::pid_t { this().map_or_else(|| real()(), |g| g.tid.get()) }
}
