//! Start and end of the library in a process: the constructor, main's frame, the statistics at exit.
//!
//! The constructor has the ordinary place in the order, so `environ` is there, and constructors of other libraries may
//! have called rows before it. It starts nothing and prints nothing.
//!
//! main's `pthread_exit` is not the end where green threads live: libc, which knows of one thread, would end the
//! process. So main is called through a frame that catches the unwinding, runs the hub until the last green thread has
//! ended, and only then exits for libc too, with the same value.
//!
//! Safety: the constructor and the destructor run once each, on the first thread, by the loader's hand; so does main.

use core::ffi::{c_char, c_int, c_void};
use core::ptr;
use core::sync::atomic::{AtomicPtr, AtomicUsize, Ordering};

use eventlet_core::blocking::create;
use eventlet_core::kernel::{fs, log, options, real, stats};
use eventlet_core::runtime::entry::{self, Main};
use eventlet_core::runtime::{fork, hub, spawn};

use crate::interpose::{next, rows};
use crate::{capi, deep, foreign, preload, process, table};

#[ctor::ctor(unsafe, naked)]
fn start() {
    // SAFETY: getauxval reads the process's own auxiliary vector.
    if unsafe { libc::getauxval(libc::AT_SECURE) } != 0 {
        return;
    }
    options::load();
    table::bind();
    begin();
    if !options::CHILDREN.on() {
        preload::forget();
    }
}

/// Puts the rows in force, unless there is a reason against it.
fn begin() {
    if let Some(runtime) = foreign::runtime() {
        return log::note(format_args!("inert: {runtime} schedules this program"));
    }
    match real::lookup(|name| next(name)) {
        Ok(functions) => {
            real::install(functions);
            fs::init();
            process::watch_forks();
            spawn::install_deepen(deepen);
            create::install_find(next(c"_dl_find_object"));
            table::patch(capi::load());
            // Linked, the program asks for its threads itself, and for their promise: a switch only where a call waits.
            hub().first.preemptible.set(preload::named());
        }
        Err(missing) => log::note(format_args!("inert: this libc has no {missing}")),
    }
}

/// Activation's last step: nothing of libc's own is led to rows that are not in force. (For a descriptor of Eventlet's own it
/// may have been begun.)
fn deepen() {
    if table::groups() != 0 || deep::is_put_off() {
        deep::install();
    }
}

/// Runs after the program's atexit handlers and destructors: libraries are finished in the order of their loading.
extern "C" fn end() {
    if options::STATS.on() {
        stats::report();
    }
}

#[used]
#[unsafe(link_section = ".fini_array")]
static END: extern "C" fn() = end;

/// The program's main, of type [`Main`].
static MAIN: AtomicPtr<c_void> = AtomicPtr::new(ptr::null_mut());
/// The TCB of the thread that runs it.
static FIRST: AtomicUsize = AtomicUsize::new(0);
/// What main left with: what it gave to an exit row or, by default, a cancelled thread's value.
static VALUE: AtomicPtr<c_void> = AtomicPtr::new(ptr::without_provenance_mut(usize::MAX));

/// What libc calls in main's place.
unsafe extern "C" fn first_thread(argc: c_int, argv: *mut *mut c_char, env: *mut *mut c_char) -> c_int {
    FIRST.store(fs::get(), Ordering::Relaxed);
    // SAFETY: stored by the row below, with this type.
    let main = unsafe { core::mem::transmute::<*mut c_void, Main>(MAIN.load(Ordering::Relaxed)) };
    // SAFETY: called as libc calls main.
    match unsafe { entry::run_main(main, argc, argv, env) } {
        Some(status) => status,
        None => {
            fork::end_if_raised();
            let value = VALUE.load(Ordering::Relaxed);
            spawn::outlive_all(value);
            // SAFETY: libc's own frame is in force again; nothing here has a destructor.
            unsafe { rows::pthread_exit::real()(value) };
            unreachable!("pthread_exit does not return")
        }
    }
}

fn leaves(value: *mut c_void) {
    if fs::get() == FIRST.load(Ordering::Relaxed) {
        VALUE.store(value, Ordering::Relaxed);
    }
}

rows! { Thread;
    #[unchecked = "not declared"]
    fn __libc_start_main(
        main: Main, argc: c_int, argv: *mut *mut c_char, init: *mut c_void, fini: *mut c_void,
        rtld_fini: *mut c_void, stack_end: *mut c_void
    ) -> c_int {
        if !real::installed() {
            return real()(main, argc, argv, init, fini, rtld_fini, stack_end);
        }
        MAIN.store(main as *mut c_void, Ordering::Relaxed);
        real()(first_thread, argc, argv, init, fini, rtld_fini, stack_end)
    }

    #[unchecked = "does not return"]
    fn pthread_exit(value: *mut c_void) -> () {
        leaves(value);
        real()(value)
    }

    #[unchecked = "does not return"]
    fn thrd_exit(result: c_int) -> () {
        leaves(ptr::without_provenance_mut(result as usize));
        real()(result)
    }
}
