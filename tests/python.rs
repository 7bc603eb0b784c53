//! CPython's threads: `threading`, `queue`, executors, socketserver, selectors, subprocess, signals, Ctrl-C.

use std::fs;
use std::os::unix::process::ExitStatusExt;
use std::time::{Duration, Instant};

use crate::common::python::{pythons, script};
use crate::common::{Outcome, Program, Running};

/// One test per script of `tests/progs/python/`: the same as bare, and green.
macro_rules! scripts {
    ($($name:ident),* $(,)?) => {
        $(#[test]
        fn $name() {
            for python in pythons() {
                script(python, stringify!($name)).green();
            }
        })*
    };
}

scripts!(
    executor,
    gil,
    primitives,
    queues,
    readiness,
    signals,
    sleep_order,
    socket_timeouts,
    subprocesses,
    tcp_server,
);

#[test]
fn thread_ends() {
    for python in pythons() {
        let outcome = script(python, "thread_ends").same();
        assert_eq!(outcome.status.code(), Some(7), "{outcome}");
        let stats = outcome.stats();
        assert!(stats.threads > stats.finished && stats.native == 0, "daemons are left\n{outcome}");
    }
}

/// It ends by `_exit` in the watchdog's own thread: no line of counters.
#[test]
fn watchdog() {
    for python in pythons() {
        let outcome = script(python, "watchdog").same();
        assert_eq!(outcome.status.code(), Some(1), "{outcome}");
    }
}

/// What its threads, the library's own helpers aside, have done so far; None if one of them runs.
fn at_rest(run: &Running) -> Option<String> {
    let mut seen = String::new();
    for task in fs::read_dir(format!("/proc/{}/task", run.pid())).expect("it lives").flatten() {
        let status = fs::read_to_string(task.path().join("status")).ok()?;
        if status.starts_with("Name:\teventlet-") {
            continue;
        }
        if !status.contains("\nState:\tS") {
            return None;
        }
        seen.extend(status.lines().filter(|line| line.contains("ctxt_switches")));
    }
    Some(seen)
}

/// Until all its threads sleep at one moment: at rest twice, and none ran between the two.
fn until_asleep(run: &Running) {
    let limit = Instant::now() + Duration::from_secs(30);
    while at_rest(run).is_none_or(|first| at_rest(run) != Some(first)) {
        assert!(Instant::now() < limit, "it never waits");
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// Ctrl-C once it waits.
fn interrupt(program: &Program, preload: bool) -> (usize, Outcome) {
    let mut run = program.start(preload);
    assert_eq!(run.line(), "waiting");
    until_asleep(&run);
    let tasks = run.tasks();
    run.kill(libc::SIGINT);
    (tasks, run.ended())
}

fn ctrl_c(wait: &str) {
    for python in pythons() {
        let alone = script(python, "ctrl_c").arg(wait);
        for program in [alone.clone(), alone.arg("beside")] {
            let (_, bare) = interrupt(&program, false);
            let (tasks, preloaded) = interrupt(&program, true);
            let expected = format!("KeyboardInterrupt in {wait}\nthen True\n");
            assert_eq!(bare.text(), expected, "bare {program:?}\n{bare}");
            assert_eq!(preloaded.text(), expected, "{program:?}\n{preloaded}");
            assert_eq!(preloaded.errors(), bare.errors(), "{program:?}");
            assert_eq!(bare.status.signal(), Some(libc::SIGINT), "{bare}");
            assert_eq!(preloaded.status, bare.status, "{program:?}\n{preloaded}");
            assert!(tasks <= 3, "{program:?}: {tasks} kernel threads");
        }
    }
}

/// One test per wait of `ctrl_c.py`.
macro_rules! ctrl_c {
    ($($test:ident: $wait:literal),* $(,)?) => {
        $(#[test]
        fn $test() {
            ctrl_c($wait);
        })*
    };
}

ctrl_c!(
    ctrl_c_in_accept: "accept",
    ctrl_c_in_child: "child",
    ctrl_c_in_condition: "condition",
    ctrl_c_in_event: "event",
    ctrl_c_in_future: "future",
    ctrl_c_in_join: "join",
    ctrl_c_in_lock: "lock.acquire",
    ctrl_c_in_queue: "queue.get",
    ctrl_c_in_queue_with_timeout: "queue.get timeout",
    ctrl_c_in_read: "read",
    ctrl_c_in_recv: "recv",
    ctrl_c_in_recv_with_timeout: "recv timeout",
    ctrl_c_in_select: "select",
    ctrl_c_in_serve_forever: "serve",
    ctrl_c_in_simple_queue: "simple queue",
    ctrl_c_in_sleep: "sleep",
    ctrl_c_in_stdin: "stdin",
);
