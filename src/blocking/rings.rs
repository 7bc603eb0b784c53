//! `io_uring_enter` and `io_getevents`: waits for completions in a program's own rings of requests.
//!
//! ```text
//!   io_uring   its descriptor is readable when completions are there: submit; look, which is a wait of no length; park
//!              on the descriptor; look again
//!   AIO        has no descriptor: take what is there; a kernel thread of its own waits for the rest
//! ```
//! The kernel completes a request in the thread that submitted it: so that, and each look, is the hub's thread's.
//! A wait without IORING_ENTER_EXT_ARG to give it a length (before Linux 5.11), or with its argument in registered memory,
//! is for the kernel, as bare. A registered ring has no number to wait for: it is looked at from time to time; a wait there
//! for more than one completion is as bare too.
//!
//! Facts: `io_uring_enter(2)`, and the kernel's io_uring.c. It waits only if it took all that was to be submitted, and
//! then what it took outweighs the end of the wait. A wait that ends early is none that failed if any completion is there:
//! so a look cannot tell one from many, and what counts them is the ring's memory, or `/proc`. No form of the call restarts.
//!
//! Safety: arguments are the program's, as of the system call.

use core::ffi::c_int;
use core::iter;
use core::time::Duration;

use libc::{sigset_t, timespec};

use crate::data::Deadline;
use crate::kernel::fdinfo::Lines;
use crate::kernel::{Errno, Result};
use crate::runtime::offload::{self, Call};
use crate::runtime::{Green, Wait, hub, signals};
use crate::syscall;

use super::poll::{SIGSET_BYTES, masked, timespec_deadline, until_ready};

/// The flags of `io_uring_enter`.
mod flag {
    pub const GETEVENTS: u32 = 1;
    pub const SQ_WAKEUP: u32 = 2;
    pub const SQ_WAIT: u32 = 4;
    pub const EXT_ARG: u32 = 8;
    pub const REGISTERED_RING: u32 = 16;
    pub const ABS_TIMER: u32 = 32;
    pub const EXT_ARG_REG: u32 = 64;
}

/// `struct io_uring_getevents_arg`.
#[repr(C)]
#[derive(Clone, Copy)]
struct Extended {
    mask: *const sigset_t,
    mask_size: u32,
    /// Microseconds during which it waits for all; then one will do.
    patience: u32,
    time: *const timespec,
}

/// What a wait of no length says.
const NOT_YET: Errno = Errno(libc::ETIME);
const NOW: timespec = timespec { tv_sec: 0, tv_nsec: 0 };

/// A ring of the program's.
#[derive(Clone, Copy, Debug)]
pub struct Ring {
    /// Its descriptor, or its place among the registered ones.
    fd: u32,
    registered: bool,
}

impl Ring {
    /// The ring of this descriptor.
    pub fn at(fd: c_int) -> Ring {
        Ring { fd: fd as u32, registered: false }
    }

    /// Whether `count` completions are there. EINVAL: nobody can tell.
    pub fn has(self, count: u32) -> Result<bool> {
        Ok(self.look(count)? && (count < 2 || self.counted(count).ok_or(Errno(libc::EINVAL))?))
    }

    fn counted(self, count: u32) -> Option<bool> {
        let lines = Lines::of(self.fd as c_int).ok().filter(|_| !self.registered)?;
        let (head, tail, mask) = (lines.number("CqHead")?, lines.number("CqTail")?, lines.number("CqMask")?);
        Some(tail.wrapping_sub(head) >= count.min(mask + 1))
    }

    /// A wait of no length for `count` completions. Whether there is any.
    pub fn look(self, count: u32) -> Result<bool> {
        let flags = flag::GETEVENTS | flag::EXT_ARG | if self.registered { flag::REGISTERED_RING } else { 0 };
        let at_once = Extended { mask: core::ptr::null(), mask_size: 0, patience: 0, time: &NOW };
        // SAFETY: the argument is live.
        let answer = signals::undisturbed(|| unsafe {
            syscall!(libc::SYS_io_uring_enter, self.fd, 0, count, flags, &at_once, size_of::<Extended>())
        });
        match answer {
            Ok(_) => Ok(true),
            Err(NOT_YET) => Ok(false),
            Err(errno) => Err(errno),
        }
    }

    /// Waits until `look` says that `count` completions are there, or `deadline` passes: ETIME. `skips`: the first look
    /// would say no; what is there without having been looked at is an edge at once.
    ///
    /// # Safety
    /// `mask` is NULL or live.
    pub unsafe fn wait(
        self,
        g: &Green,
        (count, skips): (u32, bool),
        deadline: Deadline,
        mask: *const sigset_t,
        mut look: impl FnMut() -> Result<bool>,
    ) -> Result<()> {
        const FAR: c_int = c_int::MAX;
        let wait = Wait {
            call: "io_uring_enter",
            over: |ring, count| {
                let ring = Ring { fd: ring as u32, registered: ring >> 32 != 0 };
                ring.has(count as u32) == Ok(true)
            },
            a: self.fd as usize | usize::from(self.registered) << 32,
            b: count as usize,
            interruptible: true,
            cancellable: false,
            raises: true,
            looks: false,
        };
        let fd = if self.registered { FAR } else { self.fd as c_int };
        let look = || look().map(usize::from);
        // SAFETY: the caller's promise.
        match unsafe {
            until_ready(g, deadline, mask, &wait, skips && deadline != Deadline(0), look, || iter::once(fd))?
        } {
            0 => Err(NOT_YET),
            _ => Ok(()),
        }
    }
}

/// How long a wait may be, and with which mask.
struct Limits {
    mask: *const sigset_t,
    /// Until when it is for all; then one will do.
    patience: Option<Deadline>,
    end: Deadline,
}

