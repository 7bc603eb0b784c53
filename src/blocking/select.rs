//! `select` and `pselect`, in terms of bit sets: the program's sets are read until the answer is known, and written once.
//!
//! Safety: the sets are NULL or the C caller's, with room for `n` bits in whole words, and stay while the call lasts.

use core::ptr;

use libc::{c_int, fd_set, pollfd, sigset_t, timespec, timeval};

use crate::data::Deadline;
use crate::kernel::{Errno, Result, memory};
use crate::runtime::hub::active;
use crate::runtime::{Green, Wait, descriptors, signals};
use crate::syscall;

use super::poll::{SIGSET_BYTES, quiet, timespec_deadline, until_ready};

/// Words of 64 bits in an ordinary `fd_set`. Three copies of one lie on the stack; of larger ones, in a mapping for the
/// length of a look.
const ORDINARY: usize = libc::FD_SETSIZE / 64;

/// The three sets of a call.
#[derive(Clone, Copy)]
struct Sets {
    n: usize,
    sets: [*mut u64; 3],
    mask: *const sigset_t,
}

impl Sets {
    fn words(&self) -> usize {
        self.n.div_ceil(64)
    }

    /// The numbers in any of the sets.
    fn numbers(self) -> impl Iterator<Item = i32> + Clone {
        (0..self.words())
            .flat_map(move |word| {
                // SAFETY: see the file's header.
                let bits = self
                    .sets
                    .iter()
                    .filter(|set| !set.is_null())
                    .fold(0, |bits, set| bits | unsafe { *set.add(word) });
                (0..64).filter(move |bit| bits >> bit & 1 != 0).map(move |bit| word * 64 + bit)
            })
            .filter(move |fd| *fd < self.n)
            .map(|fd| fd as i32)
    }

    /// Looks without waiting; the answer goes into the program's sets if `keep` agrees to the count.
    fn look(&self, keep: impl Fn(usize) -> bool) -> Result<usize> {
        let words = self.words();
        if words <= ORDINARY {
            return self.look_by(&mut [0u64; 3 * ORDINARY], keep);
        }
        let bytes = 3 * words * size_of::<u64>();
        let (access, kind) = (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS);
        // SAFETY: a fresh mapping of zeroes, used here alone, which goes before the look ends.
        unsafe {
            let memory = syscall!(libc::SYS_mmap, 0, bytes, access, kind, -1isize, 0)?;
            let answer = self.look_by(core::slice::from_raw_parts_mut(memory as *mut u64, 3 * words), keep);
            let _ = syscall!(libc::SYS_munmap, memory, bytes);
            answer
        }
    }

    /// The same with `room` for three copies.
    fn look_by(&self, room: &mut [u64], keep: impl Fn(usize) -> bool) -> Result<usize> {
        let words = self.words();
        let size = room.len() / 3;
        let mut copies = room.chunks_exact_mut(size.max(1));
        let mut copies: [&mut [u64]; 3] = core::array::from_fn(|_| copies.next().unwrap_or_default());
        let mut now = timespec { tv_sec: 0, tv_nsec: 0 };
        // SAFETY: see the file's header; a copy has room for `words`.
        signals::undisturbed(|| unsafe {
            let quiet = quiet(self.mask)?;
            let mask = quiet.as_ref().map(|mask| [ptr::from_ref(mask) as usize, SIGSET_BYTES]);
            // None is NULL: Valgrind loses its way where there is one and the call is interrupted.
            let mask = mask.as_ref().map_or(ptr::null(), ptr::from_ref);
            for (copy, set) in copies.iter_mut().zip(self.sets).filter(|(_, set)| !set.is_null()) {
                memory::copy(set.cast(), copy.as_mut_ptr().cast(), words * size_of::<u64>())?;
            }
            let place =
                |index: usize| if self.sets[index].is_null() { 0 } else { copies[index].as_ptr() as usize };
            let ready = syscall!(libc::SYS_pselect6, self.n, place(0), place(1), place(2), &mut now, mask)?;
            if keep(ready) {
                for (copy, set) in copies.iter().zip(self.sets).filter(|(_, set)| !set.is_null()) {
                    memory::copy(copy.as_ptr().cast(), set.cast(), words * size_of::<u64>())?;
                }
            }
            Ok(ready)
        })
    }
}

