//! Every function that glibc exports stands in `functions.txt` under what becomes of a thread that waits in it; and what
//! is said there holds for the installed libc, by its own code (see [`code`]).
//!
//! A function *waits* if it reaches a system call that can wait, without passing the entry of a deep row: there the
//! detour takes over. A system call of libc's that cannot keep a green thread is excused by [`EXCUSED`].

mod code;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use self::code::{Code, Function, Site};
use crate::common::elf::Image;
use crate::common::later;
use crate::common::table::{Row, table};
use libc::c_long;

const LIST: &str = include_str!("functions.txt");

/// The system calls in which a thread can wait for something else than a disk's answer to metadata.
const WAITING: &[c_long] = &[
    libc::SYS_read,
    libc::SYS_write,
    libc::SYS_open,
    libc::SYS_close,
    libc::SYS_poll,
    libc::SYS_ioctl,
    libc::SYS_pread64,
    libc::SYS_pwrite64,
    libc::SYS_readv,
    libc::SYS_writev,
    libc::SYS_select,
    libc::SYS_msync,
    libc::SYS_pause,
    libc::SYS_nanosleep,
    libc::SYS_sendfile,
    libc::SYS_connect,
    libc::SYS_accept,
    libc::SYS_sendto,
    libc::SYS_recvfrom,
    libc::SYS_sendmsg,
    libc::SYS_recvmsg,
    libc::SYS_wait4,
    libc::SYS_semop,
    libc::SYS_msgsnd,
    libc::SYS_msgrcv,
    libc::SYS_fcntl,
    libc::SYS_flock,
    libc::SYS_fsync,
    libc::SYS_fdatasync,
    libc::SYS_rt_sigtimedwait,
    libc::SYS_rt_sigsuspend,
    libc::SYS_sync,
    libc::SYS_futex,
    libc::SYS_io_getevents,
    libc::SYS_semtimedop,
    libc::SYS_epoll_pwait2,
    libc::SYS_clock_nanosleep,
    libc::SYS_epoll_wait,
    libc::SYS_mq_timedsend,
    libc::SYS_mq_timedreceive,
    libc::SYS_waitid,
    libc::SYS_openat,
    libc::SYS_pselect6,
    libc::SYS_ppoll,
    libc::SYS_splice,
    libc::SYS_tee,
    libc::SYS_sync_file_range,
    libc::SYS_vmsplice,
    libc::SYS_epoll_pwait,
    libc::SYS_fallocate,
    libc::SYS_accept4,
    libc::SYS_preadv,
    libc::SYS_pwritev,
    libc::SYS_recvmmsg,
    libc::SYS_syncfs,
    libc::SYS_sendmmsg,
    libc::SYS_copy_file_range,
    libc::SYS_preadv2,
    libc::SYS_pwritev2,
    libc::SYS_io_uring_enter,
    libc::SYS_openat2,
    libc::SYS_epoll_pwait2,
];

/// Exported functions that can wait, and yet keep no green thread where libc itself calls them, and why. What they call is
/// not looked at.
const INSIDE: &[(&[&str], &str)] = &[
    (&["__fcntl"], "modes of descriptors; locks of the files of accounts, for 15 s at most"),
    (&["__pread64_nocancel"], "regular files of its own"),
    (&["__pthread_rwlock_rdlock", "__pthread_rwlock_wrlock"], "locales and messages: held over no wait"),
    (&["ioctl", "isatty", "tcgetattr"], "terminals and interfaces answer at once"),
    (&["posix_spawn"], "until the child has called exec"),
    (&["pthread_barrier_wait", "pthread_create"], "real threads of its own, which come at once"),
];

/// Functions without a name that hold a system call which can wait, and yet keep no green thread: the call (0: its number
/// is not a constant), an exported function that calls them, and why. What they call is not looked at.
const NAMELESS: &[(c_long, &str, &str)] = &[
    (0, "setuid", "each real thread makes the call, at once"),
    (libc::SYS_close, "getifaddrs", "a socket to the kernel of its own"),
    (libc::SYS_close, "if_nameindex", "the same"),
    (libc::SYS_fcntl, "fdopendir", "modes; locks of the files of accounts, for 10 s at most"),
    (libc::SYS_futex, "pause", "a real thread awaits the cancellation that has begun"),
    (libc::SYS_futex, "pthread_mutex_lock", "robust and inheriting mutexes: libc has none of its own"),
    (libc::SYS_futex, "pthread_once", "libc's own initialisers wait for nothing"),
    (libc::SYS_ioctl, "_IO_file_doallocate", "a terminal answers at once"),
    (libc::SYS_openat, "fchmodat", "directories"),
    (libc::SYS_ppoll, "arc4random_buf", "/dev/random, where getrandom is missing"),
    (libc::SYS_writev, "__libc_fatal", "the last words of a process that aborts"),
];

