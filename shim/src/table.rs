//! THE table of interposed symbols: every row of every file, in one array, exported as `eventlet_table`.
//!
//! Nothing is written here twice: names, aliases and pointers come from the declarations (see [`crate::interpose`]).
//! A tool opens the library, looks `eventlet_table` up and reads the structs below as C structs.
//!
//! Safety: the pointers of a row lead to statics and string literals with their NUL, and never change.

use core::ffi::{CStr, c_char, c_void};
use core::ptr;
use core::sync::atomic::{AtomicPtr, AtomicU32, Ordering};
use std::ffi::CString;

use eventlet_core::runtime;

use crate::interpose::Real;

/// What can be patched by itself, as Eventlet's `monkey_patch(os=..., select=..., ...)`.
#[derive(Clone, Copy)]
#[repr(u32)]
pub enum Group {
    /// Descriptors, processes, signals.
    Os = 1,
    /// select, poll, epoll.
    Select = 2,
    /// Sockets.
    Socket = 4,
    /// Threads and locks.
    Thread = 8,
    /// Sleeping.
    Time = 16,
}

impl Group {
    /// Its name in `monkey_patch`.
    pub const fn name(self) -> &'static CStr {
        match self {
            Group::Os => c"os",
            Group::Select => c"select",
            Group::Socket => c"socket",
            Group::Thread => c"thread",
            Group::Time => c"time",
        }
    }
}

/// The bits of [`Row::flags`], one for each attribute of a declaration (the others leave no bit).
#[allow(non_upper_case_globals, reason = "named as the attributes are")]
pub mod flag {
    /// A documented row.
    pub const doc: u32 = 0;
    /// A row with aliases.
    pub const also: u32 = 0;
    /// A row that `libc` cannot check.
    pub const unchecked: u32 = 0;
    /// The symbol may be missing.
    pub const optional: u32 = 1;
    /// glibc's internal calls are detoured too.
    pub const deep: u32 = 2;
    /// It changes what we keep.
    pub const stateful: u32 = 4;
    /// Another library's, which may come later: `optional` as well.
    pub const library: u32 = 8 | optional;

    /// Whether the constructor does not bind it.
    pub const fn is_late(flags: u32) -> bool {
        flags & 8 != 0
    }
}

/// One interposed symbol.
#[derive(Clone, Copy)]
#[repr(C)]
pub struct Row {
    /// The symbol.
    pub name: *const c_char,
    /// Other names of the same function, each followed by a space.
    pub aliases: *const c_char,
    /// The group's name.
    pub group: *const c_char,
    /// Bits of [`flag`].
    pub flags: u32,
    /// Our function.
    pub export: *const c_void,
    /// The same, green for its caller even where the group is not patched (`eventlet_import_patched`).
    pub imported: *const c_void,
    /// The same for group socket, in which reads and writes of sockets are.
    pub imported_for_sockets: *const c_void,
    /// Where the real function's address lies.
    pub real: *const Real,
    /// Binds the real function.
    pub bind: fn(),
    /// A deep row's bare form, or NULL.
    pub bare: *const c_void,
    /// Where glibc's internal calls arrive, or NULL.
    pub detour: *const c_void,
}

impl Row {
    /// The symbol and its aliases.
    pub fn names(&self) -> impl Iterator<Item = CString> {
        // SAFETY: file header.
        let (name, aliases) = unsafe { (CStr::from_ptr(self.name), CStr::from_ptr(self.aliases)) };
        let aliases = aliases.to_bytes().split(|byte| *byte == b' ').filter(|alias| !alias.is_empty());
        [name.to_bytes()].into_iter().chain(aliases).filter_map(|name| CString::new(name).ok())
    }

    /// Whether this is a library's function, found by `name`, that the row stands before. If the row does not know its real
    /// function yet, it is.
    fn is_late_for(&self, function: *const c_void, name: &CStr) -> bool {
        // SAFETY: file header.
        let (own, real) = unsafe { (CStr::from_ptr(self.name), &*self.real) };
        if !flag::is_late(self.flags) || own != name || ptr::eq(function, self.export) {
            return false;
        }
        if real.known().is_null() {
            real.replace(function);
        }
        ptr::eq(real.known(), function)
    }

    /// From now on the bare form stands for the real function.
    pub fn go_bare(&self) {
        // SAFETY: file header.
        unsafe { (*self.real).replace(self.bare) };
    }
}

// SAFETY: a row is constant (file header).
unsafe impl Sync for Row {}

