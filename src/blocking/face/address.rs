//! Addresses as text: `host:port`, `[v6]:port`, `unix:/path`. What is no number is looked up by the real name service, on
//! a real thread.
//!
//! Safety: a look-up's [`Query`] belongs to the job until it is done or, forsaken, to [`forget`].

use core::ffi::{CStr, c_char, c_int, c_void};
use core::mem::MaybeUninit;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use core::ptr;
use std::ffi::CString;

use crate::kernel::{Errno, Result};
use crate::runtime::Green;

use super::tpool;

const INVALID: Errno = Errno(libc::EINVAL);

/// An address of the kernel's.
#[derive(Clone, Copy)]
pub struct Address {
    storage: libc::sockaddr_storage,
    length: libc::socklen_t,
}

impl Address {
    /// Its family.
    pub fn family(&self) -> c_int {
        self.storage.ss_family as c_int
    }

    /// Its port; 0 where there are none.
    pub fn port(&self) -> u16 {
        match self.family() {
            // The port has the same place in both.
            // SAFETY: an address of that family.
            libc::AF_INET | libc::AF_INET6 => unsafe {
                u16::from_be((*(&raw const self.storage).cast::<libc::sockaddr_in>()).sin_port)
            },
            _ => 0,
        }
    }

    /// As system calls take it.
    pub fn raw(&self) -> (*const libc::sockaddr, libc::socklen_t) {
        ((&raw const self.storage).cast(), self.length)
    }

    unsafe fn copy(from: *const c_void, length: usize) -> Address {
        // SAFETY: zeroes are a valid address of no family.
        let mut storage: libc::sockaddr_storage = unsafe { core::mem::zeroed() };
        let length = length.min(size_of_val(&storage));
        // SAFETY: the caller's address has that length, and so much room is there.
        unsafe { ptr::copy_nonoverlapping(from.cast::<u8>(), (&raw mut storage).cast(), length) };
        Address { storage, length: length as libc::socklen_t }
    }

    fn inet(ip: IpAddr, port: u16) -> Address {
        match ip {
            IpAddr::V4(ip) => {
                let address = libc::sockaddr_in {
                    sin_family: libc::AF_INET as u16,
                    sin_port: port.to_be(),
                    sin_addr: libc::in_addr { s_addr: u32::from_ne_bytes(ip.octets()) },
                    sin_zero: [0; 8],
                };
                // SAFETY: a live address of that size.
                unsafe { Address::copy((&raw const address).cast(), size_of_val(&address)) }
            }
            IpAddr::V6(ip) => {
                let address = libc::sockaddr_in6 {
                    sin6_family: libc::AF_INET6 as u16,
                    sin6_port: port.to_be(),
                    sin6_flowinfo: 0,
                    sin6_addr: libc::in6_addr { s6_addr: ip.octets() },
                    sin6_scope_id: 0,
                };
                // SAFETY: as above.
                unsafe { Address::copy((&raw const address).cast(), size_of_val(&address)) }
            }
        }
    }

    /// ENAMETOOLONG.
    fn unix(path: &[u8]) -> Result<Address> {
        // SAFETY: zeroes are a valid, empty address.
        let mut address: libc::sockaddr_un = unsafe { core::mem::zeroed() };
        address.sun_family = libc::AF_UNIX as u16;
        if path.len() >= address.sun_path.len() {
            return Err(Errno(libc::ENAMETOOLONG));
        }
        for (place, byte) in address.sun_path.iter_mut().zip(path) {
            *place = *byte as c_char;
        }
        // SAFETY: as above; the path's NUL counts.
        Ok(unsafe { Address::copy((&raw const address).cast(), 2 + path.len() + 1) })
    }
}

/// What an address is for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Use {
    /// No host means any.
    Listen,
    /// No host means this one.
    Connect,
}

