//! The test house itself: it must notice what it is there to notice.

use std::os::unix::process::ExitStatusExt;
use std::panic::{UnwindSafe, catch_unwind};
use std::time::Duration;

use crate::common::Program;

fn case(name: &str) -> Program {
    Program::of("harness.c").arg(name)
}

fn message_of(failing: impl FnOnce() + UnwindSafe) -> String {
    *catch_unwind(failing).expect_err("no failure").downcast::<String>().expect("a message")
}

#[test]
fn a_hang_is_reported_and_killed() {
    let hanging = case("hang").limit(Duration::from_millis(500));
    let message = message_of(|| drop(hanging.bare()));
    assert!(message.contains("over its time limit") && message.contains("before the hang"), "{message}");
    assert!(message.contains("harness"), "names its threads: {message}");
}

#[test]
fn a_child_that_keeps_stdout_is_a_hang() {
    let orphan = case("orphan").limit(Duration::from_millis(500));
    assert!(message_of(|| drop(orphan.bare())).contains("over its time limit"));
}

#[test]
fn a_difference_is_noticed() {
    assert!(message_of(|| drop(case("differ").same())).contains("differs"));
}

#[test]
fn a_program_without_threads_is_not_green() {
    message_of(|| drop(case("cat").green()));
}

#[test]
fn a_signal_is_a_status() {
    assert_eq!(case("fall").bare().status.signal(), Some(libc::SIGUSR1));
}

#[test]
fn megabytes_pass_through() {
    let bytes: Vec<u8> = (0..4 << 20).map(|i: u32| (i % 251) as u8).collect();
    let outcome = case("cat").input(&bytes).bare();
    let (head, tail) = outcome.stdout.split_at(bytes.len());
    assert!(head == bytes && tail == b"cat done\n");
}

#[test]
fn a_conversation() {
    let mut cat = case("cat").start(false);
    assert_eq!(cat.ask("one"), "one");
    assert_eq!(cat.ask("two"), "two");
    assert_eq!(cat.tasks(), 1);
    assert!(cat.finish().status.success());
}
