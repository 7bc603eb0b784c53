//! Random sequences of calls on descriptors, in several threads, against the bare kernel. What differs is shrunk, and said
//! as text that can be kept in `tests/progs/sequences/`: those are run always.
//!
//! `PROPERTY_SEED=N` draws other sequences (`now`: new ones each time), `PROPERTY_CASES=N` more of them. Without, they are
//! the same each time, so that a change is to blame for what it breaks.

use std::env;
use std::fs;
use std::io::Write;
use std::path::Path;
use std::time::{Duration, SystemTime};

use crate::common::{Outcome, Program};
use proptest::prelude::*;
use proptest::sample::select;
use proptest::strategy::Union;
use proptest::test_runner::{Config, RngAlgorithm, TestCaseError, TestError, TestRng, TestRunner};

const CASES: u32 = 60;
const SEED: u64 = 1;

/// Runs `sequence` bare and preloaded. Its first line says what the library does without, see src/kernel/options.rs.
fn run(sequence: &str) -> Result<Outcome, String> {
    let fault = sequence.lines().next().and_then(|line| line.strip_prefix("fault ")).unwrap_or("0");
    let program = Program::of("sequences.c").input(sequence).limit(Duration::from_secs(50));
    let (bare, preloaded) = (program.bare(), program.env("EVENTLET_FAULT", fault).preloaded());
    assert!(bare.status.success(), "{bare}");
    if bare.alike(&preloaded) {
        return Ok(preloaded);
    }
    Err(format!("== the sequence\n{sequence}\n== bare\n{bare}\n== preloaded\n{preloaded}"))
}

/// What may stand for a word of a template. Sequences shrink towards the first choice.
fn choices(word: &str) -> &'static [&'static str] {
    match word {
        "FAULT" => &["0", "4", "16", "20"],
        "SLOT" => &["0", "1", "2", "3", "4", "5", "6", "7", "8", "9"],
        "LOCAL" => &["stream", "pipe"],
        "RECORDS" => &["dgram", "seqpacket", "stream"],
        "NETWORK" => &["tcp", "tcp", "stream"],
        "SIZE" => &["10", "1", "100", "1000", "5000", "70000", "150000", "0"],
        "ROOM" => &["10", "1", "100", "1000", "5000", "70000", "150000"],
        "LETTER" => &["a", "b", "c", "d", "e"],
        "RECEIVE" => &["-", "-", "d", "p", "w", "dp", "pw", "t"],
        "SEND" => &["-", "-", "d", "s"],
        "TIMEOUT" => &["-1", "-1", "0", "15"],
        "EVENTS" => &["i", "o", "io", "ir", "iopr", "p"],
        "WATCHED" => &["i", "it", "o", "ot", "iot", "io", "i1", "it1", "irt", "iort1"],
        "CONTROL" => &["add", "add", "mod", "del"],
        "ON" => &["1", "0"],
        "TIME" => &["15", "0"],
        "BUFFER" => &["4608", "9000", "40000"],
        "HOW" => &["0", "1", "2"],
        "START" => &["0", "1", "3", "4294967295"],
        "NUMBER" => &["1", "2", "5", "0", "18446744073709551614", "18446744073709551610"],
        "SEMAPHORE" => &["-", "s"],
        "FAMILY" => &["u", "i"],
        "BACKLOG" => &["0", "1", "2"],
        "ACCEPT" => &["-", "n"],
        _ => &[],
    }
}

/// A line made from a template.
fn line(template: &str) -> BoxedStrategy<String> {
    let words = template.split(' ').map(|word| match choices(word) {
        [] => Just(word.to_owned()).boxed(),
        choices => select(choices).prop_map(str::to_owned).boxed(),
    });
    words.collect::<Vec<_>>().prop_map(|words| words.join(" ")).boxed()
}

fn lines(templates: &[&str]) -> BoxedStrategy<Vec<String>> {
    templates.iter().map(|template| line(template)).collect::<Vec<_>>().boxed()
}