fn waits(site: &Site) -> bool {
    /// Of futex: wait, lock_pi, wait_bitset, wait_requeue_pi, lock_pi2.
    const FUTEX_WAITS: [u32; 5] = [0, 6, 9, 11, 13];
    match site.number.map(c_long::from) {
        None => true,
        Some(libc::SYS_futex) => site.second.is_none_or(|what| FUTEX_WAITS.contains(&(what & 0x7f))),
        Some(number) => WAITING.contains(&number),
    }
}

/// A libc, and what the library does to it.
struct Libc {
    code: Code,
    /// Entries that a detour leads away from.
    detoured: BTreeSet<u64>,
}

/// What becomes of a thread in a function, as its code has it.
#[derive(Debug, PartialEq)]
enum Found {
    Never,
    /// It waits only where a detour stands.
    Through,
    /// It waits in these system calls, each in the function with that name or entry.
    Waits(Vec<String>),
}

impl Libc {
    /// The libc in this file, with the detours of `rows`.
    fn read(path: &str, rows: impl Iterator<Item = &'static Row>) -> Libc {
        let code = Code::read(&Image(fs::read(path).expect(path)));
        let deep = rows.filter(|row| !row.detour.is_null()).flat_map(Row::names);
        let mut detoured: BTreeSet<u64> =
            deep.filter_map(|name| code.names.get(name)).flatten().copied().collect();
        // The nameless neighbours: see shim/src/deep/mod.rs.
        for (caller, neighbour) in [
            ("pthread_mutex_lock", "__lll_lock_wait_private"),
            ("pthread_mutex_unlock", "__lll_lock_wake_private"),
        ] {
            let base = code.names[neighbour].first().expect("an entry");
            let reached = code.reached(&code.names[caller], |_| false);
            detoured.extend(reached.range(base + 1..=base + 0x80));
        }
        Libc { code, detoured }
    }

    /// The exported functions that call the one at `entry`.
    fn callers(&self, entry: u64) -> BTreeSet<&str> {
        let calls =
            |of: &u64| self.code.functions.get(of).is_some_and(|function| function.calls.contains(&entry));
        let names = self.code.names.iter().filter(|(_, entries)| entries.iter().any(calls));
        names.map(|(name, _)| name.as_str()).collect()
    }

    /// The functions that hold a system call which can wait: what is to be said of them, or nothing of an excused one.
    fn waiting(&self) -> BTreeMap<u64, Vec<String>> {
        let sites = |(entry, function): (&u64, &Function)| {
            let sites: Vec<&Site> = function.sites.iter().filter(|site| waits(site)).collect();
            let number = |site: &Site| site.number.map_or(0, c_long::from);
            let callers = if sites.is_empty() { BTreeSet::new() } else { self.callers(*entry) };
            let excuse = |site: &&Site| {
                NAMELESS.iter().any(|(call, caller, _)| *call == number(site) && callers.contains(caller))
            };
            let excused = sites.iter().any(excuse);
            let told = sites.iter().filter(|_| !excused);
            let told =
                told.map(|site| format!("system call {} at {entry:x}, called by {callers:?}", number(site)));
            (!sites.is_empty()).then(|| (*entry, told.collect()))
        };
        let mut waiting: BTreeMap<_, _> = self.code.functions.iter().filter_map(sites).collect();
        let inside =
            INSIDE.iter().flat_map(|(names, _)| names.iter()).filter_map(|name| self.code.names.get(*name));
        waiting.extend(inside.flatten().map(|entry| (*entry, vec![])));
        waiting
    }

    /// What becomes of a thread in each function.
    fn found(&self) -> BTreeMap<&str, Found> {
        let waiting = self.waiting();
        let excused = |entry: u64| waiting.get(&entry).is_some_and(|sites| sites.is_empty());
        let found = |entries: &BTreeSet<u64>| {
            let mut through = false;
            let reached = self.code.reached(entries, |entry| {
                let detoured = self.detoured.contains(&entry);
                through |= detoured;
                detoured || excused(entry) && !entries.contains(&entry)
            });
            let sites: BTreeSet<&String> =
                reached.iter().filter_map(|entry| waiting.get(entry)).flatten().collect();
            match (sites.is_empty(), through) {
                (true, false) => Found::Never,
                (true, true) => Found::Through,
                (false, _) => Found::Waits(sites.into_iter().cloned().collect()),
            }
        };
        self.code.names.iter().map(|(name, entries)| (name.as_str(), found(entries))).collect()
    }
}

