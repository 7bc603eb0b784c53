//! `eventlet.h`: Eventlet's own API. One exported function per declaration, in the header's order; each checks what C can
//! get wrong, makes one call to floor 3 and says the result by C's convention.
//!
//! | file | what it exports |
//! | --- | --- |
//! | `raise` | exceptions |
//! | `thread` | green threads |
//! | `timeout`, `sync`, `queue` | timeouts; events and semaphores; queues |
//! | `pool` | pools, iterators, piles |
//! | `net` | sockets and servers; real threads |
//! | `patch` | what is patched; reports |
//! | `ssl` | TLS |
//!
//! Safety: a handle is NULL or was given out and not yet released or deleted (the header asks for it; what can be seen of a
//! mistake is EINVAL, see `counted`); a place for a result is NULL or writable. A function holds nothing with a destructor when it sets errno: there a raise unwinds.

mod net;
mod patch;
mod pool;
mod queue;
mod raise;
mod ssl;
mod sync;
mod thread;
mod timeout;

use core::ffi::{c_int, c_void};
use core::ptr;

use eventlet_core::blocking::face::counted::Counted;
use eventlet_core::blocking::face::here;
use eventlet_core::blocking::face::thread::Ending;
use eventlet_core::kernel::{Errno, Result};
use eventlet_core::runtime::errand;
use eventlet_core::runtime::hub::active;

use crate::errno;

pub use patch::load;

/// A function of the program, as C gives it: perhaps NULL.
type Function = Option<extern "C" fn(*mut c_void) -> *mut c_void>;

const INVALID: Errno = Errno(libc::EINVAL);

/// What a handle points to. EINVAL: NULL, or it can be seen that it was deleted, or is one of something else.
#[inline(always)]
unsafe fn at<'a, T: Counted>(handle: *const T) -> Result<&'a T> {
    // SAFETY: the file's header.
    unsafe { T::at(handle) }.ok_or(INVALID)
}

/// A new handle, or NULL and errno.
fn handle<T>(made: Result<*const T>) -> *mut T {
    match made {
        Ok(made) => made.cast_mut(),
        Err(error) => {
            errno::set(error);
            ptr::null_mut()
        }
    }
}

/// A new handle of a `T`, where the caller may make one.
fn shared<T: Counted>(make: impl FnOnce() -> Result<T>) -> *mut T {
    handle(here().and_then(|_| make()).and_then(T::share).map(ptr::from_ref))
}

/// The program lets go of it, after `close`. NULL: nothing.
unsafe fn delete<T: Counted>(handle: *mut T, close: impl FnOnce(&T) + 'static) {
    // SAFETY: the file's header.
    let object = move || unsafe { at(handle) };
    if object().is_ok() {
        // Once more there: another thread may have been faster.
        on_hub(move || {
            if let Ok(object) = object() {
                object.withdraw();
                close(object);
                object.release();
            }
        });
    }
}

/// What may wait in an object, which may be deleted meanwhile.
unsafe fn during<T: Counted, R>(handle: *const T, work: impl FnOnce(&T) -> Result<R>) -> Result<R> {
    // SAFETY: the file's header.
    let object = unsafe { at(handle) }?;
    // Only there are references counted.
    here()?;
    object.during(work)
}

/// Does `job` on the hub's thread, whoever calls; a foreign thread does not wait for that.
fn on_hub(job: impl FnOnce() + 'static) {
    if active() { errand::leave_to_hub(job) } else { job() }
}

/// Stores a result where the program wants it.
unsafe fn store(place: *mut *mut c_void, value: *mut c_void) {
    if !place.is_null() {
        // SAFETY: the file's header.
        unsafe { *place = value }
    }
}

/// -1, with a code as errno that may be any positive number.
fn raised(code: c_int) -> c_int {
    // SAFETY: the calling thread's own errno.
    unsafe { *libc::__errno_location() = code };
    -1
}

/// `good` and the value, or -1 and the code.
unsafe fn ended(ending: Ending, place: *mut *mut c_void, good: c_int) -> c_int {
    match ending {
        (0, value) => {
            // SAFETY: the file's header.
            unsafe { store(place, value) };
            good
        }
        (code, _) => raised(code),
    }
}

/// Of the next of many: 1 and the value, 0 at the end, -1 and the code or the error.
unsafe fn next(next: Result<Option<Ending>>, place: *mut *mut c_void) -> c_int {
    match next {
        // SAFETY: the file's header.
        Ok(Some(ending)) => unsafe { ended(ending, place, 1) },
        Ok(None) => 0,
        Err(error) => errno::from(Err::<(), _>(error)),
    }
}

/// One exported function: its C form, and what it does.
macro_rules! exports {
    ($($(#[$attribute:meta])* fn $name:ident($($p:ident: $t:ty),* $(,)?) $(-> $answer:ty)? { $($body:tt)* })*) => {
        $($(#[$attribute])*
        #[allow(unsafe_op_in_unsafe_fn, reason = "an export is under its caller's C contract as a whole")]
        #[unsafe(no_mangle)]
        pub unsafe extern "C" fn $name($($p: $t),*) $(-> $answer)? { $($body)* })*
    };
}
use exports;
