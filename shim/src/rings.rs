//! Group os: waits in liburing, which makes its system calls by itself. (libaio makes them by `syscall()`.)
//!
//! Most of them do more than wait: they submit, and hand out the first completion. So the library itself does that, by the
//! same function and with a wait of no length; in between, the thread parks.
//!
//! It answers with the error as a negative number, and leaves errno alone.
//!
//! Safety: rings are the C caller's. What [`Ring`] names lies where liburing.h's inline functions look for it too, the same
//! in all of liburing 2.

use core::ffi::{c_int, c_uint, c_void};
use core::ptr;
use core::sync::atomic::{AtomicU32, Ordering};

use eventlet_core::blocking::poll::timespec_deadline;
use eventlet_core::blocking::rings;
use eventlet_core::kernel::{Errno, Result};
use eventlet_core::runtime::{Green, signals};
use libc::{sigset_t, timespec};

use crate::errno;
use crate::interpose::{end, rows};

const NOW: timespec = timespec { tv_sec: 0, tv_nsec: 0 };
const NOT_YET: c_int = -libc::ETIME;

/// `struct io_uring` of liburing.h.
#[repr(C)]
pub struct Ring {
    /// How many requests the kernel has taken.
    taken: *const AtomicU32,
    _queue: [usize; 7],
    _handed: c_uint,
    /// How many were made.
    made: c_uint,
    _room: [usize; 4],
    /// Of completions, how many the program has taken.
    seen: *const AtomicU32,
    /// How many there were.
    done: *const AtomicU32,
    _mask: usize,
    entries: *const c_uint,
    _completions: [usize; 7],
    setup: c_uint,
    fd: c_int,
    features: c_uint,
}

impl Ring {
    /// The ring, if a wait for `count` completions in it can be given a length, and it has a descriptor to wait for.
    fn waits(&self, count: c_uint) -> Option<rings::Ring> {
        const EXT_ARG: c_uint = 1 << 8;
        (count > 0 && self.fd >= 0 && self.features & EXT_ARG != 0).then(|| rings::Ring::at(self.fd))
    }

    /// Whether `count` completions are there, or as many as there is room for.
    unsafe fn has(&self, count: c_uint) -> bool {
        // SAFETY: file header.
        unsafe {
            let there =
                (*self.done).load(Ordering::Acquire).wrapping_sub((*self.seen).load(Ordering::Relaxed));
            there >= count.min(*self.entries)
        }
    }

    /// Whether the kernel has left requests: then it does not wait.
    unsafe fn is_short(&self) -> bool {
        const SQPOLL: c_uint = 2;
        // SAFETY: file header.
        self.setup & SQPOLL == 0 && unsafe { (*self.taken).load(Ordering::Acquire) } != self.made
    }
}

/// What a function of liburing's answered.
fn result(answer: c_int) -> Result<c_int> {
    if answer < 0 { Err(Errno(-answer)) } else { Ok(answer) }
}

/// Waits until `ring` has `count` completions. `ask` asks liburing without waiting: its last answer is the one, unless
/// nothing had come.
unsafe fn until(
    g: &'static Green,
    (ring, at, count): (&Ring, rings::Ring, c_uint),
    time: *const timespec,
    mask: *const sigset_t,
    ask: impl Fn() -> c_int,
) -> c_int {
    let mut answer = NOT_YET;
    let look = || {
        answer = signals::undisturbed(|| result(ask()).map(|answer| answer as usize))
            .map_or_else(|errno| -errno.0, |answer| answer as c_int);
        // SAFETY: file header.
        Ok(answer < 0 && answer != NOT_YET || unsafe { ring.has(count) })
    };
    // SAFETY: the C function's contract.
    let waited = g.uncancelled(|| unsafe {
        at.wait(g, (count, !ring.has(count)), timespec_deadline(time)?, mask, look)
    });
    end(g);
    match waited {
        Err(errno) if answer == NOT_YET || errno == Errno::CANCELLED => errno::negative(Err(errno)),
        _ => answer,
    }
}

rows! { Os;
    #[library] #[unchecked = "not libc's"]
    fn __io_uring_get_cqe(
        ring: *mut Ring, first: *mut *mut c_void, submit: c_uint, count: c_uint, mask: *const sigset_t
    ) -> c_int {
        match green().filter(|_| submit == 0).zip((*ring).waits(count)) {
            Some((g, at)) => until(g, (&*ring, at, count), ptr::null(), mask, || {
                super::io_uring_wait_cqes::real()(ring, first, count, &NOW, ptr::null())
            }),
            None => real()(ring, first, submit, count, mask),
        }
    }

    #[library] #[unchecked = "not libc's"]
    fn io_uring_wait_cqes(
        ring: *mut Ring, first: *mut *mut c_void, count: c_uint, time: *const timespec, mask: *const sigset_t
    ) -> c_int {
        match green().zip((*ring).waits(count)) {
            Some((g, at)) => until(g, (&*ring, at, count), time, mask, || real()(ring, first, count, &NOW, ptr::null())),
            None => real()(ring, first, count, time, mask),
        }
    }

    #[library] #[unchecked = "not libc's"]
    fn io_uring_wait_cqe_timeout(ring: *mut Ring, first: *mut *mut c_void, time: *const timespec) -> c_int {
        super::io_uring_wait_cqes::body(ring, first, 1, time, ptr::null())
    }

    #[library] #[unchecked = "not libc's"]
    fn io_uring_submit_and_wait(ring: *mut Ring, count: c_uint) -> c_int {
        let Some((g, at)) = green().zip((*ring).waits(count)) else { return real()(ring, count) };
        let taken = real()(ring, 0);
        if taken < 0 || (*ring).is_short() { return taken; }
        let waited = until(g, (&*ring, at, count), ptr::null(), ptr::null(), || match at.look(count) {
            Ok(true) => 0,
            Ok(false) => NOT_YET,
            Err(errno) => -errno.0,
        });
        if taken > 0 { taken } else { waited }
    }

    #[library] #[unchecked = "not libc's"]
    fn io_uring_submit_and_wait_timeout(
        ring: *mut Ring, first: *mut *mut c_void, count: c_uint, time: *const timespec, mask: *const sigset_t
    ) -> c_int {
        let Some((g, at)) = green().zip((*ring).waits(count)) else { return real()(ring, first, count, time, mask) };
        let taken = real()(ring, first, count, &NOW, ptr::null());
        if taken < 0 && taken != NOT_YET || (*ring).is_short() { return taken; }
        let waited = until(g, (&*ring, at, count), time, mask, || {
            super::io_uring_wait_cqes::real()(ring, first, count, &NOW, ptr::null())
        });
        if taken >= 0 { taken } else { waited }
    }

    #[library] #[unchecked = "not libc's"]
    fn io_uring_enter(fd: c_int, submit: c_uint, count: c_uint, flags: c_uint, mask: *const sigset_t) -> c_int {
        super::io_uring_enter2::body(fd, submit, count, flags, mask.cast(), size_of::<u64>())
    }

    #[library] #[unchecked = "not libc's"]
    fn io_uring_enter2(
        fd: c_int, submit: c_uint, count: c_uint, flags: c_uint, argument: *const c_void, size: usize
    ) -> c_int {
        |g| {
            let arguments =
                [fd as usize, submit as usize, count as usize, flags as usize, argument as usize, size];
            errno::negative(g.uncancelled(|| rings::enter(g, arguments)).map(|taken| taken as c_int))
        }
    }
}
