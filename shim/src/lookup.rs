//! Group os: dlsym. A program that asks libc's own handle for a function by name (Python's `ctypes` does) gets the row that
//! stands before that function, as all others do.
//!
//! ```text
//!   RTLD_DEFAULT   finds our export by itself, or the program's own
//!   RTLD_NEXT      means the object after the caller's: so the real dlsym must see the caller's return address, and this
//!                  row, in assembly, leaves by a jump
//!   a handle       the real dlsym answers; if that is a row's real function, the row's export takes its place
//! ```
//! Where a library that is preloaded behind us wraps the function, that library's function is the real one: what libc has
//! stays libc's, or the wrapper that asks for it would come back to itself.
//!
//! Safety: the assembly keeps both arguments and the stack as the caller left them.

use core::arch::naked_asm;
use core::ffi::{CStr, c_char, c_int, c_void};
use core::ptr;
use std::ffi::CString;

use crate::interpose::{self, Real};
use crate::table::{self, Group, Row, flag};

type Function = unsafe extern "C" fn(*mut c_void, *const c_char) -> *mut c_void;

/// `RTLD_DEFAULT` is 0 and `RTLD_NEXT` -1.
#[unsafe(no_mangle)]
#[unsafe(naked)]
pub unsafe extern "C" fn dlsym(handle: *mut c_void, name: *const c_char) -> *mut c_void {
    naked_asm!(
        "lea rax, [rdi + 1]",
        "cmp rax, 1",
        "ja {by_handle}",
        "mov rax, qword ptr [rip + {real}]",
        "test rax, rax",
        "jz 2f",
        "jmp rax",
        "2:",
        "push rdi",
        "push rsi",
        "sub rsp, 8",
        "call {bind}",
        "add rsp, 8",
        "pop rsi",
        "pop rdi",
        "jmp rax",
        by_handle = sym by_handle,
        real = sym REAL,
        bind = sym bind,
    )
}

static REAL: Real = Real::new();

/// dlvsym, which has no row, finds the next dlsym.
fn find() -> *mut c_void {
    // SAFETY: the names are NUL-terminated.
    unsafe { libc::dlvsym(libc::RTLD_NEXT, c"dlsym".as_ptr(), c"GLIBC_2.34".as_ptr()) }
}

extern "C" fn bind() -> *mut c_void {
    REAL.get(find)
}

/// The handle of libc, or NULL.
pub fn libc() -> *mut c_void {
    // SAFETY: libc is loaded; this only finds it.
    unsafe { libc::dlopen(c"libc.so.6".as_ptr(), libc::RTLD_LAZY | libc::RTLD_NOLOAD) }
}

/// What `handle` has, whether a row stands before it or not.
pub fn within(handle: *mut c_void, name: &CStr) -> *mut c_void {
    // SAFETY: the real dlsym has this prototype.
    let real = unsafe { core::mem::transmute::<*mut c_void, Function>(bind()) };
    // SAFETY: a handle of the loader's; the name is NUL-terminated.
    unsafe { real(handle, name.as_ptr()) }
}

unsafe extern "C" fn by_handle(handle: *mut c_void, name: *const c_char) -> *mut c_void {
    // SAFETY: under the caller's contract.
    let name = unsafe { CStr::from_ptr(name) };
    let found = within(handle, name);
    table::before(found, name).map_or(found, <*const c_void>::cast_mut)
}

/// What stands behind the row `name` in any library that is loaded, whoever can see it; or NULL.
pub fn anywhere(name: &CStr) -> *mut c_void {
    unsafe extern "C" fn note(object: *mut libc::dl_phdr_info, _: usize, names: *mut c_void) -> c_int {
        // SAFETY: dl_iterate_phdr gives a live description of a loaded object, and our own list.
        unsafe {
            let names = &mut *names.cast::<Vec<CString>>();
            names.push(CStr::from_ptr((*object).dlpi_name).to_owned());
        }
        0
    }
    let next = interpose::next(name);
    if !next.is_null() {
        return next;
    }
    let mut names = Vec::<CString>::new();
    // SAFETY: the callback keeps copies.
    unsafe { libc::dl_iterate_phdr(Some(note), (&raw mut names).cast()) };
    // The program itself, which has no name, was asked already.
    for object in names.iter().filter(|object| !object.is_empty()) {
        // SAFETY: what is loaded is found, not loaded; a handle is closed once it was asked.
        unsafe {
            let handle = libc::dlopen(object.as_ptr(), libc::RTLD_LAZY | libc::RTLD_NOLOAD);
            if handle.is_null() {
                continue;
            }
            let found = within(handle, name);
            libc::dlclose(handle);
            if !found.is_null() && !table::is_row(found) {
                return found;
            }
        }
    }
    ptr::null_mut()
}

/// The row of this file.
pub const ROWS: &[Row] = &[Row {
    name: c"dlsym".as_ptr(),
    aliases: c"".as_ptr(),
    group: Group::Os.name().as_ptr(),
    flags: flag::unchecked,
    export: dlsym as Function as *const c_void,
    imported: core::ptr::null(),
    imported_for_sockets: core::ptr::null(),
    real: &raw const REAL,
    bind: || {
        bind();
    },
    bare: ptr::null(),
    detour: ptr::null(),
}];