/// What a text says, before names are looked up.
#[derive(Debug, PartialEq)]
enum Text<'a> {
    Unix(&'a [u8]),
    Host { name: &'a [u8], bracketed: bool, port: u16 },
}

/// EINVAL: malformed.
fn parse(text: &[u8]) -> Result<Text<'_>> {
    if let Some(path) = text.strip_prefix(b"unix:") {
        return if path.is_empty() { Err(INVALID) } else { Ok(Text::Unix(path)) };
    }
    let colon = text.iter().rposition(|byte| *byte == b':').ok_or(INVALID)?;
    let (host, digits) = (&text[..colon], &text[colon + 1..]);
    if digits.is_empty() || digits.len() > 5 || !digits.iter().all(u8::is_ascii_digit) {
        return Err(INVALID);
    }
    let port = digits.iter().fold(0u32, |port, digit| port * 10 + (digit - b'0') as u32);
    let port = u16::try_from(port).map_err(|_| INVALID)?;
    let inside = host.strip_prefix(b"[").and_then(|host| host.strip_suffix(b"]"));
    let name = inside.unwrap_or(host);
    let odd = |byte: &u8| byte.is_ascii_whitespace() || matches!(byte, b'[' | b']' | b'/');
    if name.iter().any(odd)
        || inside.is_none() && name.contains(&b':')
        || inside.is_some_and(<[u8]>::is_empty)
    {
        return Err(INVALID);
    }
    Ok(Text::Host { name, bracketed: inside.is_some(), port })
}

/// The addresses that `text` stands for, in the order in which they are to be tried. EINVAL: malformed; EHOSTUNREACH: no
/// such host; EAFNOSUPPORT: not of this family (0: any). It may wait.
pub fn resolve(g: &Green, text: &CStr, family: c_int, wanted: Use) -> Result<Vec<Address>> {
    if !matches!(family, libc::AF_UNSPEC | libc::AF_UNIX | libc::AF_INET | libc::AF_INET6) {
        return Err(Errno(libc::EAFNOSUPPORT));
    }
    let (name, bracketed, port) = match parse(text.to_bytes())? {
        Text::Unix(path) => return of_family(vec![Address::unix(path)?], family),
        Text::Host { name, bracketed, port } => (name, bracketed, port),
    };
    let name = core::str::from_utf8(name).map_err(|_| INVALID)?;
    let ip = match (name, wanted, family) {
        ("", Use::Listen, libc::AF_INET6) => Some(IpAddr::V6(Ipv6Addr::UNSPECIFIED)),
        ("", Use::Listen, _) => Some(IpAddr::V4(Ipv4Addr::UNSPECIFIED)),
        ("", Use::Connect, libc::AF_INET6) => Some(IpAddr::V6(Ipv6Addr::LOCALHOST)),
        ("", Use::Connect, _) => Some(IpAddr::V4(Ipv4Addr::LOCALHOST)),
        (name, ..) if bracketed => name.parse().ok().map(IpAddr::V6),
        (name, ..) => name.parse().ok().map(IpAddr::V4),
    };
    if let Some(ip) = ip {
        return of_family(vec![Address::inet(ip, port)], family);
    }
    if bracketed && !name.contains('%') {
        return Err(INVALID);
    }
    if family == libc::AF_UNIX {
        return Err(Errno(libc::EAFNOSUPPORT));
    }
    let name = CString::new(name).map_err(|_| INVALID)?;
    let mut found = look_up(g, Query::new(name, port, family, bracketed))?;
    if wanted == Use::Listen && family == libc::AF_UNSPEC {
        // A listener stands at one address: that of IPv4, as Eventlet's.
        found.sort_by_key(|address| address.family() != libc::AF_INET);
    }
    Ok(found)
}

fn of_family(found: Vec<Address>, family: c_int) -> Result<Vec<Address>> {
    let fits = family == libc::AF_UNSPEC || found.iter().all(|address| address.family() == family);
    if fits { Ok(found) } else { Err(Errno(libc::EAFNOSUPPORT)) }
}

struct Query {
    name: CString,
    port: u16,
    hints: libc::addrinfo,
    found: Vec<Address>,
    error: Option<Errno>,
}

