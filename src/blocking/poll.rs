//! `poll`, and what waiting on several descriptors has in common: look without waiting, queue on every descriptor, look
//! again at the first edge. The last look tells, never the edge.
//!
//! Safety: the array is the C caller's, and it stays while the call lasts; masks and times are NULL or live.

use libc::{c_int, nfds_t, pollfd, sigset_t, timespec};

use crate::data::Deadline;
use crate::data::fdtable::flag;
use crate::kernel::signal::bit;
use crate::kernel::{Errno, Result, memory};
use crate::runtime::{Green, Wait, Wake, descriptors, edges, hub, preempt, raise, signals};
use crate::syscall;

use super::kind;

/// A look that does not wait.
const NOW: Deadline = Deadline(0);
/// The kernel's size of a signal set.
pub const SIGSET_BYTES: usize = 8;

/// Whether one of them is green whatever is patched.
pub unsafe fn any_green(fds: *const pollfd, count: nfds_t) -> bool {
    // SAFETY: the C function's contract; where no descriptor is green nothing is read.
    descriptors::any_green()
        && (0..count as usize).any(|place| descriptors::is_green(unsafe { (*fds.add(place)).fd }))
}

/// `poll`.
pub unsafe fn poll(green: &Green, fds: *mut pollfd, count: nfds_t, timeout: c_int) -> Result<usize> {
    // SAFETY: the C function's contract.
    unsafe { ppoll_until(green, fds, count, milliseconds(timeout), core::ptr::null()) }
}

/// `ppoll`.
pub unsafe fn ppoll(
    green: &Green,
    fds: *mut pollfd,
    count: nfds_t,
    timeout: *const timespec,
    mask: *const sigset_t,
) -> Result<usize> {
    // SAFETY: the C function's contract.
    unsafe { ppoll_until(green, fds, count, timespec_deadline(timeout)?, mask) }
}

unsafe fn ppoll_until(
    green: &Green,
    fds: *mut pollfd,
    count: nfds_t,
    deadline: Deadline,
    mask: *const sigset_t,
) -> Result<usize> {
    // SAFETY: the C function's contract.
    let look = || unsafe { look_at(fds, count as usize, mask) };
    let numbers = || {
        // SAFETY: the kernel has taken the array at the first look.
        let all = if count == 0 { &[] } else { unsafe { core::slice::from_raw_parts(fds, count as usize) } };
        all.iter().map(|one| one.fd).filter(|fd| *fd >= 0)
    };
    let wait = Wait {
        call: "poll",
        // SAFETY: the array outlives the wait.
        over: |fds, count| unsafe {
            look_at(fds as *mut pollfd, count, core::ptr::null()).is_ok_and(|ready| ready > 0)
        },
        a: fds as usize,
        b: count as usize,
        interruptible: true,
        cancellable: true,
        raises: false,
        looks: false,
    };
    // A reader that was left empty and has had no edge since: the first look would find nothing.
    let skips = count == 1 && !fds.is_null() && mask.is_null() && deadline != NOW && {
        // SAFETY: plain numbers.
        unsafe { memory::read(fds) }.is_ok_and(|one| {
            one.events & !(libc::POLLIN | libc::POLLRDNORM) == 0
                && descriptors::entry(one.fd).has(flag::DRAINED)
        })
    };
    // SAFETY: the mask is NULL or live.
    unsafe { until_ready(green, deadline, mask, &wait, skips, look, numbers) }
}

unsafe fn look_at(fds: *mut pollfd, count: usize, mask: *const sigset_t) -> Result<usize> {
    let now = timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the caller's promise; the kernel checks the array.
    signals::undisturbed(|| unsafe {
        match quiet(mask)? {
            None => syscall!(libc::SYS_poll, fds, count, 0),
            Some(mask) => syscall!(libc::SYS_ppoll, fds, count, &now, &mask, SIGSET_BYTES),
        }
    })
}

/// The mask for a look, unless it is NULL: preemption is kept out.
pub fn quiet(mask: *const sigset_t) -> Result<Option<u64>> {
    if mask.is_null() {
        return Ok(None);
    }
    // SAFETY: a number. The kernel's signal set is the first eight bytes of libc's.
    let mask = unsafe { memory::read(mask.cast::<u64>())? };
    Ok(Some(mask | bit(preempt::SIGNAL)))
}

