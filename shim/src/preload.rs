//! LD_PRELOAD: whether it names this library, and EVENTLET_CHILDREN=0, which takes the name out of the environment. So
//! what the program execs, in whatever way, finds the environment of the bare program; no row is needed.
//!
//! Safety: the constructor alone calls this, before the program's threads. The environment's array and strings are the
//! kernel's copies on the stack, or those of a constructor that came before.

use core::ffi::{CStr, c_char, c_void};
use core::slice;

unsafe extern "C" {
    static mut environ: *mut *mut c_char;
}

fn file(path: &[u8]) -> &[u8] {
    path.rsplit(|byte| *byte == b'/').next().unwrap_or(path)
}

/// Whether an entry of LD_PRELOAD has the name of this library's file.
fn is_own(entry: &[u8]) -> bool {
    // SAFETY: the loader's name of this library stays; the address is our own.
    let own = unsafe {
        let mut found = core::mem::zeroed::<libc::Dl_info>();
        if libc::dladdr(is_own as *const c_void, &mut found) == 0 {
            return false;
        }
        CStr::from_ptr(found.dli_fname).to_bytes()
    };
    file(entry) == file(own)
}

fn separates(byte: &u8) -> bool {
    matches!(byte, b' ' | b':')
}

/// Whether LD_PRELOAD names this library. Else it was linked, or opened.
pub fn named() -> bool {
    // SAFETY: getenv's string stays.
    let value = unsafe {
        let value = libc::getenv(c"LD_PRELOAD".as_ptr());
        if value.is_null() {
            return false;
        }
        CStr::from_ptr(value).to_bytes()
    };
    value.split(separates).any(is_own)
}

/// Takes this library's name out of LD_PRELOAD. What else stands there stays; if nothing does, the variable goes.
pub fn forget() {
    // SAFETY: see the file's header. A string only gets shorter.
    unsafe {
        let (mut from, mut to) = (environ, environ);
        while !from.is_null() && !(*from).is_null() {
            let text = CStr::from_ptr(*from).to_bytes_with_nul();
            let text = slice::from_raw_parts_mut((*from).cast::<u8>(), text.len());
            if text.strip_prefix(b"LD_PRELOAD=").is_none() || shorten(&mut text[11..]) {
                *to = *from;
                to = to.add(1);
            }
            from = from.add(1);
        }
        if !to.is_null() {
            *to = core::ptr::null_mut();
        }
    }
}

/// Takes our entries out of a list that ends in NUL; whether any entry is left.
fn shorten(list: &mut [u8]) -> bool {
    let (mut at, mut end) = (0, 0);
    while at + 1 < list.len() {
        let rest = &list[at..list.len() - 1];
        let length = rest.iter().position(separates).unwrap_or(rest.len());
        if length > 0 && !is_own(&rest[..length]) {
            if end > 0 {
                list[end] = b':';
                end += 1;
            }
            list.copy_within(at..at + length, end);
            end += length;
        }
        at += length + 1;
    }
    list[end] = 0;
    end > 0
}
