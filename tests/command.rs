//! `scripts/eventlet`: whom it runs under the library, whom it leaves alone, whom it refuses, and how it says so.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

fn tree() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn script(name: &str) -> Command {
    let mut command = Command::new(tree().join("scripts").join(name));
    command.env_remove("LD_PRELOAD");
    command
}

fn eventlet(args: &[&str]) -> Output {
    script("eventlet").args(args).output().expect("scripts/eventlet")
}

/// A directory of one test.
fn directory(name: &str) -> PathBuf {
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("command-{name}"));
    let _ = fs::remove_dir_all(&path);
    fs::create_dir_all(&path).expect("a directory");
    path
}

/// A file of that content and mode; gives its path.
fn file(directory: &Path, name: &str, content: impl AsRef<[u8]>, mode: u32) -> String {
    let path = directory.join(name);
    fs::write(&path, content).expect("write");
    fs::set_permissions(&path, fs::Permissions::from_mode(mode)).expect("chmod");
    path.to_str().expect("UTF-8").to_string()
}

/// A C program that does nothing, linked with these flags.
fn linked(directory: &Path, name: &str, flags: &[&str]) -> String {
    let source = file(directory, "empty.c", "int main(void) { return 0; }\n", 0o644);
    let product = directory.join(name);
    let status = Command::new("cc").arg(&source).args(flags).arg("-o").arg(&product).status().expect("cc");
    assert!(status.success());
    product.to_str().expect("UTF-8").to_string()
}

/// It is refused with this status and one line that holds `word`.
fn refused(args: &[&str], status: i32, word: &str) {
    let output = eventlet(args);
    let line = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(status), "{args:?}: {line}");
    assert!(output.stdout.is_empty(), "{args:?}");
    assert_eq!(line.matches('\n').count(), 1, "{args:?}: {line}");
    assert!(line.starts_with("eventlet: ") && line.contains(word), "{args:?}: {line}");
}

#[test]
fn bad_use_is_2() {
    refused(&[], 2, "no program");
    refused(&["--"], 2, "no program");
    refused(&["--nonsense", "true"], 2, "--nonsense");
}

#[test]
fn what_is_not_there_is_127() {
    let directory = directory("missing");
    refused(&["no-such-program-anywhere"], 127, "not found");
    refused(&[""], 127, "not found");
    refused(&["/no/such/program"], 127, "not found");
    refused(&["two\nlines"], 127, "not found");
    refused(&[&file(&directory, "script", "#!/no/such/interpreter\n", 0o755)], 127, "/no/such/interpreter");
    refused(&[&file(&directory, "env", "#!/usr/bin/env no-such-one\n", 0o755)], 127, "no-such-one");
}

#[test]
fn what_cannot_run_under_it_is_126() {
    let directory = directory("refused");
    refused(&["/usr"], 126, "directory");
    refused(&[&file(&directory, "plain", "#!/bin/sh\n", 0o644)], 126, "not executable");
    refused(&[&file(&directory, "binary", "MZ\0\0\0\0", 0o755)], 126, "not a program");
    refused(&[&file(&directory, "short", "\x7fELF\x02", 0o755)], 126, "truncated");
    refused(&[&linked(&directory, "static", &["-static"])], 126, "statically linked");
    refused(&[&linked(&directory, "static-pie", &["-static-pie"])], 126, "statically linked");
    refused(&[&linked(&directory, "musl", &["-Wl,--dynamic-linker=/lib/ld-musl-x86_64.so.1"])], 126, "musl");

    let mut program = fs::read(linked(&directory, "dynamic", &[])).expect("read");
    program[18] = 183;
    refused(&[&file(&directory, "aarch64", &program, 0o755)], 126, "another architecture");
    program[4] = 1;
    refused(&[&file(&directory, "32-bit", &program, 0o755)], 126, "32-bit");

    let interpreter = directory.join("static");
    let direct = format!("#! {} -x\n", interpreter.display());
    refused(&[&file(&directory, "script", direct, 0o755)], 126, "statically linked");
    let by_env = format!("#!/usr/bin/env -S {} -x\n", interpreter.display());
    refused(&[&file(&directory, "env", by_env, 0o755)], 126, "statically linked");
}

