//! `libeventlet_tls.so`: rustls, with ring, behind the table that `libeventlet.so` looks for at the first
//! `eventlet_wrap_ssl`. It knows nothing of green threads: it waits nowhere, holds no thread and keeps no state but its
//! configurations. Whatever it calls in libc is called as any library's calls are, by the green thread that calls it.
//!
//! | file | what it does |
//! | --- | --- |
//! | `config` | certificates, keys, whom to trust, ALPN |
//! | `session` | one connection |
//! | `verify` | a verifier for who does not want any |
//!
//! Safety: [`engine`] says what the caller keeps to. Nothing here unwinds: a panic aborts.

mod config;
#[path = "../../src/blocking/face/tls/engine.rs"]
mod engine;
mod session;
mod verify;

use engine::{Engine, VERSION};

/// The table.
#[unsafe(no_mangle)]
#[allow(non_upper_case_globals, reason = "a C symbol")]
pub static eventlet_tls: Engine = Engine {
    version: VERSION,
    configure: config::configure,
    release: config::release,
    open: session::open,
    close: session::close,
    status: session::status,
    receive: session::receive,
    send: session::send,
    deliver: session::deliver,
    encrypt: session::encrypt,
    finish: session::finish,
    detail: session::detail,
};
