//! A hub of a few lines: one thread at a time, resumed by hand.
//!
//! Safety: all of it on the main thread; a thread is resumed until it has ended before it is dropped.

use core::cell::Cell;
use core::ffi::c_void;
use core::ptr;
use std::process::{Command, Output};

use corosensei::{Coroutine, Yielder};
use eventlet_core::data::stack::{self, StackSlot};
use eventlet_core::kernel::{fs, real};
use eventlet_core::runtime::entry::{self, Start};
use eventlet_core::runtime::identity;

/// Room that is asked for between stack and TLS block.
pub const ROOM: usize = 600;

/// Fetches the real functions and finds out how `%fs` is written.
pub fn install() {
    fs::init();
    // SAFETY: a lookup by name.
    let table = real::lookup(|name| unsafe { libc::dlsym(libc::RTLD_DEFAULT, name.as_ptr()) }.cast_const());
    real::install(table.expect("all real functions"));
}

thread_local! {
    static YIELDER: Cell<*const Yielder<(), ()>> = const { Cell::new(ptr::null()) };
}

/// Gives the processor back to main.
pub fn park() {
    // SAFETY: set at the thread's first step, valid while it runs.
    unsafe { (*YIELDER.get()).suspend(()) };
}

/// A thread with a stack of its own.
pub struct Thread {
    coroutine: Coroutine<(), (), Finished, StackSlot>,
    pub tcb: usize,
}

/// What a thread left behind.
pub struct Finished {
    pub value: usize,
    /// The robust mutexes that it held.
    pub dead: Vec<usize>,
}

impl Thread {
    /// A thread that will run `start(arg)`.
    pub fn new(start: Start, arg: *mut c_void) -> Thread {
        Thread::on(stack::take(64 << 10).expect("a stack"), start, arg)
    }

    /// The same, on a slot.
    pub fn on(mut slot: StackSlot, start: Start, arg: *mut c_void) -> Thread {
        let tcb = identity::make(&mut slot, ROOM).expect("a block");
        identity::enlist(tcb);
        let coroutine = Coroutine::with_stack(slot, move |yielder, ()| {
            YIELDER.set(yielder);
            identity::begin();
            // After the end nothing may be allocated.
            let mut dead = Vec::with_capacity(8);
            // SAFETY: a start routine, on its own thread.
            unsafe { entry::run(start, arg) };
            let value = identity::finish(|mutex| dead.push(mutex as usize)) as usize;
            Finished { value, dead }
        });
        Thread { coroutine, tcb }
    }

    /// Resumes it; what it left if it has ended.
    pub fn step(&mut self) -> Option<Finished> {
        let home = fs::get();
        // SAFETY: a complete block, and home again afterwards; thread-locals are not held over it.
        unsafe { fs::set(self.tcb) };
        let result = self.coroutine.resume(());
        // SAFETY: as above.
        unsafe { fs::set(home) };
        result.as_return()
    }

    /// Resumes it until it has ended, and gives its slot back.
    pub fn join(mut self) -> Finished {
        let finished = loop {
            if let Some(finished) = self.step() {
                break finished;
            }
        };
        identity::put(self.coroutine.into_stack());
        finished
    }
}

/// Runs `start(arg)` on a thread, from its birth to its end.
pub fn run(start: Start, arg: usize) -> usize {
    Thread::new(start, arg as *mut c_void).join().value
}

/// Runs a case that ends its process, in one of its own.
pub fn dying(case: &str) -> Output {
    let myself = std::env::current_exe().expect("a path");
    Command::new(myself).arg(case).output().expect("a child")
}
