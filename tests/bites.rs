//! The tests bite: with a row removed from the library, or with a park that does not wait, the programs of the tests do
//! not end as they should. Each entry names a program, a case that passes with the whole library, and the rows that it
//! needs. A row without an entry is untested: [`every_row_is_covered`] asks for one.

use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::Mutex;
use std::thread;
use std::time::Duration;

use crate::common::table::table;
use crate::common::{Program, without};

/// How long a mutant may take; a hang bites as well. The whole library needs a fraction of it.
const LIMIT: Duration = Duration::from_millis(700);
/// Runs at once: most of them wait for the limit.
const WORKERS: usize = 8;

/// libc's code stays as it is, and nothing takes the hub out of it: else the function beneath a removed row leads to
/// another row. See src/kernel/options.rs.
const NO_DEEP: u64 = 64 | 128;
/// `park` returns at once.
const NO_PARK: u64 = 2;

const ROWS: &[(&str, &str, &[&str])] = &[
    ("addresses.c", "crowded_datagrams", &["sendto"]),
    ("addresses.c", "crowded_listener", &["connect"]),
    ("addresses.c", "udp", &["recvfrom", "recvmsg"]),
    ("batch.c", "all", &["recvmmsg"]),
    ("batch.c", "full", &["sendmmsg"]),
    ("big_write.c", "pipe_write", &["write"]),
    ("big_write.c", "pipe_writev", &["writev"]),
    ("big_write.c", "tcp_send", &["send"]),
    ("big_write.c", "tcp_sendmsg", &["sendmsg"]),
    ("by_number.c", "children", &["syscall"]),
    ("by_number.c", "connecting", &["syscall"]),
    ("by_number.c", "epolling", &["syscall"]),
    ("by_number.c", "files", &["syscall"]),
    ("by_number.c", "modes", &["syscall"]),
    ("by_number.c", "polling", &["syscall"]),
    ("by_number.c", "reading", &["syscall"]),
    ("by_number.c", "selecting", &["syscall"]),
    ("by_number.c", "signals", &["syscall"]),
    ("by_number.c", "sleeping", &["syscall"]),
    ("by_number.c", "uncancelled", &["syscall"]),
    ("by_number.c", "writing", &["syscall"]),
    ("cancel.c", "waits", &["pthread_cancel"]),
    ("closing.c", "wakes_by_close", &["close"]),
    ("closing.c", "wakes_by_closefrom", &["closefrom"]),
    ("closing.c", "wakes_by_dup2", &["dup2"]),
    ("closing.c", "wakes_by_fclose", &["fclose"]),
    ("closing.c", "wakes_by_mq_close", &["mq_close"]),
    ("closing.c", "wakes_by_range", &["close_range"]),
    ("clones.c", "own_memory", &["clone"]),
    ("cond.c", "broadcast", &["pthread_create", "pthread_cond_broadcast"]),
    ("cond.c", "hand_over", &["pthread_cond_wait", "pthread_cond_signal"]),
    ("cond.c", "timed_woken", &["pthread_cond_timedwait", "pthread_cond_clockwait"]),
    ("dup_outlives.c", "", &["read", "dup3"]),
    ("eight_accept.c", "", &["accept", "accept4"]),
    ("ends.c", "main_exit", &["__libc_start_main", "pthread_exit"]),
    ("ends.c", "main_thrd_exit", &["thrd_exit"]),
    ("ends.c", "yielding", &["sched_yield"]),
    ("forkers.c", "forked", &["fork"]),
    ("forks.c", "ahead", &["__register_atfork"]),
    ("execs.c", "becomes_by_execve", &["execve"]),
    ("execs.c", "becomes_by_execveat", &["execveat"]),
    ("execs.c", "becomes_by_fexecve", &["fexecve"]),
    ("execs.c", "by_shells", &["popen", "system"]),
    ("execs.c", "spawned", &["posix_spawn", "posix_spawnp"]),
    ("fortified.c", "jumps", &["__longjmp_chk"]),
    ("fortified.c", "waits", &["__read_chk", "__recv_chk", "__recvfrom_chk", "__poll_chk", "__ppoll_chk"]),
    ("futex.c", "any_of_three", &["syscall"]),
    ("futex.c", "owners", &["syscall"]),
    ("futex.c", "private", &["syscall"]),
    ("futex.c", "requeued", &["syscall"]),
    ("helped.c", "listed", &["lio_listio"]),
    ("helped.c", "suspended", &["aio_suspend"]),
    ("join.c", "attributes", &["pthread_getattr_np"]),
    ("join.c", "names", &["pthread_setname_np", "pthread_getname_np"]),
    ("join.c", "results", &["pthread_join"]),
    ("join.c", "timed", &["pthread_timedjoin_np", "pthread_clockjoin_np"]),
    ("join.c", "try_loop", &["pthread_tryjoin_np"]),
    ("join.c", "wrong", &["pthread_detach"]),
    ("libaio.c", "by_library", &["syscall"]),
    ("libaio.c", "by_number", &["syscall"]),
    ("lookups.c", "by_handle", &["dlsym"]),
    ("masks.c", "actions", &["siginterrupt"]),
    ("meet.c", "barriers", &["pthread_barrier_wait"]),
    ("meet.c", "destroyed_at_once", &["pthread_barrier_destroy"]),
    ("meet.c", "spin_try_loop", &["pthread_spin_trylock"]),
    ("meet.c", "spins", &["pthread_spin_lock"]),
    ("modes.c", "nonblocking", &["fcntl", "ioctl"]),
    ("modes.c", "timeouts", &["setsockopt"]),
    ("multiplex.c", "epoll_modes", &["epoll_wait", "epoll_pwait", "epoll_pwait2"]),
    ("multiplex.c", "poll_any", &["poll", "ppoll"]),
    ("multiplex.c", "select_any", &["select", "pselect"]),
    ("mutex.c", "contended", &["pthread_mutex_lock", "pthread_mutex_unlock"]),
    ("mutex.c", "timed", &["pthread_mutex_timedlock", "pthread_mutex_clocklock"]),
    ("mutex.c", "try_loop", &["pthread_mutex_trylock"]),
    ("old_signals.c", "by_signal", &["signal"]),
    ("old_signals.c", "by_sysv_signal", &["__sysv_signal"]),
    ("old_signals.c", "by_sigvec", &["sigvec"]),
    ("old_signals.c", "masks", &["sigset", "sighold", "sigrelse", "sigprocmask"]),
    ("old_signals.c", "pausing", &["__xpg_sigpause"]),
    ("old_signals.c", "pausing_by_mask", &["sigpause"]),
    ("offload.c", "fifo_creat", &["creat"]),
    ("offload.c", "fifo_open64_2", &["__open64_2"]),
    ("offload.c", "fifo_open_2", &["__open_2"]),
    ("offload.c", "fifo_openat", &["openat"]),
    ("offload.c", "fifo_openat64_2", &["__openat64_2"]),
    ("offload.c", "fifo_openat_2", &["__openat_2"]),
    ("offload.c", "fifo_writer", &["open"]),
    ("offload.c", "flocked", &["flock"]),
    ("offload.c", "lockfed", &["lockf"]),
    ("offload.c", "received", &["msgrcv"]),
    ("offload.c", "semaphore", &["semop"]),
    ("offload.c", "sent", &["msgsnd"]),
    ("offload.c", "timed", &["semtimedop"]),
    ("once.c", "parking", &["pthread_once"]),
    ("processes.c", "forked", &["_Fork"]),
    ("processes.c", "vfork_closes", &["vfork"]),
    ("processes.c", "waits", &["wait", "wait3", "wait4", "waitid", "waitpid"]),
    ("pthread/by_thread.c", "getrusage_", &["getrusage"]),
    ("pthread/by_thread.c", "nice_", &["getpriority", "nice", "setpriority"]),
    ("pthread/by_thread.c", "pthread_getcpuclockid_", &["clock_gettime"]),
    (
        "pthread/by_thread.c",
        "pthread_setaffinity_np_",
        &["pthread_getaffinity_np", "pthread_setaffinity_np", "sched_getaffinity", "sched_setaffinity"],
    ),
    (
        "pthread/by_thread.c",
        "pthread_setschedparam_",
        &["pthread_getschedparam", "pthread_setschedparam", "pthread_setschedprio"],
    ),
    ("pthread/by_thread.c", "sched_rr_get_interval_", &["sched_rr_get_interval"]),
    (
        "pthread/by_thread.c",
        "sched_setscheduler_",
        &["sched_getscheduler", "sched_setscheduler", "sched_getparam", "sched_setparam"],
    ),
    ("pthread/c11.c", "call_once_", &["call_once"]),
    ("pthread/c11.c", "cnd_timedwait_", &["cnd_timedwait", "cnd_broadcast"]),
    ("pthread/c11.c", "cnd_wait_", &["cnd_wait", "cnd_signal"]),
    ("pthread/c11.c", "mtx_lock_", &["mtx_lock", "mtx_unlock"]),
    ("pthread/c11.c", "mtx_timedlock_", &["mtx_timedlock"]),
    ("pthread/c11.c", "mtx_trylock_", &["mtx_trylock"]),
    ("pthread/c11.c", "thrd_detach_", &["thrd_detach"]),
    ("pthread/c11.c", "thrd_join_", &["thrd_create", "thrd_join"]),
    ("pthread/c11.c", "thrd_yield_", &["thrd_yield"]),
    (
        "pthread/protocols.c",
        "protect_real_time",
        &["pthread_mutex_init", "pthread_mutex_getprioceiling", "pthread_mutex_setprioceiling"],
    ),
    ("queues.c", "received", &["mq_receive", "mq_timedreceive"]),
    ("queues.c", "sent", &["mq_send", "mq_timedsend"]),
    ("recv_flags.c", "peek", &["recv"]),
    ("rwlock.c", "contended", &["pthread_rwlock_unlock"]),
    ("rwlock.c", "freed", &["pthread_rwlock_rdlock", "pthread_rwlock_wrlock"]),
    ("rwlock.c", "freed", &["pthread_rwlock_timedrdlock", "pthread_rwlock_timedwrlock"]),
    ("rwlock.c", "freed", &["pthread_rwlock_clockrdlock", "pthread_rwlock_clockwrlock"]),
    ("rwlock.c", "try_read", &["pthread_rwlock_tryrdlock"]),
    ("rwlock.c", "try_write", &["pthread_rwlock_trywrlock"]),
    ("sem.c", "ping_pong", &["sem_wait", "sem_post"]),
    ("sem.c", "posted", &["sem_timedwait", "sem_clockwait"]),
    ("sem.c", "try_loop", &["sem_trywait"]),
    ("signals.c", "restarted", &["readv", "sigaction"]),
    ("sleeps.c", "c11", &["thrd_sleep"]),
    ("sleeps.c", "deadline", &["clock_nanosleep"]),
    ("sleeps.c", "micro", &["usleep"]),
    ("sleeps.c", "nano", &["nanosleep"]),
    ("sleeps.c", "seconds", &["sleep"]),
    ("socket_timeout.c", "shared", &["dup"]),
    ("thread_identity.c", "names", &["prctl"]),
    ("thread_identity.c", "tid", &["gettid"]),
    ("thread_signals.c", "addressed", &["pthread_sigqueue", "tgkill"]),
    ("thread_signals.c", "alternates", &["sigaltstack"]),
    ("thread_signals.c", "directed", &["pthread_kill"]),
    ("thread_signals.c", "jump_mask", &["siglongjmp"]),
    ("thread_signals.c", "masks", &["pthread_sigmask"]),
    ("thread_signals.c", "paused", &["pause"]),
    ("thread_signals.c", "raised", &["raise", "sigpending"]),
    ("thread_signals.c", "suspended", &["sigsuspend"]),
    ("thread_signals.c", "timers", &["timer_create"]),
    ("thread_signals.c", "waiting", &["sigwait", "sigwaitinfo", "sigtimedwait"]),
    ("transfer.c", "events", &["eventfd_read", "eventfd_write"]),
    ("transfer.c", "sendfile_unix", &["sendfile"]),
    ("transfer.c", "splice_tcp", &["splice"]),
    ("transfer.c", "teed", &["tee"]),
    ("transfer.c", "vectors", &["preadv2", "pwritev2"]),
    ("transfer.c", "vmspliced", &["vmsplice"]),
    ("uring.c", "by_enter", &["io_uring_enter", "io_uring_enter2"]),
    ("uring.c", "by_number", &["syscall"]),
    ("uring.c", "submits", &["io_uring_submit_and_wait", "io_uring_submit_and_wait_timeout"]),
    ("uring.c", "waits", &["__io_uring_get_cqe", "io_uring_wait_cqes"]),
];

