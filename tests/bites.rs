//! The tests bite: with a row removed from the library, or with a park that does not wait, the programs that claim to
//! cover it do not pass. Each entry names the row and a case that passes with the whole library.

mod common;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use common::{Program, without};

/// A run that hangs bites as well; the whole library needs a fraction of this.
const LIMIT: Duration = Duration::from_secs(2);

/// libc's code stays as it is: else the function beneath a removed row leads to another row. See
/// src/kernel/options.rs.
const NO_DEEP: &str = "64";

/// What a test of `program` says: not green, not the same as bare, or over its limit.
fn bite(program: Program) {
    let program = program.limit(LIMIT).env("EVENTLET_PREEMPT", "0").env("EVENTLET_FAULT", NO_DEEP);
    let passes = catch_unwind(AssertUnwindSafe(|| program.green())).is_ok();
    assert!(!passes, "{program:?} passes");
}

macro_rules! rows {
    ($($source:literal: { $($row:ident: $case:literal),* $(,)? })*) => {
        mod without_row {
            use super::{Program, bite, without};

            $($(#[test]
            fn $row() {
                bite(Program::of($source).arg($case).under(without(&[stringify!($row)])));
            })*)*
        }
    };
}

rows! {
    "pthread/c11.c": {
        thrd_create: "thrd_join_", thrd_yield: "thrd_yield_", mtx_unlock: "mtx_lock_", cnd_signal: "cnd_wait_",
        cnd_broadcast: "cnd_timedwait_", call_once: "call_once_",
    }
    "pthread/by_thread.c": {
        pthread_getschedparam: "pthread_setschedparam_", pthread_setschedparam: "pthread_setschedparam_",
        pthread_setschedprio: "pthread_setschedparam_", sched_getscheduler: "sched_setscheduler_",
        sched_setscheduler: "sched_setscheduler_", sched_getparam: "sched_setscheduler_",
        sched_setparam: "sched_setscheduler_", pthread_getaffinity_np: "pthread_setaffinity_np_",
        pthread_setaffinity_np: "pthread_setaffinity_np_", sched_getaffinity: "pthread_setaffinity_np_",
        sched_setaffinity: "pthread_setaffinity_np_", pthread_getcpuclockid: "pthread_getcpuclockid_",
        clock_gettime: "pthread_getcpuclockid_",
    }
    "sleeps.c": { sleep: "seconds", usleep: "micro", nanosleep: "nano", clock_nanosleep: "deadline", thrd_sleep: "c11" }
}
