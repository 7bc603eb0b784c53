//! `eventlet_import_patched`: one object's imports lead to the rows, the rest of the process stays as it is.
//!
//! ```text
//!   object's code:  call poll@plt -> GOT slot --before--> libc's poll, our export (linked), or the lazy resolver
//!                                             --after---> Row::imported: the row, green for this caller
//! ```
//! Slots are known by the object's relocations (JUMP_SLOT, GLOB_DAT, and 64-bit pointers in its data). One that leads to a
//! definition of somebody else's (the program's own `connect`) is left alone. It may be done again, with more groups.
//!
//! Sources: System V gABI, chapter 5; x86-64 psABI, 4.4; glibc's link.h: a handle of dlopen is a link map, and the pointers of
//! its dynamic section are relocated.
//!
//! Safety: an object stays mapped while its handle is open, and so do the tables that its dynamic section names. A slot is
//! written as one aligned word; what relocation protected is made writable for that long.

use core::ffi::{CStr, c_char, c_int, c_void};
use core::ptr;

use eventlet_core::syscall;

use crate::table::{self, Group, Row};

/// Rows that do not return, or return twice: what leads to them does so in every object.
const ELSEWHERE: [&CStr; 9] = [
    c"__libc_start_main",
    c"pthread_exit",
    c"thrd_exit",
    c"vfork",
    c"dlsym",
    c"longjmp",
    c"_longjmp",
    c"siglongjmp",
    c"__longjmp_chk",
];
/// Objects that are no library of the program's: dependencies of this name are left alone.
const BASE: [&[u8]; 9] = [
    b"libc.so.",
    b"ld-linux",
    b"libpthread.so.",
    b"libdl.so.",
    b"librt.so.",
    b"libm.so.",
    b"libgcc_s.so.",
    b"libresolv.so.",
    b"libeventlet.so",
];

/// glibc's `struct link_map`, as far as it is public.
#[repr(C)]
struct LinkMap {
    base: usize,
    name: *const c_char,
    dynamic: *const Dynamic,
}

#[repr(C)]
struct Dynamic {
    tag: i64,
    value: usize,
}

#[repr(C)]
struct Symbol {
    name: u32,
    info: u8,
    other: u8,
    section: u16,
    value: usize,
    size: usize,
}

#[repr(C)]
struct Relocation {
    offset: usize,
    info: u64,
    addend: i64,
}

/// One loaded object.
struct Object {
    base: usize,
    strings: *const c_char,
    symbols: *const Symbol,
    /// The tables of relocations: address and bytes.
    tables: [(usize, usize); 2],
    needed: Vec<usize>,
}

impl Object {
    /// # Safety
    /// `handle` is dlopen's, and open.
    unsafe fn of(handle: *mut c_void) -> Object {
        const NEEDED: i64 = 1;
        const PLTRELSZ: i64 = 2;
        const STRTAB: i64 = 5;
        const SYMTAB: i64 = 6;
        const RELA: i64 = 7;
        const RELASZ: i64 = 8;
        const JMPREL: i64 = 23;
        // SAFETY: the file's header; the section ends in a zero tag.
        unsafe {
            let map = &*handle.cast::<LinkMap>();
            let mut object = Object {
                base: map.base,
                strings: ptr::null(),
                symbols: ptr::null(),
                tables: [(0, 0); 2],
                needed: Vec::new(),
            };
            let mut entry = map.dynamic;
            while (*entry).tag != 0 {
                let value = (*entry).value;
                match (*entry).tag {
                    STRTAB => object.strings = value as *const c_char,
                    SYMTAB => object.symbols = value as *const Symbol,
                    RELA => object.tables[0].0 = value,
                    RELASZ => object.tables[0].1 = value,
                    JMPREL => object.tables[1].0 = value,
                    PLTRELSZ => object.tables[1].1 = value,
                    NEEDED => object.needed.push(value),
                    _ => {}
                }
                entry = entry.add(1);
            }
            object
        }
    }

    unsafe fn string(&self, offset: usize) -> &CStr {
        // SAFETY: an offset of the object's own, into its table of strings.
        unsafe { CStr::from_ptr(self.strings.add(offset)) }
    }

    /// Leads its imports of `groups` to the rows.
    unsafe fn bind(&self, groups: u32) {
        const GLOB_DAT: u32 = 6;
        const JUMP_SLOT: u32 = 7;
        const POINTER: u32 = 1;
        for (start, bytes) in self.tables {
            for place in 0..bytes / size_of::<Relocation>() {
                // SAFETY: the object's own table, and the symbol that an entry names.
                unsafe {
                    let relocation = &*(start as *const Relocation).add(place);
                    let symbol = &*self.symbols.add((relocation.info >> 32) as usize);
                    let imports = matches!(relocation.info as u32, GLOB_DAT | JUMP_SLOT | POINTER);
                    if !imports || symbol.section != 0 || relocation.addend != 0 || symbol.name == 0 {
                        continue;
                    }
                    let name = self.string(symbol.name as usize);
                    if let Some(target) = target(name, groups) {
                        self.lead((self.base + relocation.offset) as *mut *const c_void, name, target);
                    }
                }
            }
        }
    }

