//! Sockets and servers; real threads; what the hub is about.

use core::ffi::{CStr, c_char, c_int, c_void};

use eventlet_core::blocking::face::net::{self, Listen};
use eventlet_core::blocking::face::serve::{self, Handle};
use eventlet_core::blocking::face::{deadline, here, inspect, tpool};
use eventlet_core::data::Deadline;
use eventlet_core::kernel::{Errno, Result, log};
use eventlet_core::runtime::raise;

use super::{Function, INVALID, ended, exports, raised};
use crate::{deep, errno};

/// `eventlet_listen_options`.
#[derive(Clone, Copy, Default)]
#[repr(C)]
pub struct ListenOptions {
    family: c_int,
    backlog: c_int,
    reuse_addr: c_int,
    reuse_port: c_int,
}

/// `eventlet_connect_options`.
#[derive(Clone, Copy)]
#[repr(C)]
pub struct ConnectOptions {
    family: c_int,
    bind: *const c_char,
    timeout: f64,
}

/// 0: the default, 1: on, -1: off.
fn switch(value: c_int) -> Result<Option<bool>> {
    match value {
        0 => Ok(None),
        1 => Ok(Some(true)),
        -1 => Ok(Some(false)),
        _ => Err(INVALID),
    }
}

unsafe fn text<'a>(address: *const c_char) -> Result<&'a CStr> {
    // SAFETY: NULL, or a string of the program's.
    if address.is_null() { Err(INVALID) } else { Ok(unsafe { CStr::from_ptr(address) }) }
}

/// A green descriptor is so in stdio as well, which waits inside libc.
fn made(fd: Result<c_int>) -> c_int {
    if fd.is_ok() {
        deep::install();
    }
    errno::from(fd)
}

unsafe fn listen(address: *const c_char, options: *const ListenOptions) -> Result<c_int> {
    // SAFETY: the program's string, and NULL or its options.
    let (address, options) = unsafe { (text(address)?, options.as_ref().copied().unwrap_or_default()) };
    let backlog = match options.backlog {
        0 => 50,
        1.. => options.backlog,
        _ => return Err(INVALID),
    };
    let (reuse_addr, reuse_port) = (switch(options.reuse_addr)?.unwrap_or(true), switch(options.reuse_port)?);
    net::listen(address, &Listen { family: options.family, backlog, reuse_addr, reuse_port })
}

unsafe fn connect(address: *const c_char, options: *const ConnectOptions) -> Result<c_int> {
    // SAFETY: as above.
    let (address, options) = unsafe { (text(address)?, options.as_ref()) };
    let Some(options) = options else { return net::connect(address, 0, None, Deadline::NEVER) };
    let deadline = if options.timeout == 0.0 { Deadline::NEVER } else { deadline(options.timeout)? };
    // SAFETY: as above.
    let local = if options.bind.is_null() { None } else { Some(unsafe { text(options.bind)? }) };
    net::connect(address, options.family, local, deadline)
}

unsafe fn nothing(_: *mut c_void) {}

exports! {
    fn eventlet_connect(address: *const c_char, options: *const ConnectOptions) -> c_int {
        made(connect(address, options))
    }

    fn eventlet_listen(address: *const c_char, options: *const ListenOptions) -> c_int {
        made(listen(address, options))
    }

    fn eventlet_serve(listener: c_int, handle: Option<Handle>, context: *mut c_void, concurrency: usize) -> c_int {
        let Some(handle) = handle else { return errno::from(Err::<(), _>(INVALID)) };
        if here().is_ok() {
            deep::install();
        }
        let concurrency = if concurrency == 0 { 1000 } else { concurrency };
        match serve::serve(listener, handle, context, concurrency) {
            Err(Errno(code)) if Errno(code) != Errno::CANCELLED => raised(code),
            answer => errno::from(answer),
        }
    }

    fn eventlet_stop_serve() -> ! {
        let Ok(g) = here() else {
            log::fatal(format_args!("eventlet_stop_serve() on a thread that is not green"))
        };
        raise::raise(g, raise::STOP_SERVE);
        raise::unwind()
    }

    fn eventlet_dump(fd: c_int) -> c_int {
        errno::from(inspect::dump(fd))
    }

    fn eventlet_blocking_detection(seconds: f64) -> c_int {
        errno::from(inspect::detect(seconds))
    }

    fn eventlet_tpool_execute(function: Function, arg: *mut c_void, result: *mut *mut c_void) -> c_int {
        let Some(function) = function else { return errno::from(Err::<(), _>(INVALID)) };
        if tpool::is_worker() {
            return ended(tpool::inline(function, arg), result, 0);
        }
        match here().and_then(|g| tpool::execute(g, function, arg, nothing)) {
            Ok(ending) => ended(ending, result, 0),
            Err(error) => errno::from(Err::<(), _>(error)),
        }
    }
}
