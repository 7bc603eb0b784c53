//! Limits, and what happens when the library cannot do its work.

#[macro_use]
mod common;

use std::os::unix::process::ExitStatusExt;

use common::Program;

cases!("limits.c": asked_for, too_many);

#[test]
fn an_overflow_says_whose_stack_it_was() {
    let overflow = Program::of("limits.c").arg("overflowing");
    let (bare, green) = (overflow.bare(), overflow.preloaded());
    assert_eq!(
        (bare.status.signal(), green.status.signal()),
        (Some(libc::SIGSEGV), Some(libc::SIGSEGV)),
        "{green}"
    );
    let message = green.errors();
    assert!(
        message.lines().count() == 1 && message.contains("overflow") && message.contains("128"),
        "{green}"
    );
}

/// glibc's layout is not what we know: real threads, said once, and the program is right.
#[test]
fn an_unknown_layout_leaves_real_threads() {
    for (source, case) in [("mutex.c", "contended"), ("cond.c", "hand_over"), ("thread_identity.c", "errnos")]
    {
        let program = Program::of(source).arg(case);
        let (bare, real) = (program.bare(), program.clone().env("EVENTLET_FAULT", "1").preloaded());
        assert_eq!((bare.text(), bare.status), (real.text(), real.status), "{bare}\n{real}");
        assert_eq!(real.errors().lines().count(), 1, "{real}");
        let stats = real.stats();
        assert!(stats.threads == 0 && stats.native > 0, "{real}");
    }
}
