//! The programs of `eventlet.h` under AddressSanitizer and UndefinedBehaviorSanitizer: they take no green stack for
//! another, and find a program's mistakes in green threads.

use std::path::PathBuf;

use crate::common::{Program, linked_with};
use crate::valgrind::RUNS;

fn program(name: &str) -> PathBuf {
    let flags = ["-g", "-fsanitize=address,undefined", "-fno-sanitize-recover=undefined"];
    linked_with(&format!("tests/progs/capi/{name}.c"), &format!("sanitized-{name}"), &flags)
}

#[test]
fn programs_are_clean() {
    for (name, _, cases) in RUNS {
        for groups in ["none", "all"] {
            let program = cases.split(' ').fold(Program::new(program(name)), Program::arg);
            let outcome = program.env("EVENTLET_PATCH", groups).env("EVENTLET_DETECT", "1").bare();
            let done: String = cases.split(' ').map(|case| format!("{case} done\n")).collect();
            let clean = outcome.status.success() && outcome.text().ends_with(&done);
            assert!(clean && !outcome.errors().contains("Sanitizer"), "{name}\n{outcome}");
        }
    }
}

#[test]
fn mistakes_are_found() {
    for (case, said) in [
        ("heap", "heap-buffer-overflow"),
        ("stack", "stack-buffer-overflow"),
        ("number", "signed integer overflow"),
    ] {
        for groups in ["none", "all"] {
            let outcome = Program::new(program("mistakes")).arg(case).env("EVENTLET_PATCH", groups).bare();
            assert!(!outcome.status.success() && outcome.errors().contains(said), "{case}\n{outcome}");
        }
    }
}
