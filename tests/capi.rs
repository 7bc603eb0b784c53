//! `eventlet.h`: its programs run linked, linked and patched, and preloaded.

use std::os::unix::process::ExitStatusExt;
use std::process::Command;

use crate::common::{Outcome, Program};

/// How the library comes into a program.
#[derive(Clone, Copy, Debug)]
enum Form {
    Linked,
    Patched,
    Preloaded,
}

const FORMS: [Form; 3] = [Form::Linked, Form::Patched, Form::Preloaded];

fn program(source: &str, case: &str, flags: &[&str]) -> Program {
    let name = format!("capi-{}", source.split('.').next().expect("a name"));
    let path = crate::common::linked_with(&format!("tests/progs/capi/{source}"), &name, flags);
    Program::new(path).arg(case).env("EVENTLET_DETECT", "1")
}

fn run_in(program: Program, form: Form) -> Outcome {
    match form {
        Form::Linked => program.bare(),
        Form::Patched => program.env("EVENTLET_PATCH", "all").bare(),
        Form::Preloaded => program.preloaded(),
    }
}

fn run(source: &str, case: &str, form: Form) -> Outcome {
    run_in(program(source, case, &[]), form)
}

/// Linked, with more in its environment.
fn run_with(source: &str, case: &str, env: &[(&str, &str)]) -> Outcome {
    env.iter().fold(program(source, case, &[]), |program, (name, value)| program.env(name, value)).bare()
}

#[track_caller]
fn good(source: &str, case: &str, form: Form) {
    let outcome = run(source, case, form);
    let quiet = outcome.status.success() && outcome.text() == format!("{case} done\n");
    assert!(quiet && outcome.stderr.is_empty(), "{form:?}\n{outcome}");
}

/// One test per case, in every form.
macro_rules! cases {
    ($module:ident, $source:literal: $($name:ident),* $(,)?) => {
        mod $module {
            $(#[test]
            fn $name() {
                for form in super::FORMS {
                    super::good($source, stringify!($name), form);
                }
            })*
        }
    };
}

cases!(raise, "raise.c": caught, in_threads, pthread_exits, not_now);
cases!(handles, "handles.c": none, foreign, freed, let_go);
cases!(numbers, "numbers.c": sizes, times, no_memory, still_told);
cases!(timeout, "timeout.c": raised, bound, cancelled, with, others, nested, due, taken_along, forked, many);
cases!(sync, "sync.c": events, semaphores, bound);
cases!(nested, "nested.c": waits, replaced, late);
cases!(lives, "lives.c": in_child);
cases!(queue, "queue.c": orders, bounded, fair, not_lost, late, channel, joined, resized, deleted, compared, asked);
cases!(pool, "pool.c": bounded, slots, empty, given_up, mapped, mapped_on_slots, mapped_for_three, mapped_for_the_other,
    mapped_no_more, piled, piled_in_order, piled_in_place);
cases!(thread, "thread.c": order, waiters, after, cancelled, killed, links, current, local_ends, local_and_links, more_links, first, many, cooperative,
    forked, child_ends);
cases!(woken, "woken.c": queues, priorities, others, deleted, due);
cases!(net, "net.c": inet, local, reuse, defaults, errors, no_descriptor, no_room, everywhere, numbers);
cases!(calls, "calls.c": reads, writes, accepts, inherited, given_up);
cases!(tpool, "tpool.c": many, parked, raised, killed, forked);
cases!(inspect, "inspect.c": dump, hogs);
cases!(serve, "serve.c": many, thousand, limited, ends, timeouts, errors, full, anywhere);

/// Before main, in handlers, after exit has begun.
#[test]
fn every_moment() {
    const MOMENTS: &str =
        "prepare 0\nparent 0\nchild 0\nmain of the child 0\nkey 0\natexit 0\ndestructor 0\n";
    for form in FORMS {
        for (case, end) in [("everywhere", "everywhere done\n"), ("thread_exits", ""), ("green_exits", "")] {
            let outcome = run("moments.c", case, form);
            let mut lines: Vec<&str> = outcome.text().lines().collect();
            let mut expected: Vec<&str> = MOMENTS.lines().chain(end.lines()).collect();
            // Two processes write, and stdio at its own time.
            lines.sort_unstable();
            expected.sort_unstable();
            assert!(
                outcome.status.success() && lines == expected && outcome.stderr.is_empty(),
                "{form:?}\n{outcome}"
            );
        }
    }
}

#[test]
fn as_many_real_threads_as_are_allowed() {
    for (case, size) in [("limited", "2"), ("in_place", "0")] {
        let outcome = run_with("tpool.c", case, &[("EVENTLET_THREADPOOL_SIZE", size)]);
        assert!(outcome.status.success() && outcome.stderr.is_empty(), "{outcome}");
    }
}

#[test]
fn locks_are_waits_too() {
    for case in ["killed", "timed", "respects", "streams", "woken"] {
        good("blocked.c", case, Form::Patched);
        good("blocked.c", case, Form::Preloaded);
    }
}

