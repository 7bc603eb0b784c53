//! The poller seam: six operations over mio (epoll, edge-triggered), plus what mio leaves out: a kick from foreign
//! threads (eventfd) and deadlines finer than its milliseconds (timerfd).
//!
//! In `libeventlet.so` mio's `epoll_create1` and `epoll_wait` are our own rows. The hub's bypass makes the second pass
//! through; the first asks [`making`] and moves the descriptor out of the program's way.
//!
//! Safety: used by the hub's thread alone, but for [`Poller::kick`], which is one `write`. On green thread 0's `%fs`
//! (mio reports errors through errno), except [`Poller::add`] and [`Poller::remove`], which run on the caller's and
//! leave its errno as it was.

use core::cell::{Cell, UnsafeCell};
use core::sync::atomic::{AtomicBool, Ordering};
use core::time::Duration;
use std::io;

use mio::unix::SourceFd;
use mio::{Interest, Token};

use crate::data::Deadline;
use crate::kernel::{Errno, Result};

/// What an event says of a descriptor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Event {
    /// The token of [`Poller::add`].
    pub token: u64,
    /// Reading may succeed, or tell the end or an error.
    pub readable: bool,
    /// Writing may.
    pub writable: bool,
    /// RDHUP, HUP, ERR or PRI came with it: a short read proves nothing from now on.
    pub special: bool,
}

/// The poller.
pub struct Poller {
    poll: UnsafeCell<mio::Poll>,
    events: UnsafeCell<mio::Events>,
    kick: i32,
    timer: i32,
    armed: Cell<Deadline>,
    full: Cell<bool>,
}

/// Events that one look brings at most.
const EVENTS: usize = 1024;
const OURS: Token = Token(usize::MAX);
static MAKING: AtomicBool = AtomicBool::new(false);

/// Whether the hub is making its poller right now (asked by the row of `epoll_create1`).
pub fn making() -> bool {
    MAKING.load(Ordering::Relaxed)
}

