//! What waits for completions in io_uring or in the kernel's AIO lets the others go on, and answers as the kernel does.

use crate::common::Program;

mod uring {

    cases!("uring.c": waits, submits, by_enter, by_number, by_itself, deferred, interrupted, many);
}

mod aio {

    cases!("libaio.c": by_library, by_number, interrupted);
}

/// liburing comes with a library that is loaded late, out of sight of all others. Without preemption: nothing takes the hub
/// out of a wait that no row sees.
#[test]
fn late() {
    let plugin = crate::common::shared("uring_plugin.c", "uring_plugin.so", &[]);
    for case in ["linked", "by_handle", "both"] {
        let program = Program::of("uring_late.c").arg(case).env("LIBRARY", &plugin);
        program.env("EVENTLET_PREEMPT", "0").green();
    }
}
