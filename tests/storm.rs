//! Signals, forks, and every kind of wait at once. `STORM_SECONDS=60 cargo test --test suite storm::` lasts longer.

use std::env;
use std::time::Duration;

use crate::common::Program;

fn storm(kind: &str) {
    let seconds = env::var("STORM_SECONDS").map_or(1, |seconds| seconds.parse().expect("whole seconds"));
    let program = Program::of("storm.c").arg(kind).env("STORM_SECONDS", seconds.to_string());
    program.limit(Duration::from_secs(60 + 2 * seconds)).green();
}

#[test]
fn of_signals() {
    storm("waits");
}

#[test]
fn while_a_thread_computes() {
    storm("compute");
}
