//! Programs that the library leaves alone: those in which a runtime with its own scheduler stands, Go and the JVM, and those
//! of another libc, musl.
//!
//! Safety: the loader's list of objects, and the headers and notes that it points to, stay as they are while the
//! constructor runs.

use core::ffi::{CStr, c_int, c_void};
use core::slice;

unsafe extern "C" {
    static mut _IO_2_1_stdin_: c_void;
}

/// musl's loader takes LD_PRELOAD too, and would find half of what we need nowhere. But a library that defines both
/// `__libc_start_main` and `stdin` is to it another libc, and it loads none beside itself: so we are left out. With glibc
/// this is `stdin`, for everybody: libc's own code finds it by name as well, since programs may have a copy.
#[unsafe(no_mangle)]
#[allow(non_upper_case_globals, reason = "a C symbol")]
pub static mut stdin: *mut c_void = &raw mut _IO_2_1_stdin_;

/// The runtime that this program brings along, if any.
pub fn runtime() -> Option<&'static str> {
    // SAFETY: the name is NUL-terminated; dlsym changes nothing of the program's.
    if !unsafe { libc::dlsym(libc::RTLD_DEFAULT, c"JLI_Launch".as_ptr()) }.is_null() {
        return Some("the JVM");
    }
    // SAFETY: the callback has the prototype and keeps nothing.
    (unsafe { libc::dl_iterate_phdr(Some(is_go), core::ptr::null_mut()) } == GO).then_some("Go")
}

const GO: c_int = 1;
const OTHER: c_int = 2;

/// Looks at the first object alone, the program: Go's linker leaves a note with its name.
unsafe extern "C" fn is_go(object: *mut libc::dl_phdr_info, _: usize, _: *mut c_void) -> c_int {
    // SAFETY: the loader hands out a valid entry, and as many headers as it says.
    let (base, headers) = unsafe {
        let object = &*object;
        (object.dlpi_addr, slice::from_raw_parts(object.dlpi_phdr, object.dlpi_phnum.into()))
    };
    let go = headers.iter().filter(|header| header.p_type == libc::PT_NOTE).any(|header| {
        let start = (base + header.p_vaddr) as *const u8;
        // SAFETY: the notes of the program are mapped where its header says.
        has_note(unsafe { slice::from_raw_parts(start, header.p_memsz as usize) }, c"Go")
    });
    if go { GO } else { OTHER }
}

/// Whether a list of notes (sizes of name and content, type; name and content padded to words) has one of that name.
fn has_note(mut notes: &[u8], name: &CStr) -> bool {
    let padded = |size: [u8; 4]| (u32::from_ne_bytes(size) as usize).next_multiple_of(4);
    while let [a, b, c, d, e, f, g, h, _, _, _, _, rest @ ..] = notes {
        if rest.starts_with(name.to_bytes_with_nul()) {
            return true;
        }
        notes = rest.get(padded([*a, *b, *c, *d]) + padded([*e, *f, *g, *h])..).unwrap_or(&[]);
    }
    false
}
