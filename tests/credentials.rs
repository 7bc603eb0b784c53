//! Whose files, whose rights: of one thread, or of all.

use crate::common::Program;

cases!("credentials.c": files, numbers, groups, capabilities, heirs, given_up, for_everybody, crowd);

#[test]
fn told_while_computing() {
    Program::of("credentials.c").arg("told_while_computing").env("EVENTLET_PREEMPT", "0").green();
}

/// What one thread changes and all have: each call does what it does in the bare program, and the log names it once, if
/// it was allowed.
#[test]
fn everybodys() {
    const CASES: [(&str, &[&str]); 12] = [
        ("unshared", &["unshare"]),
        ("unshared_by_number", &["unshare"]),
        ("entered", &["setns"]),
        ("domain", &["personality"]),
        ("slack", &["prctl(PR_SET_TIMERSLACK)"]),
        ("parent", &["prctl(PR_SET_PDEATHSIG)"]),
        ("keyring", &["keyctl(KEYCTL_JOIN_SESSION_KEYRING)"]),
        ("io_priority", &["ioprio_set"]),
        ("ports", &["ioperm"]),
        ("filtered", &["prctl(PR_SET_NO_NEW_PRIVS)", "seccomp"]),
        ("nothing", &[]),
        ("alone", &[]),
    ];
    const END: &str = " by one thread holds for all threads";
    for (case, names) in CASES {
        let program = Program::of("everybody.c").arg(case);
        let allowed = program.green().text().contains("answer: 0");
        let expected: &[&str] = if allowed { names } else { &[] };
        let outcome = program.env("EVENTLET_LOG", "1").preloaded();
        let said = outcome.errors().lines().filter_map(|line| line.strip_suffix(END));
        let said: Vec<&str> = said.filter_map(|line| line.strip_prefix("eventlet: ")).collect();
        assert_eq!(said, expected, "{outcome}");
    }
}
