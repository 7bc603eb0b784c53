//! What glibc says about itself: the `_thread_db_*` descriptors that debuggers read, and the functions it exports to
//! its own parts (GLIBC_PRIVATE). All found by name at run time: no offset of ours.
//!
//! Safety: a `_thread_db_*` word and a private function mean the same in every glibc from 2.34 on (debuggers and
//! ld.so depend on them). Everything is looked up on the main thread before the first green thread: `dlsym` takes the
//! loader's lock.

use core::ffi::{CStr, c_char, c_int, c_void};
use core::ops::Range;

use crate::kernel::real::real;

/// A field of a struct of glibc's, as its debugger library sees it.
#[repr(C)]
struct Field {
    bits: u32,
    count: u32,
    offset: u32,
}

/// A node of glibc's own lists (`list_t`).
#[derive(Debug)]
#[repr(C)]
pub struct Link {
    pub next: *mut Link,
    pub previous: *mut Link,
}

/// Sizes, offsets and functions by name.
#[derive(Debug)]
pub struct Layout {
    /// `sizeof(struct pthread)`, and offsets in it.
    pub size: usize,
    pub tid: usize,
    pub list: usize,
    pub specific: usize,
    pub cancel: usize,
    pub dtv: usize,
    /// The list of threads whose stacks the program gave: ours are among them.
    pub stack_user: *mut Link,
    /// What the loader keeps before that: its locks are among it.
    pub loader: Range<usize>,
    /// Thread-specific data: blocks per thread, entries per block; the global array of keys.
    pub blocks: usize,
    pub entries: usize,
    pub data: Pair,
    pub keys: *const u8,
    pub key_count: usize,
    pub key: Pair,
    /// The static TLS of one thread, `struct pthread` included.
    pub tls_size: usize,
    pub tls_align: usize,
    /// Offsets from the thread pointer: the word `__resp`, `errno`, the rseq area.
    pub resp: isize,
    pub errno: isize,
    pub rseq: Option<isize>,
    /// libc's own thread-locals: offset from the thread pointer, bytes.
    pub libc_tls: (isize, usize),
    pub allocate_tls: unsafe extern "C" fn(usize) -> *mut c_void,
    /// With the dtv that the block has already. (The flag is ignored before glibc 2.36: the block is filled.)
    pub allocate_tls_init: unsafe extern "C" fn(usize, bool) -> *mut c_void,
    pub deallocate_tls: unsafe extern "C" fn(usize, bool),
    pub call_tls_dtors: unsafe extern "C" fn(),
    pub ctype_init: unsafe extern "C" fn(),
    pub res_nclose: unsafe extern "C" fn(*mut c_void),
    pub dlerror: unsafe extern "C" fn() -> *mut c_char,
}

/// A two-word struct that starts with a sequence number: its size, the offset of that number and of the other word.
#[derive(Clone, Copy, Debug)]
pub struct Pair {
    pub size: usize,
    pub seq: usize,
    pub word: usize,
}

/// The address of a symbol, as whatever pointer the place needs.
///
/// # Safety
/// `T` is a pointer, a reference or a function pointer, of what the symbol is.
unsafe fn find<T>(name: &CStr) -> Option<T> {
    const { assert!(size_of::<T>() == size_of::<*mut c_void>()) };
    // SAFETY: a lookup by name.
    let found = unsafe { (real().dlsym)(libc::RTLD_DEFAULT, name.as_ptr()) };
    // SAFETY: the caller's promise.
    (!found.is_null()).then(|| unsafe { core::mem::transmute_copy(&found) })
}

macro_rules! symbol {
    ($name:expr) => {
        // SAFETY: a symbol of that name in glibc has that type (file header).
        match unsafe { find(const { cstr(concat!($name, "\0")) }) } {
            Some(symbol) => symbol,
            None => return Err(concat!("glibc has no ", $name)),
        }
    };
}

const fn cstr(text: &str) -> &CStr {
    match CStr::from_bytes_with_nul(text.as_bytes()) {
        Ok(text) => text,
        Err(_) => panic!("a name with its NUL"),
    }
}

/// The offset of a field of `bits` bits.
macro_rules! field {
    ($name:expr, $bits:expr) => {{
        let field: &Field = symbol!(concat!("_thread_db_", $name));
        if field.bits as usize != $bits || field.count != 1 {
            return Err(concat!("unknown shape of _thread_db_", $name));
        }
        field.offset as usize
    }};
}

/// A size.
macro_rules! size {
    ($name:expr) => {{
        let size: &u32 = symbol!(concat!("_thread_db_sizeof_", $name));
        *size as usize
    }};
}

