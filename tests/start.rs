//! The beginning and the end of a process.

use crate::common::Program;

#[test]
fn rows_work_before_the_constructor_and_after_main() {
    let outcome = Program::of("early.c").same();
    assert_eq!(outcome.text().lines().count(), 4, "{outcome}");
    assert_eq!(outcome.status.code(), Some(3));
}

#[test]
fn main_leaves_while_others_go_on() {
    for case in ["alone", "before_others", "thrd", "cancelled"] {
        let outcome = Program::of("leave.c").arg(case).same();
        assert!(outcome.status.success() && outcome.text().contains("atexit"), "{case}\n{outcome}");
    }
}