impl Query {
    fn new(name: CString, port: u16, family: c_int, numeric: bool) -> Query {
        // SAFETY: zeroes are hints that ask for nothing.
        let mut hints: libc::addrinfo = unsafe { MaybeUninit::zeroed().assume_init() };
        hints.ai_family = family;
        hints.ai_socktype = libc::SOCK_STREAM;
        hints.ai_flags = if numeric { libc::AI_NUMERICHOST } else { 0 };
        Query { name, port, hints, found: Vec::new(), error: None }
    }
}

/// Asks the name service, on a real thread.
fn look_up(g: &Green, query: Query) -> Result<Vec<Address>> {
    let query = Box::into_raw(Box::new(query));
    // SAFETY: the job's own query; who is ended while it waits leaves it to `forget`.
    let query = unsafe {
        match tpool::execute(g, ask, query.cast(), forget) {
            Ok(_) => Box::from_raw(query),
            Err(Errno::CANCELLED) => return Err(Errno::CANCELLED),
            Err(error) => {
                forget(query.cast());
                return Err(error);
            }
        }
    };
    match query.error {
        Some(error) => Err(error),
        None => Ok(query.found),
    }
}

unsafe fn forget(query: *mut c_void) {
    // SAFETY: made by `look_up`, whose owner is gone.
    drop(unsafe { Box::from_raw(query.cast::<Query>()) });
}

extern "C" fn ask(query: *mut c_void) -> *mut c_void {
    // SAFETY: the job's own query.
    let query = unsafe { &mut *query.cast::<Query>() };
    let mut list = ptr::null_mut();
    // SAFETY: live hints, a NUL-terminated name; the list is freed below. errno is this thread's own.
    let (answer, why) = unsafe {
        let errno = libc::__errno_location();
        let before = errno.replace(0);
        let answer = libc::getaddrinfo(query.name.as_ptr(), ptr::null(), &query.hints, &mut list);
        (answer, errno.replace(before))
    };
    if answer != 0 {
        query.error = Some(Errno(match (answer, why) {
            // Where it could not read its own files it may say as well that there is no such host.
            (_, libc::EMFILE | libc::ENFILE | libc::ENOMEM) => why,
            (libc::EAI_MEMORY, _) => libc::ENOMEM,
            (libc::EAI_FAMILY, _) => libc::EAFNOSUPPORT,
            (libc::EAI_SYSTEM, 1..) => why,
            _ => libc::EHOSTUNREACH,
        }));
        return ptr::null_mut();
    }
    let mut next = list;
    // SAFETY: the list is libc's, and its addresses have the lengths that it says.
    unsafe {
        while let Some(one) = next.as_ref() {
            let mut address = Address::copy(one.ai_addr.cast(), one.ai_addrlen as usize);
            (*(&raw mut address.storage).cast::<libc::sockaddr_in>()).sin_port = query.port.to_be();
            query.found.push(address);
            next = one.ai_next;
        }
        libc::freeaddrinfo(list);
    }
    ptr::null_mut()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts() {
        let host = |name: &'static [u8], bracketed, port| Ok(Text::Host { name, bracketed, port });
        assert_eq!(parse(b"a.b:80"), host(b"a.b", false, 80));
        assert_eq!(parse(b":0"), host(b"", false, 0));
        assert_eq!(parse(b"[::1]:65535"), host(b"::1", true, 65535));
        assert_eq!(parse(b"unix:a:b"), Ok(Text::Unix(b"a:b")));
        for bad in [
            &b""[..],
            b"host",
            b"80",
            b"host:",
            b"host:x",
            b"host:65536",
            b"host:-1",
            b"host:+1",
            b"host:000080",
            b"::1:80",
            b"[]:80",
            b"[::1]",
            b"[::1:80",
            b"::1]:80",
            b"unix:",
            b"a b:80",
            b"http://a:80",
        ] {
            assert_eq!(parse(bad), Err(INVALID), "{}", String::from_utf8_lossy(bad));
        }
    }
}
