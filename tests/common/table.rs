//! The library's table of interposed symbols, read as a tool reads it.
//!
//! Safety: the structs below are those of `shim/src/table.rs`; their pointers lead to statics of a library that is
//! never unloaded.

use std::ffi::{CStr, CString, c_char, c_void};
use std::slice;

/// One row.
#[repr(C)]
pub struct Row {
    pub name: *const c_char,
    pub aliases: *const c_char,
    pub group: *const c_char,
    pub flags: u32,
    pub export: *const c_void,
    pub imported: *const c_void,
    pub imported_for_sockets: *const c_void,
    pub real: *const *const c_void,
    pub bind: *const c_void,
    pub bare: *const c_void,
    pub detour: *const c_void,
}

#[repr(C)]
struct Table {
    version: u32,
    count: u32,
    row_size: usize,
    rows: *const Row,
}

pub const OPTIONAL: u32 = 1;
pub const DEEP: u32 = 2;
/// Another library's than libc.
pub const LIBRARY: u32 = 8;

impl Row {
    pub fn name(&self) -> &'static str {
        text(self.name)
    }

    pub fn aliases(&self) -> impl Iterator<Item = &'static str> {
        text(self.aliases).split_whitespace()
    }

    pub fn names(&self) -> impl Iterator<Item = &'static str> {
        [self.name()].into_iter().chain(self.aliases())
    }

    pub fn optional(&self) -> bool {
        self.flags & OPTIONAL != 0
    }

    pub fn of_library(&self) -> bool {
        self.flags & LIBRARY != 0
    }
}

pub fn text(pointer: *const c_char) -> &'static str {
    // SAFETY: the table's strings are literals with their NUL.
    unsafe { CStr::from_ptr(pointer) }.to_str().expect("UTF-8")
}

/// The table, read as a tool reads it. The rows of a library opened this way catch nobody's calls.
pub fn table() -> &'static [Row] {
    let path = CString::new(super::eventlet().to_str().expect("UTF-8")).expect("no NUL");
    // SAFETY: the library's constructor starts nothing, and it is never unloaded (file header).
    unsafe {
        let library = libc::dlopen(path.as_ptr(), libc::RTLD_NOW | libc::RTLD_LOCAL);
        assert!(!library.is_null(), "{}", text(libc::dlerror()));
        let table = libc::dlsym(library, c"eventlet_table".as_ptr()).cast::<Table>();
        let table = table.as_ref().expect("eventlet_table");
        assert_eq!((table.version, table.row_size), (2, size_of::<Row>()));
        slice::from_raw_parts(table.rows, table.count as usize)
    }
}
