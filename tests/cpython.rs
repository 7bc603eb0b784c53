//! CPython's own tests of its threads, as Debian packages them, run by Debian's interpreter: each test ends as bare. None
//! of them needs more than one processor at a time, so there is no list of exceptions.

mod common;

use std::collections::BTreeSet;
use std::time::Duration;

use common::{Outcome, Program};

/// Some tests run children and look at all that these print: the counters are for the first process alone.
const RUN: &str = "
import os, sys, unittest
os.environ.pop('EVENTLET_STATS', None)
unittest.main(module=None, argv=['unittest', '-v', sys.argv[1]])
";

/// `test (where) ... ok`, one line per test.
fn verdicts(outcome: &Outcome) -> BTreeSet<String> {
    let said = String::from_utf8_lossy(&outcome.stderr);
    said.lines().filter(|line| line.contains(" ... ")).map(str::to_owned).collect()
}

/// Both run at once: mostly they sleep.
fn as_bare(module: &str, least: usize) {
    let limit = Duration::from_secs(150);
    let tests = Program::new("/usr/bin/python3").arg("-c").arg(RUN).arg(module).limit(limit);
    let bare = tests.start(false);
    let (green, bare) = (tests.preloaded(), bare.finish());
    let (expected, found) = (verdicts(&bare), verdicts(&green));
    assert!(expected.len() >= least, "libpython3.11-testsuite is missing?\n{bare}");
    let differ: Vec<&String> = expected.symmetric_difference(&found).collect();
    assert!(differ.is_empty() && bare.status == green.status, "{differ:#?}\n{green}");
    let stats = green.stats();
    assert!(stats.threads > 0 && stats.native == 0, "{green}");
}

#[test]
fn test_thread() {
    as_bare("test.test_thread", 20);
}

#[test]
fn test_threading() {
    as_bare("test.test_threading", 180);
}

#[test]
fn test_threading_local() {
    as_bare("test.test_threading_local", 20);
}

#[test]
fn test_queue() {
    as_bare("test.test_queue", 50);
}
