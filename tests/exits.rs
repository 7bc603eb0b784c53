//! How the process ends while threads live, what threads still do at their own end, and pools that stay real.

use std::os::unix::process::ExitStatusExt;

use crate::common::Program;

cases!("pthread/exits.c": joins_at_exit, returns, threads_at_exit, detached_alive, new_values, busy_destructors,
    join_waits, main_leaves);

#[test]
fn exit_from_another() {
    let outcome = Program::of("pthread/exits.c").arg("exit_from_another").same();
    assert_eq!(outcome.status.code(), Some(5), "{outcome}");
}

#[test]
fn killed() {
    let outcome = Program::of("pthread/exits.c").arg("killed").same();
    assert_eq!(outcome.status.signal(), Some(libc::SIGTERM), "{outcome}");
}

#[test]
fn faults() {
    let outcome = Program::of("pthread/exits.c").arg("faults").same();
    assert_eq!(outcome.status.signal(), Some(libc::SIGSEGV), "{outcome}");
}

mod locals {
    cases!("pthread/locals.cpp": waits, many, of_main, at_thread_exit, async_tasks);
}

/// libgomp's own threads are real, and so they say in the counters; the program's are green.
fn openmp(case: &str, pool: u64) {
    let outcome = Program::made_with("pthread/openmp.c", &["-fopenmp"]).arg(case).same();
    let stats = outcome.stats();
    assert!(outcome.status.success() && stats.threads > 0 && stats.native == pool, "{outcome}");
}

#[test]
fn pool_wakes() {
    openmp("pool_wakes", 3);
}

/// What a pool makes while the hub waits for it is real.
#[test]
fn pool_makes() {
    let program = Program::made_with("pthread/openmp.c", &["-fopenmp"]).env("OMP_WAIT_POLICY", "passive");
    let outcome = program.arg("pool_makes").same();
    assert!(outcome.status.success(), "{outcome}");
}

#[test]
fn pools_in_threads() {
    openmp("pools_in_threads", 8);
}
