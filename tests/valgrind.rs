//! The programs of `eventlet.h` under Valgrind's memcheck: no invalid access, no undefined value, nothing lost, and no
//! stack that it takes for another. And what it does find in green threads and with handles.

use std::path::Path;
use std::time::Duration;

use crate::common::{Outcome, Program};

/// The status of a run with errors.
const ERRORS: i32 = 99;

/// Whether what is lost counts. It does not where the process forks: what others had is lost in the child.
#[derive(Clone, Copy, PartialEq)]
pub enum Lost {
    Counts,
    Is,
}

/// Programs and their cases. Left out: what makes thousands of threads, and what depends on how the kernel shares the time
/// among real ones.
pub const RUNS: [(&str, Lost, &str); 13] = [
    ("raise", Lost::Counts, "caught in_threads pthread_exits not_now"),
    ("handles", Lost::Counts, "none foreign let_go"),
    ("timeout", Lost::Counts, "raised bound cancelled with others taken_along many"),
    ("sync", Lost::Counts, "events semaphores"),
    ("queue", Lost::Counts, "orders bounded fair not_lost late channel joined deleted"),
    ("pool", Lost::Counts, "bounded slots empty mapped piled"),
    ("thread", Lost::Counts, "order waiters after cancelled killed links current cooperative"),
    ("thread", Lost::Is, "forked child_ends"),
    ("net", Lost::Counts, "inet local reuse defaults errors everywhere numbers"),
    ("tpool", Lost::Counts, "many parked raised killed"),
    ("tpool", Lost::Is, "forked"),
    ("inspect", Lost::Counts, "dump"),
    ("serve", Lost::Counts, "limited ends timeouts errors full anywhere"),
];

fn checked(program: &Path, cases: &str, lost: Lost) -> Program {
    const SUPPRESSIONS: &str = concat!("--suppressions=", env!("CARGO_MANIFEST_DIR"), "/tests/valgrind.supp");
    let kinds = if lost == Lost::Counts { "definite" } else { "none" };
    let valgrind = Program::new("valgrind").limit(Duration::from_secs(300));
    let valgrind =
        valgrind.arg(format!("--error-exitcode={ERRORS}")).arg("--leak-check=full").arg(SUPPRESSIONS);
    let valgrind = valgrind.arg("--show-leak-kinds=definite").arg(format!("--errors-for-leak-kinds={kinds}"));
    cases.split(' ').fold(valgrind.arg(program), Program::arg).env("EVENTLET_DETECT", "1")
}

fn program(name: &str) -> std::path::PathBuf {
    crate::common::linked(&format!("tests/progs/capi/{name}.c"), &format!("capi-{name}"))
}

fn all_are_clean(run: fn(&Program) -> Outcome) {
    for (name, lost, cases) in RUNS {
        let outcome = run(&checked(&program(name), cases, lost));
        let done: String = cases.split(' ').map(|case| format!("{case} done\n")).collect();
        assert!(outcome.status.success() && outcome.text().ends_with(&done), "{name}\n{outcome}");
        assert!(!outcome.errors().contains("client switching stacks"), "{name}\n{outcome}");
    }
}

#[test]
fn linked() {
    all_are_clean(Program::bare);
}

#[test]
fn patched() {
    all_are_clean(|program| program.clone().env("EVENTLET_PATCH", "all").bare());
}

#[test]
fn preloaded() {
    all_are_clean(Program::preloaded);
}

#[test]
fn mistakes_are_found() {
    for (case, said) in [
        ("heap", "Invalid write of size 1"),
        ("value", "depends on uninitialised value"),
        ("released", "Invalid read of size"),
        ("forgotten", "definitely lost in loss record"),
    ] {
        let outcome = checked(&program("mistakes"), case, Lost::Counts).bare();
        assert_eq!(outcome.status.code(), Some(ERRORS), "{case}\n{outcome}");
        assert!(outcome.errors().contains(said), "{case}\n{outcome}");
    }
}