/// Rows without which the same comes out another way, and why.
const OTHER_WAYS: &[(&str, &[&str])] = &[
    (
        "a number whose birth no row saw is registered at each wait",
        &["socket", "socketpair", "pipe", "pipe2", "eventfd", "epoll_create", "epoll_create1"],
    ),
    ("the kernel's event wakes the waiters too", &["shutdown"]),
    ("for Eventlet's own descriptors in an unpatched program: tests/capi.rs needs it", &["epoll_ctl"]),
    ("Debian's liburing calls io_uring_wait_cqes in it, which is a row", &["io_uring_wait_cqe_timeout"]),
    (
        "a disk that answers at once keeps nobody waiting: tests/offload.rs sees who makes the call",
        &["copy_file_range", "fdatasync", "fsync", "sync_file_range", "syncfs"],
    ),
    (
        "the log alone needs them: tests/credentials.rs",
        &["arch_prctl", "ioperm", "iopl", "personality", "sched_setattr", "setns", "unshare"],
    ),
    ("no terminal without hardware keeps one waiting", &["tcdrain", "tcsendbreak", "tcsetattr"]),
    ("a resolver that needs nobody answers at once", &["gai_suspend", "getaddrinfo_a"]),
    ("they differ for TLS alone: tests/tls.rs needs them", &["getpeername", "getsockname", "getsockopt"]),
    ("glibc's own calls sched_yield", &["pthread_yield"]),
    ("a number that the kernel gives again is another thread's by then", &["timer_delete"]),
    ("only the privileged can be somebody else: tests/credentials.rs", &["capset", "setfsuid", "setfsgid"]),
    (
        "inside libc: tests/deep.rs needs them",
        &[
            "__close_nocancel",
            "__close_nocancel_nostatus",
            "__lll_lock_wait_private",
            "__lll_lock_wake_private",
            "__open_nocancel",
            "__read_nocancel",
            "__write_nocancel",
        ],
    ),
];

