//! How threads end.

use core::ffi::{CStr, c_int, c_void};
use core::ptr;
use core::sync::atomic::{AtomicUsize, Ordering};
use std::ffi::CString;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::process::ExitStatusExt;

use eventlet_core::kernel::{fs, real::real};
use eventlet_core::runtime::entry::{self, Start};
use eventlet_core::runtime::identity;

use crate::Case;
use crate::common::shared;
use crate::driver::{Thread, dying, run};

pub const CASES: &[Case] = &[
    ("pthread_exit comes back with its value", exits),
    ("pthread_exit runs C++ destructors on its way", exits_through_cpp),
    ("pthread_exit from a key's destructor", exits_in_destructor),
    ("cancellation ends a thread", cancelled),
    ("thread_local destructors run", thread_locals),
    ("keys' destructors run until they set nothing more, four times at most", destructors),
    ("a robust mutex learns that its owner died", robust),
    ("backtraces end at the entry", backtrace),
    ("main's frame tells a return from pthread_exit", main_frame),
    ("an uncaught exception reaches terminate with the stack intact", uncaught),
];

/// Cases that end their process.
pub const DEATHS: &[Case] = &[("uncaught", throw)];

fn library(name: &CStr) -> *mut c_void {
    let path = shared("throws.cpp", "libthrows.so", &[]);
    let path = CString::new(path.as_os_str().as_bytes()).expect("a path");
    // SAFETY: the library has no constructors of note.
    let found = unsafe { libc::dlsym(libc::dlopen(path.as_ptr(), libc::RTLD_NOW), name.as_ptr()) };
    assert!(!found.is_null(), "{name:?}");
    found
}

fn start(name: &CStr) -> Start {
    // SAFETY: the functions that the cases name have that type.
    unsafe { core::mem::transmute::<*mut c_void, Start>(library(name)) }
}

fn number(name: &CStr) -> extern "C" fn() -> c_int {
    // SAFETY: as above.
    unsafe { core::mem::transmute::<*mut c_void, extern "C" fn() -> c_int>(library(name)) }
}

extern "C" fn leave(value: *mut c_void) -> *mut c_void {
    // SAFETY: no frame between here and the entry holds a destructor.
    unsafe { (real().pthread_exit)(value) };
    unreachable!()
}

fn exits() {
    for value in [0, 1, usize::MAX] {
        assert_eq!(run(leave, value), value);
    }
}

fn exits_through_cpp() {
    let before = number(c"times_unwound")();
    assert_eq!(run(start(c"leaves"), 77), 77);
    assert_eq!(number(c"times_unwound")(), before + 1);
}

static CALLED: AtomicUsize = AtomicUsize::new(0);
static KEY: AtomicUsize = AtomicUsize::new(0);

fn key(destroy: unsafe extern "C" fn(*mut c_void)) -> libc::pthread_key_t {
    let mut key = 0;
    // SAFETY: writes the key.
    assert_eq!(unsafe { libc::pthread_key_create(&mut key, Some(destroy)) }, 0);
    CALLED.store(0, Ordering::Relaxed);
    KEY.store(key as usize, Ordering::Relaxed);
    key
}

unsafe extern "C" fn counts(_: *mut c_void) {
    CALLED.fetch_add(1, Ordering::Relaxed);
}

unsafe extern "C" fn leaves_once(_: *mut c_void) {
    CALLED.fetch_add(1, Ordering::Relaxed);
    leave(9 as *mut c_void);
}

/// The argument is how often the destructor shall set the value again.
unsafe extern "C" fn sets_again(value: *mut c_void) {
    CALLED.fetch_add(1, Ordering::Relaxed);
    if value as usize > 1 {
        set((value as usize - 1) as *mut c_void);
    }
}

extern "C" fn set(value: *mut c_void) -> *mut c_void {
    // SAFETY: a key of ours.
    unsafe { libc::pthread_setspecific(KEY.load(Ordering::Relaxed) as libc::pthread_key_t, value) };
    value
}

fn destructors() {
    // A destructor that sets its value again is called in four rounds.
    for (times, calls) in [(1, 1), (3, 3), (4, 4), (9, 4)] {
        let key = key(sets_again);
        run(set, times);
        assert_eq!(CALLED.load(Ordering::Relaxed), calls);
        // SAFETY: a key of ours.
        unsafe { libc::pthread_key_delete(key) };
    }
    // Keys beyond the first block; deleted ones are passed over.
    let keys: Vec<_> = (0..100).map(|_| key(counts)).collect();
    run(set_all, (&raw const keys) as usize);
    assert_eq!(CALLED.load(Ordering::Relaxed), 99);
    // SAFETY: keys of ours.
    keys.iter().skip(1).for_each(|key| assert_eq!(unsafe { libc::pthread_key_delete(*key) }, 0));
}

