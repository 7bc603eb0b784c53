//! Runs a program bare and under the library. The bare run is the oracle.
//!
//! - [`Program::same`]: both runs end alike (stdout, stderr, exit status or signal).
//! - [`Program::green`]: and the library's counters say that green threads ran and parked, so that a library that does
//!   nothing cannot pass.
//! - [`Program::start`]: a [`Running`] program to talk with.
//!
//! Every run has a hard time limit; a run that exceeds it is reported with what its threads were doing, and killed.

#![allow(dead_code, unused_imports, reason = "each test file uses its part")]

mod build;
pub mod elf;
pub mod later;
mod mutant;
pub mod python;
mod run;
pub mod server;
pub mod table;

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::time::Duration;

pub use build::{eventlet, linked, linked_with, program, shared, target as eventlet_target, variant};
pub use mutant::without;
pub use run::{Outcome, Running, Stats, connect, many_files};

/// A program with its arguments and environment: it can be run many times.
#[derive(Clone, Debug)]
pub struct Program {
    path: PathBuf,
    args: Vec<OsString>,
    env: Vec<(OsString, OsString)>,
    input: Vec<u8>,
    limit: Duration,
    library: Option<PathBuf>,
}

impl Program {
    /// An installed program.
    pub fn new(path: impl Into<PathBuf>) -> Program {
        let limit = Duration::from_secs(60);
        Program { path: path.into(), args: vec![], env: vec![], input: vec![], limit, library: None }
    }

    /// A program of `tests/progs/`, compiled if it must be: `Program::of("echo.c")`.
    pub fn of(source: &str) -> Program {
        Program::made_with(source, &[])
    }

    /// The same with flags for the compiler.
    pub fn made_with(source: &str, flags: &[&str]) -> Program {
        Program::new(build::program(source, flags))
    }

    /// One more argument.
    pub fn arg(mut self, arg: impl AsRef<OsStr>) -> Program {
        self.args.push(arg.as_ref().into());
        self
    }

    /// One more variable.
    pub fn env(mut self, name: impl AsRef<OsStr>, value: impl AsRef<OsStr>) -> Program {
        self.env.push((name.as_ref().into(), value.as_ref().into()));
        self
    }

    /// What it finds on stdin, then end of file. A [`Running`] program gets its lines by `send` instead.
    pub fn input(mut self, bytes: impl AsRef<[u8]>) -> Program {
        self.input = bytes.as_ref().to_vec();
        self
    }

    /// A time limit other than a minute. It bounds a hang; it is no measure.
    pub fn limit(mut self, limit: Duration) -> Program {
        self.limit = limit;
        self
    }

    /// Another library than the one under test.
    pub fn under(mut self, library: impl Into<PathBuf>) -> Program {
        self.library = Some(library.into());
        self
    }

    /// The same through the loader in `folder`, with the libc there. After the arguments.
    pub fn by_loader(mut self, folder: &Path) -> Program {
        let program = std::mem::replace(&mut self.path, folder.join("ld-linux-x86-64.so.2"));
        let before: [OsString; 3] = ["--library-path".into(), folder.into(), program.into()];
        self.args.splice(0..0, before);
        self
    }

    /// Runs it without the library.
    pub fn bare(&self) -> Outcome {
        self.start(false).finish_with(&self.input)
    }

    /// Runs it under the library, with the lost-wake-up detector.
    pub fn preloaded(&self) -> Outcome {
        self.start(true).finish_with(&self.input)
    }

    /// Starts it; stdin stays open.
    pub fn start(&self, preload: bool) -> Running {
        let mut env = self.env.clone();
        if preload {
            let library = self.library.as_deref().unwrap_or_else(|| eventlet());
            env.push(("LD_PRELOAD".into(), library.into()));
            env.push(("EVENTLET_DETECT".into(), "1".into()));
            env.push(("EVENTLET_STATS".into(), "1".into()));
        }
        Running::spawn(&self.path, &self.args, &env, self.limit)
    }

    /// Runs it bare and preloaded: both must end alike. Gives the preloaded run.
    #[track_caller]
    pub fn same(&self) -> Outcome {
        let bare = self.bare();
        let preloaded = self.preloaded();
        assert!(bare.alike(&preloaded), "{self:?} differs\n== bare\n{bare}\n== preloaded\n{preloaded}");
        preloaded
    }

    /// [`same`](Program::same), with exit status 0, and it said something.
    #[track_caller]
    pub fn succeeds(&self) -> Outcome {
        let outcome = self.same();
        assert!(outcome.status.success() && !outcome.stdout.is_empty(), "bare too\n{outcome}");
        outcome
    }

    /// [`same`](Program::same), with exit status 0 and with green threads that parked.
    #[track_caller]
    pub fn green(&self) -> Outcome {
        let outcome = self.same();
        assert!(outcome.status.success(), "{self:?} failed, bare too\n{outcome}");
        assert!(outcome.stats().green(), "{self:?} was not green\n{outcome}");
        outcome
    }
}

/// One green test per case of a program that takes the case's name as its argument:
/// `cases!("mutex.c": normal, recursive)`, or `cases!("sleeps.c", EVENTLET_PREEMPT = "0": micro)`.
#[macro_export]
macro_rules! cases {
    ($source:literal $(, $variable:ident = $value:literal)*: $($name:ident),* $(,)?) => {
        $crate::cases!(@ $source [$((stringify!($variable), $value)),*] $($name)*);
    };
    (@ $source:literal $env:tt $($name:ident)*) => {
        $(#[test]
        fn $name() {
            let env: &[(&str, &str)] = &$env;
            let program = $crate::common::Program::of($source).arg(stringify!($name));
            env.iter().fold(program, |program, (variable, value)| program.env(variable, value)).green();
        })*
    };
}

/// The functions that `eventlet.h` declares, as the compiler reads it.
pub fn declarations() -> std::collections::BTreeSet<String> {
    let header = concat!(env!("CARGO_MANIFEST_DIR"), "/shim/include/eventlet.h");
    let output = std::process::Command::new("cc").args(["-E", "-P", "-xc", header]).output().expect("cc");
    let text = String::from_utf8(output.stdout).expect("UTF-8");
    let names = text.match_indices("eventlet_").map(|(start, _)| {
        let name: String =
            text[start..].chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '_').collect();
        (text[start + name.len()..].starts_with('('), name)
    });
    names.filter_map(|(function, name)| function.then_some(name)).collect()
}