/// What cannot do without a park: each place where a thread waits.
const PARKS: &[(&str, &str)] = &[
    ("big_write.c", "tcp_write"),
    ("cond.c", "hand_over"),
    ("eight_accept.c", ""),
    ("futex.c", "private"),
    ("join.c", "chain"),
    ("multiplex.c", "poll_any"),
    ("mutex.c", "contended"),
    ("once.c", "parking"),
    ("processes.c", "waits"),
    ("sem.c", "ping_pong"),
    ("sleeps.c", "micro"),
    ("two_readers.c", ""),
];

/// The case, without preemption: it is the row that must give way.
fn case(source: &str, name: &str) -> Program {
    let program = Program::of(source).env("EVENTLET_PREEMPT", "0");
    if name.is_empty() { program } else { program.arg(name) }
}

/// Whether the case ends otherwise under a mutant than under the library.
fn bites(program: Program, library: Option<PathBuf>, fault: u64) -> bool {
    let whole = program.preloaded();
    assert!(whole.status.success() && whole.stats().green(), "{program:?} needs no mutant to fail\n{whole}");
    let mutant = program.limit(LIMIT).env("EVENTLET_FAULT", fault.to_string());
    let mutant = library.into_iter().fold(mutant, Program::under);
    let ended = catch_unwind(AssertUnwindSafe(|| mutant.preloaded()));
    !ended.is_ok_and(|ended| ended.alike(&whole) && ended.stats().green())
}

