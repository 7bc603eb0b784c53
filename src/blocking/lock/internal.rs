//! libc's internal locks: of a FILE, of the loader, of malloc's arenas, of name resolution. One word: 0 free, 1 held,
//! 2 held and perhaps waited for. Whoever has waited leaves it at 2, so each release wakes the next one, wherever that one
//! waits.
//!
//! A green thread parks on the word. It looks again by itself, too: some releases (glibc 2.37 and later, while it believes
//! the process to have one thread) leave no wake-up.
//!
//! The lock of an arena that a foreign thread holds is a matter of microseconds: so every wait begins with a short spin.
//!
//! Safety: the word belongs to a lock of libc that the caller waits for or releases; all access is atomic.

use core::hint::spin_loop;
use core::sync::atomic::{AtomicU32, Ordering};

use crate::data::Deadline;
use crate::kernel::clock;
use crate::runtime::{Green, Wait, parking};
use crate::syscall;

use super::word;

const FREE: u32 = 0;
const CONTENDED: u32 = 2;

const SPINS: u32 = 50;
/// Nanoseconds until a parked thread looks again by itself.
const AGAIN: u64 = 50_000_000;

/// The futex operation, of a lock that is private to the process (0) or shared (128).
fn operation(operation: i32, private: i32) -> i32 {
    operation | libc::FUTEX_PRIVATE_FLAG ^ private
}

fn takes(word: &AtomicU32) -> bool {
    word.swap(CONTENDED, Ordering::Acquire) == FREE
}

/// Takes the lock, which was found held. `g`: the green thread that may park.
pub unsafe fn wait(g: Option<&Green>, lock: *mut i32, private: i32) {
    let word = word(lock as usize, 0);
    match g {
        Some(g) => park(g, word),
        None => {
            while !takes(word) {
                // SAFETY: waits at the lock's own word.
                let _ = unsafe {
                    syscall!(libc::SYS_futex, word, operation(libc::FUTEX_WAIT, private), CONTENDED, 0)
                };
            }
        }
    }
}

fn park(g: &Green, word: &AtomicU32) {
    let address = core::ptr::from_ref(word) as usize;
    for _ in 0..SPINS {
        if word.load(Ordering::Relaxed) == FREE {
            break;
        }
        spin_loop();
    }
    g.expect(Wait { a: address, interruptible: false, cancellable: false, ..Wait::opaque("a lock of libc") });
    let mut front = false;
    while !takes(word) {
        let again = Deadline(clock::now() + AGAIN);
        let held = || word.load(Ordering::SeqCst) == CONTENDED;
        front = parking::park(g, address, again, front, held).is_some();
    }
}

/// Wakes one waiter of the lock of each kind: it was given free. The word may be that of a mutex, and a green thread that
/// waited for a mutex does not leave it at 2: nobody would wake the next one, if that is foreign.
pub unsafe fn wake(lock: *mut i32, private: i32) {
    parking::wake(lock as usize, 1);
    // SAFETY: wakes at the lock's own word.
    let _ = unsafe { syscall!(libc::SYS_futex, lock, operation(libc::FUTEX_WAKE, private), 1) };
}
