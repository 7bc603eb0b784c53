//! Shell scripts with jobs and traps, make with its children, Python's: what they print and how they end is the same.
//!
//! The shells have one thread each, and the library sleeps in them; Python's threads are green.

use std::path::Path;

use crate::common::Program;
use crate::common::server::Folder;

fn script(shell: &str, script: &str) -> Program {
    Program::new(shell).arg("-c").arg(script).arg(shell)
}

fn bash(text: &str) -> Program {
    script("bash", text)
}

#[test]
fn pipelines() {
    let text = r#"
        set -o pipefail
        seq 1 5000 | sort -rn | awk '{ s += $1 } END { print s }'
        false | true; echo "status $? ${PIPESTATUS[*]}"
        cat <(seq 3) <(seq 4) | wc -l
        echo text | tee >(cat >/dev/null) | tr a-z A-Z
        read -r word < <(echo one two); echo "$word"
        coproc cat; echo through a coprocess >&"${COPROC[1]}"; read -r line <&"${COPROC[0]}"; echo "$line"
        yes | head -n 3; echo "${PIPESTATUS[*]}"
        exec 3<<<"a here string"; cat <&3
        timeout 0.05 sleep 600; echo "timeout $?"
        read -rt 0.05 nothing <&"${COPROC[0]}"; echo "read $(($? > 128))"
    "#;
    bash(text).succeeds();
}

#[test]
fn traps_and_jobs() {
    let text = r#"
        trap 'echo usr1; got=1' USR1
        kill -USR1 $$
        sh -c "kill -USR1 $$"; echo "got $got"
        sleep 600 & kill $!; wait $!; echo "job $?"
        (exit 7) & wait $!; echo "wait $?"
        for i in 1 2 3; do (exit $i) & done; wait; echo all
        (trap 'echo in a subshell; exit 3' TERM; kill -TERM $BASHPID; sleep 600); echo "subshell $?"
        sleep 600 & kill -STOP $!
        until grep -q '^State:.T' "/proc/$!/status"; do :; done
        kill -CONT $!; kill $!; wait $!; echo "continued, ended $?"
        trap 'echo at exit' EXIT
        exit 9
    "#;
    let outcome = bash(text).same();
    assert_eq!(outcome.status.code(), Some(9), "{outcome}");
}

#[test]
fn dash() {
    let text = r#"
        trap 'echo interrupted' TERM
        seq 1 100 | while read -r n; do [ $((n % 25)) = 0 ] && echo "$n"; done
        (sleep 600 & echo $! && wait) | { read -r pid; kill "$pid"; }
        kill -TERM $$
        x=$(echo nested $(echo deeper)); echo "$x"
        cat <<END | wc -c
        here document
END
        exit 4
    "#;
    let outcome = script("dash", text).same();
    assert_eq!(outcome.status.code(), Some(4), "{outcome}");
}

/// Job control without a terminal: process groups, %-names, `wait -n`, `disown`, stops.
#[test]
fn bash_job_control() {
    let text = r#"
        set -m; exec 2>/dev/null # where it tells of jobs when it notices
        stopped() { until grep -q '^State:.T' "/proc/$1/status"; do :; done; }
        sleep 600 & sleep 601 & first=$!
        [ "$(ps -o pgid= -p "$first" | tr -d ' ')" = "$first" ] && echo "a group of its own"
        kill %1; wait %1; echo "first $?"
        kill -STOP %2; stopped "$first"; jobs %2; kill -CONT %2; kill -INT %2; wait %2; echo "second $?"
        (exit 5) & sleep 600 & wait -n; echo "one of them $?"; kill %%; wait %% 2>/dev/null; echo "other $?"
        sh -c 'kill -STOP $$; exit 6' & child=$!; stopped "$child"; fg %% >/dev/null; echo "foreground $?"
        yes | { trap '' PIPE; head -n 2; } | cat; echo "${PIPESTATUS[*]}"
        sleep 600 | sleep 600 & kill -TERM -- -$(jobs -p %%); wait; echo "pipeline $?"
        suspended=0; trap 'suspended=1' TSTP; kill -TSTP $$; echo "suspended $suspended"
        trap 'echo child' CHLD; /bin/true; trap - CHLD
        trap 'echo "error at $LINENO"' ERR; false; trap - ERR
        trap 'echo debug' DEBUG; :; trap - DEBUG
        (trap 'echo "exit $?"' EXIT; exit 3)
        f() { trap 'echo return' RETURN; }; f; trap - RETURN
        exec 5< <(trap 'echo hup; exit' HUP; echo up; while :; do sleep 0.01; done)
        read -r line <&5; kill -HUP $!; read -r more <&5; echo "$line $more"
        timeout -s INT 0.05 bash -c 'trap "echo int; exit 9" INT; while :; do sleep 0.01; done'; echo "timed out $?"
        trap 'echo last; exit 11' TERM; kill -TERM $$; echo never
    "#;
    let outcome = bash(text).same();
    assert_eq!(outcome.status.code(), Some(11), "{outcome}");
}