#[test]
fn a_set_user_id_program_of_another_is_126() {
    let directory = directory("setuid");
    let program = linked(&directory, "program", &[]);
    let given = Command::new("chown").args(["nobody", &program]).output().expect("chown");
    if given.status.success() {
        fs::set_permissions(&program, fs::Permissions::from_mode(0o4755)).expect("chmod");
        refused(&[&program], 126, "set-user-ID");
    }
}

/// Whether the maps that a program printed hold the library.
fn maps(output: &Output) -> bool {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).contains("/libeventlet.so")
}

#[test]
fn a_program_runs_under_it() {
    let directory = directory("runs");
    let env = "#!/usr/bin/env -S sh -e\ncat /proc/self/maps\n";
    let link = directory.join("link");
    symlink("/bin/cat", &link).expect("symlink");
    assert!(maps(&eventlet(&["cat", "/proc/self/maps"])));
    assert!(maps(&eventlet(&["--", "/bin/cat", "/proc/self/maps"])));
    assert!(maps(&eventlet(&["/lib64/ld-linux-x86-64.so.2", "/bin/cat", "/proc/self/maps"])));
    assert!(maps(&eventlet(&[link.to_str().expect("UTF-8"), "/proc/self/maps"])));
    assert!(maps(&eventlet(&[&file(&directory, "env", env, 0o755)])));
    assert!(maps(&eventlet(&[&file(&directory, "no-interpreter", "cat /proc/self/maps\n", 0o755)])));
}

#[test]
fn its_threads_are_green() {
    let program = "import threading; t = threading.Thread(target=print, args=['ran']); t.start(); t.join()";
    let args = ["/usr/bin/python3", "-c", program];
    let output = script("eventlet").args(args).env("EVENTLET_STATS", "1").output().expect("scripts/eventlet");
    let counters = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.stdout, b"ran\n", "{counters}");
    assert!(counters.contains(" threads=1 finished=1 ") && counters.contains(" native=0"), "{counters}");
}

#[test]
fn arguments_and_status_pass_through() {
    let output = eventlet(&["sh", "-c", "printf '<%s>' \"$@\"; exit 7", "sh", "a b", "", "*", "--help"]);
    assert_eq!(output.status.code(), Some(7));
    assert_eq!(output.stdout, b"<a b><><*><--help>");
    assert!(output.stderr.is_empty());
    assert_eq!(eventlet(&["sh", "-c", "kill -9 $$"]).status.code(), None);
}

#[test]
fn other_preloads_keep_their_place() {
    let with = |preload| script("eventlet").env("LD_PRELOAD", preload).arg("env").output().expect("env");
    let output = with("/a.so /x/libasan.so.8:/b.so");
    let text = String::from_utf8_lossy(&output.stdout);
    let preload = text.lines().find_map(|line| line.strip_prefix("LD_PRELOAD=")).expect("LD_PRELOAD");
    let order: Vec<&str> = preload.split(':').map(|path| path.rsplit('/').next().unwrap_or(path)).collect();
    assert_eq!(order, ["libasan.so.8", "libeventlet.so", "a.so", "b.so"]);
    assert_eq!(with("/x/libtsan.so.2").status.code(), Some(126));
}

#[test]
fn go_and_jvm_programs_run_untouched() {
    for args in [["gosu", "--version"], ["java", "-version"]] {
        let bare = Command::new(args[0]).arg(args[1]).output().expect("installed by scripts/check");
        let output = eventlet(&args);
        assert_eq!((output.status, output.stdout, output.stderr), (bare.status, bare.stdout, bare.stderr));
    }
}

/// What the library says when it stays inert in this program, which must succeed.
fn inert(args: &[&str]) -> String {
    let output = script("eventlet").args(args).env("EVENTLET_LOG", "1").output().expect("scripts/eventlet");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{args:?}: {said}");
    said.lines().filter(|line| line.starts_with("eventlet: inert")).collect()
}