/// The calls, and how often.
const CALLS: [(u32, &str); 38] = [
    (6, "read SLOT SIZE"),
    (3, "readv SLOT SIZE"),
    (5, "recv SLOT SIZE RECEIVE"),
    (4, "recvmsg SLOT ROOM RECEIVE"),
    (6, "write SLOT SIZE LETTER"),
    (3, "writev SLOT SIZE LETTER"),
    (4, "send SLOT SIZE LETTER SEND"),
    (3, "sendmsg SLOT SIZE LETTER SEND"),
    (2, "pass SLOT SLOT"),
    (3, "count SLOT NUMBER"),
    (3, "counted SLOT"),
    (1, "pair SLOT SLOT LOCAL"),
    (1, "pair SLOT SLOT RECORDS"),
    (1, "pair SLOT SLOT tcp"),
    (1, "event SLOT START SEMAPHORE"),
    (1, "epoll SLOT"),
    (2, "socket SLOT FAMILY"),
    (1, "listen SLOT BACKLOG"),
    (4, "connect SLOT SLOT"),
    (4, "accept SLOT ACCEPT"),
    (2, "dup SLOT SLOT"),
    (1, "dupfd SLOT SLOT"),
    (2, "dup2 SLOT SLOT"),
    (1, "dup3 SLOT SLOT"),
    (4, "close SLOT"),
    (3, "shutdown SLOT HOW"),
    (2, "nonblock SLOT ON"),
    (1, "fionbio SLOT ON"),
    (1, "rcvtimeo SLOT TIME"),
    (1, "sndtimeo SLOT TIME"),
    (1, "sndbuf SLOT BUFFER"),
    (1, "fionread SLOT"),
    (1, "error SLOT"),
    (3, "poll TIMEOUT SLOT EVENTS SLOT EVENTS"),
    (2, "ppoll TIMEOUT SLOT EVENTS"),
    (2, "select TIMEOUT SLOT EVENTS SLOT EVENTS"),
    (6, "ctl SLOT CONTROL SLOT WATCHED"),
    (6, "wait SLOT TIMEOUT"),
];

/// Some sequences with `scene` at their beginning.
fn check(scene: &[&str]) {
    let call =
        Union::new_weighted(CALLS.iter().map(|(weight, template)| (*weight, line(template))).collect());
    let sequence = (line("fault FAULT"), lines(scene), prop::collection::vec(call, 1..50));
    let number = |name: &str| env::var(name).ok().map(|text| text.parse::<u64>().expect("a number"));
    let seed = match env::var("PROPERTY_SEED").as_deref() {
        Ok("now") => SystemTime::UNIX_EPOCH.elapsed().expect("after 1970").as_nanos() as u64,
        _ => number("PROPERTY_SEED").unwrap_or(SEED),
    };
    // Not by a macro: those are silent in tests that pass.
    let _ = writeln!(std::io::stderr(), "{scene:?}: PROPERTY_SEED={seed}");
    let config = Config {
        cases: number("PROPERTY_CASES").map_or(CASES, |cases| cases as u32),
        failure_persistence: None,
        max_shrink_iters: 3000,
        ..Config::default()
    };
    let bytes: Vec<u8> = [seed; 4].iter().flat_map(|part| part.to_le_bytes()).collect();
    let mut runner = TestRunner::new_with_rng(config, TestRng::from_seed(RngAlgorithm::ChaCha, &bytes));
    let outcome = runner.run(&sequence, |(fault, scene, calls)| {
        let text = [vec![fault], scene, calls].concat().join("\n") + "\n";
        run(&text).map(drop).map_err(TestCaseError::fail)
    });
    match outcome {
        Ok(()) => {}
        Err(TestError::Fail(differs, _)) => {
            panic!("PROPERTY_SEED={seed}; to be kept in tests/progs/sequences/:\n{differs}")
        }
        Err(error) => panic!("PROPERTY_SEED={seed}: {error}"),
    }
}

#[test]
fn streams() {
    check(&["pair 0 1 LOCAL", "pair 2 3 LOCAL", "event 4 START SEMAPHORE", "epoll 5"]);
}

#[test]
fn records() {
    check(&["pair 0 1 RECORDS", "pair 2 3 RECORDS", "event 4 START SEMAPHORE", "epoll 5"]);
}

#[test]
fn network() {
    check(&[
        "pair 0 1 NETWORK",
        "socket 2 FAMILY",
        "listen 2 BACKLOG",
        "socket 3 FAMILY",
        "socket 4 FAMILY",
        "epoll 5",
    ]);
}

/// What differed once.
#[test]
fn kept() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/progs/sequences");
    for entry in fs::read_dir(folder).expect("tests/progs/sequences").flatten() {
        let sequence = fs::read_to_string(entry.path()).expect("a sequence");
        let outcome = run(&sequence).unwrap_or_else(|differs| panic!("{:?}\n{differs}", entry.path()));
        assert!(outcome.stats().green(), "{:?} was not green\n{outcome}", entry.path());
    }
}
