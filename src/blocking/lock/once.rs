//! `pthread_once` and `call_once` with an initialiser that may park.
//!
//! The initialiser runs inside the real `pthread_once` of one thread, so exceptions and cancellation reset the control
//! word as glibc does it. No green thread may call the real one while another is in it: it would wait in the kernel.
//! So the others park until the word says done, or free again.
//!
//! The ABI of `pthread_once_t`: 0 free, bit 0 in progress (the bits above it count forks), bit 1 done. A child of a fork
//! may inherit a word in progress whose thread it has not: glibc knows by the count and starts anew.
//!
//! Safety: as the C functions. The initialiser's unwinding passes through [`once`], which keeps no value with a
//! destructor. It tells nobody then: the others look again by themselves.

use core::ffi::c_int;
use core::sync::atomic::{AtomicI32, Ordering};

use crate::kernel::real::real;
use crate::kernel::{Errno, Result};
use crate::runtime::{Green, Wait, Wake, parking, raise};

use super::{Patience, load, result, word};

const RUNNING: u32 = 1;
const DONE: u32 = 2;

/// Whether the initialiser has run.
#[inline(always)]
pub fn done(control: *mut c_int) -> bool {
    word(control as usize, 0).load(Ordering::Acquire) & DONE != 0
}

/// `pthread_once`.
pub unsafe fn once(g: &Green, control: *mut c_int, initialiser: extern "C" fn()) -> Result<()> {
    wait_for_others(g, control as usize)?;
    // SAFETY: the C function's contract.
    let answer = unsafe { (real().pthread_once)(control, initialiser) };
    ended(control);
    result(answer)
}

/// What follows the real `pthread_once`, on every thread.
pub fn ended(control: *mut c_int) {
    parking::wake(control as usize, usize::MAX);
}

fn idle(address: usize, _: usize) -> bool {
    load(address, 0) & RUNNING == 0
}

fn wait_for_others(g: &Green, address: usize) -> Result<()> {
    g.expect(Wait {
        over: idle,
        a: address,
        interruptible: false,
        cancellable: false,
        raises: true,
        ..Wait::opaque("pthread_once")
    });
    let mut patience = Patience::new();
    while !idle(address, 0) && load(address, 0) == generation() {
        let wake = parking::park(g, address, patience.next(), false, || !idle(address, 0));
        if wake == Some(Wake::Cancelled) || raise::is_due(g) {
            return Err(Errno::CANCELLED);
        }
    }
    Ok(())
}

static SEEN: AtomicI32 = AtomicI32::new(0);

/// What a control word in progress looks like in this process: read in an initialiser of our own.
fn generation() -> u32 {
    static CONTROL: AtomicI32 = AtomicI32::new(0);
    extern "C" fn look() {
        SEEN.store(CONTROL.load(Ordering::Relaxed), Ordering::Relaxed);
    }
    CONTROL.store(0, Ordering::Relaxed);
    // SAFETY: an own control word, used on the hub's thread alone, whose initialiser returns at once.
    unsafe { (real().pthread_once)(CONTROL.as_ptr(), look) };
    SEEN.load(Ordering::Relaxed) as u32
}
