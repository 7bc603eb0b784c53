//! The lock of libc's loader, which dlopen and dlclose hold while constructors and destructors of libraries run. Whoever
//! left them by unwinding would leave it locked, and nobody could load anything any more.
//!
//! Nothing says where it is. But `dl_iterate_phdr` holds the loader's other lock while it calls back: that one shows its
//! owner among the loader's words, and the first lies before it, in every glibc from 2.34 on:
//! ```text
//!   struct rtld_global:   ... | _dl_load_lock | _dl_load_write_lock | ...
//! ```
//!
//! Safety: both are recursive mutexes, whose owner is the tid in its TCB.

use core::ffi::{c_int, c_void};
use core::ops::Range;
use core::sync::atomic::{AtomicI32, Ordering};

/// The start of a `pthread_mutex_t` of 40 bytes.
#[repr(C)]
struct Mutex {
    lock: AtomicI32,
    count: AtomicI32,
    owner: AtomicI32,
    users: AtomicI32,
    kind: AtomicI32,
}

const SIZE: usize = 40;
const RECURSIVE: i32 = 1;

/// The word that says who holds the loader's lock.
pub type Owner = &'static AtomicI32;

impl Mutex {
    fn is_recursive(&self) -> bool {
        self.kind.load(Ordering::Relaxed) == RECURSIVE
    }

    fn is_held_by(&self, tid: i32) -> bool {
        let counts = [&self.lock, &self.count, &self.users].map(|word| word.load(Ordering::Relaxed));
        self.is_recursive()
            && self.owner.load(Ordering::Relaxed) == tid
            && counts.iter().all(|count| *count > 0)
    }
}

struct Search {
    words: Range<usize>,
    tid: i32,
    found: Option<usize>,
}

/// Looks for it among the loader's `words`. For the calling thread, whose tid is `tid`.
pub fn find(words: Range<usize>, tid: i32) -> Option<Owner> {
    unsafe extern "C" fn look(_: *mut libc::dl_phdr_info, _: usize, search: *mut c_void) -> c_int {
        // SAFETY: what `find` handed on.
        let search = unsafe { &mut *search.cast::<Search>() };
        // In a constructor the caller holds both: the last is the other one.
        let all = search.words.clone().step_by(size_of::<usize>());
        search.found = all.rev().find(|at| mutex(*at).is_held_by(search.tid));
        1
    }
    let mut search = Search { words: words.start..words.end - SIZE, tid, found: None };
    // SAFETY: the callback gets the pointer back while `search` lives.
    unsafe { libc::dl_iterate_phdr(Some(look), (&raw mut search).cast()) };
    let at = search.found? - SIZE;
    let lock = words.contains(&at).then(|| mutex(at))?;
    lock.is_recursive().then_some(&lock.owner)
}

fn mutex(at: usize) -> &'static Mutex {
    // SAFETY: words of the loader's, which stay; whatever they are.
    unsafe { &*(at as *const Mutex) }
}
