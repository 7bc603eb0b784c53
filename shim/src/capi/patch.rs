//! What is patched: by how the library came into the process, by EVENTLET_PATCH, by `eventlet_monkey_patch`.

use core::ffi::{CStr, c_int, c_uint, c_void};

use eventlet_core::kernel::{log, options};
use eventlet_core::runtime::hub::active;

use super::{INVALID, exports};
use crate::{deep, errno, table};

/// Whether LD_PRELOAD names this library, by the name of its file. Else it was linked, or opened.
pub fn preloaded() -> bool {
    // SAFETY: getenv's string and the loader's name of this library stay; the address is our own.
    let (value, own) = unsafe {
        let mut found = core::mem::zeroed::<libc::Dl_info>();
        let value = libc::getenv(c"LD_PRELOAD".as_ptr());
        if value.is_null() || libc::dladdr(preloaded as *const c_void, &mut found) == 0 {
            return false;
        }
        (CStr::from_ptr(value).to_bytes(), CStr::from_ptr(found.dli_fname).to_bytes())
    };
    fn file(path: &[u8]) -> &[u8] {
        path.rsplit(|byte| *byte == b'/').next().unwrap_or(path)
    }
    value.split(|byte| matches!(byte, b' ' | b':')).any(|path| file(path) == file(own))
}

/// The groups that are in force from the start. A word that is none ends the program.
pub fn load() -> u32 {
    let words = options::PATCH.get();
    if words.iter().all(|byte| *byte == b' ') {
        return if preloaded() { table::EVERY } else { 0 };
    }
    words.split(|byte| *byte == b',').fold(0, |groups, word| {
        let word = word.trim_ascii();
        let (without, name) = word.strip_prefix(b"-").map_or((false, word), |name| (true, name));
        match table::group(name) {
            Some(group) if without => groups & !group,
            Some(group) => groups | group,
            None => {
                let word = core::str::from_utf8(word).unwrap_or("?");
                log::warn(format_args!(
                    "EVENTLET_PATCH: no group \"{word}\" (os, select, socket, thread, time, all, none)"
                ));
                // SAFETY: ends the process before it has begun.
                unsafe { libc::_exit(2) }
            }
        }
    })
}

exports! {
    fn eventlet_monkey_patch(groups: c_uint) -> c_int {
        if groups & !table::EVERY != 0 {
            return errno::from(Err::<(), _>(INVALID));
        }
        table::patch(groups);
        if groups != 0 && active() {
            deep::install();
        }
        0
    }

    fn eventlet_patched() -> c_uint {
        table::groups()
    }
}