/// Does `run` for each item, some at once; gives those for which it was false.
fn misses<T: Copy + Send>(items: impl Iterator<Item = T>, run: impl Fn(T) -> bool + Sync) -> Vec<T> {
    let items = Mutex::new(items.collect::<Vec<_>>());
    let missed = Mutex::new(vec![]);
    let next = || items.lock().expect("the items").pop();
    thread::scope(|scope| {
        for _ in 0..WORKERS {
            scope.spawn(|| {
                // The System V queues and semaphores of programs that are killed go with this thread.
                // SAFETY: changes this thread alone. Where it is not allowed they stay behind.
                unsafe { libc::unshare(libc::CLONE_NEWIPC) };
                while let Some(item) = next() {
                    if !run(item) {
                        missed.lock().expect("the list").push(item);
                    }
                }
            });
        }
    });
    missed.into_inner().expect("the list")
}

#[test]
fn without_a_row_a_test_fails() {
    let rows = ROWS.iter().flat_map(|&(source, name, rows)| rows.iter().map(move |row| (source, name, *row)));
    let missed = misses(rows, |(source, name, row)| bites(case(source, name), Some(without(row)), NO_DEEP));
    assert!(missed.is_empty(), "these pass without the row: {missed:?}");
}

#[test]
fn without_park_a_test_fails() {
    let missed = misses(PARKS.iter(), |(source, name)| bites(case(source, name), None, NO_PARK));
    assert!(missed.is_empty(), "these pass with a park that returns at once: {missed:?}");
}

#[test]
fn every_row_is_covered() {
    let needed = ROWS.iter().flat_map(|(_, _, rows)| rows.iter());
    let known: BTreeSet<&str> =
        needed.chain(OTHER_WAYS.iter().flat_map(|(_, rows)| rows.iter())).copied().collect();
    let unknown = table().iter().filter(|row| !row.names().any(|name| known.contains(name)));
    let unknown: Vec<_> = unknown.map(|row| row.name()).collect();
    assert!(unknown.is_empty(), "no test needs these rows: {unknown:?}");
}