#[test]
fn what_a_killed_thread_was_woken_for_stays() {
    for case in ["descriptors", "processes", "meetings"] {
        good("woken.c", case, Form::Patched);
        good("woken.c", case, Form::Preloaded);
    }
}

/// Each group alone, all of them, none, and some together: by the call, and by the environment.
#[test]
fn groups_alone_and_together() {
    const NAMES: [&str; 5] = ["os", "select", "socket", "thread", "time"];
    let program = || Program::new(crate::common::linked("tests/progs/capi/groups.c", "capi-groups"));
    for mask in [0, 1, 2, 4, 8, 16, 31, 6, 25, 30] {
        let words: Vec<_> = (0..5).filter(|bit| mask >> bit & 1 != 0).map(|bit| NAMES[bit]).collect();
        let words = if words.is_empty() { "none".into() } else { words.join(" , ") };
        let number = mask.to_string();
        let called = program().arg("call").arg(&number).bare();
        let linked = program().arg("environment").arg(&number).env("EVENTLET_PATCH", &words).bare();
        let preloaded = program().arg("environment").arg(&number).env("EVENTLET_PATCH", &words).preloaded();
        for outcome in [called, linked, preloaded] {
            let good = outcome.status.success() && outcome.text() == "done\n" && outcome.stderr.is_empty();
            assert!(good, "{words}\n{outcome}");
        }
    }
    // Without a word: all if preloaded, nothing if linked.
    for program in [program(), program().env("EVENTLET_PATCH", ""), program().env("EVENTLET_PATCH", ",")] {
        let (linked, preloaded) = (program.clone(), program);
        for outcome in
            [linked.arg("environment").arg("0").bare(), preloaded.arg("environment").arg("31").preloaded()]
        {
            assert!(outcome.status.success(), "{outcome}");
        }
    }
    for (words, mask) in [
        ("all,-os", 30),
        ("all, -os,-time", 14),
        ("all,", 31),
        (" ,all,, -os", 30),
        ("", 0),
        (" , ", 0),
        ("ALL", -1),
        ("-os", 0),
    ] {
        let outcome = program().arg("environment").arg(mask.to_string()).env("EVENTLET_PATCH", words).bare();
        assert_eq!(outcome.status.code(), Some(if mask < 0 { 2 } else { 0 }), "{words}\n{outcome}");
    }
}

cases!(cpp, "unwind.cpp": unwound);

#[test]
fn what_cpp_does_not_let_through_ends_the_program() {
    for (case, said) in [
        ("no_except", "terminate"),
        ("swallowed", "FATAL"),
        ("thrown", "terminate"),
        ("thrown_late", "terminate"),
    ] {
        for form in FORMS {
            let outcome = run("unwind.cpp", case, form);
            assert_eq!(outcome.status.signal(), Some(libc::SIGABRT), "{case} {form:?}\n{outcome}");
            assert!(outcome.errors().contains(said), "{case} {form:?}\n{outcome}");
        }
    }
}

#[test]
fn uncaught_codes_are_reported_but_exit_is_not() {
    for form in FORMS {
        for case in ["reported", "reported_of_link"] {
            let outcome = run("raise.c", case, form);
            assert!(outcome.status.success(), "{outcome}");
            let lines: Vec<&str> = outcome.errors().lines().collect();
            assert!(
                matches!(lines[..], [line] if line.starts_with("eventlet: uncaught code 131072 in")),
                "{outcome}"
            );
        }
    }
}

#[test]
fn uncaught_in_main_is_status_1() {
    for form in FORMS {
        let outcome = run("raise.c", "in_main", form);
        assert_eq!(outcome.status.code(), Some(1), "{outcome}");
        assert!(outcome.errors().starts_with("eventlet: uncaught code 5 in"), "{outcome}");
    }
}

#[test]
fn uncaught_outside_of_main_is_status_1() {
    for form in FORMS {
        for case in ["after_main", "late_after_main"] {
            let outcome = run("nested.c", case, form);
            assert_eq!(outcome.status.code(), Some(1), "{outcome}");
            assert!(outcome.errors().starts_with("eventlet: uncaught code 5 in"), "{outcome}");
        }
        let outcome = run_in(program("nested.c", "waits", &[]).env("BEFORE_MAIN", "1"), form);
        assert_eq!(outcome.status.code(), Some(1), "{outcome}");
        assert!(outcome.errors().starts_with("eventlet: uncaught code 5 in"), "{outcome}");
    }
}

#[test]
fn uncaught_in_a_destructor_is_reported() {
    for form in FORMS {
        let outcome = run("nested.c", "in_destructor", form);
        assert!(outcome.status.success(), "{outcome}");
        assert!(outcome.errors().starts_with("eventlet: uncaught code 131072 in"), "{outcome}");
        assert_eq!(outcome.errors().lines().count(), 1, "{outcome}");
    }
}

#[test]
fn libc_leaves_no_mask_behind() {
    good("nested.c", "masks", Form::Patched);
    good("nested.c", "masks", Form::Preloaded);
}

#[test]
fn cancellation_waits_for_what_is_on_its_way() {
    good("nested.c", "cancels", Form::Patched);
    good("nested.c", "cancels", Form::Preloaded);
}

