//! TLS. The engine is a library of its own, beside this one.

use core::ffi::{CStr, c_char, c_int, c_long, c_void};
use core::ptr;
use core::sync::atomic::{AtomicBool, AtomicPtr, Ordering};
use core::time::Duration;
use std::ffi::{CString, OsStr};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use eventlet_core::blocking::face::tls::engine::{Detail, Engine, Failure, Tried, VERSION};
use eventlet_core::blocking::face::tls::{self, Request};
use eventlet_core::kernel::Result;

use super::patch::refusal;
use super::{INVALID, exports};
use crate::{deep, errno};

/// `eventlet_ssl_options`.
#[repr(C)]
pub struct Options {
    server_side: c_int,
    verify: c_int,
    certfile: *const c_char,
    keyfile: *const c_char,
    cafile: *const c_char,
    hostname: *const c_char,
    alpn: *const c_char,
    handshake_timeout: f64,
}

const FILE: &str = "libeventlet_tls.so";
/// Seconds that a handshake may take by default.
const HANDSHAKE: f64 = 30.0;
/// How long the end of the process waits for what was written.
const FLUSH: Duration = Duration::from_secs(10);

static ENGINE: AtomicPtr<Engine> = AtomicPtr::new(ptr::null_mut());
static ONCE: AtomicBool = AtomicBool::new(false);

unsafe fn text(text: *const c_char) -> Option<CString> {
    // SAFETY: NULL or the program's text.
    (!text.is_null()).then(|| unsafe { CStr::from_ptr(text) }.to_owned())
}

unsafe fn wrap(fd: c_int, options: *const Options) -> Result<c_int> {
    // SAFETY: NULL or the program's options.
    let request = match unsafe { options.as_ref() } {
        None => Request { verify: true, timeout: HANDSHAKE, ..Request::default() },
        // SAFETY: the program's texts.
        Some(options) => unsafe {
            Request {
                server: options.server_side != 0,
                // A server asks for its clients' certificates only if it is told to.
                verify: if options.server_side != 0 { options.verify > 0 } else { options.verify >= 0 },
                texts: [options.certfile, options.keyfile, options.cafile, options.alpn].map(|it| text(it)),
                host: text(options.hostname),
                timeout: if options.handshake_timeout == 0.0 { HANDSHAKE } else { options.handshake_timeout },
            }
        },
    };
    let new = tls::wrap(load, fd, request)?;
    // A green descriptor is so in stdio as well.
    deep::install();
    if !ONCE.swap(true, Ordering::Relaxed) {
        // SAFETY: a function of a library that is never unloaded.
        unsafe { libc::atexit(flush) };
    }
    Ok(new)
}

/// The end of the process: streams first, as exit does it later.
extern "C" fn flush() {
    // SAFETY: NULL is all of them.
    unsafe { libc::fflush(ptr::null_mut()) };
    tls::flush(FLUSH);
}

/// The engine, from the folder that this library lies in, or that a link to it leads to.
fn load() -> Tried<&'static Engine> {
    // SAFETY: NULL, or a static of a library that is never unloaded.
    if let Some(engine) = unsafe { ENGINE.load(Ordering::Acquire).as_ref() } {
        return Ok(engine);
    }
    let own = own_path();
    let own = Path::new(OsStr::from_bytes(own.to_bytes()));
    let folders = [own.parent(), own.canonicalize().ok().as_deref().and_then(Path::parent)]
        .map(|folder| folder.map(|folder| folder.join(FILE)));
    let Some(found) = folders.iter().flatten().find(|path| path.exists()) else {
        return Err(Failure::new(libc::ELIBACC, format_args!("no {FILE} beside {}", own.display())));
    };
    let path = CString::new(found.as_os_str().as_bytes()).unwrap_or_default();
    // SAFETY: our own library.
    let engine = unsafe {
        let library = libc::dlopen(path.as_ptr(), libc::RTLD_NOW | libc::RTLD_LOCAL);
        if library.is_null() {
            return Err(refused(found));
        }
        libc::dlsym(library, c"eventlet_tls".as_ptr()).cast::<Engine>().as_ref()
    };
    let Some(engine) = engine.filter(|engine| engine.version == VERSION) else {
        let path = path.to_string_lossy();
        return Err(Failure::new(libc::ELIBBAD, format_args!("{path} is of another version")));
    };
    ENGINE.store(ptr::from_ref(engine).cast_mut(), Ordering::Release);
    Ok(engine)
}

/// Why dlopen failed for the library at `path`.
fn refused(path: &Path) -> Box<Failure> {
    let (text, code) = refusal();
    let length = path.metadata().map_or(0, |file| file.len() as usize);
    let code = match code {
        // Something that it needs is missing.
        Some(libc::ENOENT) => libc::ELIBACC,
        Some(code) => code,
        // The loader does not tell why it could not map a segment.
        None if Vec::<u8>::new().try_reserve_exact(length).is_err() => libc::ENOMEM,
        None => libc::ELIBACC,
    };
    Failure::new(code, format_args!("{}", text.to_string_lossy()))
}

/// Where this library was found.
fn own_path() -> &'static CStr {
    // SAFETY: the loader's name of this library stays; the address is our own.
    unsafe {
        let mut found = core::mem::zeroed::<libc::Dl_info>();
        if libc::dladdr(own_path as *const c_void, &mut found) == 0 {
            return c"";
        }
        CStr::from_ptr(found.dli_fname)
    }
}

exports! {
    fn eventlet_wrap_ssl(fd: c_int, options: *const Options) -> c_int {
        errno::from(wrap(fd, options))
    }

    fn eventlet_ssl_info(fd: c_int, what: c_int, bytes: *mut c_void, room: usize) -> c_long {
        let what = match what {
            1 => Detail::Protocol,
            2 => Detail::Cipher,
            3 => Detail::Alpn,
            4 => Detail::ServerName,
            5 => Detail::Certificate,
            _ => return errno::from(Err::<usize, _>(INVALID)),
        };
        let room = if bytes.is_null() { 0 } else { room };
        let known = tls::detail(fd, what, bytes.cast(), room);
        if let Ok(length) = known && length < room {
            *bytes.cast::<u8>().add(length) = 0;
        }
        errno::from(known)
    }

    fn eventlet_ssl_error() -> *const c_char {
        tls::text()
    }
}