    unsafe fn lead(&self, slot: *mut *const c_void, name: &CStr, target: *const c_void) {
        // SAFETY: a slot of the object's.
        let now = unsafe { slot.read() };
        // A lazy slot leads back into the object.
        let unbound = object_of(now) == object_of(slot.cast());
        let now = if unbound { found(name) } else { now };
        let standard = [rows_home(), libc_home()].contains(&object_of(now));
        if now == target || !standard {
            return;
        }
        const PAGE: usize = 4096;
        let page = slot as usize & !(PAGE - 1);
        let protected = is_protected(slot as usize);
        // SAFETY: the page of the slot, whose protection is put back.
        unsafe {
            if protected {
                let _ = syscall!(libc::SYS_mprotect, page, PAGE, libc::PROT_READ | libc::PROT_WRITE);
            }
            slot.write_volatile(target);
            if protected {
                let _ = syscall!(libc::SYS_mprotect, page, PAGE, libc::PROT_READ);
            }
        }
    }
}

/// Where a name leads in an object with these groups.
fn target(name: &CStr, groups: u32) -> Option<*const c_void> {
    // SAFETY: the table's strings have their NUL.
    let text = |text: *const c_char| unsafe { CStr::from_ptr(text) }.to_bytes();
    let named = |row: &&Row| {
        text(row.name) == name.to_bytes()
            || text(row.aliases).split(|byte| *byte == b' ').any(|alias| alias == name.to_bytes())
    };
    let row = table::rows().iter().find(named)?;
    // SAFETY: as above.
    if ELSEWHERE.contains(&unsafe { CStr::from_ptr(row.name) }) {
        return None;
    }
    let group = table::group(text(row.group))?;
    let sockets = group == Group::Os as u32 && groups & Group::Socket as u32 != 0;
    if groups & group != 0 { Some(row.imported) } else { sockets.then_some(row.imported_for_sockets) }
}

/// Where the object lies that has this address; 0: none.
fn object_of(address: *const c_void) -> usize {
    // SAFETY: zeroes are a valid answer, which dladdr fills in.
    unsafe {
        let mut found = core::mem::zeroed::<libc::Dl_info>();
        if libc::dladdr(address, &mut found) == 0 { 0 } else { found.dli_fbase as usize }
    }
}

/// What the name is in the program's order of look-up.
fn found(name: &CStr) -> *const c_void {
    // SAFETY: a NUL-terminated name.
    unsafe { libc::dlsym(libc::RTLD_DEFAULT, name.as_ptr()) }
}

fn rows_home() -> usize {
    object_of(target as *const c_void)
}

fn libc_home() -> usize {
    // getpid has no row.
    object_of(crate::interpose::next(c"getpid"))
}

/// Whether the address lies where relocation ended with write protection.
fn is_protected(address: usize) -> bool {
    struct Search {
        address: usize,
        protected: bool,
    }
    unsafe extern "C" fn object(info: *mut libc::dl_phdr_info, _: usize, search: *mut c_void) -> c_int {
        const RELRO: u32 = 0x6474_e552;
        // SAFETY: dl_iterate_phdr gives a live description of a loaded object, and our own search.
        let (info, search) = unsafe { (&*info, &mut *search.cast::<Search>()) };
        // SAFETY: its program headers, `dlpi_phnum` of them.
        let headers = unsafe { core::slice::from_raw_parts(info.dlpi_phdr, info.dlpi_phnum as usize) };
        for header in headers.iter().filter(|header| header.p_type == RELRO) {
            let start = info.dlpi_addr as usize + header.p_vaddr as usize;
            search.protected |= (start..start + header.p_memsz as usize).contains(&search.address);
        }
        search.protected.into()
    }
    let mut search = Search { address, protected: false };
    // SAFETY: the callback keeps nothing.
    unsafe { libc::dl_iterate_phdr(Some(object), (&raw mut search).cast()) };
    search.protected
}

/// Leads the imports of `handle`'s object to the rows; with `dependencies`, those of what it needs as well.
///
/// # Safety
/// `handle` is dlopen's, and open.
pub unsafe fn import(handle: *mut c_void, groups: u32, dependencies: bool) {
    let mut all = vec![handle];
    let mut next = 0;
    while let Some(&handle) = all.get(next) {
        next += 1;
        // SAFETY: the caller's handle, or one that its object keeps loaded.
        let object = unsafe { Object::of(handle) };
        // SAFETY: as above.
        unsafe { object.bind(groups) };
        if !dependencies {
            return;
        }
        for &offset in &object.needed {
            // SAFETY: a name in the object's strings; opened without loading, and closed again.
            unsafe {
                let name = object.string(offset);
                if BASE.iter().any(|base| name.to_bytes().starts_with(base)) {
                    continue;
                }
                let needed = libc::dlopen(name.as_ptr(), libc::RTLD_NOLOAD | libc::RTLD_LAZY);
                if !needed.is_null() {
                    libc::dlclose(needed);
                    if !all.contains(&needed) {
                        all.push(needed);
                    }
                }
            }
        }
    }
}
