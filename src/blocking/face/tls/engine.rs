//! [`Engine`]: what `libeventlet_tls.so` is to `libeventlet.so`, one exported table of C functions, `eventlet_tls`. Both
//! are made of this file. The engine is TLS and nothing else: it waits for nothing, and moves bytes only through the
//! [`Move`] that it is given.
//!
//! Safety: a session or configuration is one that the engine made and that was not yet given back. It is used by one
//! thread at a time. Texts are NUL-terminated or NULL.

use core::ffi::{CStr, c_char, c_void};

/// What the table looks like; another number is another library's.
pub const VERSION: u32 = 1;

/// Moves up to `length` bytes, from or to `bytes`, without waiting: how many, or minus an errno. `context` is the caller's.
pub type Move = unsafe extern "C" fn(context: *mut c_void, bytes: *mut u8, length: usize) -> isize;

/// What a configuration is made of.
#[repr(C)]
#[derive(Debug)]
pub struct Options {
    /// Whether it is a server's.
    pub server: bool,
    /// Whether peers are verified.
    pub verify: bool,
    /// Our certificate and those that lead from it to a known one, as PEM.
    pub certfile: *const c_char,
    /// Its key; NULL: in the certificate's file.
    pub keyfile: *const c_char,
    /// Whom to trust; NULL: whom the system trusts.
    pub cafile: *const c_char,
    /// Protocols, the best first, between commas.
    pub alpn: *const c_char,
}

/// Why something failed: an errno and a text.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Failure {
    /// The errno.
    pub code: i32,
    text: [u8; 308],
}

impl Failure {
    /// Nothing failed yet.
    pub const NONE: Failure = Failure { code: 0, text: [0; 308] };

    /// A failure. Of the text what does not fit is left out.
    pub fn new(code: i32, text: core::fmt::Arguments) -> Box<Failure> {
        let mut failure = Box::new(Failure { code, ..Failure::NONE });
        let _ = core::fmt::Write::write_fmt(&mut Rest { text: &mut failure.text, at: 0 }, text);
        failure
    }

    /// The text.
    pub fn text(&self) -> &CStr {
        CStr::from_bytes_until_nul(&self.text).unwrap_or(c"")
    }
}

/// What was tried.
pub type Tried<T> = core::result::Result<T, Box<Failure>>;

struct Rest<'a> {
    text: &'a mut [u8; 308],
    at: usize,
}

impl core::fmt::Write for Rest<'_> {
    fn write_str(&mut self, part: &str) -> core::fmt::Result {
        for character in part.chars() {
            let character = if character.is_control() { '?' } else { character };
            if self.at + character.len_utf8() >= self.text.len() {
                break;
            }
            self.at += character.encode_utf8(&mut self.text[self.at..]).len();
        }
        Ok(())
    }
}

/// Bits of [`Engine::status`].
pub mod status {
    /// The handshake is not done.
    pub const HANDSHAKE: u32 = 1;
    /// There is ciphertext to send.
    pub const TO_SEND: u32 = 2;
    /// There is plaintext to deliver.
    pub const TO_DELIVER: u32 = 4;
    /// The peer has said that no more will come (close_notify).
    pub const PEER_DONE: u32 = 8;
}

/// What [`Engine::detail`] can tell.
#[repr(u32)]
#[derive(Clone, Copy, Debug)]
pub enum Detail {
    /// The version of TLS: "TLSv1.3".
    Protocol,
    /// The cipher suite, as IANA names it.
    Cipher,
    /// What ALPN chose.
    Alpn,
    /// Of a server's session, the name that the client asked for.
    ServerName,
    /// The peer's certificate, as DER.
    Certificate,
}

/// The table.
#[repr(C)]
pub struct Engine {
    /// [`VERSION`].
    pub version: u32,
    /// Makes a configuration from files, which it keeps as long as they do not change. NULL: it failed.
    pub configure: unsafe extern "C" fn(&Options, &mut Failure) -> *mut c_void,
    /// Gives a configuration back. Its sessions go on.
    pub release: unsafe extern "C" fn(config: *mut c_void),
    /// A session, of a client with the host's name or NULL. NULL: it failed.
    pub open: unsafe extern "C" fn(config: *mut c_void, host: *const c_char, &mut Failure) -> *mut c_void,
    /// Gives a session back.
    pub close: unsafe extern "C" fn(session: *mut c_void),
    /// How it stands: bits of [`status`].
    pub status: unsafe extern "C" fn(session: *mut c_void) -> u32,
    /// Takes ciphertext by one move. The answer is the move's; -EPROTO or -EACCES: what came is wrong, as told in the
    /// failure, which a move's errno leaves as it was. Not while there is plaintext to deliver.
    pub receive: unsafe extern "C" fn(*mut c_void, Move, context: *mut c_void, &mut Failure) -> isize,
    /// Sends ciphertext by one move, whose answer it gives.
    pub send: unsafe extern "C" fn(session: *mut c_void, Move, context: *mut c_void) -> isize,
    /// Delivers plaintext by moves, until one does not take all that it is offered. How much they took, or the errno of
    /// the first.
    pub deliver: unsafe extern "C" fn(session: *mut c_void, Move, context: *mut c_void) -> isize,
    /// Takes plaintext, all of it: then there is ciphertext to send.
    pub encrypt: unsafe extern "C" fn(session: *mut c_void, bytes: *const u8, length: usize),
    /// Says to the peer that no more will come.
    pub finish: unsafe extern "C" fn(session: *mut c_void),
    /// Copies a [`Detail`] into `room` bytes; its length, 0: there is none.
    pub detail: unsafe extern "C" fn(*mut c_void, Detail, bytes: *mut u8, room: usize) -> usize,
}
