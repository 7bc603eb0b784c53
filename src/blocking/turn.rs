//! [`Turn`]: one call's dealing with one descriptor. Try first, then wait; on leaving, say what the last try proved.
//!
//! ```text
//!   Turn::new -> try --success--> left(proof) -> out          (one system call, as in the bare program)
//!                 |  EAGAIN
//!                 v
//!               wait: the program's own O_NONBLOCK? -> EAGAIN, one attempt and out
//!                 |   park until an edge, SO_*TIMEO, a signal, a cancel, a close
//!                 +-> try again
//! ```
//!
//! Safety: the system calls here ask about a number and write into our own variables.

use core::ffi::c_int;
use core::time::Duration;

use crate::data::Deadline;
use crate::data::fdtable::{Kind, flag};
use crate::kernel::{Errno, Result, clock};
use crate::runtime::descriptors::{self, Entry};
use crate::runtime::edges::{self, Side};
use crate::runtime::{Green, Wait, Wake, hub, raise};
use crate::syscall;

use super::kind;

/// The answer of a try that would have waited.
pub const AGAIN: Errno = Errno(libc::EAGAIN);

/// How long a wait lasts between two looks, where an edge may be missing.
const LOOK: Duration = Duration::from_millis(100);

/// One call on one descriptor.
pub struct Turn {
    /// Who calls.
    pub green: &'static Green,
    /// The number.
    pub fd: i32,
    /// What is known of it.
    pub entry: &'static Entry,
    /// Its name.
    pub call: &'static str,
    side: Side,
    generation: u32,
    deadline: Option<Deadline>,
    restarts: bool,
    cancellable: bool,
    woken: bool,
    naps: u32,
}

impl Turn {
    /// A call named `call` that will wait for `side` of `fd`. A cancellation point.
    #[inline(always)]
    pub fn new(green: &'static Green, fd: i32, side: Side, call: &'static str) -> Result<Turn> {
        if green.is_cancelled() {
            return Err(Errno::CANCELLED);
        }
        Ok(Turn { cancellable: true, ..Turn::uncancellable(green, fd, side, call) })
    }

    /// The same of a call that is no cancellation point.
    #[inline(always)]
    pub fn uncancellable(green: &'static Green, fd: i32, side: Side, call: &'static str) -> Turn {
        let entry = descriptors::entry(fd);
        let generation = entry.generation.get();
        Turn {
            green,
            fd,
            entry,
            call,
            side,
            generation,
            deadline: None,
            restarts: true,
            cancellable: false,
            woken: false,
            naps: 0,
        }
    }

    /// Sets when the waiting ends, in place of the descriptor's own timeout. Such a call never restarts.
    pub fn until(&mut self, deadline: Deadline) {
        self.deadline = Some(deadline);
        self.restarts = false;
    }

    /// Something was transferred. What it waits for now is only the rest, and no handler's SA_RESTART holds it there.
    pub fn has_part(&mut self) {
        self.restarts = false;
    }

    /// Whether a reader may wait without asking: it is empty, no edge came since, and the program did not ask for
    /// non-blocking mode.
    #[inline(always)]
    pub fn may_skip_read(&self) -> bool {
        self.may_skip(flag::DRAINED)
    }

    /// The same of an accept.
    pub fn may_skip_accept(&self) -> bool {
        self.may_skip(flag::DRAINED | flag::LISTENS)
    }

    #[inline(always)]
    fn may_skip(&self, proof: u16) -> bool {
        self.entry.flags() & (flag::DRAINED | flag::LISTENS | flag::NONBLOCK) == proof
            && descriptors::is_fresh(self.entry)
    }

    /// The last try found nothing to do. Waits until another one is worth it. EAGAIN: the program's own O_NONBLOCK, or
    /// the descriptor's timeout passed.
    #[inline(never)]
    pub fn wait(&mut self) -> Result<()> {
        self.must_block()?;
        self.wait_for_edge()
    }

    /// EAGAIN if the program itself asked for non-blocking mode. A loop of such calls counts as work.
    pub fn must_block(&self) -> Result<()> {
        if kind::nonblocking(self.fd, self.entry)? {
            hub().charge(self.green);
            return Err(AGAIN);
        }
        Ok(())
    }

    /// The same, for a descriptor that is known to block.
    pub fn wait_for_edge(&mut self) -> Result<()> {
        let deadline = self.time_out();
        if descriptors::is_far(self.entry) {
            return self.nap();
        }
        let events = match self.side {
            Side::Read => libc::POLLIN,
            Side::Write => libc::POLLOUT,
        };
        let wait = Wait {
            call: self.call,
            over: ready,
            a: self.fd as usize,
            b: events as usize,
            interruptible: true,
            cancellable: self.cancellable,
            raises: true,
            looks: false,
        };
        if self.entry.generation.get() != self.generation {
            return Err(Errno(libc::EBADF));
        }
        let at = (self.fd, self.entry);
        let until = if self.looks_again() { deadline.min(Deadline::after(LOOK)) } else { deadline };
        match edges::park(self.green, at, self.side, &wait, until, self.woken) {
            Ok(Wake::TimedOut) if until < deadline => self.ended(Wake::Ready, deadline),
            Ok(wake) => self.ended(wake, deadline),
            Err(_) => self.nap(),
        }
    }

