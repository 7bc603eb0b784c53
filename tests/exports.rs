//! The library from outside: what it exports is what its table says, and the table is true of the installed glibc.
//!
//! Safety: the table's pointers lead to statics of a library that is never unloaded.

use std::collections::BTreeSet;
use std::ffi::{CString, c_void};
use std::process::Command;

use crate::common::table::{DEEP, Row, table, text};

fn in_libc(name: &str) -> *const c_void {
    let name = CString::new(name).expect("no NUL");
    // SAFETY: looks a name up in the libc that is loaded anyway.
    unsafe {
        let libc = libc::dlopen(c"libc.so.6".as_ptr(), libc::RTLD_NOW | libc::RTLD_NOLOAD);
        assert!(!libc.is_null());
        let found = libc::dlsym(libc, name.as_ptr());
        // What only old programs name.
        if found.is_null() { libc::dlvsym(libc, name.as_ptr(), c"GLIBC_2.2.5".as_ptr()) } else { found }
    }
}

fn output(program: &str, arguments: &[&str]) -> String {
    let output =
        Command::new(program).args(arguments).arg(crate::common::eventlet()).output().expect(program);
    assert!(output.status.success(), "{program} failed");
    String::from_utf8(output.stdout).expect("UTF-8")
}

#[test]
fn exports_are_the_table_and_the_header() {
    let symbols = output("nm", &["-D", "--defined-only", "--format=posix"]);
    let exports: BTreeSet<&str> = symbols.lines().filter_map(|line| line.split(' ').next()).collect();
    let mut expected = crate::common::declarations();
    // stdin: for musl's loader alone, which leaves us out because of it.
    expected.extend(table().iter().flat_map(Row::names).chain(["eventlet_table", "stdin"]).map(String::from));
    assert_eq!(exports, expected.iter().map(String::as_str).collect());
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
        if row.of_library() {
            assert!(real.is_null(), "{}", row.name());
            continue;
        }
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
