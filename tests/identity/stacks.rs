//! Where stacks come from and go to.

use core::ffi::{c_int, c_void};
use core::ptr;
use std::os::unix::process::ExitStatusExt;
use std::process::Output;

use corosensei::stack::Stack;
use eventlet_core::data::stack::{self, StackSlot};
use eventlet_core::kernel::options::{self, fault};
use eventlet_core::kernel::{Errno, clock, real::real};
use eventlet_core::runtime::{hub, identity, signals};

use crate::Case;
use crate::driver::{dying, run};
use crate::local::steady;

pub const CASES: &[Case] = &[
    ("a slot has the size that was asked for, and a guard", guarded),
    ("guards without MADV_GUARD_INSTALL", guarded_by_mprotect),
    ("the last slot given back is the next one taken", lifo),
    ("the program's own stack memory", outside),
    ("idle slots give their memory back", tidied),
    ("no memory is EAGAIN", exhausted),
    ("an overflow is reported, and kills", overflow_kills),
    ("an overflow is reported to the program's handler", overflow_is_handled),
    ("other faults are the program's", faults),
];

/// Cases that end their process.
pub const DEATHS: &[Case] = &[
    ("overflow", overflow),
    ("overflow handled", || {
        handle(libc::SA_ONSTACK);
        overflow();
    }),
    ("overflow with a handler on the full stack", || {
        handle(0);
        overflow();
    }),
    ("fault", || {
        handle(0);
        fault();
    }),
    ("fault by default", || {
        handle(libc::SA_RESETHAND);
        fault();
    }),
];

/// The kernel's answer when it is to read one byte there.
fn readable(address: usize) -> bool {
    let mut pipe = [0; 2];
    // SAFETY: a pipe of ours; the kernel looks at the address for us.
    unsafe {
        assert_eq!(libc::pipe(pipe.as_mut_ptr()), 0);
        let answer = eventlet_core::syscall!(libc::SYS_write, pipe[1], address, 1);
        pipe.iter().for_each(|end| assert_eq!(libc::close(*end), 0));
        answer.is_ok()
    }
}

fn check(size: usize) {
    let mut slot = stack::take(size).expect("a slot");
    assert!(!readable(slot.bottom() - 1) && readable(slot.bottom()));
    let tcb = identity::make(&mut slot, 512).expect("a block");
    let stack = slot.base().get() - slot.bottom();
    assert!(stack + identity::static_size() >= size, "{size}: {stack}");
    assert_eq!(slot.base().get() % 64, 0);
    let found = stack::find(slot.bottom()).expect("a slot of ours");
    assert_eq!((found.bottom(), found.end()), (slot.bottom(), slot.end()));
    assert!(found.guards(slot.bottom() - 1) && !found.guards(slot.bottom()));
    identity::block::unlink(tcb);
    stack::put(slot);
}

fn guarded() {
    for size in [1, 16 << 10, 64 << 10, (64 << 10) + 1, 1 << 20, 8 << 20, 10 << 20, 1 << 30] {
        check(size);
    }
    assert!(stack::find(ptr::from_ref(&CASES) as usize).is_none());
}

fn guarded_by_mprotect() {
    options::FAULT.set(fault::NO_GUARD_INSTALL);
    check(2 << 20);
    options::FAULT.set(0);
}

fn lifo() {
    let slots: Vec<StackSlot> = (0..100).map(|_| stack::take(128 << 10).expect("a slot")).collect();
    let mut starts: Vec<usize> = slots.iter().map(|slot| slot.bottom()).collect();
    slots.into_iter().for_each(stack::put);
    starts.reverse();
    for start in starts {
        assert_eq!(stack::take(128 << 10).expect("a slot").bottom(), start);
    }
}

fn outside() {
    let mut memory = vec![1u8; 32 << 10];
    let address = memory.as_mut_ptr() as usize;
    steady("outside", 100, || {
        for _ in 0..100 {
            let mut slot = StackSlot::outside(address, memory.len());
            let tcb = identity::make(&mut slot, 512).expect("a block");
            assert!((address..slot.base().get()).len() > 16 << 10 && tcb < address + memory.len());
            identity::block::unlink(tcb);
            identity::put(slot);
        }
    });
    let mut small = StackSlot::outside(address, 8 << 10);
    assert_eq!(identity::make(&mut small, 512), Err(Errno(libc::EINVAL)));
}

fn resident(address: usize) -> bool {
    let mut page = [0u8];
    // SAFETY: asks about one page.
    unsafe { eventlet_core::syscall!(libc::SYS_mincore, address & !4095, 1, page.as_mut_ptr()) }
        .expect("mincore");
    page[0] & 1 != 0
}

