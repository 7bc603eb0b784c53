//! An io_uring of two entries, used like a system call: one request, its answer at once. For what has no other form that
//! neither waits nor changes a mode that others share: `accept`.
//!
//! A request that would wait is left armed by the kernel; then it is cancelled, and one of the two answers tells whether
//! it came through after all. Made at activation, so that a program which counts its descriptors sees no change later;
//! gone in a fork child; where there is none (old kernels, seccomp) the caller finds another way.
//!
//! Safety: on the hub's kernel thread alone. The layout is `linux/io_uring.h`'s; between calls the ring is empty, and
//! the kernel writes nothing of the caller's after [`accept`] has returned.

use core::cell::Cell;
use core::ffi::c_void;
use core::sync::atomic::{AtomicU32, Ordering, fence};

use crate::kernel::options::{self, fault};
use crate::kernel::{Errno, Result};
use crate::syscall;

use super::{descriptors, poller};

/// `struct io_uring_sqe`, as far as accept and cancel go.
#[repr(C)]
#[derive(Clone, Copy, Default)]
struct Request {
    code: u8,
    flags: u8,
    priority: u16,
    fd: i32,
    second: u64,
    first: u64,
    length: u32,
    call_flags: u32,
    name: u64,
    rest: [u64; 3],
}

/// `struct io_uring_cqe`.
#[repr(C)]
#[derive(Clone, Copy)]
struct Answer {
    name: u64,
    result: i32,
    flags: u32,
}

/// `struct io_sqring_offsets` and `struct io_cqring_offsets`: the sixth word differs in meaning.
#[repr(C)]
#[derive(Default)]
struct Offsets {
    head: u32,
    tail: u32,
    mask: u32,
    entries: u32,
    fifth: u32,
    sixth: u32,
    seventh: u32,
    rest: [u32; 3],
}

/// `struct io_uring_params`.
#[repr(C)]
#[derive(Default)]
struct Params {
    submissions: u32,
    completions: u32,
    flags: u32,
    thread: [u32; 2],
    features: u32,
    rest: [u32; 4],
    submission: Offsets,
    completion: Offsets,
}

const _: () = assert!(size_of::<Request>() == 64 && size_of::<Params>() == 120);

const OP_ACCEPT: u8 = 13;
const OP_CANCEL: u8 = 14;
/// Do not wait at all (Linux >= 6.10).
const ACCEPT_DONTWAIT: u16 = 2;
const FEATURE_SINGLE_MMAP: u32 = 1;
const ENTER_GETEVENTS: u32 = 1;
const REQUESTS_AT: usize = 0x1000_0000;
const ENTRIES: u32 = 2;
const THE_ACCEPT: u64 = 1;
const THE_CANCEL: u64 = 2;

/// The ring's parts.
#[derive(Clone, Copy)]
struct Ring {
    fd: i32,
    memory: usize,
    length: usize,
    requests: *mut Request,
    tail: *const AtomicU32,
    mask: u32,
    order: *mut u32,
    answers: *const Answer,
    answer_head: *const AtomicU32,
    answer_tail: *const AtomicU32,
    answer_mask: u32,
}

struct Place {
    ring: Cell<Option<Ring>>,
    dontwait: Cell<bool>,
}

// SAFETY: the hub's kernel thread alone (file header).
unsafe impl Sync for Place {}

static PLACE: Place = Place { ring: Cell::new(None), dontwait: Cell::new(true) };

/// `accept4` that does not wait, whatever the mode of `fd`: EAGAIN. None: there is no io_uring here.
///
/// # Safety
/// As of `accept4`.
pub unsafe fn accept(fd: i32, address: *mut c_void, length: *mut c_void, flags: i32) -> Option<Result<i32>> {
    let ring = PLACE.ring.get()?;
    let mut request = Request {
        code: OP_ACCEPT,
        priority: if PLACE.dontwait.get() { ACCEPT_DONTWAIT } else { 0 },
        fd,
        first: address as u64,
        second: length as u64,
        call_flags: flags as u32,
        name: THE_ACCEPT,
        ..Request::default()
    };
    let mut result = ring.ask(&request);
    if result == -libc::EINVAL && PLACE.dontwait.get() {
        request.priority = 0;
        result = ring.ask(&request);
        PLACE.dontwait.set(result == -libc::EINVAL);
    }
    Some(match result {
        0.. => Ok(result),
        // Cancelled, or not interruptible any more and then done: that is an answer of its own.
        error if error == -libc::ECANCELED => Err(Errno(libc::EAGAIN)),
        error => Err(Errno(-error)),
    })
}

/// Makes the ring, if this kernel lets us.
pub(super) fn activate() {
    if options::FAULT.get() & fault::NO_URING == 0 {
        PLACE.ring.set(Ring::new().ok());
    }
}

/// In a fork child: the ring is the parent's.
pub(super) fn forked() {
    if let Some(ring) = PLACE.ring.take() {
        ring.end();
    }
}

