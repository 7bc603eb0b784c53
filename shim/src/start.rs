//! Start and end of the library in a process: the constructor, the statistics at exit.
//!
//! The constructor has the ordinary place in the order, so `environ` is there, and constructors of other libraries may
//! have called rows before it. It starts nothing and prints nothing.
//!
//! Safety: the constructor and the destructor run once each, on the first thread, by the loader's hand.

use eventlet_core::kernel::{fs, log, options, real, stats};

use crate::foreign;
use crate::interpose::next;
use crate::table;

#[ctor::ctor(unsafe, naked)]
fn start() {
    // SAFETY: getauxval reads the process's own auxiliary vector.
    if unsafe { libc::getauxval(libc::AT_SECURE) } != 0 {
        return;
    }
    options::load();
    table::bind();
    if let Some(runtime) = foreign::runtime() {
        return log::note(format_args!("inert: {runtime} schedules this program"));
    }
    match real::lookup(|name| next(name)) {
        Ok(functions) => {
            real::install(functions);
            fs::init();
            table::patch_all();
        }
        Err(missing) => log::note(format_args!("inert: this libc has no {missing}")),
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
