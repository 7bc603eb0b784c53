//! Eventlet's sockets: `connect` and `listen`. They are green whatever is patched, block, and close at exec.
//!
//! Safety: addresses are ours, options checked by the edge.

use core::ffi::{CStr, c_int};

use crate::data::Deadline;
use crate::kernel::{Errno, Result};
use crate::runtime::{Green, descriptors};
use crate::syscall;

use super::address::{Address, Use, resolve};
use super::here;
use crate::blocking::{connection, life};

/// What a listener is to be.
#[derive(Clone, Copy, Debug)]
pub struct Listen {
    /// AF_UNSPEC: as the address says.
    pub family: c_int,
    /// Connections that may wait to be accepted.
    pub backlog: c_int,
    /// SO_REUSEADDR.
    pub reuse_addr: bool,
    /// SO_REUSEPORT; None: on for a port that is fixed.
    pub reuse_port: Option<bool>,
}

/// A descriptor that is closed again unless it is kept.
struct Socket(c_int);

impl Socket {
    fn new(address: &Address) -> Result<Socket> {
        let socket = life::socket(address.family(), libc::SOCK_STREAM | libc::SOCK_CLOEXEC, 0)?;
        descriptors::make_green(socket);
        Ok(Socket(socket))
    }

    fn keep(self) -> c_int {
        let fd = self.0;
        core::mem::forget(self);
        fd
    }

    /// Refusals do not matter: where there is no such option, there is nothing to share.
    fn switch_on(&self, option: c_int) {
        let on: c_int = 1;
        // SAFETY: the kernel reads an int.
        let _ = unsafe {
            syscall!(libc::SYS_setsockopt, self.0, libc::SOL_SOCKET, option, &on, size_of_val(&on))
        };
    }

    fn bind(&self, address: &Address) -> Result<()> {
        let (place, length) = address.raw();
        // SAFETY: a live address of that length.
        unsafe { syscall!(libc::SYS_bind, self.0, place, length).map(drop) }
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        let _ = life::close_quietly(self.0);
    }
}

/// Does `one` for each address until it succeeds; the last error.
fn first<T>(all: &[Address], mut one: impl FnMut(&Address) -> Result<T>) -> Result<T> {
    let mut failed = Errno(libc::EHOSTUNREACH);
    for address in all {
        match one(address) {
            Err(Errno::CANCELLED) => return Err(Errno::CANCELLED),
            Err(error) => failed = error,
            good => return good,
        }
    }
    Err(failed)
}

/// A listening descriptor. EINVAL: a malformed address; EHOSTUNREACH: no such host; else as bind.
pub fn listen(address: &CStr, options: &Listen) -> Result<c_int> {
    let g = here()?;
    let found = resolve(g, address, options.family, Use::Listen)?;
    first(&found, |address| {
        let socket = Socket::new(address)?;
        let inet = address.family() != libc::AF_UNIX;
        if options.reuse_addr && inet {
            socket.switch_on(libc::SO_REUSEADDR);
        }
        if options.reuse_port.unwrap_or(inet && address.port() != 0) {
            socket.switch_on(libc::SO_REUSEPORT);
        }
        socket.bind(address)?;
        // SAFETY: takes no pointer.
        unsafe { syscall!(libc::SYS_listen, socket.0, options.backlog)? };
        Ok(socket.keep())
    })
}

/// A connected descriptor: the first of the host's addresses that answers. ETIMEDOUT: none did until `deadline`.
pub fn connect(address: &CStr, family: c_int, local: Option<&CStr>, deadline: Deadline) -> Result<c_int> {
    let g = here()?;
    let found = resolve(g, address, family, Use::Connect)?;
    let local = local.map(|local| resolve(g, local, family, Use::Listen)).transpose()?;
    first(&found, |address| {
        let socket = Socket::new(address)?;
        if let Some(local) = &local {
            let fits = |local: &&Address| local.family() == address.family();
            socket.bind(local.iter().find(fits).ok_or(Errno(libc::EAFNOSUPPORT))?)?;
        }
        finish(g, socket.0, address, deadline)?;
        Ok(socket.keep())
    })
}

fn finish(g: &'static Green, fd: c_int, address: &Address, deadline: Deadline) -> Result<()> {
    let (place, length) = address.raw();
    loop {
        // SAFETY: a live address of that length.
        match unsafe { connection::connect_until(g, fd, place, length, Some(deadline)) } {
            // A handler ran; the connection goes on meanwhile.
            Err(Errno(libc::EINTR)) => {}
            Err(Errno(libc::EINPROGRESS | libc::EAGAIN)) => return Err(Errno(libc::ETIMEDOUT)),
            answer => return answer,
        }
    }
}
