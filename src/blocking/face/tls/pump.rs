//! [`Connection`]: a TLS session between two descriptors, and the green thread that carries it.
//!
//! ```text
//!   far end --take--> encrypt --send--> socket      only when all of the last is sent
//!   far end <-deliver-- decrypt <-receive-- socket  only when all of the last is delivered
//! ```
//! A pump tries every way, again and again, until none gets on; then it parks on both descriptors. Edges that are none of
//! its business only make it look in vain.
//!
//! | what comes | what the other side sees |
//! | --- | --- |
//! | the program shuts its writing down | close_notify, then FIN; the other direction goes on |
//! | the program closes | close_notify, FIN; what the peer still sends is dropped, for a second at most |
//! | the peer's close_notify | end of file; the program may go on writing |
//! | anything else that ends it | `read` fails, after what came before; `write` fails with EPIPE |
//!
//! Safety: as [`super`]. A pump keeps its connection; the program's record of it does not.

use core::cell::{Cell, RefCell};
use core::ffi::{c_int, c_void};
use core::ptr;
use core::time::Duration;
use std::rc::Rc;

use crate::blocking::life;
use crate::blocking::turn::poll_now;
use crate::data::Deadline;
use crate::kernel::{Errno, Result, clock};
use crate::runtime::{Green, Wait, edges, hub, this};
use crate::syscall;

use super::ends::{
    AGAIN, Descriptor, TAKEN, discard, drop_all, flags_of, give, inherit, pair, scratch, shut, take,
};
use super::engine::{Detail, Failure, Move, status};
use super::ledger::{self, Record};
use super::{Config, Line, deadline, say, start, told};

/// Rounds after which a pump that always gets on lets others go.
const ROUNDS: u32 = 16;
/// How long the peer may stand still when the program has gone, while something is left to send.
const PATIENCE: Duration = Duration::from_secs(30);
/// How long we read on behind the end. A socket that is closed with something unread, or that something comes for, resets
/// the connection, and takes away what the peer has not read yet: and a server's session tickets come unasked.
const FAREWELL: Duration = Duration::from_secs(1);

/// A session between two descriptors.
pub struct Connection {
    config: Rc<Config>,
    session: Cell<*mut c_void>,
    socket: Descriptor,
    far: Descriptor,
    cookie: u64,
    record: Rc<Record>,
    /// Whether the caller of `wrap` still has the socket, and waits for the handshake.
    asked: Cell<bool>,
    /// Nobody wants it any more.
    given_up: Cell<bool>,
    opens: Line<()>,
    opened: Cell<bool>,
    failure: Cell<Option<Box<Failure>>>,
    deadline: Cell<Deadline>,
    /// What the last look found to be waited for: POLLIN and POLLOUT of the socket and of the far end.
    wants: Cell<(i16, i16)>,
    way: RefCell<Way>,
}

impl Drop for Connection {
    fn drop(&mut self) {
        if !self.session.get().is_null() {
            // SAFETY: made by this engine.
            unsafe { (self.config.engine.close)(self.session.get()) }
        }
    }
}

/// Where a pump stands.
#[derive(Default)]
struct Way {
    /// The program writes no more, and the peer was told.
    finished: bool,
    /// And the socket's writing is shut down.
    shut: bool,
    /// The program has closed its end.
    gone: bool,
    /// The peer takes nothing any more.
    mute: bool,
    /// The program reads no more.
    unread: bool,
    /// Nothing more comes from the peer.
    ended: bool,
    /// And the program was told.
    told: bool,
    /// Nothing goes either way any more.
    over: bool,
}

impl Connection {
    /// A session on `fd`, carried by a pump from now on, and the number of its plaintext. `accepted`: the flags of the
    /// accept that gave `fd`, which is gone then, whatever comes; else the pump has a duplicate, and somebody waits.
    pub(super) fn begin(
        config: Rc<Config>,
        fd: c_int,
        accepted: Option<c_int>,
    ) -> Result<(Rc<Connection>, c_int)> {
        let failed = |Errno(code)| say(code, format_args!("no descriptor is free"));
        let socket = Descriptor::of(fd);
        let flags = accepted.map_or_else(|| flags_of(fd), Ok);
        if accepted.is_some() {
            // Its number is the first that is free now.
            let _ = life::close_quietly(fd);
        }
        let (socket, flags) = (socket.map_err(failed)?, flags.map_err(failed)?);
        let (plain, far) = pair(flags).map_err(failed)?;
        let begun = Connection::on(config, socket, far, plain, accepted.is_none());
        let connection = begun.map_err(failed).inspect_err(|_| _ = life::close_quietly(plain))?;
        Ok((connection, plain))
    }

