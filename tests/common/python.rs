//! CPython under test: the distribution's own and, if another one comes first on the PATH, that one too.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use super::Program;

/// The interpreters; each is the real file, not a script that finds it.
pub fn pythons() -> &'static [PathBuf] {
    static FOUND: OnceLock<Vec<PathBuf>> = OnceLock::new();
    FOUND.get_or_init(|| {
        let own = PathBuf::from("/usr/bin/python3");
        let asked = Command::new("python3").args(["-c", "import sys; print(sys.executable)"]).output();
        let first = asked
            .ok()
            .filter(|answer| answer.status.success())
            .map(|answer| PathBuf::from(String::from_utf8(answer.stdout).expect("UTF-8 on stdout").trim()));
        let real = |path: &PathBuf| path.canonicalize().expect("an interpreter");
        let other = first.filter(|first| real(first) != real(&own));
        [own].into_iter().chain(other).collect()
    })
}

/// The script `tests/progs/python/NAME.py` under an interpreter.
pub fn script(python: &Path, name: &str) -> Program {
    let scripts = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/progs/python");
    Program::new(python).arg(scripts.join(name).with_extension("py"))
}