/// The rows of each file.
const PARTS: &[&[Row]] = &[
    crate::start::ROWS,
    crate::c11::ROWS,
    crate::deep::ROWS,
    crate::file::ROWS,
    crate::helped::ROWS,
    crate::identity::ROWS,
    crate::lock::ROWS,
    crate::lookup::ROWS,
    crate::os::ROWS,
    crate::process::ROWS,
    crate::raw::ROWS,
    crate::rings::ROWS,
    crate::signal::ROWS,
    crate::vfork::ROWS,
    crate::sched::ROWS,
    crate::select::ROWS,
    crate::socket::ROWS,
    crate::thread::ROWS,
    crate::time::ROWS,
    crate::transfer::ROWS,
];

const COUNT: usize = {
    let (mut count, mut part) = (0, 0);
    while part < PARTS.len() {
        count += PARTS[part].len();
        part += 1;
    }
    count
};

static ALL: [Row; COUNT] = {
    let mut all = [PARTS[0][0]; COUNT];
    let (mut count, mut part) = (0, 0);
    while part < PARTS.len() {
        let mut row = 0;
        while row < PARTS[part].len() {
            all[count] = PARTS[part][row];
            count += 1;
            row += 1;
        }
        part += 1;
    }
    all
};

/// What `eventlet_table` is to a C program.
#[repr(C)]
pub struct Table {
    version: u32,
    count: u32,
    row_size: usize,
    rows: *const Row,
}

// SAFETY: constant, as its rows are.
unsafe impl Sync for Table {}

#[unsafe(no_mangle)]
#[allow(non_upper_case_globals, reason = "a C symbol")]
pub static eventlet_table: Table =
    Table { version: 2, count: COUNT as u32, row_size: size_of::<Row>(), rows: ALL.as_ptr() };

/// The groups in force: none before the constructor has run, and none where the library is inert.
static PATCHED: AtomicU32 = AtomicU32::new(0);

/// Whether the rows of `group` are in force.
#[inline(always)]
pub fn patched(group: Group) -> bool {
    PATCHED.load(Ordering::Relaxed) & group as u32 != 0
}

/// The group of the call that an imported object makes, until the row has asked. Only the hub's thread uses it, between
/// two instructions of ours, where nobody is preempted.
static FORCED: AtomicU32 = AtomicU32::new(0);

/// The call that follows is green though `group` may not be patched.
pub fn force(group: Group) {
    if !patched(group) && runtime::this().is_some() {
        FORCED.store(group as u32, Ordering::Relaxed);
    }
}

/// No call is, unless [`force`] says so again.
pub fn force_nothing() {
    if runtime::this().is_some() {
        FORCED.store(0, Ordering::Relaxed);
    }
}

/// The group for which this call is green. Asked once.
#[cold]
pub fn forced() -> u32 {
    let group = FORCED.load(Ordering::Relaxed);
    if group != 0 {
        FORCED.store(0, Ordering::Relaxed);
    }
    group
}

/// All groups.
pub const EVERY: u32 = 31;

/// Puts the rows of these groups in force, beside those that are.
pub fn patch(groups: u32) {
    PATCHED.fetch_or(groups, Ordering::Relaxed);
}

/// The groups in force.
pub fn groups() -> u32 {
    PATCHED.load(Ordering::Relaxed)
}

/// The bits of a group's name, of `all` or of `none`.
pub fn group(name: &[u8]) -> Option<u32> {
    const GROUPS: [Group; 5] = [Group::Os, Group::Select, Group::Socket, Group::Thread, Group::Time];
    match name {
        b"all" => Some(EVERY),
        b"none" => Some(0),
        name => GROUPS.iter().find(|group| group.name().to_bytes() == name).map(|group| *group as u32),
    }
}

/// Every row.
pub fn rows() -> &'static [Row] {
    &ALL
}

/// The real function of each row, as it was found: some rows go bare later.
static FOUND: [AtomicPtr<c_void>; COUNT] = [const { AtomicPtr::new(ptr::null_mut()) }; COUNT];

/// Binds every real function, so that no row ever takes the loader's lock.
pub fn bind() {
    for (row, found) in ALL.iter().zip(&FOUND) {
        (row.bind)();
        // SAFETY: file header.
        found.store(unsafe { (*row.real).known() }, Ordering::Relaxed);
    }
}

/// The export of the row that stands before this real function, which was found by `name`.
pub fn before(function: *const c_void, name: &CStr) -> Option<*const c_void> {
    if function.is_null() {
        return None;
    }
    let found = FOUND.iter().position(|found| ptr::eq(found.load(Ordering::Relaxed), function));
    match found {
        Some(row) => Some(ALL[row].export),
        None => ALL.iter().find(|row| row.is_late_for(function, name)).map(|row| row.export),
    }
}

/// Whether this is a row's export.
pub fn is_row(function: *const c_void) -> bool {
    ALL.iter().any(|row| ptr::eq(row.export, function))
}
