//! C++ programs: the standard library's threads, and exceptions across waits.

use std::os::unix::process::ExitStatusExt;

use crate::common::Program;

cases!("standard.cpp": threads, mutexes, conditions, futures, at_thread_exit, once_flags, local_static, thread_locals,
    atomics, meeting_points, stopping);
cases!("exceptions.cpp": rethrown, under_way, carried, far, thread_exit);

fn terminates(case: &str) {
    let outcome = Program::of("exceptions.cpp").arg(case).same();
    assert_eq!(outcome.status.signal(), Some(libc::SIGABRT), "{outcome}");
}

#[test]
fn uncaught_exception() {
    terminates("uncaught");
}

#[test]
fn exception_meets_noexcept() {
    terminates("no_except");
}
