//! glibc's own functions, as pointers. In `libeventlet.so` the names are ours, so the shim's constructor (or a test's
//! main) fetches the real ones and installs them here; floor 3 calls them through this table alone.
//!
//! Safety: a pointer in the table is the C function of that name with that prototype; calling it is that function's
//! own contract. None of them may be called before [`install`].

use core::ffi::{c_char, c_int, c_void};
use core::sync::atomic::{AtomicBool, Ordering};

macro_rules! reals {
    ($($name:ident ( $($arg:ty),* ) $(-> $ret:ty)?;)*) => {
        /// The table of real functions.
        #[allow(missing_docs, reason = "each field is the libc function of its name")]
        #[derive(Clone, Copy, Debug)]
        pub struct Real { $(pub $name: unsafe extern "C" fn($($arg),*) $(-> $ret)?,)* }

        /// Looks every function up by name. `None`: that name is missing, and nothing may be installed.
        pub fn lookup(mut find: impl FnMut(&core::ffi::CStr) -> *const c_void) -> core::result::Result<Real, &'static str> {
            Ok(Real { $($name: {
                // SAFETY: the name is a literal with its NUL.
                let name = unsafe { core::ffi::CStr::from_bytes_with_nul_unchecked(concat!(stringify!($name), "\0").as_bytes()) };
                let found = find(name);
                if found.is_null() { return Err(stringify!($name)); }
                // SAFETY: a function of that name in libc has this prototype.
                unsafe { core::mem::transmute::<*const c_void, unsafe extern "C" fn($($arg),*) $(-> $ret)?>(found) }
            },)* })
        }
    };
}

reals! {
    pthread_create(*mut usize, *const c_void, extern "C" fn(*mut c_void) -> *mut c_void, *mut c_void) -> c_int;
    pthread_join(usize, *mut *mut c_void) -> c_int;
    pthread_detach(usize) -> c_int;
    pthread_exit(*mut c_void);
    pthread_testcancel();
    pthread_cancel(usize) -> c_int;
    pthread_setcancelstate(c_int, *mut c_int) -> c_int;
    pthread_setcanceltype(c_int, *mut c_int) -> c_int;
    pthread_getattr_np(usize, *mut c_void) -> c_int;
    pthread_setname_np(usize, *const c_char) -> c_int;
    pthread_getname_np(usize, *mut c_char, usize) -> c_int;
    pthread_kill(usize, c_int) -> c_int;
    pthread_mutex_lock(*mut c_void) -> c_int;
    pthread_mutex_trylock(*mut c_void) -> c_int;
    pthread_mutex_timedlock(*mut c_void, *const libc::timespec) -> c_int;
    pthread_mutex_clocklock(*mut c_void, c_int, *const libc::timespec) -> c_int;
    pthread_mutex_unlock(*mut c_void) -> c_int;
    pthread_cond_wait(*mut c_void, *mut c_void) -> c_int;
    pthread_cond_timedwait(*mut c_void, *mut c_void, *const libc::timespec) -> c_int;
    pthread_cond_clockwait(*mut c_void, *mut c_void, c_int, *const libc::timespec) -> c_int;
    pthread_cond_signal(*mut c_void) -> c_int;
    pthread_cond_broadcast(*mut c_void) -> c_int;
    pthread_cond_init(*mut c_void, *const c_void) -> c_int;
    pthread_condattr_init(*mut c_void) -> c_int;
    pthread_condattr_setclock(*mut c_void, libc::clockid_t) -> c_int;
    pthread_condattr_setpshared(*mut c_void, c_int) -> c_int;
    pthread_rwlock_tryrdlock(*mut c_void) -> c_int;
    pthread_rwlock_trywrlock(*mut c_void) -> c_int;
    pthread_spin_trylock(*mut c_int) -> c_int;
    pthread_once(*mut c_int, extern "C" fn()) -> c_int;
    sem_wait(*mut c_void) -> c_int;
    sem_trywait(*mut c_void) -> c_int;
    sem_timedwait(*mut c_void, *const libc::timespec) -> c_int;
    sem_clockwait(*mut c_void, c_int, *const libc::timespec) -> c_int;
    sem_post(*mut c_void) -> c_int;
    sigaction(c_int, *const libc::sigaction, *mut libc::sigaction) -> c_int;
    pthread_sigmask(c_int, *const libc::sigset_t, *mut libc::sigset_t) -> c_int;
    clock_gettime(libc::clockid_t, *mut libc::timespec) -> c_int;
    fork() -> c_int;
    dlsym(*mut c_void, *const c_char) -> *mut c_void;
}

static mut TABLE: core::mem::MaybeUninit<Real> = core::mem::MaybeUninit::uninit();
static INSTALLED: AtomicBool = AtomicBool::new(false);

/// Installs the table, once, while the process has one thread.
pub fn install(table: Real) {
    // SAFETY: called by the constructor, or by a test's main, before any other use; `INSTALLED` publishes it.
    unsafe { (&raw mut TABLE).cast::<Real>().write(table) };
    INSTALLED.store(true, Ordering::Release);
}

/// Whether [`install`] has run. Before that the library is deaf: every row passes through.
#[inline(always)]
pub fn installed() -> bool {
    INSTALLED.load(Ordering::Acquire)
}

/// The table. Only after [`install`].
#[inline(always)]
pub fn real() -> &'static Real {
    debug_assert!(installed());
    // SAFETY: written once by `install` before any caller; never changed after.
    unsafe { &*(&raw const TABLE).cast::<Real>() }
}
