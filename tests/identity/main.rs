//! Identity without the shim: blocks, entry and end of green threads, driven by hand on the main thread.

#[path = "../common/mod.rs"]
mod common;
mod driver;
mod end;
mod local;
mod stacks;

use std::io::Write;

use eventlet_core::kernel::options::{self, fault};
use eventlet_core::runtime::identity;

/// A case: its name, and what it does.
type Case = (&'static str, fn());

fn main() {
    driver::install();
    // Cases of their own process: they die.
    if let Some(name) = std::env::args().nth(1)
        && let Some((_, case)) = end::DEATHS.iter().chain(stacks::DEATHS).find(|(death, _)| *death == name)
    {
        identity::build().expect("identity");
        return case();
    }
    let first: [Case; 2] =
        [("a forced failure is reported", forced), ("build leaves no thread behind", builds)];
    for (name, case) in first.iter().chain(local::CASES).chain(end::CASES).chain(stacks::CASES) {
        print!("{name} ... ");
        std::io::stdout().flush().expect("stdout");
        case();
        println!("ok");
    }
}

fn forced() {
    options::FAULT.set(fault::LAYOUT);
    assert_eq!(identity::build(), Err("forced by EVENTLET_FAULT"));
    assert!(!identity::built());
    options::FAULT.set(0);
}

fn builds() {
    assert_eq!(identity::build(), Ok(()));
    assert_eq!(std::fs::read_dir("/proc/self/task").expect("tasks").count(), 1);
}