    fn on(
        config: Rc<Config>,
        socket: Descriptor,
        far: Descriptor,
        plain: c_int,
        asked: bool,
    ) -> Result<Rc<Connection>> {
        for name in [libc::SO_RCVTIMEO, libc::SO_SNDTIMEO] {
            inherit(socket.fd, plain, name);
        }
        let (cookie, record) = Record::new(socket.fd, plain)?;
        let deadline = deadline(config.timeout)?;
        let connection = Rc::new(Connection {
            config,
            session: Cell::new(ptr::null_mut()),
            socket,
            far,
            cookie,
            record,
            asked: Cell::new(asked),
            given_up: Cell::new(false),
            opens: Line::new(),
            opened: Cell::new(false),
            failure: Cell::new(None),
            deadline: Cell::new(deadline),
            wants: Cell::new((0, 0)),
            way: RefCell::new(Way::default()),
        });
        *connection.record.connection.borrow_mut() = Rc::downgrade(&connection);
        let pumped = connection.clone();
        start(move || pumped.run()).inspect_err(|_| connection.record.ends(cookie, None))?;
        Ok(connection)
    }

    /// Waits for the end of the handshake.
    pub(super) fn opened(&self, g: &Green) -> Result<()> {
        while !self.opened.get() {
            if let Err(raised) = self.opens.wait(g, "eventlet_wrap_ssl", (), Deadline::NEVER, |()| {}) {
                self.given_up.set(true);
                self.record.wake();
                return Err(raised);
            }
        }
        self.failure.take().map_or(Ok(()), |failure| Err(told(&failure)))
    }

    /// Copies what the session knows of `what` into `room` bytes; its length. Waits for the end of the handshake.
    pub(super) fn detail(&self, g: &Green, what: Detail, bytes: *mut u8, room: usize) -> Result<usize> {
        while !self.opened.get() {
            self.opens.wait(g, "eventlet_ssl_info", (), Deadline::NEVER, |()| {})?;
        }
        if self.record.socket.get() < 0 {
            return Err(Errno(libc::ENOTCONN));
        }
        // SAFETY: our session, and the caller's memory.
        Ok(unsafe { (self.config.engine.detail)(self.session.get(), what, bytes, room) })
    }

    /// All of a pump's life.
    fn run(&self) {
        let Some(g) = this() else { return };
        self.record.pump.set(g);
        let mut failure = Failure::NONE;
        let host = self.config.host.as_ref().map_or(ptr::null(), |host| host.as_ptr());
        // SAFETY: a configuration of this engine's.
        self.session.set(unsafe { (self.config.engine.open)(self.config.handle, host, &mut failure) });
        let failure = if self.session.get().is_null() { Some(Box::new(failure)) } else { self.carry(g) };
        self.end(g, failure);
    }

    fn status(&self) -> u32 {
        // SAFETY: our session.
        unsafe { (self.config.engine.status)(self.session.get()) }
    }

    fn send(&self) -> isize {
        // SAFETY: our session and descriptor.
        unsafe { (self.config.engine.send)(self.session.get(), give, self.socket.place()) }
    }

    fn deliver(&self, to: Move) -> isize {
        // SAFETY: our session and descriptor.
        unsafe { (self.config.engine.deliver)(self.session.get(), to, self.far.place()) }
    }

    fn receive(&self, failure: &mut Failure) -> isize {
        // SAFETY: our session and descriptor.
        unsafe { (self.config.engine.receive)(self.session.get(), take, self.socket.place(), failure) }
    }

    /// Carries what is left to send, and then awaits the peer's end. False: it is done, or never will be. `until`: when it is
    /// given up.
    fn flushes(&self, until: &mut Deadline) -> bool {
        let Ok(mut way) = self.way.try_borrow_mut() else { return false };
        self.record.closing.set(true);
        if !self.opened.get() || until.passed() {
            return false;
        }
        while !way.over {
            match self.round(&mut way) {
                Ok(true) => {}
                Ok(false) => return true,
                Err(_) => {
                    way.over = true;
                    shut(&self.socket, libc::SHUT_WR);
                    *until = Deadline::after(FAREWELL).min(*until);
                }
            }
        }
        self.wants.set((libc::POLLIN, 0));
        !discard(&self.socket)
    }

