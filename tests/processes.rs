//! Children of a program with green threads.

use crate::common::Program;

cases!("processes.c": waits, each_its_own, forked, handlers, started, vfork_closes, spawn_closes);

/// Waiting for them in every form.
mod children {
    cases!("children.c": any, groups, stopped, many, actions, interrupted, descriptors);
}

/// By rarer flags, and of children of other kinds.
mod wait_flags {
    cases!("wait_flags.c": looking, cloned, own, traced, grandchild);
}

/// The program that exec puts in its place has its own counters.
#[test]
fn replaced() {
    let outcome = Program::of("processes.c").arg("replaced").same();
    assert_eq!(outcome.status.code(), Some(8), "{outcome}");
}