    /// Whether it reads a terminal, or writes to a socket that may be AF_UNIX: no edge tells that the process is in the
    /// background now, or that one of the ends was shut down for writing here, for reading there.
    fn looks_again(&self) -> bool {
        match self.side {
            Side::Read => self.entry.kind() == Kind::Device && self.entry.has(flag::TERMINAL),
            Side::Write => matches!(self.entry.kind(), Kind::Stream | Kind::Datagram),
        }
    }

    /// A wait where the kernel gives no edge: sleeps a little.
    pub fn nap(&mut self) -> Result<()> {
        let deadline = self.time_out();
        let wait = Wait { cancellable: self.cancellable, raises: true, ..Wait::opaque(self.call) };
        let wake = edges::nap(self.green, &wait, &mut self.naps, deadline);
        self.ended(wake, deadline)
    }

    fn time_out(&mut self) -> Deadline {
        *self.deadline.get_or_insert_with(|| {
            let wait = kind::timeout(self.fd, self.entry, self.side);
            wait.map_or(Deadline::NEVER, |wait| Deadline(clock::now().saturating_add(wait)))
        })
    }

    fn ended(&mut self, wake: Wake, deadline: Deadline) -> Result<()> {
        self.woken = wake == Wake::Ready;
        if self.woken && raise::is_due(self.green) {
            // What it was woken for goes to the next.
            self.left(false);
            return Err(Errno::CANCELLED);
        }
        Err(match wake {
            Wake::Ready => return Ok(()),
            // signal(7): nor does a call on a socket with a timeout.
            Wake::Restart if self.restarts && deadline == Deadline::NEVER => return Ok(()),
            Wake::Restart | Wake::Interrupted => Errno(libc::EINTR),
            Wake::TimedOut => AGAIN,
            Wake::Cancelled => Errno::CANCELLED,
            Wake::Closed => Errno(libc::EBADF),
        })
    }

    /// The call leaves the descriptor. Unless its last try proved that nothing is left there, the next waiter has a
    /// look. One that always succeeds at once lets the others go now and then.
    #[inline(always)]
    pub fn left(&self, proof: bool) {
        if !proof {
            edges::wake_next(self.entry, self.side);
        }
        hub().charge(self.green);
    }

    /// Tries until it does not say EAGAIN. Nothing is ever proved by success.
    #[inline(always)]
    pub fn repeat<T>(&mut self, mut attempt: impl FnMut() -> Result<T>) -> Result<T> {
        loop {
            match attempt() {
                Err(AGAIN) => self.wait()?,
                answer => {
                    self.left(false);
                    return answer;
                }
            }
        }
    }

    /// The answer of a call that may not wait at all.
    #[inline(always)]
    pub fn once<T>(&self, answer: Result<T>) -> Result<T> {
        self.left(answer.is_err());
        answer
    }

    /// Whether the descriptor reports one of `ends`: a further try would take an error away from the program.
    pub fn reports(&self, ends: i16) -> bool {
        self.entry.has(flag::SPECIAL) && poll_now(self.fd, libc::POLLRDHUP) & ends != 0
    }
}

/// What `poll` says of `fd` right now.
pub fn poll_now(fd: i32, events: i16) -> i16 {
    let mut one = libc::pollfd { fd, events, revents: 0 };
    // Signals end it though it does not wait.
    // SAFETY: `one` is a live pollfd; no timeout.
    while unsafe { syscall!(libc::SYS_poll, &mut one, 1, 0) } == Err(Errno(libc::EINTR)) {}
    one.revents
}

/// Does `call` while `fd`, which blocks, does not.
pub fn without_waiting<T>(fd: c_int, call: impl FnOnce() -> Result<T>) -> Result<T> {
    set_nonblocking(fd, 1)?;
    let answer = call();
    set_nonblocking(fd, 0)?;
    answer
}

fn set_nonblocking(fd: c_int, on: c_int) -> Result<()> {
    // SAFETY: FIONBIO reads an int.
    unsafe { syscall!(libc::SYS_ioctl, fd, libc::FIONBIO, &on)? };
    Ok(())
}

/// For [`Wait::over`].
fn ready(fd: usize, events: usize) -> bool {
    poll_now(fd as i32, events as i16) != 0
}
