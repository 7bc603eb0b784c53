//! [`serve`]: an accept loop in the caller, one green thread per client, so many at a time.
//!
//! ```text
//!   serve:  outcome? -> slot? (else park) -> accept (else park) -> spawn client
//!               ^          ^                                         |  handle(fd), close(fd)
//!               +----------+------------- unpark <-------------------+  slot back, perhaps an outcome
//! ```
//! A handler that stops or fails leaves an outcome and wakes the loop, wherever it is parked: each of its waits looks
//! again. Clients hold the [`Server`], which outlives the loop until the last of them has ended.
//!
//! Safety: see [`super`]. The loop is alone in its green thread, which is alive while `green` is set.

use core::cell::Cell;
use core::ffi::{c_int, c_void};
use core::ptr;

use libc::{sockaddr, socklen_t};

use crate::data::Deadline;
use crate::data::fdtable::gone;
use crate::kernel::{Errno, Result, clock};
use crate::runtime::descriptors;
use crate::runtime::edges::Side;
use crate::runtime::hub::unpark;
use crate::runtime::raise::{self, Outcome};
use crate::runtime::{Green, Wait, Wake, this};

use super::here;
use super::thread::{Plan, Thread, spawn};
use crate::blocking::turn::{AGAIN, Turn};
use crate::blocking::{connection, kind, life};

/// What is called for each client.
pub type Handle = extern "C" fn(c_int, *const sockaddr, socklen_t, *mut c_void);

/// How long the loop waits when the process has no room for another client: the first time, and at most.
const NAP: (u64, u64) = (5_000_000, 100_000_000);

struct Server {
    handle: Handle,
    context: *mut c_void,
    running: Cell<usize>,
    /// How the loop is to end: a code (STOP_SERVE: well).
    outcome: Cell<Option<i32>>,
    /// The loop's thread; NULL: it has ended.
    green: Cell<*const Green>,
    /// Whether it is parked, in a wait that looks again when it is woken.
    parked: Cell<bool>,
}

impl Server {
    /// The loop looks again, if it is parked.
    fn wake(&self) {
        // SAFETY: NULL, or the loop's thread, which is alive.
        if let Some(green) = unsafe { self.green.get().as_ref() }
            && self.parked.get()
        {
            unpark(green, Wake::Ready);
        }
    }

    /// The loop's own wait: for a slot, or for better times. Whoever wakes it has something new to look at.
    fn pause(&self, g: &Green, deadline: Deadline) -> Result<()> {
        let wait = Wait { interruptible: false, ..Wait::opaque("eventlet_serve") };
        self.parked.set(true);
        let wake = g.park(&wait, deadline);
        self.parked.set(false);
        if wake == Wake::Cancelled || raise::is_due(g) { Err(Errno::CANCELLED) } else { Ok(()) }
    }

    /// The loop has ended.
    fn leave(&self) {
        self.green.set(ptr::null());
        self.free();
    }

    fn free(&self) {
        if self.running.get() == 0 && self.green.get().is_null() {
            // SAFETY: made by `Box::leak`, and neither loop nor client is left.
            drop(unsafe { Box::from_raw(ptr::from_ref(self).cast_mut()) });
        }
    }
}

struct Client {
    server: *const Server,
    fd: c_int,
    generation: u32,
    address: libc::sockaddr_storage,
    length: socklen_t,
}

/// Serves clients of `listener` until a handler stops it (Ok) or raises (Err with that code), or it can accept no more.
pub fn serve(listener: c_int, handle: Handle, context: *mut c_void, concurrency: usize) -> Result<()> {
    let g = here()?;
    let server: &Server = Box::leak(Box::new(Server {
        handle,
        context,
        running: Cell::new(0),
        outcome: Cell::new(None),
        green: Cell::new(g),
        parked: Cell::new(false),
    }));
    let answer = run(g, server, listener, concurrency);
    server.leave();
    answer
}

fn run(g: &'static Green, server: &Server, listener: c_int, concurrency: usize) -> Result<()> {
    let mut nap = NAP.0;
    loop {
        match server.outcome.get() {
            Some(raise::STOP_SERVE) => return Ok(()),
            Some(code) => return Err(Errno(code)),
            None => {}
        }
        if server.running.get() >= concurrency {
            server.pause(g, Deadline::NEVER)?;
            continue;
        }
        match accept(g, server, listener) {
            Ok(client) => {
                nap = NAP.0;
                begin(g, server, client)?;
            }
            Err(AGAIN) => {}
            // These are about one client, or about a while.
            Err(Errno(
                libc::EINTR
                | libc::ECONNABORTED
                | libc::EPROTO
                | libc::ENOPROTOOPT
                | libc::ENETDOWN
                | libc::EHOSTDOWN
                | libc::ENONET
                | libc::EHOSTUNREACH
                | libc::ENETUNREACH,
            )) => {}
            Err(Errno(libc::EMFILE | libc::ENFILE | libc::ENOBUFS | libc::ENOMEM | libc::EPERM)) => {
                server.pause(g, Deadline(clock::now() + nap))?;
                nap = (nap * 2).min(NAP.1);
            }
            Err(error) => return Err(error),
        }
    }
}

