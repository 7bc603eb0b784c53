//! TLS: `eventlet_wrap_ssl`.
//!
//! ```text
//!   the program          the library                                          the peer
//!   plaintext end <-- socketpair --> far end | pump: a green thread | socket <--------->
//! ```
//! The descriptor that the program gets is one end of a socket pair, and a green thread of the library, the *pump*, carries
//! bytes between the other end and the socket, through a TLS session. So read, write, poll, select, epoll, stdio, dup,
//! fork and half-close are the kernel's own on a stream socket, and nothing in the rows knows of TLS but these: `accept` on
//! a wrapped listener; the end of a stream, which is EPROTO if the session failed; names and options, which are the
//! socket's. The price is one copy through the kernel, and that a program's last bytes need the pump: at exit it is waited
//! for. Back-pressure is the kernel's too: a pump takes plaintext only when all that it made of the last is sent, and
//! ciphertext only when what it held is delivered.
//!
//! rustls and its cryptography (ring: C and assembly, built by cc alone) are not in this library but in
//! `libeventlet_tls.so`, which is opened from the same folder at the first wrap. Measured: in here they would make the
//! library three times as large (0.8 to 2.5 MB), and each program that is started under it a tenth of a millisecond slower
//! (a third more than without), for what few programs use; and every build would optimise them anew. [`engine`] is the seam.
//!
//! | file | what it holds |
//! | --- | --- |
//! | `engine` | the table of `libeventlet_tls.so` |
//! | `pump`, `ends` | a connection and its pump; the two descriptors of it |
//! | `ledger` | what is known of each plaintext descriptor, whatever its number |
//! | here | wrapping |
//!
//! All that runs in the engine runs on a stack of the library's, however small the caller's is.
//!
//! Safety: as [`super`]. Nothing of a caller's memory is used when its wait is over.

mod ends;
pub mod engine;
pub mod ledger;
mod pump;

use core::cell::{Cell, RefCell};
use core::ffi::{c_char, c_int, c_void};
use core::fmt::Arguments;
use core::ptr;
use std::ffi::CString;
use std::rc::Rc;

use crate::blocking::{kind, life};
use crate::data::Deadline;
use crate::kernel::{Errno, Result};
use crate::runtime::spawn::{self, Plan, Stack};
use crate::runtime::{Green, credentials, descriptors, this};
use crate::syscall;

use super::line::Line;
use super::{deadline, here};
use engine::{Detail, Engine, Failure, Tried};
use pump::Connection;

pub use pump::flush;

/// The stack of a thread that runs the engine.
const STACK: usize = 256 << 10;

/// Finds the engine, the first time by opening its library.
pub type Load = fn() -> Tried<&'static Engine>;

/// What is asked for, as [`engine::Options`] has it.
#[derive(Debug, Default)]
pub struct Request {
    /// Whether we are the server.
    pub server: bool,
    /// Whether the peer is verified.
    pub verify: bool,
    /// certfile, keyfile, cafile, alpn.
    pub texts: [Option<CString>; 4],
    /// The peer's name.
    pub host: Option<CString>,
    /// Seconds that a handshake may take; negative: any number.
    pub timeout: f64,
}

/// A configuration of the engine's, and what else its connections need.
struct Config {
    engine: &'static Engine,
    handle: *mut c_void,
    host: Option<CString>,
    timeout: f64,
}

impl Drop for Config {
    fn drop(&mut self) {
        // SAFETY: made by this engine.
        unsafe { (self.engine.release)(self.handle) }
    }
}

impl Config {
    fn make(load: Load, request: Request) -> Tried<Config> {
        let engine = load()?;
        let text = |text: &Option<CString>| text.as_ref().map_or(ptr::null::<c_char>(), |text| text.as_ptr());
        let [certfile, keyfile, cafile, alpn] = request.texts.each_ref().map(text);
        let (server, verify) = (request.server, request.verify);
        let options = engine::Options { server, verify, certfile, keyfile, cafile, alpn };
        let mut failure = Failure::NONE;
        // SAFETY: live texts.
        let handle = unsafe { (engine.configure)(&options, &mut failure) };
        if handle.is_null() {
            return Err(Box::new(failure));
        }
        Ok(Config { engine, handle, host: request.host, timeout: request.timeout })
    }
}

