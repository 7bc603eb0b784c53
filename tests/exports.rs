//! The library from outside: what it exports is what its table says, and the table is true of the installed glibc.
//!
//! Safety: the structs below are those of `shim/src/table.rs`; their pointers lead to statics of a library that is
//! never unloaded.

mod common;

use std::collections::BTreeSet;
use std::ffi::{CStr, CString, c_char, c_void};
use std::process::Command;
use std::slice;

#[repr(C)]
struct Row {
    name: *const c_char,
    aliases: *const c_char,
    group: *const c_char,
    flags: u32,
    export: *const c_void,
    real: *const *const c_void,
    bind: *const c_void,
    bare: *const c_void,
    detour: *const c_void,
}

#[repr(C)]
struct Table {
    version: u32,
    count: u32,
    row_size: usize,
    rows: *const Row,
}

const OPTIONAL: u32 = 1;
const DEEP: u32 = 2;

impl Row {
    fn name(&self) -> &'static str {
        text(self.name)
    }

    fn aliases(&self) -> impl Iterator<Item = &'static str> {
        text(self.aliases).split_whitespace()
    }

    fn names(&self) -> impl Iterator<Item = &'static str> {
        [self.name()].into_iter().chain(self.aliases())
    }

    fn optional(&self) -> bool {
        self.flags & OPTIONAL != 0
    }
}

fn text(pointer: *const c_char) -> &'static str {
    // SAFETY: the table's strings are literals with their NUL.
    unsafe { CStr::from_ptr(pointer) }.to_str().expect("UTF-8")
}

/// The table, read as a tool reads it. The rows of a library opened this way catch nobody's calls.
fn table() -> &'static [Row] {
    let path = CString::new(common::eventlet().to_str().expect("UTF-8")).expect("no NUL");
    // SAFETY: the library's constructor starts nothing, and it is never unloaded (file header).
    unsafe {
        let library = libc::dlopen(path.as_ptr(), libc::RTLD_NOW | libc::RTLD_LOCAL);
        assert!(!library.is_null(), "{}", text(libc::dlerror()));
        let table = libc::dlsym(library, c"eventlet_table".as_ptr()).cast::<Table>();
        let table = table.as_ref().expect("eventlet_table");
        assert_eq!((table.version, table.row_size), (1, size_of::<Row>()));
        slice::from_raw_parts(table.rows, table.count as usize)
    }
}

fn in_libc(name: &str) -> *const c_void {
    let name = CString::new(name).expect("no NUL");
    // SAFETY: looks a name up in the libc that is loaded anyway.
    unsafe {
        let libc = libc::dlopen(c"libc.so.6".as_ptr(), libc::RTLD_NOW | libc::RTLD_NOLOAD);
        assert!(!libc.is_null());
        libc::dlsym(libc, name.as_ptr())
    }
}

fn output(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).arg(common::eventlet()).output().expect(program);
    assert!(output.status.success(), "{program} failed");
    String::from_utf8(output.stdout).expect("UTF-8")
}

#[test]
fn exports_are_the_table() {
    let symbols = output("nm", &["-D", "--defined-only", "--format=posix"]);
    let exports: BTreeSet<&str> = symbols.lines().filter_map(|line| line.split(' ').next()).collect();
    let rows: BTreeSet<&str> = table().iter().flat_map(Row::names).chain(["eventlet_table"]).collect();
    assert_eq!(exports, rows);
}

#[test]
fn rows_are_listed_once_with_a_group() {
    let names: Vec<&str> = table().iter().flat_map(Row::names).collect();
    assert_eq!(names.len(), names.iter().collect::<BTreeSet<_>>().len());
    for row in table() {
        let group = text(row.group);
        assert!(["os", "select", "socket", "thread", "time"].contains(&group), "{}: {group}", row.name());
    }
}

#[test]
fn required_rows_are_in_libc() {
    for row in table().iter().filter(|row| !row.optional()) {
        assert!(!in_libc(row.name()).is_null(), "no {} in libc", row.name());
    }
}

#[test]
fn aliases_are_one_function_in_libc() {
    for row in table() {
        for alias in row.aliases() {
            assert_eq!(in_libc(alias), in_libc(row.name()), "{alias} is not {}", row.name());
        }
    }
}

#[test]
fn deep_rows_have_a_bare_form() {
    for row in table() {
        let deep = row.flags & DEEP != 0;
        assert_eq!((row.bare.is_null(), row.detour.is_null()), (!deep, !deep), "{}", row.name());
    }
}

#[test]
fn every_row_is_bound_by_the_constructor() {
    for row in table() {
        // SAFETY: see the file's header.
        let real = unsafe { *row.real };
        assert!(!real.is_null() && !std::ptr::eq(real, row.export), "{}", row.name());
        if !row.optional() {
            assert_eq!(real, in_libc(row.name()), "{}", row.name());
        }
    }
}

#[test]
fn soname_and_never_unloaded() {
    let dynamic = output("readelf", &["-d"]);
    assert!(dynamic.contains("Library soname: [libeventlet.so.1]"), "{dynamic}");
    let flags = dynamic.lines().find(|line| line.contains("(FLAGS_1)")).expect("FLAGS_1");
    assert!(flags.contains("NODELETE") && !flags.contains("INITFIRST"), "{flags}");
}
