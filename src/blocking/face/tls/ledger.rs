//! The ledger: wrapped listeners, and of each connection its names and how it ended. By the kernel's cookie of the socket, a
//! number that is never given twice: so it holds for every duplicate of a descriptor, and in a fork child.
//!
//! When the program closes its end cannot be known. So what is kept of connections that have ended is bounded: the oldest
//! is forgotten.
//!
//! Safety: on the hub's kernel thread; no borrow is kept over a switch.

use core::cell::{Cell, RefCell, UnsafeCell};
use core::ffi::c_int;
use core::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::collections::{BTreeMap, VecDeque};
use std::rc::{Rc, Weak};

use libc::{sockaddr, socklen_t};

use crate::blocking::kind;
use crate::data::fdtable::Kind;
use crate::kernel::{Errno, Result};
use crate::runtime::hub::unpark;
use crate::runtime::{Green, Wake, this};
use crate::syscall;

use super::engine::Failure;
use super::{Config, Connection, told};

/// Ended connections that are remembered.
const REMEMBERED: usize = 4096;

/// A socket's address.
#[derive(Clone, Copy)]
pub struct Name {
    bytes: [u8; 128],
    length: socklen_t,
}

impl Name {
    /// What the system call `which` (getpeername, getsockname) says of `fd`.
    pub fn of(which: i64, fd: c_int) -> Result<Name> {
        let mut name = Name { bytes: [0; 128], length: 128 };
        // SAFETY: live memory of that length.
        unsafe { syscall!(which, fd, name.bytes.as_mut_ptr(), &mut name.length)? };
        Ok(name)
    }

    /// As the C functions give it.
    ///
    /// # Safety
    /// As of `getpeername`.
    unsafe fn give(&self, address: *mut sockaddr, length: *mut socklen_t) -> Result<()> {
        if address.is_null() || length.is_null() {
            return Err(Errno(libc::EFAULT));
        }
        // SAFETY: the caller's promise.
        unsafe {
            let room = (*length).min(self.length) as usize;
            core::ptr::copy_nonoverlapping(self.bytes.as_ptr(), address.cast(), room);
            *length = self.length;
        }
        Ok(())
    }
}

/// A connection as the program sees it.
pub struct Record {
    /// ENOTCONN: it had gone when it was accepted.
    peer: Result<Name>,
    own: Name,
    /// The socket; -1: the connection has ended.
    pub socket: Cell<c_int>,
    /// The thread of its pump; NULL: it has ended, or is the parent's.
    pub pump: Cell<*const Green>,
    /// The process ends: nothing more comes from the program.
    pub closing: Cell<bool>,
    /// What carries it.
    pub(super) connection: RefCell<Weak<Connection>>,
    failure: Cell<Option<Box<Failure>>>,
}

struct Ledger {
    records: BTreeMap<u64, Rc<Record>>,
    ended: VecDeque<u64>,
    listeners: BTreeMap<u64, Rc<Config>>,
    process: usize,
}

struct Place(UnsafeCell<Ledger>);

// SAFETY: see the file's header.
unsafe impl Sync for Place {}

static LEDGER: Place = Place(UnsafeCell::new(Ledger {
    records: BTreeMap::new(),
    ended: VecDeque::new(),
    listeners: BTreeMap::new(),
    process: 0,
}));
static LISTENERS: AtomicBool = AtomicBool::new(false);
static KNOWN: AtomicBool = AtomicBool::new(false);
static FAILED: AtomicUsize = AtomicUsize::new(0);

/// The ledger. In a fork child the pumps are the parent's.
#[allow(clippy::mut_from_ref, reason = "one thread, and no caller keeps the borrow over a switch")]
fn ledger() -> &'static mut Ledger {
    // SAFETY: see the file's header.
    let ledger = unsafe { &mut *LEDGER.0.get() };
    // SAFETY: takes nothing.
    let process = unsafe { syscall!(libc::SYS_getpid) }.unwrap_or(0);
    if ledger.process != process {
        ledger.process = process;
        for record in ledger.records.values() {
            record.pump.set(core::ptr::null());
            record.socket.set(-1);
            record.connection.take();
        }
    }
    ledger
}

fn cookie(fd: c_int) -> Option<u64> {
    kind::option(fd, libc::SOL_SOCKET, libc::SO_COOKIE).ok()
}

/// `fd` is a wrapped listener.
pub(super) fn listens(fd: c_int, config: Rc<Config>) {
    if let Some(cookie) = cookie(fd) {
        ledger().listeners.insert(cookie, config);
        LISTENERS.store(true, Ordering::Relaxed);
    }
}

/// Whether there ever was a wrapped listener.
#[inline(always)]
pub fn any_listener() -> bool {
    LISTENERS.load(Ordering::Relaxed)
}