    /// Carries until the end; why it failed, if it did.
    fn carry(&self, g: &Green) -> Option<Box<Failure>> {
        let mut rounds = 0;
        loop {
            let opened = self.opened.get();
            // The borrow ends before the switch.
            let moved = self.round(&mut self.way.borrow_mut());
            if !opened && self.opened.get() && moved.is_ok() {
                // Who waits for the handshake is told of it first, whatever comes next.
                g.yield_now();
            }
            match moved {
                Err(end) => return end,
                Ok(true) => {
                    rounds += 1;
                    if self.way.borrow().gone {
                        self.deadline.set(Deadline::after(PATIENCE));
                    }
                    if rounds % ROUNDS == 0 {
                        hub().want_poll();
                        g.yield_now();
                    }
                }
                Ok(false) => {
                    if self.deadline.get().passed() {
                        return self.too_late();
                    }
                    self.park(g);
                }
            }
            if self.given_up.get() || !self.socket.is_ours() || !self.far.is_ours() {
                return None;
            }
        }
    }

    /// Tries every way once: whether something has moved. Err: it is over.
    fn round(&self, way: &mut Way) -> core::result::Result<bool, Option<Box<Failure>>> {
        let mut moved = self.take(way);
        let mut wants = (0, 0);
        if self.status() & status::TO_SEND != 0 && !way.mute {
            match self.send() {
                AGAIN => wants.0 |= libc::POLLOUT,
                ..0 => (way.mute, moved) = (true, true),
                _ => moved = true,
            }
        }
        // Before the peer is heard: what it answers to our last part of a handshake comes after the handshake.
        if self.opens_now() {
            return Ok(true);
        }
        if self.status() & status::TO_DELIVER == 0 && !way.ended {
            let mut failure = Failure::NONE;
            match self.receive(&mut failure) {
                AGAIN => wants.0 |= libc::POLLIN,
                ..0 if failure.code != 0 => return Err(Some(Box::new(failure))),
                lost @ ..0 => return Err(Some(self.lost(-lost as i32))),
                0 => way.ended = true,
                _ => moved = true,
            }
        }
        let now = self.status();
        if now & status::TO_DELIVER != 0 {
            match self.deliver(if way.unread { drop_all } else { give }) {
                AGAIN => wants.1 |= libc::POLLOUT,
                ..0 => (way.unread, moved) = (true, true),
                _ => moved = true,
            }
        }
        moved |= self.opens_now();
        let now = self.status();
        let delivered = now & status::TO_DELIVER == 0;
        if now & status::PEER_DONE != 0 && delivered && !way.told {
            (way.ended, way.told, moved) = (true, true, true);
            shut(&self.far, libc::SHUT_WR);
        } else if way.ended && delivered && now & status::PEER_DONE == 0 {
            return Err(Some(self.cut()));
        }
        if way.finished && !way.gone && (self.record.closing.get() || self.program_gone()) {
            (way.gone, moved) = (true, true);
        }
        let sent = way.finished && now & status::TO_SEND == 0;
        if sent && !way.shut {
            (way.shut, moved) = (true, true);
            shut(&self.socket, libc::SHUT_WR);
        }
        if (sent || way.mute) && (way.told || way.gone) {
            return Err(None);
        }
        if self.takes(way) {
            wants.1 |= libc::POLLIN;
        }
        self.wants.set(wants);
        Ok(moved)
    }

    /// Whether plaintext is wanted.
    fn takes(&self, way: &Way) -> bool {
        self.opened.get() && !way.finished && !way.mute && self.status() & status::TO_SEND == 0
    }

    /// Takes plaintext, or its end, from the program: whether there was any.
    fn take(&self, way: &mut Way) -> bool {
        if !self.takes(way) {
            return false;
        }
        let (engine, session) = (self.config.engine, self.session.get());
        let bytes = scratch();
        // SAFETY: the scratch memory is ours until the next switch.
        match unsafe { take(self.far.place(), bytes, TAKEN) } {
            AGAIN if !self.record.closing.get() => return false,
            // SAFETY: as above.
            count @ 1.. => unsafe { (engine.encrypt)(session, bytes, count as usize) },
            // The end. ECONNRESET: it has closed without having read all.
            _ => {
                way.finished = true;
                // SAFETY: our session.
                unsafe { (engine.finish)(session) };
            }
        }
        true
    }

    /// Whether the handshake is done, since just now.
    fn opens_now(&self) -> bool {
        let opens = !self.opened.get() && self.status() & (status::HANDSHAKE | status::TO_SEND) == 0;
        if opens {
            self.opened.set(true);
            self.asked.set(false);
            self.deadline.set(Deadline::NEVER);
            self.opens.give_all(Ok(()));
        }
        opens
    }

    /// Whether the program has closed its end.
    fn program_gone(&self) -> bool {
        poll_now(self.far.fd, 0) & libc::POLLHUP != 0
    }