impl Layout {
    /// Reads it, on the main thread, whose TCB is `tcb`.
    pub fn read(tcb: usize) -> Result<Layout, &'static str> {
        const WORD: usize = usize::BITS as usize;
        let level: &Field = symbol!("_thread_db_pthread_key_data_level2_data");
        let dtv: &Field = symbol!("_thread_db_dtv_dtv");
        if (dtv.bits as usize, dtv.offset, field!("dtv_t_counter", WORD), field!("dtv_t_pointer_val", WORD))
            != (2 * WORD, 0, 0, 0)
        {
            return Err("unknown shape of the dtv");
        }
        let data = Pair {
            size: size!("pthread_key_data"),
            seq: field!("pthread_key_data_seq", WORD),
            word: field!("pthread_key_data_data", WORD),
        };
        let key = Pair {
            size: size!("pthread_key_struct"),
            seq: field!("pthread_key_struct_seq", WORD),
            word: field!("pthread_key_struct_destr", WORD),
        };
        let all_keys: &Field = symbol!("_thread_db___pthread_keys");
        let specific: &Field = symbol!("_thread_db_pthread_specific");
        let blocks = specific.bits as usize / WORD;
        let entries = level.count as usize;
        let key_count = all_keys.count as usize;
        if blocks * entries != key_count
            || level.bits as usize != data.size * 8
            || level.offset != 0
            || all_keys.bits as usize != key.size * 8
        {
            return Err("unknown shape of the thread-specific data");
        }
        let global: usize = symbol!("_rtld_global");
        let loader = global..global + field!("rtld_global__dl_stack_user", 2 * WORD);
        let resp: usize = symbol!("__resp");
        let keys: *const u8 = symbol!("__pthread_keys");
        // rseq came with 2.35.
        // SAFETY: a public constant of that name has that type.
        let rseq = unsafe { find::<&isize>(c"__rseq_offset") }.copied();
        let (tls_size, tls_align) = static_tls(symbol!("_dl_get_tls_static_info"));
        // SAFETY: gives an address in the running thread's block.
        let errno = unsafe { libc::__errno_location() } as isize - tcb as isize;
        let layout = Layout {
            size: size!("pthread"),
            tid: field!("pthread_tid", 32),
            list: field!("pthread_list", 2 * WORD),
            specific: specific.offset as usize,
            cancel: field!("pthread_cancelhandling", 32),
            dtv: field!("pthread_dtvp", WORD),
            stack_user: loader.end as *mut Link,
            loader,
            blocks,
            entries,
            data,
            keys,
            key_count,
            key,
            tls_size,
            tls_align: tls_align.max(64),
            resp: resp as isize - tcb as isize,
            errno,
            rseq,
            libc_tls: libc_tls(tcb, keys as usize).ok_or("libc's thread-locals are not to be found")?,
            allocate_tls: symbol!("_dl_allocate_tls"),
            allocate_tls_init: symbol!("_dl_allocate_tls_init"),
            deallocate_tls: symbol!("_dl_deallocate_tls"),
            call_tls_dtors: symbol!("__call_tls_dtors"),
            ctype_init: symbol!("__ctype_init"),
            res_nclose: symbol!("__res_nclose"),
            dlerror: symbol!("dlerror"),
        };
        layout.check()?;
        Ok(layout)
    }

    /// Whether every place lies where a thread's block has memory.
    fn check(&self) -> Result<(), &'static str> {
        let block = self.size as isize - self.tls_size as isize..self.size as isize;
        let inside =
            |offset: isize, bytes: usize| block.contains(&offset) && offset + bytes as isize <= block.end;
        let word = size_of::<usize>();
        let places = [
            (self.tid as isize, 4),
            (self.list as isize, 2 * word),
            (self.specific as isize, (self.blocks + 1) * word),
            (self.cancel as isize, 4),
            (self.dtv as isize, word),
            (self.resp, word),
            (self.errno, 4),
            (self.libc_tls.0, self.libc_tls.1),
            (self.rseq.unwrap_or(0), 32),
        ];
        if !self.tls_align.is_power_of_two()
            || !(512..=1 << 16).contains(&self.size)
            || !self.size.is_multiple_of(word)
        {
            return Err("unknown shape of struct pthread");
        }
        if places.iter().all(|(offset, bytes)| inside(*offset, *bytes)) {
            Ok(())
        } else {
            Err("a place outside of the thread's block")
        }
    }
}

fn static_tls(info: unsafe extern "C" fn(*mut usize, *mut usize)) -> (usize, usize) {
    let (mut size, mut align) = (0, 0);
    // SAFETY: writes both words.
    unsafe { info(&mut size, &mut align) };
    (size, align)
}

/// The thread-locals of the object that holds `address`: offset from the thread pointer, bytes.
fn libc_tls(tcb: usize, address: usize) -> Option<(isize, usize)> {
    struct Search {
        address: usize,
        found: Option<(usize, usize)>,
    }
    unsafe extern "C" fn object(info: *mut libc::dl_phdr_info, _: usize, search: *mut c_void) -> c_int {
        // SAFETY: dl_iterate_phdr gives a complete record and the pointer it was given.
        let (info, search) = unsafe { (&*info, &mut *search.cast::<Search>()) };
        // SAFETY: the record's own array.
        let headers = unsafe { core::slice::from_raw_parts(info.dlpi_phdr, info.dlpi_phnum as usize) };
        let holds = |header: &&libc::Elf64_Phdr| {
            let start = info.dlpi_addr as usize + header.p_vaddr as usize;
            header.p_type == libc::PT_LOAD
                && (start..start + header.p_memsz as usize).contains(&search.address)
        };
        if headers.iter().find(holds).is_none() {
            return 0;
        }
        if let Some(tls) = headers.iter().find(|header| header.p_type == libc::PT_TLS) {
            search.found = Some((info.dlpi_tls_data as usize, tls.p_memsz as usize));
        }
        1
    }
    let mut search = Search { address, found: None };
    // SAFETY: the callback gets the pointer back while `search` lives.
    unsafe { libc::dl_iterate_phdr(Some(object), (&raw mut search).cast()) };
    let (start, bytes) = search.found?;
    (start != 0).then(|| (start as isize - tcb as isize, bytes))
}
