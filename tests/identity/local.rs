//! What is a thread's own: errno, thread-locals, keys' values, tid; and that a recycled block starts anew.

use core::cell::Cell;
use core::ffi::{CStr, c_int, c_void};
use core::ptr;
use std::ffi::CString;
use std::os::unix::ffi::OsStrExt;

use eventlet_core::data::stack;
use eventlet_core::kernel::{fs, real::real};
use eventlet_core::runtime::entry::Start;
use eventlet_core::runtime::identity;

use crate::Case;
use crate::common::shared;
use crate::driver::{Thread, park, run};

pub const CASES: &[Case] = &[
    ("errno and thread-locals are a thread's own", own_values),
    ("thread-locals of libraries opened before and after", libraries),
    ("tids are new, and glibc's locks believe them", tids),
    ("a recycled block starts anew", recycled),
    ("ten thousand threads leave nothing behind", ten_thousand),
    ("threads that used strerror, dlopen, the resolver and getrandom leave nothing behind", buffers),
    ("a fork child keeps its thread's identity", forked),
];

fn errno() -> *mut c_int {
    // SAFETY: gives an address in the running thread's block.
    unsafe { libc::__errno_location() }
}

extern "C" fn sets_errno(value: *mut c_void) -> *mut c_void {
    let value = value as c_int;
    for round in 0..3 {
        // SAFETY: the running thread's own word; read anew after each park.
        unsafe {
            assert_eq!(*errno(), if round == 0 { 0 } else { value + round - 1 });
            *errno() = value + round;
        }
        park();
    }
    // SAFETY: as above.
    assert_eq!(fs::get(), unsafe { libc::pthread_self() } as usize);
    fs::get() as *mut c_void
}

fn own_values() {
    // SAFETY: main's own word.
    unsafe { *errno() = 7 };
    let mut threads: Vec<Thread> =
        (1..=4).map(|n| Thread::new(sets_errno, (n * 100) as *mut c_void)).collect();
    for _ in 0..3 {
        assert!(threads.iter_mut().all(|thread| thread.step().is_none()));
    }
    for thread in threads {
        let tcb = thread.tcb;
        assert_eq!(thread.join().value, tcb);
    }
    // SAFETY: main's own word.
    assert_eq!(unsafe { *errno() }, 7);
}

/// A library of the same source under another name, with or without static TLS.
fn open(name: &str, flags: &[&str]) -> (extern "C" fn() -> *mut c_int, extern "C" fn() -> c_int) {
    let path = shared("identity.c", name, flags);
    let path = CString::new(path.as_os_str().as_bytes()).expect("a path");
    // SAFETY: the library's functions have these types.
    unsafe {
        let library = libc::dlopen(path.as_ptr(), libc::RTLD_NOW);
        assert!(!library.is_null(), "{:?}", CStr::from_ptr(libc::dlerror()));
        let find = |name: &CStr| libc::dlsym(library, name.as_ptr());
        (
            core::mem::transmute::<*mut c_void, extern "C" fn() -> *mut c_int>(find(c"value_address")),
            core::mem::transmute::<*mut c_void, extern "C" fn() -> c_int>(find(c"big_sum")),
        )
    }
}

type Values = [Cell<(extern "C" fn() -> *mut c_int, extern "C" fn() -> c_int)>; 3];

extern "C" fn reads_libraries(libraries: *mut c_void) -> *mut c_void {
    park();
    // SAFETY: the case keeps the array while its threads run.
    let libraries = unsafe { &*libraries.cast::<Values>() };
    for library in libraries {
        let (address, sum) = library.get();
        // SAFETY: the running thread's own variable.
        unsafe {
            assert_eq!(*address(), 22);
            *address() = 1;
        }
        assert_eq!(sum(), 7);
        park();
        // SAFETY: as above.
        assert_eq!(unsafe { *address() }, 1);
    }
    ptr::null_mut()
}

