//! What is patched: by how the library came into the process, by EVENTLET_PATCH, by `eventlet_monkey_patch`.

use core::ffi::{c_int, c_uint};

use eventlet_core::kernel::{log, options};
use eventlet_core::runtime::hub::active;

use super::{INVALID, exports};
use crate::{deep, errno, preload, table};

/// The groups that are in force from the start. A word that is none ends the program.
pub fn load() -> u32 {
    let words = options::PATCH.get();
    if words.iter().all(|byte| *byte == b' ') {
        return if preload::named() { table::EVERY } else { 0 };
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