    fn too_late(&self) -> Option<Box<Failure>> {
        if self.opened.get() {
            return None;
        }
        Some(Failure::new(libc::ETIMEDOUT, format_args!("the handshake took too long")))
    }

    /// The socket says `code`.
    fn lost(&self, code: c_int) -> Box<Failure> {
        if self.opened.get() {
            return Failure::new(code, format_args!("the connection is lost (errno {code})"));
        }
        Failure::new(libc::EPROTO, format_args!("the connection is lost in the handshake (errno {code})"))
    }

    /// The peer has closed without saying so.
    fn cut(&self) -> Box<Failure> {
        if self.opened.get() {
            let text = format_args!("the peer has closed without close_notify: something may be missing");
            return Failure::new(libc::EPROTO, text);
        }
        Failure::new(libc::EPROTO, format_args!("the peer has closed in the handshake"))
    }

    fn park(&self, g: &Green) {
        let wait = Wait {
            call: "eventlet_wrap_ssl",
            // SAFETY: the pump that waits keeps its connection.
            over: |connection, _| unsafe { &*(connection as *const Connection) }.gets_on(),
            a: ptr::from_ref(self) as usize,
            b: 0,
            interruptible: false,
            cancellable: false,
            raises: false,
            looks: false,
        };
        let both = [self.socket.fd, self.far.fd];
        let _ = edges::park_many(g, both.into_iter(), &wait, self.deadline.get());
    }

    /// For [`Wait::over`].
    fn gets_on(&self) -> bool {
        let (socket, far) = self.wants.get();
        poll_now(self.socket.fd, socket) & socket != 0 || poll_now(self.far.fd, far) & far != 0
    }

    /// The end: says why to whom it concerns.
    fn end(&self, g: &Green, failure: Option<Box<Failure>>) {
        let asked = self.asked.get();
        let session = !self.session.get().is_null();
        while session && !self.given_up.get() && self.status() & status::TO_SEND != 0 && self.send() > 0 {}
        let told = match failure {
            // The caller of wrap is told; there is nobody else.
            Some(failure) if asked => {
                self.failure.set(Some(failure));
                None
            }
            // Of a handshake behind the program's back, every failure is one.
            Some(mut failure) => {
                if !self.opened.get() {
                    failure.code = libc::EPROTO;
                }
                Some(failure)
            }
            None => None,
        };
        self.record.ends(self.cookie, told);
        if self.far.is_ours() {
            shut(&self.far, libc::SHUT_RDWR);
            // Closed with something unread, it would look like a reset.
            discard(&self.far);
        }
        self.opened.set(true);
        self.opens.give_all(Ok(()));
        if asked || self.given_up.get() || !self.socket.is_ours() {
            return;
        }
        self.way.borrow_mut().over = true;
        shut(&self.socket, libc::SHUT_WR);
        let until = Deadline::after(FAREWELL);
        while !discard(&self.socket) && !until.passed() && self.socket.is_ours() {
            self.wants.set((libc::POLLIN, 0));
            let wait = Wait { interruptible: false, cancellable: false, ..Wait::opaque("eventlet_wrap_ssl") };
            let _ = edges::park_many(g, [self.socket.fd].into_iter(), &wait, until);
        }
    }
}

/// The process ends: what the program wrote is sent first, if the peers take it within `limit`. Nobody else runs meanwhile:
/// who calls exit carries, and waits in the kernel.
pub fn flush(limit: Duration) {
    if this().is_none() {
        return;
    }
    let until = Deadline::after(limit);
    let mut left: Vec<(Rc<Connection>, Deadline)> =
        ledger::live().into_iter().map(|it| (it, until)).collect();
    loop {
        left.retain_mut(|(connection, until)| connection.flushes(until));
        if left.is_empty() || until.passed() {
            return;
        }
        let mut wanted: Vec<libc::pollfd> = vec![];
        let mut first = until;
        for (connection, until) in &left {
            let (socket, far) = connection.wants.get();
            wanted.push(libc::pollfd { fd: connection.socket.fd, events: socket, revents: 0 });
            wanted.push(libc::pollfd {
                fd: if far == 0 { -1 } else { connection.far.fd },
                events: far,
                revents: 0,
            });
            first = first.min(*until);
        }
        let milliseconds = first.0.saturating_sub(clock::now()).div_ceil(1_000_000);
        // SAFETY: a live array.
        let _ = unsafe { syscall!(libc::SYS_poll, wanted.as_mut_ptr(), wanted.len(), milliseconds) };
    }
}
