//! CPython's own tests of its threads, signals and children, as Debian packages them, run by Debian's interpreter: each
//! test ends as bare. None of them needs more than one processor at a time, so there is no list of exceptions.

use std::collections::BTreeSet;
use std::time::Duration;

use crate::common::{Outcome, Program};

/// Some tests run children and look at all that these print: the counters are for the first process alone.
const RUN: &str = "
import atexit, os, tempfile, sys, unittest
os.environ.pop('EVENTLET_STATS', None)
home = tempfile.TemporaryDirectory()  # some tests put their files where they are, under one name
os.chdir(home.name)
atexit.register(os.chdir, '/')
class Loader(unittest.TestLoader):
    def getTestCaseNames(self, case):
        return [name for name in super().getTestCaseNames(case) if name not in sys.argv[2:]]
unittest.main(module=None, argv=['unittest', '-v', sys.argv[1]], testLoader=Loader())
";

/// `test (where) ... ok`, one line per test.
fn verdicts(outcome: &Outcome) -> BTreeSet<String> {
    let said = String::from_utf8_lossy(&outcome.stderr);
    said.lines().filter(|line| line.contains(" ... ")).map(str::to_owned).collect()
}

/// Both run at once: mostly they sleep. Gives the preloaded run.
fn alike(module: &str, least: usize, but: &[&str]) -> Outcome {
    let limit = Duration::from_secs(150);
    let tests = Program::new("/usr/bin/python3").arg("-c").arg(RUN).arg(module).limit(limit);
    let tests = but.iter().fold(tests, Program::arg);
    let bare = tests.start(false);
    let (green, bare) = (tests.preloaded(), bare.finish());
    let (expected, found) = (verdicts(&bare), verdicts(&green));
    assert!(expected.len() >= least, "libpython3.11-testsuite is missing?\n{bare}");
    let differ: Vec<&String> = expected.symmetric_difference(&found).collect();
    assert!(differ.is_empty() && bare.status == green.status, "{differ:#?}\n{green}");
    green
}

/// Of tests that make threads.
fn as_bare(module: &str, least: usize, but: &[&str]) {
    let green = alike(module, least, but);
    let stats = green.stats();
    assert!(stats.threads > 0 && stats.native == 0, "{green}");
}

#[test]
fn test_thread() {
    as_bare("test.test_thread", 20, &[]);
}

#[test]
fn test_threading() {
    as_bare("test.test_threading", 180, &[]);
}

#[test]
fn test_threading_local() {
    as_bare("test.test_threading_local", 20, &[]);
}

#[test]
fn test_queue() {
    as_bare("test.test_queue", 50, &[]);
}

/// But one that waits half a minute for a child that is killed then.
#[test]
fn test_signal() {
    as_bare("test.test_signal", 50, &["test_siginterrupt_off"]);
}

#[test]
fn test_threadsignals() {
    as_bare("test.test_threadsignals", 6, &[]);
}

#[test]
fn test_subprocess() {
    as_bare("test.test_subprocess", 300, &[]);
}

#[test]
fn test_fork1() {
    as_bare("test.test_fork1", 4, &[]);
}

/// Its tests run in a child; the one that looks after it says what went wrong there.
#[test]
fn test_eintr() {
    alike("test.test_eintr", 1, &[]);
}

/// No thread is made.
#[test]
fn test_wait3_and_wait4() {
    alike("test.test_wait3", 3, &[]);
    alike("test.test_wait4", 2, &[]);
}

#[test]
fn test_servers() {
    as_bare("test.test_socketserver", 20, &[]);
    as_bare("test.test_httpservers", 60, &[]);
    as_bare("test.test_asyncore", 90, &[]);
}

#[test]
fn test_selecting() {
    alike("test.test_select", 6, &[]);
    alike("test.test_epoll", 9, &[]);
    alike("test.test_timeout", 12, &[]);
}
