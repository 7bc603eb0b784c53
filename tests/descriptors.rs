//! Descriptors that end while somebody waits there, the library's own, which must not end, and a listener that
//! others share.

cases!("batch.c": all, for_one, stream, full, wrong);
cases!("closing.c": all_closed, large_select, high_numbers);

mod too_many {
    cases!("too_many.c": accepts, makes, passes);

    /// Without io_uring.
    #[test]
    fn accepts_by_mode() {
        crate::common::Program::of("too_many.c").arg("accepts").env("EVENTLET_FAULT", "16").green();
    }
}

mod passed {
    cases!("passed.c": kinds, many, to_child, credentials, records);
}

cases!("answers.c": swapped, cancelled, shared);

/// Most answers are there when their reader comes to look: it does not park, the poller is not asked.
#[test]
fn answers() {
    for case in ["pipes", "events"] {
        let outcome = crate::common::Program::of("answers.c").arg(case).green();
        assert!(outcome.stats().parks < 5_000, "{case} parks at every turn: {outcome}");
    }
}

/// Needs io_uring: without it, accept makes the listener non-blocking for the length of the call.
#[test]
fn shared_accept() {
    crate::common::Program::of("shared_accept.c").green();
}

/// With io_uring and RWF_NOWAIT, and without: `EVENTLET_FAULT` says which is missing.
#[test]
fn streams() {
    for (seed, fault) in [("1", "0"), ("2", "4"), ("3", "16"), ("4", "20")] {
        crate::common::Program::of("streams.c").arg(seed).env("EVENTLET_FAULT", fault).green();
    }
}

/// The bare kernel leaves these waiters asleep for ever; here they are told (DESIGN, section 6).
fn told(case: &str, expected: &[&str]) {
    let outcome = crate::common::Program::of("closing.c").arg(case).preloaded();
    assert!(outcome.status.success(), "{outcome}");
    for line in expected {
        assert!(outcome.text().lines().any(|seen| seen == *line), "{line} is missing: {outcome}");
    }
}

macro_rules! told {
    ($($case:ident: $($line:literal),+;)*) => {
        $(#[test]
        fn $case() {
            told(stringify!($case), &[$($line),+]);
        })*
    };
}

told! {
    wakes_by_close: "read(ends[1], buffer, sizeof buffer): -1 EBADF";
    wakes_reused: "read(ends[1], buffer, sizeof buffer): -1 EBADF", "read(fresh[0], buffer, sizeof buffer): 11";
    wakes_by_dup2: "read(ends[1], buffer, sizeof buffer): -1 EBADF";
    wakes_by_fclose: "read(ends[1], buffer, sizeof buffer): -1 EBADF";
    wakes_by_range: "read(ends[1], buffer, sizeof buffer): -1 EBADF";
    wakes_by_closefrom: "read(ends[1], buffer, sizeof buffer): -1 EBADF";
    wakes_by_handler: "read(ends[1], buffer, sizeof buffer): -1 EBADF";
    wakes_by_foreign: "read(ends[1], buffer, sizeof buffer): -1 EBADF";
    wakes_poll: "poll(&one, 1, -1): 1", "invalid: 1";
    wakes_by_mq_close: "poll(&one, 1, -1): 1", "invalid: 1";
}
