//! Where the library has no business, it changes nothing and says nothing.

use std::fs;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::PathBuf;
use std::process::Command;

use crate::common::{Program, program};

/// A program that starts threads: no counter says that any of them was green.
fn untouched(path: PathBuf, case: &str, loaded: bool) {
    let program = Program::new(path).arg(case);
    let (bare, under) = (program.bare(), program.preloaded());
    assert!(bare.alike(&under) && bare.status.success(), "{bare}\n{under}");
    assert_eq!(under.counted(), loaded, "{under}");
    if loaded {
        let stats = under.stats();
        assert!(stats.threads == 0 && stats.parks == 0, "{under}");
    }
}

#[test]
fn set_user_id() {
    let own = program("join.c", &[]);
    let copy = own.with_file_name(format!("setuid-join.{}", std::process::id()));
    // By another process: a child of this one that has not called exec yet would keep the file busy.
    let copied = Command::new("cp").args([&own, &copy]).status();
    assert!(copied.is_ok_and(|status| status.success()));
    // Another user than the one who runs it, else the kernel sees nothing to be careful about.
    let given = chown(&copy, Some(65534), None);
    if given.is_ok() && fs::set_permissions(&copy, fs::Permissions::from_mode(0o4755)).is_ok() {
        untouched(copy.clone(), "results", false);
    } else {
        println!("only root gives files away: skipped");
    }
    fs::remove_file(copy).expect("the copy");
}

#[test]
fn statically_linked() {
    let own = crate::common::variant("join.c", "static-join", &["-static"]);
    untouched(own, "results", false);
}

/// musl's loader takes LD_PRELOAD too.
#[test]
fn of_another_libc() {
    let flags = ["-specs=/usr/lib/x86_64-linux-musl/musl-gcc.specs"];
    let musl = crate::common::variant("musl.c", "musl", &flags);
    let alike = |program: Program| {
        let outcome = program.env("MARK", "marked").input("a line\n").same();
        assert_eq!(outcome.status.code(), Some(6), "{outcome}");
        assert!(outcome.text().contains("marked"), "{outcome}");
    };
    alike(Program::new(&musl));
    let path = musl.to_str().expect("UTF-8");
    for shell in ["dash", "bash"] {
        alike(Program::new(format!("/bin/{shell}")).arg("-c").arg(format!("{path} once; {path}")));
    }
    let code = "import subprocess, sys\nsubprocess.run([sys.argv[1], 'once'])\nsys.exit(subprocess.call(sys.argv[1]))";
    alike(Program::new("/usr/bin/python3").arg("-c").arg(code).arg(path));
    Program::of("execs.c").arg("another").env("ANOTHER", path).green();
}

#[test]
fn nothing_patched() {
    let program = Program::of("join.c").arg("results").env("EVENTLET_PATCH", "none");
    let outcome = program.same();
    assert!(outcome.status.success() && outcome.stats().threads == 0, "{outcome}");
}
