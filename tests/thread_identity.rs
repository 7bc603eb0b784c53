//! Each green thread is somebody: what glibc keeps per thread is its own.

use crate::common::{Outcome, Program};

cases!("thread_identity.c": errnos, program, tid, keys_own, keys_again, keys_waiting, rounding, locales, messages, names, shared);

#[test]
fn thread_self() {
    Program::of("thread_identity.c").arg("self").green();
}

fn with_library(case: &str, name: &str, flags: &[&str]) {
    let library = crate::common::shared("tls_library.c", name, flags);
    Program::of("thread_identity.c").arg(case).env("LIBRARY", library).green();
}

const STATIC_TLS: [&str; 2] = ["-ftls-model=initial-exec", "-DSIZE=64"];

#[test]
fn a_library_opened_before() {
    with_library("library_before", "tls_library.so", &[]);
}

#[test]
fn a_library_opened_while_threads_live() {
    with_library("library_after", "tls_library.so", &[]);
}

#[test]
fn static_tls_of_a_library_opened_before() {
    with_library("library_before", "tls_static_library.so", &STATIC_TLS);
}

#[test]
fn static_tls_of_a_library_opened_while_threads_live() {
    with_library("library_after", "tls_static_library.so", &STATIC_TLS);
}

/// 100,000 threads. Resident memory may grow by a MiB after the first 10,000: 12 bytes for each of the others.
fn flat(case: &str) {
    let churn = Program::of("churn.c").arg(case);
    let (bare, green) = (churn.bare(), churn.preloaded());
    assert_eq!((bare.text(), bare.status), (green.text(), green.status), "{bare}\n{green}");
    assert_eq!(green.stats().finished, 100_000, "{green}");
    let (first, last) = resident(&green);
    assert!(last <= first + 1024, "{first} KiB after the first round, {last} KiB at the end");
}

fn resident(outcome: &Outcome) -> (u64, u64) {
    let numbers =
        outcome.errors().split_whitespace().filter_map(|word| word.parse().ok()).collect::<Vec<_>>();
    let [first, last] = numbers[..] else { panic!("{outcome}") };
    (first, last)
}

#[test]
fn memory_is_flat() {
    flat("plain");
}

#[test]
fn memory_that_libc_keeps_is_flat() {
    flat("with_libc");
}
