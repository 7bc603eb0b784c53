//! The self-checks and the deep layer under later Debian releases' libcs, where they can be had.

use crate::common::{Program, later};

/// Each case of a program, bare and preloaded, both under each later libc.
fn cases(source: &str, names: &[&str]) {
    for (libc, name) in later::libcs().iter().flat_map(|libc| names.iter().map(move |name| (libc, name))) {
        Program::of(source).arg(name).by_loader(libc).green();
    }
}

macro_rules! programs {
    ($($test:ident: $source:literal { $($name:ident),* })*) => {
        $(#[test]
        fn $test() {
            cases($source, &[$(stringify!($name)),*]);
        })*
    };
}

programs! {
    identity: "thread_identity.c" { errnos, program, tid, keys_own, keys_again, locales, messages }
    ends: "ends.c" { thread_exit, main_exit, main_returns }
    cancellation: "cancel.c" { not_now, itself, mutexes }
    exceptions: "exceptions.cpp" { rethrown, carried, thread_exit }
    locks: "mutex.c" { contended, recursive, timed }
    real_threads: "foreign.c" { mutexes, conditions, onces }
    stdio: "deep_stdio.c" { fgets_socket, line, scan, wide, fill, contended, locked, all_streams, cancelled, reopened, logged, quiet, many, ways_out }
    children: "deep_process.c" { run_system, run_popen, run_pclose, many, children, masks }
    names: "deep_names.c" { addrinfo, families, hostbyname, query, reentrant, nameinfo }
    streams: "deep_streams.cpp" { synced, file }
    inside_with_real_threads: "deep_foreign.c" { lines, ping, loader, cancel }
}

/// Where its text cannot be changed (bit 64 of EVENTLET_FAULT).
#[test]
fn rescue() {
    let cases = [("deep_stdio.c", "line"), ("deep_stdio.c", "contended"), ("deep_process.c", "run_system")];
    for (source, name) in cases.into_iter().chain([("deep_names.c", "addrinfo"), ("rescued.c", "aio")]) {
        for libc in later::libcs() {
            Program::of(source).arg(name).env("EVENTLET_FAULT", "64").by_loader(libc).green();
        }
    }
}

#[test]
fn nothing_of_it_is_left_as_it_is() {
    for libc in later::libcs() {
        let program = Program::of("deep_stdio.c").arg("line").env("EVENTLET_LOG", "1").by_loader(libc);
        let outcome = program.preloaded();
        let lines: Vec<&str> = outcome.errors().lines().filter(|line| line.contains("libc")).collect();
        assert!(lines.len() == 1 && lines[0].ends_with("are green (Swap)"), "{outcome}");
    }
}