thread_local! {
    // In place: a destructor would need memory to be registered, and without any libc ends the process.
    static LAST: Cell<Failure> = const { Cell::new(Failure::NONE) };
}

/// Why the calling thread's last call failed; it stays until the next one does. Empty: none has.
pub fn text() -> *const c_char {
    // SAFETY: the thread's own.
    LAST.with(|last| unsafe { (*last.as_ptr()).text() }.as_ptr())
}

/// `failure` is what the calling thread's call fails with.
fn told(failure: &Failure) -> Errno {
    LAST.set(*failure);
    Errno(failure.code)
}

/// The same, of our own making.
pub fn say(code: c_int, text: Arguments) -> Errno {
    told(&Failure::new(code, text))
}

/// Wraps `fd`; the number of what carries the plaintext. `fd` stays the caller's if this fails.
pub fn wrap(load: Load, fd: c_int, request: Request) -> Result<c_int> {
    let g = here()?;
    if deadline(request.timeout).is_err() {
        return Err(say(libc::EINVAL, format_args!("handshake_timeout is not a number")));
    }
    let listens = looked_at(fd)?;
    if listens && !request.server {
        return Err(say(libc::EINVAL, format_args!("a listener needs server_side")));
    }
    if !request.server && request.verify && request.host.is_none() {
        return Err(say(libc::EINVAL, format_args!("a client that verifies its peer needs a hostname")));
    }
    let config = aside(g, move || Config::make(load, request))?.map_err(|why| told(&why))?;
    let new = if listens { listener(fd, config)? } else { connected(g, fd, config)? };
    let _ = life::close_quietly(fd);
    Ok(new)
}

/// Whether `fd` is a listener; else it is connected.
fn looked_at(fd: c_int) -> Result<bool> {
    let option = |name| kind::option::<c_int>(fd, libc::SOL_SOCKET, name);
    let kind = option(libc::SO_TYPE).map_err(|why| match why {
        Errno(libc::ENOTSOCK) => say(libc::ENOTSOCK, format_args!("descriptor {fd} is not a socket")),
        Errno(code) => say(code, format_args!("there is no descriptor {fd}")),
    })?;
    if kind != libc::SOCK_STREAM {
        return Err(say(libc::EINVAL, format_args!("descriptor {fd} is not a stream")));
    }
    if option(libc::SO_ACCEPTCONN).unwrap_or(0) != 0 {
        return Ok(true);
    }
    match ledger::Name::of(libc::SYS_getpeername, fd) {
        Ok(_) => Ok(false),
        Err(Errno(code)) => Err(say(code, format_args!("descriptor {fd} is not connected"))),
    }
}

fn listener(fd: c_int, config: Config) -> Result<c_int> {
    // SAFETY: F_GETFD takes nothing.
    let flags = unsafe { syscall!(libc::SYS_fcntl, fd, libc::F_GETFD)? } as c_int;
    let command = if flags & libc::FD_CLOEXEC != 0 { libc::F_DUPFD_CLOEXEC } else { libc::F_DUPFD };
    let new = life::fcntl(fd, command, 0).unwrap_or(Err(Errno(libc::EINVAL)));
    let new = new.map_err(|Errno(code)| say(code, format_args!("no descriptor is free")))?;
    descriptors::make_green(new);
    ledger::listens(new, Rc::new(config));
    Ok(new)
}

fn connected(g: &Green, fd: c_int, config: Config) -> Result<c_int> {
    let (connection, plain) = Connection::begin(Rc::new(config), fd, None)?;
    connection.opened(g).inspect_err(|_| _ = life::close_quietly(plain))?;
    Ok(plain)
}

