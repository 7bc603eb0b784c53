//! What a thread does at its end, on its own stack, in glibc's order: thread_local destructors, keys, what libc
//! allocated for it, robust mutexes.
//!
//! Safety: runs on the thread whose TCB is loaded. Its destructors are the program's: they may park, and they may
//! leave by pthread_exit, so no frame here holds a value with a destructor.

use core::ffi::c_void;
use core::ptr;
use core::sync::atomic::{AtomicU32, Ordering};

use crate::kernel::fs;

use super::super::green::this;
use super::super::{entry, raise};
use super::block::{self, unlink, word};
use super::{Identity, identity};

/// PTHREAD_DESTRUCTOR_ITERATIONS
const ROUNDS: usize = 4;
/// As the kernel's: a list longer than this is a loop.
const ROBUST_LIMIT: usize = 2048;
const WORD: usize = size_of::<usize>();

/// Ends the running green thread but for its stack: afterwards it may only switch away for good. `owner_died` gets the
/// address of each robust mutex that it still held: whoever waits there is to be woken. Neither it nor what follows
/// may allocate: another malloc than glibc's would set up its cache in a block that nobody cleans up any more. Gives
/// the thread's result.
pub fn finish(owner_died: impl FnMut(*mut c_void)) -> *mut c_void {
    // A destructor that calls pthread_exit comes back here, and the rest of the destructors follows, as natively.
    // SAFETY: the start routine lets no Rust value with a destructor be passed over.
    while unsafe { entry::enter(destructors, ptr::null_mut()) }.exited() {
        this().inspect(|green| raise::in_destructor(green));
    }
    let tcb = fs::get();
    free_buffers(identity(), tcb);
    robust(identity(), tcb, owner_died);
    unlink(tcb);
    block::result(tcb)
}

/// The part of the end that the main thread's pthread_exit has: its keys. The rest belongs to exit().
pub fn finish_first() {
    // SAFETY: as in `finish`.
    while unsafe { entry::enter(keys_only, ptr::null_mut()) }.exited() {
        this().inspect(|green| raise::in_destructor(green));
    }
}

extern "C" fn destructors(_: *mut c_void) -> *mut c_void {
    // SAFETY: glibc's own function for this moment.
    unsafe { (identity().layout.call_tls_dtors)() };
    keys_only(ptr::null_mut())
}

extern "C" fn keys_only(_: *mut c_void) -> *mut c_void {
    // SAFETY: the running thread's own data.
    unsafe { keys(identity(), fs::get()) };
    block::result(fs::get())
}

/// Calls the destructors of keys until no value is left, four rounds at most; then frees the blocks of values.
unsafe fn keys(identity: &Identity, tcb: usize) {
    let layout = &identity.layout;
    let used = (tcb + identity.template.specific_used) as *mut bool;
    let blocks = (tcb + layout.specific) as *mut usize;
    // SAFETY: glibc's arrays by its own descriptors: `blocks` blocks of `entries` values, one global entry per key.
    unsafe {
        if !*used {
            return;
        }
        for _ in 0..ROUNDS {
            *used = false;
            for index in 0..layout.key_count {
                let block = *blocks.add(index / layout.entries);
                if block == 0 {
                    continue;
                }
                let entry = block + index % layout.entries * layout.data.size;
                let value = (entry + layout.data.word) as *mut *mut c_void;
                if (*value).is_null() {
                    continue;
                }
                let data = core::mem::replace(&mut *value, ptr::null_mut());
                let key = layout.keys as usize + index * layout.key.size;
                let current = *((key + layout.key.seq) as *const usize);
                let destroy = *((key + layout.key.word) as *const Option<unsafe extern "C" fn(*mut c_void)>);
                // A value of a deleted key has an old number.
                if let (true, Some(destroy)) =
                    (current == *((entry + layout.data.seq) as *const usize), destroy)
                {
                    destroy(data);
                }
            }
            if !*used {
                break;
            }
        }
        // The first block is part of the TCB.
        for index in 1..layout.blocks {
            libc::free(core::mem::replace(&mut *blocks.add(index), 0) as *mut c_void);
        }
        *used = false;
    }
}

/// Frees what `__libc_thread_freeres`, which is hidden, would: the last dlerror and the resolver's state.
fn free_buffers(identity: &Identity, tcb: usize) {
    /// `nscount` in the public `struct __res_state`; not 0: it was initialised.
    const NSCOUNT: usize = 16;
    // SAFETY: dlerror frees a message when it is asked again; the resolver's state is the running thread's own.
    unsafe {
        if !(identity.layout.dlerror)().is_null() {
            (identity.layout.dlerror)();
        }
        let resolver = tcb + identity.template.resolver;
        if *((resolver + NSCOUNT) as *const i32) != 0 {
            (identity.layout.res_nclose)(resolver as *mut c_void);
        }
    }
}

/// Does for the robust mutexes that the thread still holds what the kernel does for a real thread.
fn robust(identity: &Identity, tcb: usize, mut owner_died: impl FnMut(*mut c_void)) {
    let head = word(tcb, identity.template.robust as isize);
    let tid = block::tid(tcb) as u32;
    // SAFETY: `struct robust_list_head` is kernel ABI: first entry, offset from an entry to its futex word. The
    // entries are mutexes that the thread holds; bit 0 marks a PI mutex.
    unsafe {
        let offset = *head.add(1) as isize;
        let mut entry = *head & !1;
        for _ in 0..ROBUST_LIMIT {
            if entry == head as usize || entry == 0 {
                break;
            }
            let next = *(entry as *const usize) & !1;
            let futex = entry.wrapping_add_signed(offset);
            die(AtomicU32::from_ptr(futex as *mut u32), tid);
            owner_died(futex as *mut c_void);
            entry = next;
        }
        *head = head as usize;
    }
}

/// Marks a futex word whose owner has died, and wakes a waiter that sleeps in the kernel.
fn die(futex: &AtomicU32, tid: u32) {
    let died = |word: u32| {
        (word & libc::FUTEX_TID_MASK == tid).then_some(word & libc::FUTEX_WAITERS | libc::FUTEX_OWNER_DIED)
    };
    if let Ok(old) = futex.fetch_update(Ordering::AcqRel, Ordering::Relaxed, died)
        && old & libc::FUTEX_WAITERS != 0
    {
        // SAFETY: a wake touches no memory; not private, since the mutex may be shared.
        let _ = unsafe { crate::syscall!(libc::SYS_futex, futex.as_ptr(), libc::FUTEX_WAKE, 1) };
    }
}

const _: () = assert!(WORD == 8, "the offsets of kernel and resolver structs are those of a 64-bit system");
