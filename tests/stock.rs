//! Stock programs that the library must not change: byte for byte as bare.
//!
//! Most have one thread, and the library sleeps; the others are threaded runtimes of other kinds.

use std::fs;
use std::path::{Path, PathBuf};

use crate::common::Program;

fn progs() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/progs")
}

/// A new directory of a test's own.
fn scratch(name: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("stock-{name}-{}", std::process::id()));
    fs::create_dir_all(&folder).expect("a directory");
    folder
}

/// A script in a shell, with the arguments `$1` and so on.
fn shell<'a>(shell: &str, script: &str, args: impl IntoIterator<Item = &'a Path>) -> Program {
    args.into_iter()
        .fold(Program::new(shell).arg("-c").arg(script).arg(shell), |program, arg| program.arg(arg))
}

#[test]
fn ls() {
    Program::new("ls").arg("-l").arg(progs()).succeeds();
    let missing = Program::new("ls").arg("/no/such/file").same();
    assert_eq!(missing.status.code(), Some(2));
}

#[test]
fn cat_on_a_pipe() {
    let bytes: Vec<u8> = (0..1 << 20).map(|i: u32| (i >> 3) as u8).collect();
    let outcome = Program::new("cat").input(&bytes).succeeds();
    assert!(outcome.stdout == bytes);
}

#[test]
fn sort() {
    let lines: String = (0..20_000u64).map(|i| format!("{} {i}\n", i * 7919 % 10_007)).collect();
    Program::new("sort").arg("-n").arg("--parallel=1").input(&lines).succeeds();
    // With threads of its own.
    Program::new("sort").arg("-n").arg("--parallel=4").arg("-S8M").input(lines.repeat(10)).succeeds();
}

#[test]
fn perl() {
    Program::new("perl").arg(progs().join("stock/sockets.pl")).succeeds();
}

#[test]
fn python() {
    let script = "import os, sys; print(sys.stdin.read().upper(), os.getpid() == os.getppid(), sys.version); sys.exit(5)";
    let outcome = Program::new("/usr/bin/python3").arg("-c").arg(script).input("text").same();
    assert_eq!(outcome.status.code(), Some(5), "{outcome}");
    let stats = outcome.stats();
    assert_eq!((stats.threads, stats.parks), (0, 0), "asleep while there is one thread\n{outcome}");
}

#[test]
fn gcc() {
    let folder = scratch("gcc");
    let script = r#"
        cd "$1" && printf '#include <stdio.h>\nint main(void) { return puts("compiled") < 0; }\n' >hello.c
        gcc -pipe -O2 -Wall -o hello hello.c && ./hello && sha256sum hello
        echo 'int main(void) { return missing; }' >wrong.c; gcc -c wrong.c; echo "status $?"
    "#;
    shell("bash", script, [folder.as_path()]).succeeds();
    fs::remove_dir_all(folder).expect("our own directory");
}

#[test]
fn tar_and_gzip() {
    let script = r#"
        tar -C "$1" --sort=name --owner=0 --group=0 -cf - . | gzip -n | sha256sum
        tar -C "$1" --sort=name -cf - . | gzip | gunzip | tar -tf -
        tar -C "$1" --sort=name -czf - . | tar -xzOf - ./harness.c | sha256sum
    "#;
    shell("bash", script, [progs().as_path()]).succeeds();
}

/// A runtime with a scheduler of its own.
#[test]
fn java() {
    assert!(!Program::new("java").arg("-version").same().stderr.is_empty());
    let outcome = Program::new("java").arg(progs().join("stock/Threads.java")).same();
    assert_eq!(outcome.status.code(), Some(3), "{outcome}");
}

#[test]
fn node() {
    let outcome = Program::new("node").arg(progs().join("stock/worker.js")).same();
    assert_eq!(outcome.status.code(), Some(6), "{outcome}");
}

#[test]
fn zstd_threads() {
    let lines: String = (0..300_000u64).map(|i| format!("{}\n", i * i % 1_000_003)).collect();
    Program::new("zstd").arg("-q").arg("-c").arg("-T4").arg("-B256K").input(&lines).green();
}

/// Runs beside a pool of kernel threads, which stay what they are.
fn beside_a_pool(program: Program) {
    let outcome = program.succeeds();
    assert!(outcome.stats().threads > 0, "{outcome}");
}

#[test]
fn openblas() {
    let folder = "-L/usr/lib/x86_64-linux-gnu/openblas-pthread";
    let program = Program::made_with("stock/blas.c", &["-Wl,--no-as-needed", folder, "-l:libopenblas.so.0"]);
    beside_a_pool(program.env("OPENBLAS_NUM_THREADS", "4"));
}

#[test]
fn tbb() {
    beside_a_pool(Program::made_with("stock/tbb.cpp", &["-Wl,--no-as-needed", "-ltbb"]));
}

/// libgc's collector waits until each thread has stopped in a signal handler, and they wait there until it is done.
#[test]
fn garbage_collector() {
    let outcome = Program::made_with("stock/collected.c", &["-Wl,--no-as-needed", "-lgc"]).succeeds();
    assert!(outcome.stats().green(), "{outcome}");
}