/// The calling thread, made green if it is the first, if `fd` is a wrapped listener.
pub fn waits_at(fd: c_int) -> Option<&'static Green> {
    if !ledger::any_listener() {
        return None;
    }
    here().ok().filter(|_| ledger::listener(fd).is_some())
}

/// A client that was accepted from `listener` as `new`, with these flags of `accept4`: if the listener is wrapped, what
/// carries its plaintext. Its handshake goes on meanwhile.
#[inline(always)]
pub fn accepted(listener: c_int, new: c_int, flags: c_int) -> Result<c_int> {
    if ledger::any_listener() { accepted_from(listener, new, flags) } else { Ok(new) }
}

#[cold]
fn accepted_from(listener: c_int, new: c_int, flags: c_int) -> Result<c_int> {
    let Some(config) = ledger::listener(listener) else { return Ok(new) };
    Connection::begin(config, new, Some(flags)).map(|(_, plain)| plain)
}

/// Copies what is known of the session behind `fd` into `room` bytes; its length, 0: there is no such thing. EINVAL: it is
/// no such descriptor. ENOTCONN: the connection has ended.
///
/// # Safety
/// So many bytes are writable there.
pub unsafe fn detail(fd: c_int, what: Detail, bytes: *mut u8, room: usize) -> Result<usize> {
    let g = here()?;
    let record = ledger::record(fd).ok_or(Errno(libc::EINVAL))?;
    let connection = record.connection.borrow().upgrade();
    let known = connection.ok_or(Errno(libc::ENOTCONN)).and_then(|it| it.detail(g, what, bytes, room));
    match known {
        Err(Errno(libc::ENOTCONN)) => ledger::failure(fd).and(known),
        known => known,
    }
}

/// Runs `job` on a stack of the library's; what it gave. `g` waits in `call`.
fn aside<T: 'static>(g: &Green, job: impl FnOnce() -> T + 'static) -> Result<T> {
    struct Desk<T> {
        done: Line<()>,
        answer: RefCell<Option<T>>,
    }
    let desk = Rc::new(Desk { done: Line::new(), answer: RefCell::new(None) });
    let theirs = desk.clone();
    start(move || {
        *theirs.answer.borrow_mut() = Some(job());
        theirs.done.give_all(Ok(()));
    })?;
    loop {
        if let Some(answer) = desk.answer.take() {
            return Ok(answer);
        }
        desk.done.wait(g, "eventlet_wrap_ssl", (), Deadline::NEVER, |()| {})?;
    }
}

/// Starts `job` as a green thread of the library's.
fn start(job: impl FnOnce() + 'static) -> Result<()> {
    type Job = Box<dyn FnOnce()>;
    extern "C" fn run(job: *mut c_void) -> *mut c_void {
        // SAFETY: made below, for this thread.
        let job = unsafe { Box::from_raw(job.cast::<Job>()) };
        job();
        ptr::null_mut()
    }
    let job: *mut Job = Box::into_raw(Box::new(Box::new(job)));
    let plan = Plan {
        start: run,
        arg: job.cast(),
        stack: Stack::Size(STACK),
        guard_size: 4096,
        detached: true,
        // No handler of the program's runs here.
        mask: u64::MAX,
        scheduling: None,
        affinity: None,
        nice: None,
        // It reads what its maker may.
        credentials: this().and_then(credentials::of),
    };
    match spawn::spawn(plan).unwrap_or(Err(Errno(libc::EAGAIN))) {
        Ok(thread) => {
            // SAFETY: it was made just now.
            unsafe { Green::of(thread) }.inspect(|green| green.preemptible.set(false));
            Ok(())
        }
        Err(Errno(code)) => {
            // SAFETY: nobody else has it.
            drop(unsafe { Box::from_raw(job) });
            Err(say(code, format_args!("no memory for a thread")))
        }
    }
}