/// The list, by name: the class, and the reason if it needs one.
fn list() -> BTreeMap<&'static str, &'static str> {
    let mut list = BTreeMap::new();
    let mut class = "";
    for line in LIST.lines().filter(|line| !line.starts_with('#')) {
        match line.strip_prefix('[').and_then(|line| line.strip_suffix(']')) {
            Some(next) => class = next,
            None => {
                for name in line.split_whitespace() {
                    assert!(
                        !class.is_empty() && list.insert(name, class).is_none(),
                        "{name} is listed twice"
                    );
                }
            }
        }
    }
    list
}

/// The rows by name.
fn rows() -> BTreeMap<&'static str, &'static Row> {
    table().iter().flat_map(|row| row.names().map(move |name| (name, row))).collect()
}

/// What is wrong with the list for a libc.
fn errors(libc: &Libc) -> Vec<String> {
    let (list, rows) = (list(), rows());
    let mut errors = vec![];
    for (name, found) in libc.found() {
        let Some(class) = list.get(name) else {
            errors
                .push(format!("{name} is not in tests/completeness/functions.txt; its code says {found:?}"));
            continue;
        };
        let right = match rows.get(name) {
            Some(row) if row.detour.is_null() => *class == "row",
            Some(_) => *class == "deep",
            None => match (class.split(':').next().expect("a class"), &found) {
                ("never", found) => *found == Found::Never,
                ("through", found) => matches!(found, Found::Never | Found::Through),
                ("gap", Found::Waits(_)) | ("passes", _) => class.contains(": "),
                _ => false,
            },
        };
        if !right {
            let row = if rows.contains_key(name) { "a row" } else { "no row" };
            errors.push(format!("{name} is said to be [{class}], and is {row}; its code says {found:?}"));
        }
    }
    errors
}

/// The installed libc: the one that this test runs on.
fn installed() -> String {
    let maps = fs::read_to_string("/proc/self/maps").expect("maps");
    let libc = maps
        .lines()
        .filter_map(|line| line.split_whitespace().nth(5))
        .find(|path| path.ends_with("/libc.so.6"));
    libc.expect("libc.so.6").to_owned()
}

#[test]
fn every_function_is_what_the_list_says() {
    let later = later::libcs().iter().map(|folder| folder.join("libc.so.6").display().to_string());
    for path in [installed()].into_iter().chain(later) {
        let errors = errors(&Libc::read(&path, table().iter()));
        assert!(errors.is_empty(), "{path}: {} errors\n{}", errors.len(), errors.join("\n"));
    }
}

#[test]
fn rows_are_in_the_list() {
    let (list, rows) = (list(), rows());
    for (name, row) in &rows {
        let class = if row.detour.is_null() { "row" } else { "deep" };
        let libc = list.contains_key(name) || !row.optional();
        assert!(
            !libc || list.get(name) == Some(&class),
            "{name} is a [{class}] and listed as {:?}",
            list.get(name)
        );
    }
    let gone: Vec<_> = list
        .iter()
        .filter(|(name, class)| ["row", "deep"].contains(class) && !rows.contains_key(*name))
        .collect();
    assert!(gone.is_empty(), "these are no rows: {gone:?}");
}

/// Other names of a row's function are rows too, or are said not to matter.
#[test]
fn no_other_name_leads_past_a_row() {
    let (list, rows, libc) = (list(), rows(), Libc::read(&installed(), table().iter()));
    let entries = libc.code.names.iter().filter(|(name, _)| rows.contains_key(name.as_str()));
    let entries: BTreeSet<u64> = entries.flat_map(|(_, entries)| entries.iter().copied()).collect();
    let past = libc.code.names.iter().filter(|(name, own)| {
        !rows.contains_key(name.as_str())
            && !list.get(name.as_str()).is_some_and(|class| class.starts_with("passes"))
            && own.iter().any(|entry| entries.contains(entry) && !libc.detoured.contains(entry))
    });
    let past: Vec<_> = past.map(|(name, _)| name).collect();
    assert!(past.is_empty(), "these are functions of rows: {past:?}");
}

/// The test bites: without the detours of a row, what goes through it is said to wait.
#[test]
fn without_a_detour_its_callers_wait() {
    for (row, caller) in
        [("poll", "getaddrinfo"), ("wait4", "_IO_proc_close"), ("__lll_lock_wait_private", "fgets")]
    {
        let libc = Libc::read(&installed(), table().iter().filter(|other| other.name() != row));
        let said =
            errors(&libc).iter().any(|error| error.starts_with(&format!("{caller} is said to be [through]")));
        assert!(said, "{caller} does not need {row}");
    }
}