/// Moves a descriptor of ours out of the range that programs see: the bare run's numbers stay what they are.
pub fn move_high(fd: i32) -> i32 {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: `limit` is a live rlimit (the kernel's rlimit64 has the same layout on x86-64).
    let _ = unsafe {
        crate::syscall!(libc::SYS_prlimit64, 0, libc::RLIMIT_NOFILE, core::ptr::null::<u8>(), &mut limit)
    };
    let top = limit.rlim_cur.min(1 << 20) as usize;
    let from = top.saturating_sub(64).max(top / 2);
    // SAFETY: duplicating and closing a descriptor that we own.
    unsafe {
        match crate::syscall!(libc::SYS_fcntl, fd, libc::F_DUPFD_CLOEXEC, from) {
            Ok(high) => {
                let _ = crate::syscall!(libc::SYS_close, fd);
                high as i32
            }
            Err(_) => fd,
        }
    }
}

fn errno(error: &io::Error) -> Errno {
    Errno(error.raw_os_error().unwrap_or(libc::EINVAL))
}

impl Poller {
    /// A new poller with its kick and its timer.
    pub fn new() -> Result<Poller> {
        MAKING.store(true, Ordering::Relaxed);
        let poll = mio::Poll::new();
        MAKING.store(false, Ordering::Relaxed);
        let poll = poll.map_err(|error| errno(&error))?;
        // SAFETY: these calls take no pointers.
        let (kick, timer) = unsafe {
            (
                crate::syscall!(libc::SYS_eventfd2, 0, libc::EFD_CLOEXEC | libc::EFD_NONBLOCK)?,
                crate::syscall!(
                    libc::SYS_timerfd_create,
                    libc::CLOCK_MONOTONIC,
                    libc::TFD_CLOEXEC | libc::TFD_NONBLOCK
                )?,
            )
        };
        let poller = Poller {
            poll: UnsafeCell::new(poll),
            events: UnsafeCell::new(mio::Events::with_capacity(EVENTS)),
            kick: move_high(kick as i32),
            timer: move_high(timer as i32),
            armed: Cell::new(Deadline::NEVER),
            full: Cell::new(false),
        };
        for fd in [poller.kick, poller.timer] {
            poller
                .registry()
                .register(&mut SourceFd(&fd), OURS, Interest::READABLE)
                .map_err(|error| errno(&error))?;
        }
        Ok(poller)
    }

    fn registry(&self) -> &mio::Registry {
        // SAFETY: a shared borrow; `wait` does not overlap with it (one thread).
        unsafe { (*self.poll.get()).registry() }
    }

    /// Registers `fd` for every kind of edge under `token`. EPERM: it cannot be polled (a regular file). EEXIST: it is
    /// registered already.
    pub fn add(&self, fd: i32, token: u64) -> Result<()> {
        let all = Interest::READABLE | Interest::WRITABLE | Interest::PRIORITY;
        keeping_errno(|| self.registry().register(&mut SourceFd(&fd), Token(token as usize), all))
    }

    /// Ends the registration of `fd`. ENOENT, EBADF: there is none.
    pub fn remove(&self, fd: i32) -> Result<()> {
        keeping_errno(|| self.registry().deregister(&mut SourceFd(&fd)))
    }

    /// Waits for events until `deadline`; `Deadline(0)` only looks. A signal or a kick ends it early.
    pub(super) fn wait(&self, deadline: Deadline) {
        let timeout = if deadline == Deadline(0) {
            Some(Duration::ZERO)
        } else {
            self.arm(deadline);
            None
        };
        // SAFETY: the only place that borrows both mutably; nothing else runs meanwhile.
        let (poll, events) = unsafe { (&mut *self.poll.get(), &mut *self.events.get()) };
        if poll.poll(events, timeout).is_err() {
            events.clear();
        }
    }

    /// Hands out what the last [`Poller::wait`] brought. The tokens of events to come are told to `soon` and, a little
    /// later, to `next`.
    pub(super) fn take(&self, soon: impl Fn(u64), next: impl Fn(u64), mut sink: impl FnMut(Event)) {
        // SAFETY: `sink` may call `add` and `remove`, which do not touch the events.
        let events = unsafe { (*self.events.get()).iter() };
        let mut count = 0;
        let (mut far, mut near) = (events.clone().skip(2 * AHEAD), events.clone().skip(AHEAD));
        for event in events {
            count += 1;
            if let Some(event) = far.next() {
                soon(event.token().0 as u64);
            }
            if let Some(event) = near.next() {
                next(event.token().0 as u64);
            }
            if event.token() == OURS {
                continue;
            }
            let special =
                event.is_read_closed() || event.is_write_closed() || event.is_error() || event.is_priority();
            sink(Event {
                token: event.token().0 as u64,
                readable: event.is_readable() || special,
                writable: event.is_writable() || event.is_write_closed() || event.is_error(),
                special,
            });
        }
        self.full.set(count == EVENTS);
    }

    /// Whether the last look brought as many events as it could: others may have been left in the kernel.
    pub(super) fn was_full(&self) -> bool {
        self.full.get()
    }

    /// Ends a wait in progress, or the next one. Any thread, signal handlers included.
    pub fn kick(&self) {
        let one = 1u64;
        // SAFETY: an eventfd takes eight bytes.
        let _ = unsafe { crate::syscall!(libc::SYS_write, self.kick, &one, 8) };
    }

    /// Sees to it that the timer fires at `deadline` or before. One that fires too early costs a turn of the loop; so
    /// it is set again only for an earlier deadline, or when it has fired.
    fn arm(&self, deadline: Deadline) {
        let armed = self.armed.get();
        if deadline == Deadline::NEVER || (armed <= deadline && !armed.passed()) {
            return;
        }
        let at = deadline.0.max(1);
        let time = libc::itimerspec {
            it_interval: libc::timespec { tv_sec: 0, tv_nsec: 0 },
            it_value: libc::timespec {
                tv_sec: (at / 1_000_000_000) as i64,
                tv_nsec: (at % 1_000_000_000) as i64,
            },
        };
        // SAFETY: `time` is a live itimerspec; the old value is not asked for.
        let _ = unsafe {
            crate::syscall!(
                libc::SYS_timerfd_settime,
                self.timer,
                libc::TFD_TIMER_ABSTIME,
                &time,
                core::ptr::null::<u8>()
            )
        };
        self.armed.set(deadline);
    }

    /// In a fork child: its copies of the descriptors are closed, and no row is asked.
    pub(super) fn abandon(self) {
        for fd in self.own() {
            // SAFETY: our own descriptors, which nobody uses any more.
            let _ = unsafe { crate::syscall!(libc::SYS_close, fd) };
        }
        // Dropping it would close it once more.
        core::mem::forget(self.poll);
    }

    /// The descriptors of ours, which the program must not close.
    pub fn own(&self) -> [i32; 3] {
        use std::os::fd::AsRawFd;
        // SAFETY: as in `registry`.
        [unsafe { (*self.poll.get()).as_raw_fd() }, self.kick, self.timer]
    }
}

/// How many events before its own something is asked for.
const AHEAD: usize = 3;

/// mio leaves errno set when a call fails; a row that succeeds in the end must not show it.
fn keeping_errno(call: impl FnOnce() -> io::Result<()>) -> Result<()> {
    // SAFETY: errno of the running thread.
    let place = unsafe { libc::__errno_location() };
    // SAFETY: as above; no switch happens in between.
    let before = unsafe { *place };
    let answer = call();
    // SAFETY: as above.
    unsafe { *place = before };
    answer.map_err(|error| errno(&error))
}
