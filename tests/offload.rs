//! Waits without a pollable form: file locks, queues and semaphores, FIFOs, what libc's helper threads do.

mod queues {
    cases!("queues.c": received, sent, wrong, notify, interrupted);
}

cases!("helped.c": suspended, listed, ended, resolved);
cases!("offload.c": flocked, ofd, posix, lockfed, fifo_reader, fifo_writer, fifo_stream, received, sent, removed, semaphore,
    many, interrupted, restarted, cancelled, jumped, forked, timed, fifo_openat, fifo_creat, fifo_open_2,
    fifo_open64_2, fifo_openat_2, fifo_openat64_2);

/// Whatever the disk takes, the hub is not kept: of files, each of the five calls is made by a kernel thread of its own, by
/// name and by number, those of a wrong number too; the hub's thread makes those of a pipe.
#[test]
fn disks() {
    let program = crate::common::Program::of("disks.c");
    program.green();
    let log = crate::common::eventlet_target().join(format!("disks.{}.strace", std::process::id()));
    let preload = format!("LD_PRELOAD={}", crate::common::eventlet().display());
    let traced = std::process::Command::new("strace")
        .args([
            "-f",
            "-qq",
            "-e",
            "trace=fsync,fdatasync,syncfs,sync_file_range,copy_file_range",
            "-E",
            &preload,
            "-o",
        ])
        .args([log.as_path(), crate::common::program("disks.c", &[]).as_path()])
        .output()
        .expect("strace");
    let lines = std::fs::read_to_string(&log).expect("the trace");
    let _ = std::fs::remove_file(&log);
    assert!(traced.status.success(), "{traced:?}");
    let thread = |line: &str| line.split_whitespace().next().map(String::from);
    let hub = lines.lines().find(|line| line.contains("= -1 EINVAL")).and_then(thread);
    // A thread that the end of the process meets between two calls is a line too.
    let call = |line: &str| line.contains("sync") && line.contains('(') || line.contains("copy_file_range(");
    let elsewhere = lines.lines().filter(|line| call(line) && thread(line) != hub).count();
    assert!(hub.is_some() && elsewhere == 210, "{elsewhere} calls elsewhere\n{lines}");
}
