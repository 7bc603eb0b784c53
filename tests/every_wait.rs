//! Every call that reads or writes, on every kind of descriptor, and every end that its wait can have.

cases!("every_wait.c": fulfilled, drained, closed, shut, resets, interrupted, restarted, timed);

/// A kernel without RWF_NOWAIT on pipes (4), and without io_uring (16).
#[test]
fn an_older_kernel() {
    for case in ["fulfilled", "drained", "closed", "interrupted"] {
        crate::common::Program::of("every_wait.c").arg(case).env("EVENTLET_FAULT", "20").green();
    }
}