fn libraries() {
    let none = open("libidentity-dynamic.so", &[]);
    let values: Values = core::array::from_fn(|_| Cell::new(none));
    let threads: Vec<Thread> =
        (0..3).map(|_| Thread::new(reads_libraries, (&raw const values).cast_mut().cast())).collect();
    let mut threads = threads;
    assert!(threads.iter_mut().all(|thread| thread.step().is_none()));
    values[1].set(open("libidentity-late.so", &["-DBIG=6000"]));
    // Static TLS: libc copies its values into the block of each thread in its list.
    values[2].set(open("libidentity-static.so", &["-ftls-model=initial-exec", "-DBIG=8"]));
    for thread in threads {
        thread.join();
    }
}

extern "C" fn locks(_: *mut c_void) -> *mut c_void {
    let mut mutex = libc::PTHREAD_ERRORCHECK_MUTEX_INITIALIZER_NP;
    let mutex: *mut c_void = (&raw mut mutex).cast();
    // SAFETY: a mutex of our own.
    unsafe {
        assert_eq!((real().pthread_mutex_lock)(mutex), 0);
        assert_eq!((real().pthread_mutex_lock)(mutex), libc::EDEADLK);
        let owner = *mutex.cast::<i32>().add(2);
        assert_eq!(owner, identity::tid(fs::get()));
        assert_eq!((real().pthread_mutex_unlock)(mutex), 0);
        owner as usize as *mut c_void
    }
}

fn tids() {
    let tids: Vec<usize> = (0..100).map(|_| run(locks, 0)).collect();
    assert!(tids.iter().all(|tid| (1 << 22..1 << 30).contains(tid)));
    assert!(tids.windows(2).all(|pair| pair[0] != pair[1]));
}

extern "C" fn dirties(keys: *mut c_void) -> *mut c_void {
    // SAFETY: the case gives 40 keys.
    let keys = unsafe { &*keys.cast::<[libc::pthread_key_t; 40]>() };
    for key in keys {
        // SAFETY: keys of ours.
        unsafe {
            assert!(libc::pthread_getspecific(*key).is_null());
            assert_eq!(libc::pthread_setspecific(*key, fs::get() as *const c_void), 0);
        }
    }
    // SAFETY: the running thread's own word.
    unsafe {
        assert_eq!(*errno(), 0);
        *errno() = 5;
        assert_eq!(libc::sched_getcpu(), sched_getcpu_raw());
    }
    fs::get() as *mut c_void
}

fn sched_getcpu_raw() -> c_int {
    let mut cpu = 0u32;
    // SAFETY: writes one word.
    unsafe { eventlet_core::syscall!(libc::SYS_getcpu, &raw mut cpu, 0, 0) }.expect("getcpu");
    cpu as c_int
}

fn recycled() {
    // One processor, or the two questions for its number may differ.
    // SAFETY: plain data, filled by the calls.
    unsafe {
        let mut all: libc::cpu_set_t = core::mem::zeroed();
        let size = size_of::<libc::cpu_set_t>();
        assert_eq!(libc::sched_getaffinity(0, size, &mut all), 0);
        let mut keys: [libc::pthread_key_t; 40] = [0; 40];
        for key in &mut keys {
            assert_eq!(libc::pthread_key_create(key, None), 0);
        }
        let mut blocks = Vec::new();
        for cpu in (0..libc::CPU_SETSIZE as usize).filter(|cpu| libc::CPU_ISSET(*cpu, &all)) {
            let mut one: libc::cpu_set_t = core::mem::zeroed();
            libc::CPU_SET(cpu, &mut one);
            assert_eq!(libc::sched_setaffinity(0, size, &one), 0);
            for _ in 0..3 {
                blocks.push(run(dirties, (&raw mut keys) as usize));
            }
        }
        assert!(blocks.windows(2).all(|pair| pair[0] == pair[1]), "one slot serves them all");
        assert_eq!(libc::sched_setaffinity(0, size, &all), 0);
        keys.iter().for_each(|key| assert_eq!(libc::pthread_key_delete(*key), 0));
    }
}

extern "C" fn allocates(_: *mut c_void) -> *mut c_void {
    let text = "some text".repeat(40);
    let words: Vec<String> = (0..8).map(|n| format!("{n} {text}")).collect();
    park();
    words.len() as *mut c_void
}

