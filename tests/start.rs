//! The beginning and the end of a process.

mod common;

use common::Program;

#[test]
fn rows_work_before_the_constructor_and_after_main() {
    let outcome = Program::of("early.c").same();
    assert_eq!(outcome.text().lines().count(), 4, "{outcome}");
    assert_eq!(outcome.status.code(), Some(3));
}
