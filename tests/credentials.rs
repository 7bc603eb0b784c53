//! Whose files, whose rights: of one thread, or of all.

cases!("credentials.c": files, numbers, heirs, given_up, for_everybody);

#[test]
fn told_while_computing() {
    crate::common::Program::of("credentials.c")
        .arg("told_while_computing")
        .env("EVENTLET_PREEMPT", "0")
        .green();
}