#[test]
fn the_library_is_inert_in_go_and_jvm_programs() {
    let directory = directory("inert");
    let note = ".section .note.go.buildid, \"a\", @note\n.long 4, 4, 4\n.ascii \"Go\\0\\0\"\n.long 0\n.section .note.GNU-stack\n";
    let note = file(&directory, "note.s", note, 0o644);
    assert!(inert(&[&linked(&directory, "go", &[&note])]).contains("Go"));
    assert_eq!(inert(&[&linked(&directory, "static-go", &[&note, "-static"])]), "");
    assert_eq!(inert(&[&linked(&directory, "c", &[])]), "");
    assert!(inert(&["java", "-version"]).contains("JVM"));
    let wrapper = file(&directory, "wrapper", "#!/bin/sh\njava -version\n", 0o755);
    assert!(inert(&[&wrapper]).contains("JVM"));
}

#[test]
fn help_and_version() {
    let help = eventlet(&["--help"]);
    assert!(help.status.success() && help.stdout.starts_with(b"usage: eventlet"));
    let version = eventlet(&["--version"]);
    assert_eq!(version.stdout, concat!("eventlet ", env!("CARGO_PKG_VERSION"), "\n").as_bytes());
}

#[test]
fn the_installed_command_finds_the_installed_library() {
    let directory = directory("install");
    let output = script("install").arg("/usr").env("DESTDIR", &directory).output().expect("install");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let root = directory.join("usr").canonicalize().expect("PREFIX");
    let command = root.join("bin/eventlet");
    let output = Command::new(&command).args(["cat", "/proc/self/maps"]).output().expect("eventlet");
    let library = root.join("lib/libeventlet.so.1");
    assert!(
        maps(&output) && String::from_utf8_lossy(&output.stdout).contains(library.to_str().expect("UTF-8"))
    );
    assert_eq!(
        fs::read_link(root.join("lib/libeventlet.so")).expect("a link"),
        Path::new("libeventlet.so.1")
    );
    assert!(root.join("lib/libeventlet_tls.so").exists());
    let described = fs::read_to_string(root.join("lib/pkgconfig/eventlet.pc")).expect("eventlet.pc");
    assert!(described.starts_with("prefix=/usr\n"), "{described}");
    let version = Command::new(&command).arg("--version").output().expect("eventlet");
    assert_eq!(version.stdout, concat!("eventlet ", env!("CARGO_PKG_VERSION"), "\n").as_bytes());
}

/// Under a prefix that the loader does not know: the last line says how to build.
#[test]
fn a_program_is_built_with_what_is_installed() {
    let directory = directory("build").canonicalize().expect("a directory");
    let output = script("install").arg("some/../prefix").current_dir(&directory).output().expect("install");
    let said = String::from_utf8(output.stdout).expect("UTF-8");
    let build = said.lines().last().and_then(|line| line.strip_prefix("to build with it: "));
    symlink(tree().join("examples/pipeline.c"), directory.join("prog.c")).expect("symlink");
    let output = Command::new("sh")
        .args(["-ec", &format!("{}\nseq 10 | ./a.out", build.expect("a line"))])
        .current_dir(&directory)
        .output()
        .expect("sh");
    let good = output.status.success() && output.stdout == b"385\n" && output.stderr.is_empty();
    assert!(good, "{said}\n{output:?}");
}

/// The README's commands for C, by a user of another home.
#[test]
fn what_the_readme_says_of_c_works() {
    let directory = directory("readme");
    for name in ["scripts", "examples"] {
        symlink(tree().join(name), directory.join(name)).expect("symlink");
    }
    let readme = fs::read_to_string(tree().join("README.md")).expect("README.md");
    let (_, chapter) = readme.split_once("\n## Eventlet's own API").expect("a chapter");
    let (_, commands) = chapter.split_once("```sh\n").expect("commands");
    let (commands, _) = commands.split_once("```").expect("their end");
    crate::common::eventlet();
    let output = Command::new("sh")
        .args(["-ec", commands])
        .current_dir(&directory)
        .env("HOME", directory.canonicalize().expect("a directory"))
        // Without cargo it installs what is built.
        .env("PATH", "/usr/bin:/bin")
        .output()
        .expect("sh");
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && said.ends_with("\n333833500\n"), "{output:?}");
    assert!(output.stderr.is_empty(), "{output:?}");
}