impl Ring {
    fn new() -> Result<Ring> {
        let mut params = Params::default();
        // SAFETY: `params` is live and complete.
        let fd = unsafe { syscall!(libc::SYS_io_uring_setup, ENTRIES, &mut params)? } as i32;
        let length = (params.submission.seventh as usize + ENTRIES as usize * 4)
            .max(params.completion.sixth as usize + params.completions as usize * size_of::<Answer>());
        // SAFETY: fresh mappings of the ring.
        let (memory, requests) = unsafe { (map(fd, length, 0), map(fd, 4096, REQUESTS_AT)) };
        let (Ok(memory), Ok(requests)) = (memory, requests) else {
            // SAFETY: our own descriptor; what was mapped goes with the process.
            let _ = unsafe { syscall!(libc::SYS_close, fd) };
            return Err(Errno(libc::ENOMEM));
        };
        let fd = poller::move_high(fd);
        descriptors::adopt(fd);
        let word = |offset: u32| (memory + offset as usize) as *const AtomicU32;
        // SAFETY: the masks lie at these places of the mapping.
        let mask = |offset: u32| unsafe { (*word(offset)).load(Ordering::Relaxed) };
        let ring = Ring {
            fd,
            memory,
            length,
            requests: requests as *mut Request,
            tail: word(params.submission.tail),
            mask: mask(params.submission.mask),
            order: word(params.submission.seventh) as *mut u32,
            answers: word(params.completion.sixth).cast(),
            answer_head: word(params.completion.head),
            answer_tail: word(params.completion.tail),
            answer_mask: mask(params.completion.mask),
        };
        if params.features & FEATURE_SINGLE_MMAP == 0 {
            ring.end();
            return Err(Errno(libc::ENOSYS));
        }
        Ok(ring)
    }

    fn end(&self) {
        // SAFETY: nobody uses the ring any more.
        unsafe {
            let _ = syscall!(libc::SYS_munmap, self.memory, self.length);
            let _ = syscall!(libc::SYS_munmap, self.requests, 4096);
            let _ = syscall!(libc::SYS_close, self.fd);
        }
    }

    /// Does `request` and gives its result. One that would wait is cancelled.
    fn ask(&self, request: &Request) -> i32 {
        if let Err(errno) = self.submit(request, 0) {
            return -errno.0;
        }
        if let Some(answer) = self.take() {
            return answer.result;
        }
        let cancel =
            Request { code: OP_CANCEL, fd: -1, first: request.name, name: THE_CANCEL, ..Request::default() };
        let mut result = None;
        let mut answers = 0;
        let mut submitted = false;
        while answers < 2 {
            match self.take() {
                Some(answer) => {
                    answers += 1;
                    if answer.name == request.name {
                        result = Some(answer.result);
                    }
                }
                None if !submitted => submitted = self.submit(&cancel, 2).is_ok(),
                None => self.wait(),
            }
        }
        result.unwrap_or(-libc::EAGAIN)
    }

    fn submit(&self, request: &Request, wait_for: u32) -> Result<()> {
        // SAFETY: the ring's own memory; between calls all slots are free.
        unsafe {
            let tail = (*self.tail).load(Ordering::Relaxed);
            let slot = tail & self.mask;
            self.requests.add(slot as usize).write(*request);
            self.order.add(slot as usize).write(slot);
            (*self.tail).store(tail.wrapping_add(1), Ordering::Release);
            fence(Ordering::SeqCst);
            let flags = if wait_for > 0 { ENTER_GETEVENTS } else { 0 };
            match syscall!(libc::SYS_io_uring_enter, self.fd, 1, wait_for, flags, 0, 0) {
                Ok(1..) => Ok(()),
                other => {
                    (*self.tail).store(tail, Ordering::Release);
                    Err(other.err().unwrap_or(Errno(libc::EAGAIN)))
                }
            }
        }
    }

    fn wait(&self) {
        // SAFETY: only waits.
        let _ = unsafe { syscall!(libc::SYS_io_uring_enter, self.fd, 0, 1, ENTER_GETEVENTS, 0, 0) };
    }

    fn take(&self) -> Option<Answer> {
        // SAFETY: the ring's own memory; the kernel has written what lies before its tail.
        unsafe {
            let head = (*self.answer_head).load(Ordering::Relaxed);
            if head == (*self.answer_tail).load(Ordering::Acquire) {
                return None;
            }
            let answer = *self.answers.add((head & self.answer_mask) as usize);
            (*self.answer_head).store(head.wrapping_add(1), Ordering::Release);
            Some(answer)
        }
    }
}

/// # Safety
/// A fresh mapping hurts nobody.
unsafe fn map(fd: i32, length: usize, offset: usize) -> Result<usize> {
    // SAFETY: as above.
    unsafe {
        syscall!(
            libc::SYS_mmap,
            0,
            length,
            libc::PROT_READ | libc::PROT_WRITE,
            libc::MAP_SHARED | libc::MAP_POPULATE,
            fd,
            offset
        )
    }
}