/// A trap that interrupts `wait`, signals to children of children, a loop of background jobs.
#[test]
fn dash_traps() {
    let text = r#"
        exec 2>/dev/null # where it tells of ended jobs when it notices
        trap 'got=1' USR1
        (while sleep 0.01; do kill -USR1 $$; done) & wait $!; echo "interrupted $(($? > 128)) $got"
        kill $!; while kill -0 $! 2>/dev/null; do wait $!; done
        for i in 1 2 3 4 5; do (exit "$i") & pids="$pids $!"; done
        for pid in $pids; do wait "$pid"; printf '%s ' $?; done; echo
        sh -c 'trap "echo inner; exit 7" TERM; echo up; while :; do sleep 0.01; done' >"$0.out" & child=$!
        until grep -q up "$0.out"; do :; done; kill -TERM $child; wait $child; echo "child $? $(cat "$0.out")"; rm "$0.out"
        mkfifo "$0.fifo"; seq 1 5000 >"$0.fifo" & wc -l <"$0.fifo"; wait; rm "$0.fifo"
        trap '' INT; sh -c 'kill -INT $$; echo "ignored in children too"'
        trap 'echo leaving' EXIT; set -e; false; echo never
    "#;
    let folder = Folder::new("dash");
    let program = Program::new("dash").arg("-c").arg(text).arg(folder.path().join("file"));
    let outcome = program.same();
    assert_eq!(outcome.status.code(), Some(1), "{outcome}");
}

/// A project of forty sources in four folders with a generated header, built by four jobs through a recursive make.
#[test]
fn make_with_four_jobs() {
    let makefile = "CFLAGS = -O1 -Wall -I.
PARTS = a b c d
prog: main.o $(PARTS:%=%/part.a)
\t@$(CC) -o $@ main.o $(PARTS:%=%/part.a)
main.o: main.c numbers.h
\t@$(CC) $(CFLAGS) -c -o $@ $<
numbers.h: ; @seq 1 40 | sed 's/.*/int f&(void);/' >$@.new && mv $@.new $@
%/part.a: numbers.h FORCE ; @$(MAKE) --no-print-directory -s -C $* -f ../part.mk part.a
FORCE:
wrong: ; @(exit 3) & wait $$!
clean: ; @rm -f prog *.o */*.o */*.a numbers.h
";
    let part = "SOURCES = $(wildcard *.c)
part.a: $(SOURCES:.c=.o)
\t@ar crsD $@ $(sort $^)
%.o: %.c ../numbers.h
\t@$(CC) -O1 -Wall -I.. -c -o $@ $<
";
    let folder = Folder::new("make");
    folder.file("Makefile", makefile.replace("\\t", "\t"));
    folder.file("part.mk", part.replace("\\t", "\t"));
    let mut sum = String::from(
        "#include \"numbers.h\"\n#include <stdio.h>\nint main(void) { return printf(\"%d\\n\", 0",
    );
    for i in 1..=40 {
        let name = ["a", "b", "c", "d"][i % 4];
        folder.file(
            &format!("{name}/f{i}.c"),
            format!("#include \"numbers.h\"\nint f{i}(void) {{ return {i} * {i}; }}\n"),
        );
        sum += &format!(" + f{i}()");
    }
    folder.file("main.c", sum + ") < 0; }\n");
    let text = r#"
        cd "$1" && make -s clean && make -sj4 && ./prog && sha256sum prog */part.a
        touch b/f1.c && make -sj4 && ./prog
        make -kj4 wrong missing prog 2>&1 | grep -v ^eventlet: | sed 's/^make[^:]*: //' | sort; echo "status ${PIPESTATUS[0]}"
    "#;
    let outcome = bash(text).arg(folder.path()).succeeds();
    assert!(outcome.text().starts_with("22140\n"), "{outcome}");
}

fn python(name: &str) -> Program {
    let scripts = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/progs/stock"));
    Program::new("/usr/bin/python3").arg(scripts.join(name))
}

/// subprocess from threads; multiprocessing by fork, spawn and forkserver, with threads on both sides.
#[test]
fn python_children() {
    // The last of its processes to end is another.
    let outcome = python("children.py").same();
    assert!(outcome.status.success(), "{outcome}");
}

/// Handlers, timers, masks, sigwait, wake-up descriptors, with threads that send and wait.
#[test]
fn python_signals() {
    python("signals.py").green();
}

/// asyncio beside threads.
#[test]
fn python_loops() {
    python("loops.py").green();
}
