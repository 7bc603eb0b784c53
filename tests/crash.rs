//! A crash leaves a core dump in which a debugger finds the stack of the thread that crashed.

use std::fs;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::Command;

use crate::common::{eventlet, program};

/// The functions on the stack of the thread that crashed, innermost first.
fn stack(who: &str, preload: bool) -> Vec<String> {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("crash-{who}-{preload}"));
    let _ = fs::remove_dir_all(&folder);
    fs::create_dir_all(&folder).expect("a folder");
    let program = program("crash.c", &["-g", "-O1"]);
    let mut shell = Command::new("/bin/sh");
    shell
        .args(["-c", "ulimit -c unlimited && exec \"$0\" \"$1\""])
        .arg(&program)
        .arg(who)
        .current_dir(&folder);
    shell.env_remove("LD_PRELOAD");
    if preload {
        shell.env("LD_PRELOAD", eventlet());
    }
    let status = shell.status().expect("sh");
    assert_eq!((status.signal(), status.core_dumped()), (Some(libc::SIGSEGV), true));
    let core = fs::read_dir(&folder).expect("the folder").flatten().next().expect("a core dump").path();
    let gdb = Command::new("gdb")
        .args(["-batch", "-nx", "-ex", "bt"])
        .arg(program)
        .arg(core)
        .output()
        .expect("gdb");
    let said = String::from_utf8_lossy(&gdb.stdout);
    let frames = said.lines().filter(|line| line.starts_with('#'));
    let names = frames.flat_map(|line| {
        ["inner", "middle", "outer", "main"]
            .into_iter()
            .find(|name| line.split_whitespace().any(|word| word == *name))
    });
    let mut names: Vec<String> = names.map(str::to_owned).collect();
    names.dedup();
    names
}

#[test]
fn a_core_dump_has_the_stack() {
    let pattern = fs::read_to_string("/proc/sys/kernel/core_pattern").unwrap_or_default();
    if pattern.starts_with(['|', '/']) {
        return println!("core dumps go to {pattern}: skipped");
    }
    for who in ["thread", "main"] {
        let bare = stack(who, false);
        assert!(bare.starts_with(&["inner".into(), "middle".into(), "outer".into()]), "{bare:?}");
        assert_eq!(bare, stack(who, true), "{who}");
    }
}