extern "C" fn set_all(keys: *mut c_void) -> *mut c_void {
    // SAFETY: the case keeps the keys meanwhile.
    let keys = unsafe { &*keys.cast::<Vec<libc::pthread_key_t>>() };
    for key in keys {
        // SAFETY: a key of ours.
        assert_eq!(unsafe { libc::pthread_setspecific(*key, keys.as_ptr().cast()) }, 0);
    }
    // SAFETY: as above.
    unsafe { libc::pthread_key_delete(keys[0]) };
    ptr::null_mut()
}

fn exits_in_destructor() {
    let key = key(leaves_once);
    assert_eq!(run(set, 5), 9);
    assert_eq!(CALLED.load(Ordering::Relaxed), 1);
    // SAFETY: a key of ours.
    unsafe { libc::pthread_key_delete(key) };
}

extern "C" fn cancels_itself(_: *mut c_void) -> *mut c_void {
    assert!(!identity::is_cancelled(fs::get()));
    identity::cancel(fs::get());
    assert!(identity::is_cancelled(fs::get()));
    // SAFETY: a cancellation point.
    unsafe { (real().pthread_testcancel)() };
    ptr::null_mut()
}

fn cancelled() {
    const CANCELED: usize = usize::MAX;
    assert_eq!(run(cancels_itself, 0), CANCELED);
    assert_eq!(run(leave, 3), 3, "the next thread on that block is not cancelled");
}

fn thread_locals() {
    let mut told = 0;
    for times in 1..=3 {
        run(start(c"has_local"), (&raw mut told) as usize);
        assert_eq!(told, times);
    }
}

extern "C" fn locks(mutex: *mut c_void) -> *mut c_void {
    // SAFETY: the case's mutexes.
    unsafe {
        assert_eq!((real().pthread_mutex_lock)(mutex), 0);
        assert_eq!((real().pthread_mutex_lock)(mutex.byte_add(size_of::<libc::pthread_mutex_t>())), 0);
    }
    ptr::null_mut()
}

fn robust() {
    // SAFETY: mutexes and attributes of ours; plain data.
    unsafe {
        let mut mutexes: [libc::pthread_mutex_t; 2] = core::mem::zeroed();
        let mut attributes: libc::pthread_mutexattr_t = core::mem::zeroed();
        libc::pthread_mutexattr_init(&mut attributes);
        libc::pthread_mutexattr_setrobust(&mut attributes, libc::PTHREAD_MUTEX_ROBUST);
        for mutex in &mut mutexes {
            assert_eq!(libc::pthread_mutex_init(mutex, &attributes), 0);
        }
        let first: *mut c_void = (&raw mut mutexes).cast();
        let mut dead = Thread::new(locks, first).join().dead;
        dead.sort();
        assert_eq!(dead, [first as usize, first as usize + size_of::<libc::pthread_mutex_t>()]);
        for mutex in &mut mutexes {
            let mutex: *mut c_void = (&raw mut *mutex).cast();
            assert_eq!((real().pthread_mutex_trylock)(mutex), libc::EOWNERDEAD);
            assert_eq!((real().pthread_mutex_unlock)(mutex), 0);
        }
    }
}

extern "C" fn asks_depth(depth: *mut c_void) -> *mut c_void {
    // SAFETY: the case gives that function.
    let depth = unsafe { core::mem::transmute::<*mut c_void, extern "C" fn() -> c_int>(depth) };
    depth() as usize as *mut c_void
}

fn backtrace() {
    // depth, asks_depth, the entry.
    assert_eq!(run(asks_depth, number(c"depth") as usize), 3);
}

unsafe extern "C" fn returns(argc: c_int, argv: *mut *mut i8, env: *mut *mut i8) -> c_int {
    assert!(argc == 1 && !argv.is_null() && env.is_null());
    number(c"depth")()
}

unsafe extern "C" fn main_leaves(_: c_int, _: *mut *mut i8, _: *mut *mut i8) -> c_int {
    leave(ptr::null_mut());
    0
}

fn main_frame() {
    let outer = number(c"depth")();
    // SAFETY: functions like main.
    unsafe {
        let inner =
            entry::run_main(returns, 1, [ptr::null_mut()].as_mut_ptr(), ptr::null_mut()).expect("a return");
        assert!(inner > outer, "its backtrace goes on into its caller's: {inner} > {outer}");
        for _ in 0..2 {
            assert_eq!(entry::run_main(main_leaves, 0, ptr::null_mut(), ptr::null_mut()), None);
        }
    }
    let key = key(leaves_once);
    set(5 as *mut c_void);
    identity::finish_first();
    assert_eq!(CALLED.load(Ordering::Relaxed), 1);
    // SAFETY: a key of ours.
    unsafe { libc::pthread_key_delete(key) };
}

fn throw() {
    run(start(c"throws"), 0);
}

fn uncaught() {
    let output = dying("uncaught");
    assert_eq!(output.status.code(), Some(3), "{output:?} {:?}", output.status.signal());
    assert_eq!(output.stdout, b"terminate\n");
}