impl Limits {
    /// None: the kernel's to judge.
    unsafe fn of(flags: u32, argument: usize, size: usize) -> Option<Limits> {
        if flags & flag::EXT_ARG_REG != 0 {
            return None;
        }
        let (mask, mask_size, patience, end) = if flags & flag::EXT_ARG == 0 {
            (argument as *const sigset_t, size, 0, Deadline::NEVER)
        } else {
            // SAFETY: the system call's contract.
            let given = unsafe { (argument as *const Extended).as_ref() };
            let given = given.filter(|_| size == size_of::<Extended>())?;
            // SAFETY: as above.
            let end = unsafe {
                match given.time.as_ref() {
                    Some(time) if flags & flag::ABS_TIMER != 0 => Deadline::at(libc::CLOCK_MONOTONIC, time),
                    _ => timespec_deadline(given.time),
                }
            };
            (given.mask, given.mask_size as usize, given.patience, end.ok()?)
        };
        if !mask.is_null() && mask_size != SIGSET_BYTES {
            return None;
        }
        let patience = (patience > 0).then(|| Deadline::after(Duration::from_micros(patience.into())));
        Some(Limits { mask, patience, end })
    }

    unsafe fn wait(&self, g: &Green, ring: Ring, count: u32) -> Result<()> {
        // SAFETY: the mask is NULL or live.
        let until = |count, end| unsafe { ring.wait(g, (count, false), end, self.mask, || ring.has(count)) };
        match self.patience.filter(|end| *end < self.end) {
            Some(end) => until(count, end).or_else(|errno| match errno {
                NOT_YET => until(1, self.end),
                errno => Err(errno),
            }),
            None => until(count, self.end),
        }
    }
}

/// `io_uring_enter`.
pub unsafe fn enter(g: &Green, arguments: [usize; 6]) -> Result<usize> {
    let [fd, submit, count, flags, argument, size] = arguments;
    let (count, flags) = (count as u32, flags as u32);
    let call = |submit: usize, count: u32, flags: u32| {
        // SAFETY: the system call's contract.
        let answer = unsafe { syscall!(libc::SYS_io_uring_enter, fd, submit, count, flags, argument, size) };
        hub().charge_inline(g);
        answer
    };
    let waits = flags & flag::GETEVENTS != 0 && count > 0;
    // SAFETY: as above.
    let limits = if waits { unsafe { Limits::of(flags, argument, size) } } else { None };
    let Some(limits) = limits else { return call(submit, count, flags) };
    let mut taken = 0;
    if submit > 0 || flags & (flag::SQ_WAKEUP | flag::SQ_WAIT) != 0 {
        taken = call(submit, 0, flags & !(flag::GETEVENTS | flag::EXT_ARG | flag::ABS_TIMER))?;
        if taken != submit {
            return Ok(taken);
        }
    }
    let ring = Ring { fd: fd as u32, registered: flags & flag::REGISTERED_RING != 0 };
    // SAFETY: as above.
    let answer = match unsafe { limits.wait(g, ring, count) } {
        Ok(()) => Ok(0),
        // Not to be told from here; or the program's mistake, which is found again.
        Err(Errno(libc::EINVAL)) => call(0, count, flags & !(flag::SQ_WAKEUP | flag::SQ_WAIT)),
        Err(errno) if errno != Errno::CANCELLED && ring.look(1) == Ok(true) => Ok(0),
        Err(errno) => Err(errno),
    };
    outweighs(taken, answer)
}

/// What was taken before `answer` came, and it if it counts.
fn outweighs(taken: usize, answer: Result<usize>) -> Result<usize> {
    match answer {
        Ok(more) => Ok(taken + more),
        Err(errno) if taken == 0 || errno == Errno::CANCELLED => Err(errno),
        Err(_) => Ok(taken),
    }
}

/// `io_pgetevents`, and `io_getevents` without a mask.
pub unsafe fn getevents(
    g: &'static Green,
    context: usize,
    least: isize,
    room: isize,
    events: usize,
    timeout: *const timespec,
    mask: *const sigset_t,
) -> Result<usize> {
    /// The size of a `struct io_event`.
    const EVENT: usize = 32;
    // SAFETY: the system call's contract.
    unsafe {
        let taken = syscall!(libc::SYS_io_getevents, context, least, room, events, &NOW)?;
        hub().charge_inline(g);
        let at_once = timeout.as_ref().is_some_and(|time| (time.tv_sec, time.tv_nsec) == (0, 0));
        if taken as isize >= least || at_once {
            return Ok(taken);
        }
        let (left, rest) = (least - taken as isize, room - taken as isize);
        let arguments = [context, left as usize, rest as usize, events + taken * EVENT, timeout as usize, 0];
        let call = Call {
            name: "io_getevents",
            restarts: false,
            cancellable: false,
            number: libc::SYS_io_getevents,
            arguments,
        };
        let answer = masked(g, mask, || offload::call(g, &call));
        // Without a thread for it, as bare.
        let [a, b, c, d, e, _] = arguments;
        outweighs(taken, answer.unwrap_or_else(|| syscall!(libc::SYS_io_getevents, a, b, c, d, e)))
    }
}

/// The mask of `io_pgetevents`, which the system call takes with its size. None: not a mask's.
///
/// # Safety
/// `argument` is the system call's.
pub unsafe fn mask(argument: usize) -> Option<*const sigset_t> {
    // SAFETY: the caller's promise.
    match unsafe { (argument as *const (*const sigset_t, usize)).as_ref() } {
        None => Some(core::ptr::null()),
        Some((mask, size)) => (mask.is_null() || *size == SIGSET_BYTES).then_some(*mask),
    }
}