/// The next client; EAGAIN: the loop was woken without one.
fn accept(g: &'static Green, server: &Server, listener: c_int) -> Result<Client> {
    let mut turn = Turn::new(g, listener, Side::Read, "eventlet_serve")?;
    if !kind::of(listener, turn.entry).is_socket() {
        return Err(Errno(if life::is_open(listener) { libc::ENOTSOCK } else { libc::EBADF }));
    }
    // SAFETY: zeroes are a valid address.
    let mut address: libc::sockaddr_storage = unsafe { core::mem::zeroed() };
    let mut length = size_of_val(&address) as socklen_t;
    let answer = if turn.may_skip_accept() {
        Err(AGAIN)
    } else {
        // SAFETY: live memory of that size.
        unsafe { connection::accept_now(&turn, (&raw mut address).cast(), &mut length, libc::SOCK_CLOEXEC) }
    };
    match answer {
        Ok(fd) => {
            descriptors::make_green(fd);
            let generation = descriptors::entry(fd).generation.get();
            Ok(Client { server, fd, generation, address, length })
        }
        Err(AGAIN) => {
            server.parked.set(true);
            let ended = turn.wait_for_edge();
            server.parked.set(false);
            ended.and(Err(AGAIN))
        }
        Err(error) => Err(error),
    }
}

/// Starts the client's thread; waits for memory if others have it.
fn begin(g: &Green, server: &Server, client: Client) -> Result<()> {
    let fd = client.fd;
    let client = Box::into_raw(Box::new(client));
    let answer = loop {
        match spawn(Plan::new(body, client.cast())) {
            Err(Errno(libc::EAGAIN | libc::ENOMEM)) if server.running.get() > 0 => {
                if let Err(ended) = server.pause(g, Deadline(clock::now() + NAP.1)) {
                    break Err(ended);
                }
            }
            answer => break answer.map(Thread::let_go),
        }
    };
    if answer.is_err() {
        // SAFETY: no thread has it.
        drop(unsafe { Box::from_raw(client) });
        let _ = life::close_quietly(fd);
    } else {
        server.running.set(server.running.get() + 1);
    }
    answer
}

/// All of a client's life.
extern "C" fn body(client: *mut c_void) -> *mut c_void {
    let Some(g) = this() else { return ptr::null_mut() };
    // SAFETY: the client that `begin` gave to this thread; it stays until the end of this function.
    let outcome = unsafe { raise::attempt(g, call, client) };
    // SAFETY: as above; the server stays while a client runs.
    let (client, server) = unsafe {
        let client = Box::from_raw(client.cast::<Client>());
        (client.fd_if_open(), &*client.server)
    };
    if let Some(fd) = client {
        let _ = life::close_quietly(fd);
    }
    let code = match outcome {
        Outcome::Raised(raised) => raised.code,
        Outcome::Returned(_) | Outcome::Exits => 0,
    };
    let forwarded = !matches!(code, 0 | raise::EXIT | raise::TIMEOUT);
    if forwarded && !server.green.get().is_null() {
        if server.outcome.get().is_none() {
            server.outcome.set(Some(code));
        }
    } else if code != raise::STOP_SERVE {
        raise::report(g, code);
    }
    server.running.set(server.running.get() - 1);
    server.wake();
    server.free();
    if matches!(outcome, Outcome::Exits) {
        raise::unwind();
    }
    ptr::null_mut()
}

extern "C" fn call(client: *mut c_void) -> *mut c_void {
    // SAFETY: `body`'s own.
    let (client, server) = unsafe {
        let client = &*client.cast::<Client>();
        (client, &*client.server)
    };
    (server.handle)(client.fd, (&raw const client.address).cast(), client.length, server.context);
    ptr::null_mut()
}

impl Client {
    /// Its descriptor, unless the handler has closed it: then the number may be somebody else's.
    fn fd_if_open(&self) -> Option<c_int> {
        let entry = descriptors::entry(self.fd);
        let same = entry.generation.get() == self.generation || descriptors::is_far(entry);
        (same && entry.gone.load(core::sync::atomic::Ordering::Relaxed) != gone::CLOSED).then_some(self.fd)
    }
}