/// The configuration of a wrapped listener.
pub(super) fn listener(fd: c_int) -> Option<Rc<Config>> {
    ledger().listeners.get(&cookie(fd)?).cloned()
}

impl Record {
    /// A new connection on `socket`, whose plaintext `plain` carries.
    pub(super) fn new(socket: c_int, plain: c_int) -> Result<(u64, Rc<Record>)> {
        let record = Rc::new(Record {
            peer: Name::of(libc::SYS_getpeername, socket),
            own: Name::of(libc::SYS_getsockname, socket)?,
            socket: Cell::new(socket),
            pump: Cell::new(core::ptr::null()),
            closing: Cell::new(false),
            connection: RefCell::new(Weak::new()),
            failure: Cell::new(None),
        });
        let cookie = cookie(plain).ok_or(Errno(libc::ENOPROTOOPT))?;
        let ledger = ledger();
        ledger.records.insert(cookie, record.clone());
        KNOWN.store(true, Ordering::Relaxed);
        Ok((cookie, record))
    }

    /// Its pump looks again.
    pub(super) fn wake(&self) {
        // SAFETY: NULL, or a thread that runs our pump.
        if let Some(pump) = unsafe { self.pump.get().as_ref() } {
            unpark(pump, Wake::Ready);
        }
    }

    /// The connection ends, with this failure.
    pub(super) fn ends(&self, cookie: u64, failure: Option<Box<Failure>>) {
        let ledger = ledger();
        self.socket.set(-1);
        self.pump.set(core::ptr::null());
        if let Some(failure) = failure {
            self.failure.set(Some(failure));
            FAILED.fetch_add(1, Ordering::Relaxed);
        }
        ledger.ended.push_back(cookie);
        if ledger.ended.len() > REMEMBERED
            && let Some(oldest) = ledger.ended.pop_front()
            && let Some(record) = ledger.records.remove(&oldest)
            && record.failure.take().is_some()
        {
            FAILED.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

/// Connections whose pumps run, in this process.
pub(super) fn live() -> Vec<Rc<Connection>> {
    ledger().records.values().filter_map(|record| record.connection.borrow().upgrade()).collect()
}

/// The record of a plaintext descriptor. On a thread that is not green: none.
pub(super) fn record(fd: c_int) -> Option<Rc<Record>> {
    this()?;
    ledger().records.get(&cookie(fd)?).cloned()
}

/// What a read says that has come to the end of a stream: 0, or how the connection failed.
#[inline(always)]
pub fn end(fd: c_int, kind: Kind) -> Result<usize> {
    if kind == Kind::Stream && FAILED.load(Ordering::Relaxed) != 0 { failure(fd) } else { Ok(0) }
}

#[cold]
pub(super) fn failure(fd: c_int) -> Result<usize> {
    let Some(record) = record(fd) else { return Ok(0) };
    let failure = record.failure.take();
    let answer = failure.as_ref().map_or(Ok(0), |failure| Err(told(failure)));
    record.failure.set(failure);
    answer
}

/// The name of a connection whose plaintext `fd` carries: the peer's, or our own. None: it is another descriptor.
///
/// # Safety
/// As of `getpeername`.
pub unsafe fn name(
    fd: c_int,
    peer: bool,
    address: *mut sockaddr,
    length: *mut socklen_t,
) -> Option<Result<()>> {
    if !KNOWN.load(Ordering::Relaxed) {
        return None;
    }
    let record = record(fd)?;
    if peer && record.failed() {
        return Some(Err(Errno(libc::ENOTCONN)));
    }
    let name = if peer { record.peer } else { Ok(record.own) };
    // SAFETY: the caller's promise.
    Some(name.and_then(|name| unsafe { name.give(address, length) }))
}

impl Record {
    fn failed(&self) -> bool {
        let failure = self.failure.take();
        let failed = failure.is_some();
        self.failure.set(failure);
        failed
    }
}

/// The descriptor that a socket option of `fd` is about: of a connection's plaintext the socket, for what is not the
/// socket layer's own.
pub fn option_of(fd: c_int, level: c_int, name: c_int) -> c_int {
    const OF_THE_SOCKET: [c_int; 7] = [
        libc::SO_KEEPALIVE,
        libc::SO_LINGER,
        libc::SO_DOMAIN,
        libc::SO_PROTOCOL,
        libc::SO_PRIORITY,
        libc::SO_MARK,
        libc::SO_INCOMING_CPU,
    ];
    if !KNOWN.load(Ordering::Relaxed) || level == libc::SOL_SOCKET && !OF_THE_SOCKET.contains(&name) {
        return fd;
    }
    let socket = record(fd).map_or(-1, |record| record.socket.get());
    if socket >= 0 { socket } else { fd }
}