/// Looks until something is ready or `deadline` has passed. `skips`: the first look would find nothing. `numbers` are
/// the descriptors to wait for.
///
/// # Safety
/// `mask` is NULL or a live signal set.
pub unsafe fn until_ready<I: Iterator<Item = i32> + Clone>(
    green: &Green,
    deadline: Deadline,
    mask: *const sigset_t,
    wait: &Wait,
    skips: bool,
    mut look: impl FnMut() -> Result<usize>,
    numbers: impl Fn() -> I,
) -> Result<usize> {
    if green.is_cancelled() {
        return Err(Errno::CANCELLED);
    }
    let (mut last, mut parked, mut skips) = (deadline == NOW, false, skips);
    let answer = loop {
        // SAFETY: the caller's promise.
        if last && !mask.is_null() && unsafe { interrupted(green, mask, wait) } {
            break Err(Errno(libc::EINTR));
        }
        // SAFETY: the caller's promise.
        let mut looks = || unsafe { signals::shown(green, mask, &mut look) };
        match if core::mem::take(&mut skips) { Ok(0) } else { looks() } {
            Ok(0) if !last => {}
            answer => break answer,
        }
        for fd in numbers() {
            kind::of(fd, descriptors::entry(fd));
        }
        parked = true;
        // SAFETY: the caller's promise.
        let wake = unsafe { masked(green, mask, || edges::park_many(green, numbers(), wait, deadline)) };
        match wake {
            _ if raise::is_due(green) => break Err(Errno::CANCELLED),
            // Edges that are none of ours must not put the end off.
            Wake::Ready | Wake::Closed => last = deadline.passed(),
            Wake::TimedOut => last = true,
            Wake::Interrupted | Wake::Restart => break Err(Errno(libc::EINTR)),
            Wake::Cancelled => break Err(Errno::CANCELLED),
        }
    };
    if parked {
        edges::leave_many(numbers());
    }
    if answer.is_ok() {
        hub().charge(green);
    }
    answer
}

/// Whether a look that finds nothing is interrupted, though it does not wait, by what waits for `green` and `mask` lets in.
/// The kernel knows its own; here are those that are queued.
///
/// # Safety
/// `mask` is a live signal set.
#[cold]
unsafe fn interrupted(green: &Green, mask: *const sigset_t, wait: &Wait) -> bool {
    signals::waiting() && !(wait.over)(wait.a, wait.b) && {
        // SAFETY: the caller's promise.
        unsafe { masked(green, mask, || signals::deliver(green)) }.is_some()
    }
}

/// Waits with `mask`, unless it is NULL, in place of the thread's own signal mask.
///
/// # Safety
/// `mask` is NULL or a live signal set.
pub unsafe fn masked<T>(green: &Green, mask: *const sigset_t, wait: impl FnOnce() -> T) -> T {
    if mask.is_null() {
        return wait();
    }
    // SAFETY: the kernel's signal set is the first eight bytes of libc's.
    let before = signals::set_mask_later(green, unsafe { *mask.cast::<u64>() });
    let answer = wait();
    signals::set_mask(green, before);
    answer
}

/// The end of a timeout in milliseconds; negative: never.
pub fn milliseconds(timeout: c_int) -> Deadline {
    match u64::try_from(timeout) {
        Err(_) => Deadline::NEVER,
        Ok(0) => NOW,
        Ok(wait) => Deadline::after(core::time::Duration::from_millis(wait)),
    }
}

/// The end of a relative timeout; NULL: never. EINVAL: no time at all.
#[allow(clippy::not_unsafe_ptr_arg_deref, reason = "an address that leads nowhere gives EFAULT")]
pub fn timespec_deadline(timeout: *const timespec) -> Result<Deadline> {
    if timeout.is_null() {
        return Ok(Deadline::NEVER);
    }
    // SAFETY: plain numbers.
    let time = unsafe { memory::read(timeout)? };
    if time.tv_sec < 0 || !(0..1_000_000_000).contains(&time.tv_nsec) {
        return Err(Errno(libc::EINVAL));
    }
    if time.tv_sec == 0 && time.tv_nsec == 0 {
        return Ok(NOW);
    }
    Ok(Deadline::after(core::time::Duration::new(time.tv_sec as u64, time.tv_nsec as u32)))
}
