//! Builds what the tests run: the library once, and the programs of `tests/progs/` into `target/progs/`.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex, OnceLock};
use std::time::SystemTime;
use std::{env, fs};

/// The products that this process has made or is making: each is made by one thread, and the others wait for it.
static PRODUCTS: Mutex<BTreeMap<PathBuf, Arc<Mutex<()>>>> = Mutex::new(BTreeMap::new());

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Where cargo puts what it makes.
pub fn target() -> &'static Path {
    Path::new(env!("CARGO_TARGET_TMPDIR")).parent().expect("the target directory")
}

/// The library under test: `EVENTLET_SO`, or the release build of this tree (cargo's own lock orders the builders).
pub fn eventlet() -> &'static Path {
    static LIBRARY: OnceLock<PathBuf> = OnceLock::new();
    LIBRARY.get_or_init(|| {
        if let Some(path) = env::var_os("EVENTLET_SO") {
            return PathBuf::from(path).canonicalize().expect("EVENTLET_SO");
        }
        let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        run(Command::new(cargo)
            .current_dir(root())
            .args([
                "build",
                "--quiet",
                "--release",
                "-p",
                "eventlet-shim",
                "-p",
                "eventlet-tls",
                "--target-dir",
            ])
            .arg(target()));
        target().join("release/libeventlet.so")
    })
}

/// The program made from `tests/progs/SOURCE`.
pub fn program(source: &str, flags: &[&str]) -> PathBuf {
    let name = Path::new(source).file_stem().expect("a source file").to_str().expect("UTF-8");
    compile(source, name, flags)
}

/// The same, made with other flags as `target/progs/NAME`.
pub fn variant(source: &str, name: &str, flags: &[&str]) -> PathBuf {
    compile(source, name, flags)
}

/// The program made from SOURCE (a path in the project) and linked to the library under test, as `target/progs/NAME`.
pub fn linked(source: &str, name: &str) -> PathBuf {
    linked_with(source, name, &[])
}

/// The same with flags for the compiler.
pub fn linked_with(source: &str, name: &str, flags: &[&str]) -> PathBuf {
    let (soname, progs) = (soname(), root().join("tests/progs"));
    let (source, include) = (root().join(source), root().join("shim/include"));
    let headers = [&progs.join("capi"), &include].map(|folder| newest(&source, folder));
    product(name, headers.into_iter().fold(newest(&source, &progs), Ord::max), |aside| {
        let rpath = format!("-Wl,-rpath,{}", target().join("progs").display());
        run(compiler(&source)
            .args(flags)
            .arg("-I")
            .arg(include)
            .arg(&source)
            .arg("-o")
            .arg(aside)
            .arg(soname)
            .arg(rpath));
    })
}

/// The library under test by its SONAME, as the loader looks for it.
fn soname() -> &'static Path {
    static SONAME: OnceLock<PathBuf> = OnceLock::new();
    SONAME.get_or_init(|| {
        let progs = target().join("progs");
        fs::create_dir_all(&progs).expect("target/progs");
        let soname = progs.join("libeventlet.so.1");
        if fs::read_link(&soname).ok().as_deref() != Some(eventlet()) {
            let aside = progs.join(format!(".soname.{}", std::process::id()));
            std::os::unix::fs::symlink(eventlet(), &aside).expect("symlink");
            fs::rename(&aside, &soname).expect("rename");
        }
        soname
    })
}

/// A shared library made from `tests/progs/SOURCE`, as `target/progs/NAME`.
pub fn shared(source: &str, name: &str, flags: &[&str]) -> PathBuf {
    compile(source, name, &[&["-shared", "-fPIC"], flags].concat())
}

fn compile(source: &str, name: &str, flags: &[&str]) -> PathBuf {
    let progs = root().join("tests/progs");
    let source = progs.join(source);
    product(name, newest(&source, &progs), |aside| {
        run(compiler(&source).args(flags).arg(&source).arg("-o").arg(aside).args(libraries(&source)));
    })
}

/// `target/progs/NAME`, made if it is not newer than what it is made from. It is made aside and put in place at once:
/// other processes may be making it or running it.
pub fn product(name: &str, from: SystemTime, make: impl FnOnce(&Path)) -> PathBuf {
    let directory = target().join("progs");
    let (product, aside) = (directory.join(name), directory.join(format!(".{name}.{}", std::process::id())));
    let mut products = PRODUCTS.lock().expect("nobody panics with it");
    let turn = products.entry(product.clone()).or_default().clone();
    drop(products);
    let _turn = turn.lock().unwrap_or_else(|held| held.into_inner());
    if changed(&product) <= from {
        fs::create_dir_all(&directory).expect("target/progs");
        make(&aside);
        fs::rename(&aside, &product).expect("rename");
    }
    product
}

fn compiler(source: &Path) -> Command {
    let (name, flags) = match source.extension().and_then(OsStr::to_str) {
        Some("c") => ("cc", &["-std=gnu17", "-O2", "-Wall", "-pthread"][..]),
        Some("cpp") => ("c++", &["-std=c++20", "-O2", "-Wall", "-pthread"][..]),
        Some("rs") => ("rustc", &["--edition=2024", "-O"][..]),
        _ => panic!("{source:?}: neither C, C++ nor Rust"),
    };
    let mut command = Command::new(name);
    command.args(flags);
    command
}

/// What follows the source on the command line: the libraries of the headers that it includes.
fn libraries(source: &Path) -> Vec<&'static str> {
    if source.extension() == Some(OsStr::new("rs")) {
        return vec![];
    }
    let text = fs::read_to_string(source).unwrap_or_default();
    let of_headers = [("<liburing.h>", "-luring"), ("<libaio.h>", "-laio")];
    let named =
        of_headers.into_iter().filter(|(header, _)| text.contains(header)).map(|(_, library)| library);
    named.chain(["-lm"]).collect()
}

/// When a file last changed; a missing one is the oldest.
pub fn changed(path: &Path) -> SystemTime {
    path.metadata().and_then(|data| data.modified()).unwrap_or(SystemTime::UNIX_EPOCH)
}

/// The newest of a source and of the headers beside it.
fn newest(source: &Path, progs: &Path) -> SystemTime {
    assert!(source.exists(), "{source:?} is missing");
    let headers = fs::read_dir(progs).expect("tests/progs").flatten().map(|entry| entry.path());
    headers
        .filter(|path| path.extension() == Some(OsStr::new("h")))
        .map(|path| changed(&path))
        .fold(changed(source), Ord::max)
}

fn run(command: &mut Command) {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    assert!(output.status.success(), "{command:?}\n{}", String::from_utf8_lossy(&output.stderr));
}
