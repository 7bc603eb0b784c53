//! What a program starts, in every way, and what it becomes by exec.

use std::os::unix::process::ExitStatusExt;

use crate::common::{Program, eventlet};

cases!("execs.c": heirs, failing, spawned, by_shells, becomes_by_execve, becomes_by_fexecve, becomes_by_execveat);

/// The signal that waits for the thread waits for the program that it becomes.
#[test]
fn replaced() {
    for case in ["replaced", "replaced_by_main"] {
        let outcome = Program::of("execs.c").arg(case).same();
        assert_eq!(outcome.status.signal(), Some(libc::SIGINT), "{outcome}");
    }
}

/// EVENTLET_CHILDREN=0: they find what they find without us.
#[test]
fn children_do_not_inherit_the_library() {
    Program::of("execs.c").arg("library").env("EVENTLET_CHILDREN", "0").green();
}

#[test]
fn children_inherit_the_library() {
    let outcome = Program::of("execs.c").arg("library").preloaded();
    let own = format!("program's, LD_PRELOAD {}, entered 1\n", eventlet().display());
    assert_eq!(outcome.text().matches(&own).count(), 2 * 14, "{outcome}");
}

/// Other libraries stay where they are.
#[test]
fn the_rest_of_the_list_stays() {
    let own = eventlet().display();
    for (list, rest) in [
        (format!("{own}"), "none"),
        (format!("{own}:libm.so.6"), "libm.so.6"),
        (format!(" libm.so.6  {own}::{own}"), "libm.so.6"),
        (format!("libm.so.6:{own} libdl.so.2"), "libm.so.6:libdl.so.2"),
    ] {
        let program = Program::of("execs.c").arg("library").env("EVENTLET_CHILDREN", "0");
        let outcome = program.env("LD_PRELOAD", &list).bare();
        let said = format!("program's, LD_PRELOAD {rest}, entered 0\n");
        assert_eq!(outcome.text().matches(&said).count(), 2 * 14, "{list}: {outcome}");
    }
}
