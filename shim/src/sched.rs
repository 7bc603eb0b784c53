//! Group thread: scheduling, affinity and processor clocks, by `pthread_t` and by tid. Green threads' are kept by us;
//! those of others are the kernel's.

use core::ffi::{c_int, c_void};

use eventlet_core::blocking::sched;
use eventlet_core::kernel::{Errno, Result};
use eventlet_core::runtime::{Green, this};
use libc::{clockid_t, cpu_set_t, pid_t, pthread_t, sched_param, size_t, timespec};

use crate::errno;
use crate::interpose::rows;
use crate::thread::target;

/// What the kernel does not fill of the program's set is empty.
unsafe fn affinity(of: &Green, size: size_t, set: *mut cpu_set_t) -> Result<()> {
    // SAFETY: the C contract: `size` bytes at `set`.
    unsafe {
        let length = sched::affinity(of, size, set.cast::<c_void>())?;
        set.cast::<u8>().add(length).write_bytes(0, size - length);
    }
    Ok(())
}

/// The green thread that `getpriority` and its kin mean: to Linux, a nice value is a thread's.
fn by_priority(which: libc::__priority_which_t, who: libc::id_t) -> Option<&'static Green> {
    if which == libc::PRIO_PROCESS as libc::__priority_which_t { sched::by_tid(who as pid_t) } else { None }
}

unsafe fn priority(parameters: *const sched_param) -> Result<c_int> {
    // SAFETY: NULL or the program's struct.
    unsafe { parameters.as_ref() }.map(|it| it.sched_priority).ok_or(Errno(libc::EINVAL))
}

rows! { Thread;
    #[unchecked = "not declared"]
    fn pthread_getschedparam(thread: pthread_t, policy: *mut c_int, parameters: *mut sched_param) -> c_int {
        match target(thread) {
            Some(target) => errno::code(sched::scheduling(target).map(|it| {
                *policy = it.policy;
                (*parameters).sched_priority = it.priority;
            })),
            None => real()(thread, policy, parameters),
        }
    }

    #[unchecked = "not declared"]
    fn pthread_setschedparam(thread: pthread_t, policy: c_int, parameters: *const sched_param) -> c_int {
        match target(thread) {
            Some(target) => errno::code(
                priority(parameters).and_then(|priority| sched::set_scheduling(target, policy, priority))
            ),
            None => real()(thread, policy, parameters),
        }
    }

    fn pthread_setschedprio(thread: pthread_t, priority: c_int) -> c_int {
        match target(thread) {
            Some(target) => errno::code(
                sched::scheduling(target).and_then(|it| sched::set_scheduling(target, it.policy, priority))
            ),
            None => real()(thread, priority),
        }
    }

    fn pthread_getaffinity_np(thread: pthread_t, size: size_t, set: *mut cpu_set_t) -> c_int {
        match target(thread) {
            Some(target) => errno::code(affinity(target, size, set)),
            None => real()(thread, size, set),
        }
    }

    fn pthread_setaffinity_np(thread: pthread_t, size: size_t, set: *const cpu_set_t) -> c_int {
        match target(thread) {
            Some(target) => errno::code(sched::set_affinity(target, size, set.cast())),
            None => real()(thread, size, set),
        }
    }

    fn sched_getaffinity(pid: pid_t, size: size_t, set: *mut cpu_set_t) -> c_int {
        match sched::by_tid(pid) {
            Some(target) => errno::from(affinity(target, size, set)),
            None => real()(pid, size, set),
        }
    }

    fn sched_setaffinity(pid: pid_t, size: size_t, set: *const cpu_set_t) -> c_int {
        match sched::by_tid(pid) {
            Some(target) => errno::from(sched::set_affinity(target, size, set.cast())),
            None => real()(pid, size, set),
        }
    }

    #[also(__sched_getscheduler)]
    fn sched_getscheduler(pid: pid_t) -> c_int {
        match sched::by_tid(pid) {
            Some(target) => errno::from(sched::scheduling(target).map(|it| it.policy)),
            None => real()(pid),
        }
    }

    #[also(__sched_setscheduler)]
    fn sched_setscheduler(pid: pid_t, policy: c_int, parameters: *const sched_param) -> c_int {
        match sched::by_tid(pid) {
            Some(target) => errno::from(
                priority(parameters).and_then(|priority| sched::set_scheduling(target, policy, priority))
            ),
            None => real()(pid, policy, parameters),
        }
    }

    #[also(__sched_getparam)]
    fn sched_getparam(pid: pid_t, parameters: *mut sched_param) -> c_int {
        match sched::by_tid(pid) {
            Some(target) if !parameters.is_null() => errno::from(
                sched::scheduling(target).map(|it| (*parameters).sched_priority = it.priority)
            ),
            _ => real()(pid, parameters),
        }
    }

    fn sched_setparam(pid: pid_t, parameters: *const sched_param) -> c_int {
        match sched::by_tid(pid) {
            Some(target) => errno::from(priority(parameters).and_then(|priority| {
                sched::scheduling(target).and_then(|it| sched::set_scheduling(target, it.policy, priority))
            })),
            None => real()(pid, parameters),
        }
    }

    fn sched_rr_get_interval(pid: pid_t, time: *mut timespec) -> c_int {
        match sched::by_tid(pid) {
            Some(target) if !time.is_null() => errno::from(sched::interval(target, time)),
            _ => real()(pid, time),
        }
    }

    fn getpriority(which: libc::__priority_which_t, who: libc::id_t) -> c_int {
        match by_priority(which, who) {
            Some(target) => errno::from(sched::nice(target)),
            None => real()(which, who),
        }
    }

    fn setpriority(which: libc::__priority_which_t, who: libc::id_t, value: c_int) -> c_int {
        match by_priority(which, who) {
            Some(target) => errno::from(sched::set_nice(target, value)),
            None => real()(which, who, value),
        }
    }

    fn nice(more: c_int) -> c_int {
        match this() {
            Some(g) => errno::from(sched::add_nice(g, more)),
            None => real()(more),
        }
    }

    fn getrusage(who: c_int, usage: *mut libc::rusage) -> c_int {
        let answer = real()(who, usage);
        if answer == 0 && who == libc::RUSAGE_THREAD && let Some(g) = this() {
            sched::own_times(g, &mut *usage);
        }
        answer
    }

    fn clock_gettime(clock: clockid_t, time: *mut timespec) -> c_int {
        match sched::of_clock(clock) {
            Some(target) => {
                *time = sched::processor_time(target);
                0
            }
            None => real()(clock, time),
        }
    }
}
