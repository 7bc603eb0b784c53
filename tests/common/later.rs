//! The libcs of later Debian releases, each taken with apt into a folder of its own and started through its own loader.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use super::build::target;

/// Debian releases after the one that this is tested on: the next one, and what is yet to come.
const RELEASES: [&str; 2] = ["trixie", "sid"];
const MIRROR: &str = "http://deb.debian.org/debian";

/// The folders with those releases' libc and loader. What cannot be had is skipped, and said.
pub fn libcs() -> &'static [PathBuf] {
    static FOLDERS: OnceLock<Vec<PathBuf>> = OnceLock::new();
    FOLDERS.get_or_init(|| RELEASES.iter().filter_map(|release| libc(release)).collect())
}

fn libc(release: &str) -> Option<PathBuf> {
    let base = target().join("progs").join(release);
    let folder = base.join("root/usr/lib/x86_64-linux-gnu");
    if folder.join("libc.so.6").exists() || fetch(&base, release).is_some() {
        return Some(folder);
    }
    // Not by a macro: those are silent in tests that pass.
    let _ = writeln!(std::io::stderr(), "SKIPPED: {release}'s libc is not to be had");
    None
}

fn fetch(base: &Path, release: &str) -> Option<()> {
    for folder in ["lists/partial", "cache/archives/partial"] {
        fs::create_dir_all(base.join(folder)).ok()?;
    }
    let sources = base.join("sources.list");
    fs::write(&sources, format!("deb {MIRROR} {release} main\n")).ok()?;
    let option = |name: &str, value: &Path| format!("{name}={}", value.display());
    let apt = |arguments: &[&str]| {
        let options = [
            option("Dir::Etc::SourceList", &sources),
            option("Dir::Etc::SourceParts", Path::new("/dev/null")),
            option("Dir::State::Lists", &base.join("lists")),
            option("Dir::Cache", &base.join("cache")),
        ];
        let mut command = Command::new("apt-get");
        for option in options {
            command.args(["-o", &option]);
        }
        run(
            command
                .args(["-q", "-o", "Acquire::http::Timeout=10", "-o", "Acquire::Retries=1"])
                .args(arguments),
            base,
        )
    };
    apt(&["update"])?;
    apt(&["download", &format!("libc6/{release}")])?;
    let packages = fs::read_dir(base).ok()?.flatten().map(|entry| entry.path());
    let package = packages.into_iter().find(|path| path.extension().is_some_and(|kind| kind == "deb"))?;
    let aside = base.join("aside");
    run(Command::new("dpkg-deb").arg("-x").args([&package, &aside]), base)?;
    fs::rename(aside, base.join("root")).ok()
}

fn run(command: &mut Command, folder: &Path) -> Option<()> {
    let quiet = command.current_dir(folder).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    quiet.status().ok()?.success().then_some(())
}
