//! Spin locks: the real trylock in a loop that yields. The holder is a green thread that needs the hub, or a foreign
//! one that will be done soon.
//!
//! Safety: as the C functions.

use core::ffi::c_int;

use crate::kernel::real::real;
use crate::kernel::{Errno, Result};
use crate::runtime::{Green, hub};

use super::result;

/// `pthread_spin_lock`.
#[inline(always)]
pub unsafe fn lock(g: &Green, spin: *mut c_int) -> Result<()> {
    loop {
        // SAFETY: the C function's contract.
        match unsafe { (real().pthread_spin_trylock)(spin) } {
            libc::EBUSY => g.yield_now(),
            code => return result(code),
        }
    }
}

/// `pthread_spin_trylock`. A loop around it must not keep the hub from the thread that would unlock.
#[inline(always)]
pub unsafe fn try_lock(g: &Green, spin: *mut c_int) -> Result<()> {
    // SAFETY: the C function's contract.
    match unsafe { (real().pthread_spin_trylock)(spin) } {
        libc::EBUSY => {
            hub().charge(g);
            Err(Errno(libc::EBUSY))
        }
        code => result(code),
    }
}
