//! The one place where a floor-3 result becomes what C returns. Success leaves errno alone.
//!
//! Safety: `__errno_location` gives the calling thread's own errno, always writable.

use core::ffi::{c_int, c_long};

use eventlet_core::kernel::real::real;
use eventlet_core::kernel::{Errno, Result};
use eventlet_core::runtime::{raise, this};

/// A C return type that says failure by -1, made from the value `V` of floor 3.
pub trait Answer<V> {
    /// The value as C returns it.
    fn success(value: V) -> Self;
    /// -1.
    fn failure() -> Self;
}

macro_rules! answers {
    ($($value:ty => $answer:ty: |$v:pat_param| $conversion:expr;)*) => {
        $(impl Answer<$value> for $answer {
            #[inline(always)]
            fn success($v: $value) -> $answer {
                $conversion
            }
            #[inline(always)]
            fn failure() -> $answer {
                -1isize as $answer
            }
        })*
    };
}

answers! {
    usize => isize: |count| count as isize;
    usize => c_long: |value| value as c_long;
    usize => c_int: |count| count as c_int;
    usize => usize: |handler| handler;
    c_int => c_int: |value| value;
    () => c_int: |()| 0;
}

impl Answer<usize> for () {
    fn success(_: usize) {}
    fn failure() {}
}

/// The calling thread's errno.
pub fn get() -> c_int {
    // SAFETY: the calling thread's own errno.
    unsafe { *libc::__errno_location() }
}

/// Sets errno.
#[cold]
pub fn set(errno: Errno) {
    let code = acted(errno);
    // SAFETY: see the file's header.
    unsafe { *libc::__errno_location() = code };
}

/// The error as the program may see it. Cancellation, and a raise, is acted on here and does not return: the unwinding leaves
/// through this function and its callers, which hold nothing that has a destructor.
fn acted(errno: Errno) -> c_int {
    if errno == Errno::CANCELLED {
        this().inspect(|g| g.hears());
        if this().is_some_and(raise::take) {
            raise::unwind();
        }
        // SAFETY: the calling thread's own cancellation, at a cancellation point.
        unsafe { (real().pthread_testcancel)() };
        return libc::EINTR;
    }
    errno.0
}

/// The convention of system calls: the value, or -1 and errno.
#[inline(always)]
pub fn from<V, A: Answer<V>>(result: Result<V>) -> A {
    match result {
        Ok(value) => A::success(value),
        Err(errno) => {
            set(errno);
            A::failure()
        }
    }
}

/// What the real function answered, its errno included; or the error that stood in its way.
#[inline(always)]
pub fn answer(result: Result<c_int>) -> c_int {
    result.unwrap_or_else(|errno| from(Err::<usize, _>(errno)))
}

/// `call`, whose errno is nobody's business.
pub fn keeping<T>(call: impl FnOnce() -> T) -> T {
    // SAFETY: see the file's header.
    let place = unsafe { libc::__errno_location() };
    // SAFETY: as above; no switch happens in between.
    let before = unsafe { *place };
    let answer = call();
    // SAFETY: as above.
    unsafe { *place = before };
    answer
}

/// What `call` answers, as a result: -1 is the error that it left in errno, which stays what it was before.
pub fn taken(call: impl FnOnce() -> c_int) -> Result<c_int> {
    keeping(|| match call() {
        // SAFETY: see the file's header.
        -1 => Err(Errno(unsafe { *libc::__errno_location() })),
        answer => Ok(answer),
    })
}

/// The convention of pthread functions: 0 or the error; errno stays.
#[inline(always)]
pub fn code(result: Result<()>) -> c_int {
    result.map_or_else(acted, |()| 0)
}

/// The convention of liburing: the value, or the error as a negative number; errno stays.
pub fn negative(result: Result<c_int>) -> c_int {
    result.unwrap_or_else(|errno| -acted(errno))
}

/// What an optional function answers where libc has none.
pub fn absent<A: Answer<usize>>() -> A {
    from(Err(Errno(libc::ENOSYS)))
}
