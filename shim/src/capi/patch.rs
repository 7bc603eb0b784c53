//! What is patched: by how the library came into the process, by EVENTLET_PATCH, by `eventlet_monkey_patch`.

use core::ffi::{CStr, c_char, c_int, c_uint, c_void};

use eventlet_core::blocking::face::here;
use eventlet_core::kernel::{Errno, Result, log, options};
use eventlet_core::runtime::hub::active;

use super::{INVALID, exports, handle};
use crate::table::Group;
use crate::{deep, errno, got, preload, table};

/// The groups that are in force from the start. A word that is none ends the program.
pub fn load() -> u32 {
    let words = options::PATCH.get().split(|byte| *byte == b',').map(<[u8]>::trim_ascii);
    let mut words = words.filter(|word| !word.is_empty()).peekable();
    if words.peek().is_none() {
        return if preload::named() { table::EVERY } else { 0 };
    }
    words.fold(0, |groups, word| {
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

/// What dlerror says of a dlopen that failed, and its errno, if that is one of these. dlopen leaves errno alone; but where
/// there was one, the text ends with what strerror says of it, in the thread's language too.
pub fn refusal() -> (&'static CStr, Option<c_int>) {
    // SAFETY: dlerror's text stays until the thread's next call of it, strerror's of a known errno for good.
    unsafe {
        let text = libc::dlerror();
        let text = if text.is_null() { c"" } else { CStr::from_ptr(text) };
        let ends = |code: &c_int| text.to_bytes().ends_with(CStr::from_ptr(libc::strerror(*code)).to_bytes());
        (text, [libc::ENOENT, libc::EMFILE, libc::ENFILE, libc::ENOMEM].into_iter().find(ends))
    }
}

/// `dlopen`, after which the object's imports lead to the rows. What dlerror says is that of dlopen.
unsafe fn import(path: *const c_char, flags: c_int, groups: c_uint) -> Result<*const c_void> {
    const WITH_DEPENDENCIES: c_uint = 0x100;
    let known = groups & !(table::EVERY | WITH_DEPENDENCIES) == 0;
    if path.is_null() || !known || flags & (libc::RTLD_LAZY | libc::RTLD_NOW) == 0 {
        return Err(INVALID);
    }
    // SAFETY: the program's string; what dlopen does is the program's wish.
    unsafe {
        let handle = errno::keeping(|| libc::dlopen(path, flags));
        if handle.is_null() {
            let why = errno::keeping(refusal).1;
            // Once more, for the program's own dlerror.
            errno::keeping(|| libc::dlopen(path, flags));
            return Err(Errno(why.unwrap_or(libc::ELIBBAD)));
        }
        if groups & Group::Thread as u32 != 0 {
            // Its first call may be one that makes a thread, which is green only if the caller is. (On a foreign thread: not.)
            let _ = here();
        }
        got::import(handle, groups & table::EVERY, groups & WITH_DEPENDENCIES != 0);
        Ok(handle.cast_const())
    }
}

exports! {
    fn eventlet_monkey_patch(groups: c_uint) -> c_int {
        if groups & !table::EVERY != 0 {
            return errno::from(Err::<(), _>(INVALID));
        }
        table::patch(groups);
        if groups != 0 && active() {
            deep::more_is_patched();
        }
        0
    }

    fn eventlet_import_patched(path: *const c_char, flags: c_int, groups: c_uint) -> *mut c_void {
        handle(import(path, flags, groups))
    }

    fn eventlet_patched() -> c_uint {
        table::groups()
    }
}