/// Bytes in use by malloc, and pages of the whole process.
fn in_use() -> (usize, usize) {
    let statm = std::fs::read_to_string("/proc/self/statm").expect("statm");
    let pages = statm.split(' ').next().expect("pages").parse().expect("a number");
    // SAFETY: takes nothing.
    (unsafe { libc::mallinfo2() }.uordblks, pages)
}

/// Runs `round`, of so many threads, until memory must be steady; then one more leaves nothing behind. (Less than a
/// byte a thread: what malloc caches for us moves a little.)
pub fn steady(name: &str, threads: usize, mut round: impl FnMut()) {
    round();
    round();
    let before = in_use();
    round();
    let after = in_use();
    assert!(after.0 < before.0 + threads && after.1 <= before.1, "{name}: {before:?} {after:?}");
}

fn ten_thousand() {
    let at_once = || {
        let threads: Vec<Thread> = (0..100).map(|_| Thread::new(allocates, ptr::null_mut())).collect();
        threads.into_iter().for_each(|thread| assert_eq!(thread.join().value, 8));
    };
    steady("threads", 3400, || (0..34).for_each(|_| at_once()));
}

extern "C" fn uses_strerror(_: *mut c_void) -> *mut c_void {
    // SAFETY: gives a text in a buffer of the thread's.
    let text = unsafe { CStr::from_ptr(libc::strerror(123_456)) };
    assert_eq!(text, c"Unknown error 123456");
    ptr::null_mut()
}

extern "C" fn uses_dlopen(_: *mut c_void) -> *mut c_void {
    // SAFETY: nothing is there to be opened.
    assert!(unsafe { libc::dlopen(c"/nowhere/lib.so".as_ptr(), libc::RTLD_NOW) }.is_null());
    ptr::null_mut()
}

extern "C" fn uses_resolver(_: *mut c_void) -> *mut c_void {
    let mut found = ptr::null_mut();
    // SAFETY: the answer is freed.
    unsafe {
        if libc::getaddrinfo(c"localhost".as_ptr(), ptr::null(), ptr::null(), &mut found) == 0 {
            libc::freeaddrinfo(found);
        }
    }
    ptr::null_mut()
}

extern "C" fn asks_dlerror(_: *mut c_void) -> *mut c_void {
    // SAFETY: gives a message or NULL.
    unsafe { libc::dlerror().cast() }
}

extern "C" fn uses_random(_: *mut c_void) -> *mut c_void {
    let mut random = 0usize;
    // SAFETY: fills a word of ours.
    assert_eq!(unsafe { libc::getrandom((&raw mut random).cast(), 8, 0) }, 8);
    ptr::null_mut()
}

fn buffers() {
    let uses = [
        ("strerror", uses_strerror as Start),
        ("dlopen", uses_dlopen),
        ("resolver", uses_resolver),
        ("random", uses_random),
    ];
    for (name, start) in uses {
        steady(name, 500, || (0..500).for_each(|_| assert_eq!(run(start, 0), 0)));
    }
    assert_eq!(run(asks_dlerror, 0), 0, "the next thread does not inherit the message");
}

extern "C" fn forks(_: *mut c_void) -> *mut c_void {
    let tcb = fs::get();
    let tid = identity::tid(tcb);
    let mut mutex = libc::PTHREAD_RECURSIVE_MUTEX_INITIALIZER_NP;
    let mutex: *mut c_void = (&raw mut mutex).cast();
    // SAFETY: the child runs on this thread's stack and ends by _exit.
    unsafe {
        assert_eq!((real().pthread_mutex_lock)(mutex), 0);
        let child = (real().fork)();
        if child == 0 {
            let is_pid = identity::tid(tcb) == libc::getpid();
            identity::forked(tcb, tid);
            let unlocked = (real().pthread_mutex_unlock)(mutex) == 0;
            // A new thread is made in the child, over the forking one's head.
            let mut slot = stack::take(64 << 10).expect("a stack");
            let made = identity::make(&mut slot, 0).is_ok();
            libc::_exit(if is_pid && unlocked && made && identity::tid(tcb) == tid { 0 } else { 1 });
        }
        (real().pthread_mutex_unlock)(mutex);
        let mut status = 0;
        libc::waitpid(child, &mut status, 0);
        status as usize as *mut c_void
    }
}

fn forked() {
    assert_eq!(run(forks, 0), 0);
}
