//! What AddressSanitizer is told, if the program is built with it. For each frame it keeps which bytes around the variables
//! may not be touched, until the function returns; frames that an unwinding passes over never do. (Of `longjmp` and
//! `throw` the compiler tells it.)
//!
//! Safety: the two functions are those of `sanitizer/asan_interface.h`. They change its own notes alone.

use core::ffi::{CStr, c_void};
use core::ptr;
use core::sync::atomic::{AtomicPtr, Ordering};

use super::real::real;

static UNPOISON: AtomicPtr<c_void> = AtomicPtr::new(ptr::null_mut());
static NO_RETURN: AtomicPtr<c_void> = AtomicPtr::new(ptr::null_mut());

/// Looks whether it is there. Once, at activation.
pub fn find() {
    let symbol = |name: &CStr| {
        // SAFETY: a lookup by name.
        unsafe { (real().dlsym)(libc::RTLD_DEFAULT, name.as_ptr()) }
    };
    UNPOISON.store(symbol(c"__asan_unpoison_memory_region"), Ordering::Relaxed);
    NO_RETURN.store(symbol(c"__asan_handle_no_return"), Ordering::Relaxed);
}

/// No frame lies between these addresses.
#[inline(always)]
pub fn no_frames(from: usize, to: usize) {
    let function = UNPOISON.load(Ordering::Relaxed);
    if !function.is_null() {
        // SAFETY: file header.
        let unpoison = unsafe { core::mem::transmute::<*mut c_void, extern "C" fn(usize, usize)>(function) };
        unpoison(from, to.saturating_sub(from));
    }
}

/// The frames of the calling thread, whose stack is the kernel's or libc's, are about to go.
pub fn frames_go() {
    let function = NO_RETURN.load(Ordering::Relaxed);
    if !function.is_null() {
        // SAFETY: file header.
        let no_return = unsafe { core::mem::transmute::<*mut c_void, extern "C" fn()>(function) };
        no_return();
    }
}
