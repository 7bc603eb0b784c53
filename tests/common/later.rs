//! The libc of a later Debian release, taken with apt into a folder of its own and started through its own loader.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use super::build::target;

/// A Debian release after the one that this is tested on.
pub const RELEASE: &str = "trixie";
const MIRROR: &str = "http://deb.debian.org/debian";

/// The folder with that release's libc and loader; None where it cannot be had.
pub fn libc() -> Option<&'static Path> {
    static FOLDER: OnceLock<Option<PathBuf>> = OnceLock::new();
    FOLDER
        .get_or_init(|| {
            let base = target().join("progs").join(RELEASE);
            let folder = base.join("root/usr/lib/x86_64-linux-gnu");
            (folder.join("libc.so.6").exists() || fetch(&base).is_some()).then_some(folder)
        })
        .as_deref()
}

fn fetch(base: &Path) -> Option<()> {
    for folder in ["lists/partial", "cache/archives/partial"] {
        fs::create_dir_all(base.join(folder)).ok()?;
    }
    let sources = base.join("sources.list");
    fs::write(&sources, format!("deb {MIRROR} {RELEASE} main\n")).ok()?;
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
    apt(&["download", &format!("libc6/{RELEASE}")])?;
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