fn tidied() {
    const SIZE: usize = 4 << 20;
    let mut slots: Vec<StackSlot> = (0..3).map(|_| stack::take(SIZE).expect("a slot")).collect();
    let mut deep = Vec::new();
    for slot in &mut slots {
        let tcb = identity::make(slot, 512).expect("a block");
        identity::block::unlink(tcb);
        deep.push(slot.bottom() + SIZE / 2);
        // SAFETY: in the middle of a stack that nobody runs on.
        unsafe { *(deep[deep.len() - 1] as *mut u8) = 1 };
    }
    slots.into_iter().for_each(stack::put);
    let now = clock::now();
    // The first look marks how many lie free; one that is used meanwhile is spared.
    identity::tidy(now + 10_000_000_000);
    assert!(deep.iter().all(|address| resident(*address)));
    let warm = stack::take(SIZE).expect("a slot");
    assert!(warm.used());
    stack::put(warm);
    // Some go at each call, those of other cases among them.
    (0..20).for_each(|_| identity::tidy(now + 20_000_000_000));
    assert_eq!(deep.iter().map(|address| resident(*address)).collect::<Vec<_>>(), [false, false, true]);
    let slots: Vec<StackSlot> = (0..3).map(|_| stack::take(SIZE).expect("a slot")).collect();
    assert_eq!(slots.iter().map(StackSlot::used).collect::<Vec<_>>(), [true, false, false]);
    for mut slot in slots {
        assert!(!readable(slot.bottom() - 1), "the guard is still there");
        let tcb = identity::make(&mut slot, 512).expect("a block");
        identity::block::unlink(tcb);
        stack::put(slot);
    }
}

fn exhausted() {
    assert_eq!(stack::take(usize::MAX).err(), Some(Errno(libc::EAGAIN)));
    assert_eq!(stack::take(1 << 46).err(), Some(Errno(libc::EAGAIN)));
    let limit = libc::rlimit { rlim_cur: 1 << 32, rlim_max: libc::RLIM_INFINITY };
    let mut before = limit;
    // SAFETY: limits of our own process, put back below.
    unsafe {
        assert_eq!(libc::getrlimit(libc::RLIMIT_AS, &mut before), 0);
        assert_eq!(libc::setrlimit(libc::RLIMIT_AS, &limit), 0);
    }
    let mut slots = Vec::with_capacity(1000);
    let error = loop {
        match stack::take(512 << 20) {
            Ok(slot) => slots.push(slot),
            Err(error) => break error,
        }
    };
    // SAFETY: as above.
    unsafe { assert_eq!(libc::setrlimit(libc::RLIMIT_AS, &before), 0) };
    assert_eq!(error, Errno(libc::EAGAIN));
    assert!(slots.len() <= 8);
    slots.into_iter().for_each(stack::put);
}

extern "C" fn deep(left: *mut c_void) -> *mut c_void {
    let frame = core::hint::black_box([left; 100]);
    if left.is_null() {
        left
    } else {
        deep(frame[99].wrapping_byte_sub(1)).wrapping_byte_add(frame[5] as usize)
    }
}

/// A program's handler: tells that it was called, and whether it runs on a thread's stack.
extern "C" fn handler(_: c_int, info: *mut libc::siginfo_t, _: *mut c_void) {
    let here = stack::find(ptr::from_ref(&info) as usize).is_some();
    println!("handler {here}");
    std::process::exit(4);
}

/// Makes the program's action for SIGSEGV, as it stands before the first thread.
fn handle(flags: c_int) {
    // SAFETY: plain data; a handler with that prototype.
    unsafe {
        let mut action: libc::sigaction = core::mem::zeroed();
        action.sa_sigaction =
            if flags & libc::SA_RESETHAND != 0 { libc::SIG_DFL } else { handler as *const () as usize };
        action.sa_flags = flags | libc::SA_SIGINFO;
        assert_eq!((real().sigaction)(libc::SIGSEGV, &action, ptr::null_mut()), 0);
    }
}

fn take_signals() {
    signals::stack::install(&hub().first).expect("an alternate stack");
    signals::action::wrap_all();
}

fn overflow() {
    take_signals();
    run(deep, usize::MAX);
}

fn fault() {
    extern "C" fn write(_: *mut c_void) -> *mut c_void {
        // SAFETY: none; it faults.
        unsafe { core::hint::black_box(8 as *mut u8).write_volatile(1) };
        ptr::null_mut()
    }
    take_signals();
    run(write, 0);
}

fn reports(output: &Output) -> bool {
    let line = String::from_utf8_lossy(&output.stderr);
    line.starts_with("eventlet: thread ") && line.ends_with(" has overflowed its stack of 64 KiB\n")
}

fn overflow_kills() {
    for case in ["overflow", "overflow with a handler on the full stack"] {
        let output = dying(case);
        assert!(output.status.signal() == Some(libc::SIGSEGV) && reports(&output), "{case}: {output:?}");
    }
}

fn overflow_is_handled() {
    let output = dying("overflow handled");
    assert!(output.status.code() == Some(4) && output.stderr.is_empty(), "{output:?}");
    assert_eq!(output.stdout, b"handler false\n");
}

fn faults() {
    let output = dying("fault");
    assert!(output.status.code() == Some(4) && output.stderr.is_empty(), "{output:?}");
    let output = dying("fault by default");
    assert!(output.status.signal() == Some(libc::SIGSEGV) && output.stderr.is_empty(), "{output:?}");
}