#[test]
fn real_threads_are_told_so() {
    good("raise.c", "on_foreign", Form::Linked);
    for case in ["abort_on_foreign", "stop_on_foreign"] {
        let outcome = run("raise.c", case, Form::Linked);
        assert_eq!(outcome.status.signal(), Some(libc::SIGABRT), "{outcome}");
        assert_eq!(outcome.errors().lines().count(), 1, "{outcome}");
    }
}

#[test]
fn pthreads_that_are_green_raise_too() {
    good("raise.c", "in_pthread", Form::Preloaded);
    good("raise.c", "in_pthread", Form::Patched);
}

#[test]
fn timeouts_end_patched_calls() {
    good("timeout.c", "rows", Form::Preloaded);
    good("timeout.c", "rows", Form::Patched);
}

#[test]
fn unknown_group_ends_the_program() {
    let program = Program::new(crate::common::linked("tests/progs/capi/thread.c", "capi-thread"));
    let outcome = program.arg("order").env("EVENTLET_PATCH", "socket, sockets").bare();
    assert_eq!(outcome.status.code(), Some(2), "{outcome}");
    assert!(outcome.errors().contains("\"sockets\"") && outcome.errors().lines().count() == 1, "{outcome}");
}

#[test]
fn header_is_clean_in_every_language() {
    let header = concat!(env!("CARGO_MANIFEST_DIR"), "/shim/include/eventlet.h");
    for (compiler, language, standards) in
        [("cc", "c", &["c99", "c11", "c17"][..]), ("c++", "c++", &["c++11", "c++20"][..])]
    {
        for standard in standards {
            let output = Command::new(compiler)
                .args(["-fsyntax-only", "-Wall", "-Wextra", "-Wpedantic", "-Werror", "-x", language])
                .args(["-include", header, &format!("-std={standard}"), "/dev/null"])
                .output()
                .expect(compiler);
            assert!(output.status.success(), "{standard}\n{}", String::from_utf8_lossy(&output.stderr));
        }
    }
}

/// No decision hangs on a text that libc translates.
#[test]
fn errors_in_another_language() {
    let folder = std::path::Path::new(env!("CARGO_TARGET_TMPDIR"));
    let made = Command::new("localedef")
        .args(["-i", "de_DE", "-f", "UTF-8"])
        .arg(folder.join("de_DE.UTF-8"))
        .output()
        .expect("localedef");
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let (library, folder) = (import::library(), folder.to_str().expect("UTF-8"));
    let library = library.to_str().expect("UTF-8");
    let env = [("LIBRARY", library), ("LOCPATH", folder), ("LC_ALL", "de_DE.UTF-8")];
    let outcome = run_with("import.c", "translated", &env);
    assert!(outcome.status.success() && outcome.text() == "translated done\n", "{outcome}");
}

/// Nothing is raised in a library's constructor and destructor.
#[test]
fn the_loader_is_not_left_locked() {
    let library = crate::common::shared("capi/loading_library.c", "libcapi-loading.so", &[]);
    for form in FORMS {
        for case in ["killed", "timed"] {
            let program = program("loading.c", case, &["-Wl,--export-dynamic"]);
            let outcome = run_in(program.env("LIBRARY", library.to_str().expect("UTF-8")), form);
            let quiet = outcome.status.success() && outcome.text() == format!("{case} done\n");
            assert!(quiet && outcome.stderr.is_empty(), "{form:?}\n{outcome}");
        }
    }
}

/// `eventlet_import_patched`, in a program that is not patched.
mod import {
    use super::run_with;

    pub(super) fn library() -> std::path::PathBuf {
        let deeper = crate::common::shared(
            "capi/import_deeper.c",
            "libcapi-deeper.so",
            &["-Wl,-soname,libcapi-deeper.so"],
        );
        let folder = deeper.parent().expect("a folder").to_str().expect("UTF-8");
        let (needed, rpath) = (deeper.to_str().expect("UTF-8"), format!("-Wl,-rpath,{folder}"));
        let library = |name, when| {
            crate::common::shared(
                "capi/import_library.c",
                name,
                &["-Wl,--no-as-needed", needed, &rpath, when],
            )
        };
        library("libcapi-library.so", "-Wl,-z,relro,-z,lazy");
        library("libcapi-library-now.so", "-Wl,-z,relro,-z,now")
    }

    fn good(case: &str) {
        let now = library();
        for path in [now.with_file_name("libcapi-library.so"), now] {
            let outcome = run_with("import.c", case, &[("LIBRARY", path.to_str().expect("UTF-8"))]);
            let quiet = outcome.status.success() && outcome.text() == format!("{case} done\n");
            assert!(quiet && outcome.stderr.is_empty(), "{path:?}\n{outcome}");
        }
    }

    macro_rules! cases {
        ($($name:ident),*) => {
            $(#[test]
            fn $name() {
                good(stringify!($name));
            })*
        };
    }

    cases!(descriptors, connects, locks, threads, naps, groups, dependencies, again, errors);
}
