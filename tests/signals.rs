//! Signals for the process while green threads wait, and for one thread; masks of each.

use std::process::ExitStatus;

use crate::common::{Outcome, Program};

cases!("signals.c": interrupted, restarted, not_interrupted, itimer);

mod thread_signals {
    cases!("thread_signals.c": directed, late, masks, to_who_wants_it, pending, raised, addressed, waiting, suspended,
        paused, jumping, jump_mask, alternates, timers);
}

/// What a signal tells of a descriptor is for the thread that owns it.
/// What a signal says of where it comes from.
mod sources {
    cases!("sources.c": to_a_handler, to_who_waits, to_who_reads, own);
}

mod owners {
    cases!("owners.c": handled, waited_for, changed);
}

mod old_signals {
    cases!("old_signals.c": masks, pausing, pausing_by_mask, by_signal, by_sysv_signal, by_sigset, by_sigvec, by_sigignore);
}

/// A signal ends a wait, and the wake-up comes before the thread had its turn.
mod overtaken {
    cases!("overtaken.c": condition, lock, read_write_lock, semaphore, meeting, ending, data);
}

/// Timers, what handlers may do, what signals do that nobody handles, and sleeps that they end.
mod timers {
    cases!("timers.c": alarms, posix_timers, signal_descriptor, flags, handlers, broken, defaults, sleepers,
        rests, timer_descriptor);
}

/// Handlers that wait: for a collector's go, for data, for threads at the program's end.
mod waiting_handlers {
    cases!("waiting_handlers.c": world, interrupts, nested, left, exits_from_pause, exits_from_work);
}

/// Those for the process reach main, each of them. (A busy kernel gives one in some thousands to another thread.)
#[test]
fn two_hundred() {
    let program = Program::of("timers.c").arg("two_hundred");
    let (bare, outcome) = (program.bare(), program.preloaded());
    assert!(bare.status.success(), "{bare}");
    assert_eq!(outcome.text(), "200 in main, 400\ntwo_hundred done\n", "{outcome}");
    assert!(outcome.status.success() && outcome.stats().green(), "{outcome}");
}

/// Both runs, each told `signals` from outside, one after the other was answered.
fn told(case: &str, signals: &[i32]) -> Outcome {
    let run = |preload| {
        let mut program = Program::of("signals.c").arg(case).start(preload);
        assert_eq!(program.line(), "ready");
        for signal in &signals[..signals.len() - 1] {
            program.kill(*signal);
            assert_eq!(program.line(), format!("signal {signal}"));
        }
        program.kill(signals[signals.len() - 1]);
        program.finish()
    };
    let (bare, green) = (run(false), run(true));
    assert_eq!((bare.text(), bare.status), (green.text(), green.status), "{bare}\n{green}");
    green
}

fn status(raw: i32) -> ExitStatus {
    std::os::unix::process::ExitStatusExt::from_raw(raw)
}

/// A signal that comes in the middle of a row's own work waits for its end: its handler may leave by siglongjmp.
#[test]
fn jumps() {
    crate::common::Program::of("jumps.c").green();
}

#[test]
fn handlers_hear_what_comes_from_outside() {
    let outcome = told("outside", &[libc::SIGINT, libc::SIGINT, libc::SIGTERM]);
    assert!(outcome.status.success() && outcome.stats().parks > 0, "{outcome}");
}

#[test]
fn interrupt_ends_it() {
    assert_eq!(told("by_default", &[libc::SIGINT]).status, status(libc::SIGINT));
}

#[test]
fn terminate_ends_it() {
    assert_eq!(told("by_default", &[libc::SIGTERM]).status, status(libc::SIGTERM));
}

#[test]
fn a_handler_may_exit() {
    assert_eq!(told("exit_in_handler", &[libc::SIGTERM]).status.code(), Some(libc::SIGTERM + 40));
}

/// Waits for signals that others do not block; what is ignored meanwhile; threads that a handler ends.
mod sigwaits {
    cases!("sigwaits.c": by_thread, by_child, handler, ignored, maker, dropped, left, while_main_waits);
}