/// Whether one of them is green whatever is patched.
pub unsafe fn any_green(n: c_int, sets: [*mut fd_set; 3]) -> bool {
    let n = n.clamp(0, c_int::MAX) as usize;
    let all = Sets { n, sets: sets.map(<*mut fd_set>::cast), mask: core::ptr::null() };
    descriptors::any_green() && all.numbers().any(descriptors::is_green)
}

/// `select`; what is left of the time goes into `timeout`, as Linux does it.
pub unsafe fn select(
    green: &Green,
    n: c_int,
    sets: [*mut fd_set; 3],
    timeout: *mut timeval,
) -> Result<usize> {
    if timeout.is_null() {
        // SAFETY: the C function's contract.
        return unsafe { until(green, n, sets, Deadline::NEVER, ptr::null()) };
    }
    // SAFETY: plain numbers.
    let time = unsafe { memory::read(timeout)? };
    if time.tv_sec < 0 || time.tv_usec < 0 {
        return Err(Errno(libc::EINVAL));
    }
    let wait = timespec {
        tv_sec: time.tv_sec.saturating_add(time.tv_usec / 1_000_000),
        tv_nsec: time.tv_usec % 1_000_000 * 1000,
    };
    // SAFETY: the C function's contract.
    unsafe {
        let deadline = timespec_deadline(&wait)?;
        let answer = until(green, n, sets, deadline, ptr::null());
        if let Some(left) = deadline.remaining() {
            *timeout = timeval { tv_sec: left.as_secs() as i64, tv_usec: left.subsec_micros() as i64 };
        }
        answer
    }
}

/// `pselect`.
pub unsafe fn pselect(
    green: &Green,
    n: c_int,
    sets: [*mut fd_set; 3],
    timeout: *const timespec,
    mask: *const sigset_t,
) -> Result<usize> {
    // SAFETY: the C function's contract.
    unsafe { until(green, n, sets, timespec_deadline(timeout)?, mask) }
}

/// `n`, or the end of the numbers in use if that is less.
pub fn in_use(n: c_int) -> c_int {
    const STEP: c_int = 64;
    if !active() {
        return n;
    }
    let mut end = descriptors::sets_end();
    // Not every birth is seen. The kernel gives the lowest free number, so that there are no wide gaps.
    while end < n && any_open(end) {
        end += STEP;
        descriptors::note(end - 1);
    }
    n.min(end)
}

/// Whether one of the 64 numbers from `first` on is the program's.
fn any_open(first: c_int) -> bool {
    let mut fds: [pollfd; 64] =
        core::array::from_fn(|place| pollfd { fd: first + place as c_int, events: 0, revents: 0 });
    // SAFETY: a live array; no timeout.
    let _ = unsafe { syscall!(libc::SYS_poll, &mut fds, fds.len(), 0) };
    fds.iter().any(|one| one.revents & libc::POLLNVAL == 0 && !descriptors::is_own(one.fd))
}

unsafe fn until(
    green: &Green,
    n: c_int,
    sets: [*mut fd_set; 3],
    deadline: Deadline,
    mask: *const sigset_t,
) -> Result<usize> {
    let n = usize::try_from(in_use(n)).map_err(|_| Errno(libc::EINVAL))?;
    let sets = Sets { n, sets: sets.map(|set| set.cast()), mask };
    let over = |sets: usize, _| {
        // SAFETY: `sets` outlives the wait.
        let sets = Sets { mask: ptr::null(), ..unsafe { *(sets as *const Sets) } };
        sets.look(|_| false).is_ok_and(|ready| ready > 0)
    };
    let wait = Wait {
        call: "select",
        over,
        a: (&raw const sets) as usize,
        b: 0,
        interruptible: true,
        cancellable: true,
        raises: false,
        looks: false,
    };
    let look = || sets.look(|ready| ready > 0 || deadline.passed());
    // SAFETY: the C function's contract.
    unsafe { until_ready(green, deadline, sets.mask, &wait, false, look, || sets.numbers()) }
}
