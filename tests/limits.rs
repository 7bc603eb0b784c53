//! Limits, and what happens when the library cannot do its work.

use std::os::unix::process::ExitStatusExt;

use crate::common::Program;

/// The layout check fails; guards are made by mprotect, as on older kernels: see src/kernel/options.rs.
const LAYOUT: &str = "1";
const NO_GUARD_INSTALL: &str = "8";

cases!("limits.c": asked_for, too_many);

/// Stacks of a program that has code there.
mod stack_code {
    cases!("stack_code.c": called);
}

#[test]
fn an_overflow_says_whose_stack_it_was() {
    let overflow = Program::of("limits.c").arg("overflowing");
    assert_eq!(overflow.bare().status.signal(), Some(libc::SIGSEGV));
    for fault in ["0", NO_GUARD_INSTALL] {
        let green = overflow.clone().env("EVENTLET_FAULT", fault).preloaded();
        assert_eq!(green.status.signal(), Some(libc::SIGSEGV), "{green}");
        let [line] = green.errors().lines().collect::<Vec<_>>()[..] else { panic!("{green}") };
        assert!(line.contains("overflowed") && line.contains("128 KiB"), "{green}");
    }
}

#[test]
fn an_overflow_that_is_handled_is_the_programs() {
    let outcome = Program::of("limits.c").arg("recovered").green();
    assert!(outcome.errors().lines().all(|line| line.starts_with("eventlet: stats")), "{outcome}");
}

/// glibc's layout is not what we know: real threads, said once, and the program is right.
#[test]
fn an_unknown_layout_leaves_real_threads() {
    for (source, case) in [("mutex.c", "contended"), ("cond.c", "hand_over"), ("thread_identity.c", "errnos")]
    {
        let program = Program::of(source).arg(case);
        let (bare, real) = (program.bare(), program.clone().env("EVENTLET_FAULT", LAYOUT).preloaded());
        assert_eq!((bare.text(), bare.status), (real.text(), real.status), "{bare}\n{real}");
        assert_eq!(real.errors().lines().count(), 1, "{real}");
        let stats = real.stats();
        assert!(stats.threads == 0 && stats.native > 0, "{real}");
    }
}
