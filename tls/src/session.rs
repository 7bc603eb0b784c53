//! A session: a rustls connection, fed and drained by the caller's moves.
//!
//! Safety: [`crate::engine`]. A move touches no more bytes than it is offered.

use core::ffi::{CStr, c_char, c_void};
use std::io::{self, BufRead, IoSlice, Read, Write};

use rustls::pki_types::ServerName;
use rustls::{CertificateError, ClientConnection, Connection, Error, ProtocolVersion, ServerConnection};

use crate::config::Config;
use crate::engine::{Detail, Failure, Move, status};

struct Session {
    connection: Connection,
    peer_done: bool,
}

/// The caller's move as a reader or writer.
struct Mover(Move, *mut c_void);

impl Mover {
    fn go(&self, bytes: *mut u8, length: usize) -> io::Result<usize> {
        // SAFETY: live bytes of that length.
        let answer = unsafe { (self.0)(self.1, bytes, length) };
        usize::try_from(answer).map_err(|_| io::Error::from_raw_os_error(-answer as i32))
    }
}

impl Read for Mover {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.go(buffer.as_mut_ptr(), buffer.len())
    }
}

impl Write for Mover {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.go(bytes.as_ptr().cast_mut(), bytes.len())
    }

    /// All records in one move: a system call costs more than a copy.
    fn write_vectored(&mut self, records: &[IoSlice<'_>]) -> io::Result<usize> {
        match records {
            [record] => self.write(record),
            records => self.write(&records.iter().map(|record| &**record).collect::<Vec<&[u8]>>().concat()),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn answer(moved: io::Result<usize>) -> isize {
    match moved {
        Ok(count) => count as isize,
        Err(why) => -(why.raw_os_error().unwrap_or(libc::EPROTO) as isize),
    }
}

unsafe fn at<'a>(session: *mut c_void) -> &'a mut Session {
    // SAFETY: made by `open`, and used by one thread at a time.
    unsafe { &mut *session.cast() }
}

pub unsafe extern "C" fn open(
    config: *mut c_void,
    host: *const c_char,
    failure: &mut Failure,
) -> *mut c_void {
    // SAFETY: made by `configure`.
    let config = unsafe { &*config.cast::<Config>() };
    let made = match config {
        Config::Server(config) => ServerConnection::new(config.clone()).map(Connection::from),
        Config::Client(config) => {
            // SAFETY: NULL or NUL-terminated.
            let host = (!host.is_null()).then(|| unsafe { CStr::from_ptr(host) }.to_string_lossy());
            let mut config = config.clone();
            let name = match host {
                Some(host) => match ServerName::try_from(host.clone().into_owned()) {
                    Ok(name) => name,
                    Err(_) => {
                        *failure = *Failure::new(
                            libc::EINVAL,
                            format_args!("\"{host}\" is neither a host's name nor an address"),
                        );
                        return core::ptr::null_mut();
                    }
                },
                // Nobody's name: none is sent, and nothing of the session is kept for another host.
                None => {
                    let own = std::sync::Arc::make_mut(&mut config);
                    own.enable_sni = false;
                    own.resumption = rustls::client::Resumption::disabled();
                    ServerName::IpAddress(std::net::Ipv4Addr::UNSPECIFIED.into())
                }
            };
            ClientConnection::new(config, name).map(Connection::from)
        }
    };
    match made {
        Ok(mut connection) => {
            connection.set_buffer_limit(None);
            Box::into_raw(Box::new(Session { connection, peer_done: false })).cast()
        }
        Err(why) => {
            *failure = *Failure::new(libc::EPROTO, format_args!("{why}"));
            core::ptr::null_mut()
        }
    }
}

pub unsafe extern "C" fn close(session: *mut c_void) {
    // SAFETY: made by `open`.
    drop(unsafe { Box::from_raw(session.cast::<Session>()) });
}

pub unsafe extern "C" fn status(session: *mut c_void) -> u32 {
    // SAFETY: the caller's promise.
    let session = unsafe { at(session) };
    let connection = &mut session.connection;
    let bit = |on: bool, bit: u32| if on { bit } else { 0 };
    let delivers = connection.reader().fill_buf().is_ok_and(|bytes| !bytes.is_empty());
    bit(connection.is_handshaking(), status::HANDSHAKE)
        | bit(connection.wants_write(), status::TO_SEND)
        | bit(delivers, status::TO_DELIVER)
        | bit(session.peer_done, status::PEER_DONE)
}

pub unsafe extern "C" fn receive(
    session: *mut c_void,
    take: Move,
    context: *mut c_void,
    failure: &mut Failure,
) -> isize {
    // SAFETY: the caller's promise.
    let session = unsafe { at(session) };
    let count = answer(session.connection.read_tls(&mut Mover(take, context)));
    if count < 0 {
        return count;
    }
    match session.connection.process_new_packets() {
        Ok(state) => {
            session.peer_done |= state.peer_has_closed();
            count
        }
        Err(why) => {
            *failure = *explain(&why);
            -(failure.code as isize)
        }
    }
}

/// What went wrong, for people.
fn explain(why: &Error) -> Box<Failure> {
    use CertificateError as Bad;
    match why {
        Error::InvalidCertificate(Bad::UnknownIssuer) => Failure::new(
            libc::EACCES,
            format_args!(
                "invalid peer certificate: nobody who is trusted has issued it (self-signed, or of an authority that \
                 the CA file lacks)"
            ),
        ),
        Error::InvalidCertificate(Bad::Expired) => {
            Failure::new(libc::EACCES, format_args!("invalid peer certificate: it has expired"))
        }
        Error::InvalidCertificate(_) | Error::NoCertificatesPresented => {
            Failure::new(libc::EACCES, format_args!("{why}"))
        }
        Error::AlertReceived(alert) => {
            Failure::new(libc::EPROTO, format_args!("the peer has refused: TLS alert {alert:?}"))
        }
        why => Failure::new(libc::EPROTO, format_args!("{why}")),
    }
}

pub unsafe extern "C" fn send(session: *mut c_void, give: Move, context: *mut c_void) -> isize {
    // SAFETY: the caller's promise.
    answer(unsafe { at(session) }.connection.write_tls(&mut Mover(give, context)))
}

pub unsafe extern "C" fn deliver(session: *mut c_void, give: Move, context: *mut c_void) -> isize {
    // SAFETY: the caller's promise.
    let mut reader = unsafe { at(session) }.connection.reader();
    let mover = Mover(give, context);
    let mut total = 0;
    while let Ok(bytes) = reader.fill_buf()
        && !bytes.is_empty()
    {
        let offered = bytes.len();
        match mover.go(bytes.as_ptr().cast_mut(), offered) {
            Ok(taken) => {
                reader.consume(taken);
                total += taken;
                if taken < offered {
                    break;
                }
            }
            Err(why) if total == 0 => return answer(Err(why)),
            Err(_) => break,
        }
    }
    total as isize
}

pub unsafe extern "C" fn encrypt(session: *mut c_void, bytes: *const u8, length: usize) {
    // SAFETY: the caller's promise.
    let (session, bytes) = unsafe { (at(session), core::slice::from_raw_parts(bytes, length)) };
    // It has no limit: all is taken.
    let _ = session.connection.writer().write_all(bytes);
}

pub unsafe extern "C" fn finish(session: *mut c_void) {
    // SAFETY: the caller's promise.
    unsafe { at(session) }.connection.send_close_notify();
}

pub unsafe extern "C" fn detail(session: *mut c_void, what: Detail, bytes: *mut u8, room: usize) -> usize {
    // SAFETY: the caller's promise.
    let connection = &unsafe { at(session) }.connection;
    let suite = connection.negotiated_cipher_suite().map(|suite| format!("{:?}", suite.suite()));
    // As IANA writes it.
    let suite = suite.map(|name| name.replacen("TLS13_", "TLS_", 1));
    let found: &[u8] = match what {
        Detail::Protocol => match connection.protocol_version() {
            Some(ProtocolVersion::TLSv1_3) => b"TLSv1.3",
            Some(ProtocolVersion::TLSv1_2) => b"TLSv1.2",
            _ => b"",
        },
        Detail::Cipher => suite.as_deref().unwrap_or_default().as_bytes(),
        Detail::Alpn => connection.alpn_protocol().unwrap_or_default(),
        Detail::ServerName => match connection {
            Connection::Server(connection) => connection.server_name().unwrap_or_default().as_bytes(),
            Connection::Client(_) => b"",
        },
        Detail::Certificate => {
            connection.peer_certificates().and_then(|all| all.first()).map_or(b"", |first| first.as_ref())
        }
    };
    let fits = found.len().min(room);
    // SAFETY: the caller's room.
    unsafe { core::ptr::copy_nonoverlapping(found.as_ptr(), bytes, fits) };
    found.len()
}
