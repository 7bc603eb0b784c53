//! One green thread's TCB and TLS block, at the top of its slot.
//!
//! ```text
//!   slot  | guard | stack  <-- grows | room | static TLS            | struct pthread |
//!                                    base   tcb + size - tls_size   tcb              (end of slot)
//! ```
//!
//! Safety: a block is touched by the hub's kernel thread alone, but for [`make`], which whoever owns the slot may call (glibc
//! walks its list of threads under a lock that we cannot take, but links are published complete). Callers name only blocks that [`make`] gave and that were not
//! released; offsets were checked by [`super::build`].

use core::ffi::c_void;
use core::ptr;
use core::sync::atomic::{AtomicI32, AtomicU32, Ordering};

use crate::data::stack::StackSlot;
use crate::kernel::{Errno, Result, fs};

use super::layout::Link;
use super::template::KEPT;
use super::{CancelBits, Identity, identity};

/// Words that are copied at a time: libc's memcpy copies more than 2,112 bytes by `rep movsb`, which takes thrice as long for these.
const PART: usize = 128;
/// Below this much stack a thread is refused, as natively (EINVAL).
const LEAST: usize = 4096;
/// The rseq area's "no registration": without it `sched_getcpu` would believe a stale number for ever.
const RSEQ_FAILED: i32 = -2;

static NEXT_TID: AtomicU32 = AtomicU32::new(0);

/// Above the kernel's largest pid (2^22), below what the numbers of processor clocks have room for (2^28; futex words: 2^30).
const TIDS: core::ops::Range<u32> = (1 << 22) + 1..1 << 28;

/// Starts the tids at a random place: mutexes may be shared with other processes that do the same.
pub fn seed_tids() {
    let mut random = 0u32;
    // SAFETY: fills our own word; without entropy it stays 0, which is no worse than any.
    let _ = unsafe { crate::syscall!(libc::SYS_getrandom, &raw mut random, 4, libc::GRND_NONBLOCK) };
    NEXT_TID.store(TIDS.start + random % (TIDS.end / 2), Ordering::Relaxed);
}

fn next_tid() -> i32 {
    let after = |tid| Some(if tid + 1 < TIDS.end { tid + 1 } else { TIDS.start });
    let (Ok(tid) | Err(tid)) = NEXT_TID.fetch_update(Ordering::Relaxed, Ordering::Relaxed, after);
    tid as i32
}

#[inline(always)]
pub fn word(tcb: usize, offset: isize) -> *mut usize {
    tcb.wrapping_add_signed(offset) as *mut usize
}

/// The TCB's address in a slot.
pub fn place(slot: &StackSlot) -> usize {
    let layout = &identity().layout;
    (slot.end() - layout.size) & !(layout.tls_align - 1)
}

/// Builds a thread's block at the top of `slot`, over an earlier thread's if there is one, with `room` bytes below it
/// for the caller (from the slot's base upwards, aligned to 64). Gives the TCB. The new thread's values are fresh, and its
/// tid is new. EINVAL: the slot is too small; EAGAIN: no memory. It takes memory of the program's malloc, and may park there.
pub fn make(slot: &mut StackSlot, room: usize) -> Result<usize> {
    let identity = identity();
    let layout = &identity.layout;
    let needed = layout.tls_size + layout.tls_align + room + 64 + LEAST;
    if slot.end() - slot.bottom() < needed {
        return Err(Errno(libc::EINVAL));
    }
    let tcb = place(slot);
    let base = (tcb + layout.size - layout.tls_size - room) & !63;
    let used = slot.used().then(|| (kept(identity, tcb), empty(identity, tcb)));
    slot.set_used(false);
    let dtv = used.map(|(_, dtv)| dtv);
    // SAFETY: the slot's memory, which nobody else uses, is large enough.
    unsafe { fill(identity, tcb, slot.bottom(), slot.end(), dtv) }?;
    if let Some((kept, _)) = used {
        for (value, offset) in kept.iter().zip(&identity.template.kept) {
            // SAFETY: a word in the block just filled.
            unsafe { *word(tcb, *offset) = *value };
        }
    }
    slot.set_used(true);
    slot.set_base(base);
    Ok(tcb)
}

/// Takes the block out of a slot whose memory is about to be given back.
pub fn release(slot: &StackSlot) {
    let (identity, tcb) = (identity(), place(slot));
    for buffer in &kept(identity, tcb)[..identity.template.buffers] {
        // SAFETY: libc's buffers come from malloc, and their thread is gone.
        unsafe { libc::free(*buffer as *mut c_void) };
    }
    // SAFETY: the earlier thread's block is still there; its dtv and what that points at go.
    unsafe { (identity.layout.deallocate_tls)(tcb, false) };
}

/// The words on the block of a thread that is gone which libc has no way to free.
fn kept(identity: &Identity, tcb: usize) -> [usize; KEPT] {
    let mut kept = [0; KEPT];
    for (value, offset) in kept.iter_mut().zip(&identity.template.kept) {
        // SAFETY: the earlier thread's block is still there.
        *value = unsafe { *word(tcb, *offset) };
    }
    kept
}

/// Empties the dtv of a thread that is gone, as glibc does for a stack that it uses again (`get_cached_stack`): blocks of
/// libraries that came later are freed. The dtv.
fn empty(identity: &Identity, tcb: usize) -> usize {
    // SAFETY: glibc's array of the earlier thread: a first entry whose number is how many follow it and the next, which
    // `dtvp` leads to; then a block each, and what is to be freed of it.
    unsafe {
        let dtv = *word(tcb, identity.layout.dtv as isize);
        let entries = dtv as *mut [usize; 2];
        let last = (*entries.sub(1))[0];
        *entries = [0; 2];
        for at in 1..=last {
            let [_, to_free] = core::mem::take(&mut *entries.add(at));
            if to_free != 0 {
                libc::free(to_free as *mut c_void);
            }
        }
        dtv
    }
}

unsafe fn fill(identity: &Identity, tcb: usize, bottom: usize, end: usize, dtv: Option<usize>) -> Result<()> {
    let Identity { layout, template, home, .. } = identity;
    let word_at = |index: usize| word(tcb, (index * size_of::<usize>()) as isize);
    // SAFETY: all places lie in the block (`Layout::check`), which the caller owns.
    unsafe {
        for (at, part) in template.image.chunks(PART).enumerate() {
            ptr::copy_nonoverlapping(part.as_ptr(), word_at(at * PART), part.len());
        }
        for index in &template.own {
            *word_at(*index) += tcb;
        }
        *word_at(template.stack_start) = bottom;
        *word_at(template.stack_size) = end - bottom;
        *((tcb + layout.tid) as *mut i32) = next_tid();
        match dtv {
            Some(dtv) => {
                *word(tcb, layout.dtv as isize) = dtv;
                (layout.allocate_tls_init)(tcb, true);
            }
            None if (layout.allocate_tls)(tcb).is_null() => return Err(Errno(libc::EAGAIN)),
            None => {}
        }
        *word(tcb, layout.resp) = tcb + template.resolver;
        if let Some(rseq) = layout.rseq {
            let area = word(tcb, rseq);
            ptr::write_bytes(area, 0, 4);
            *area.cast::<i32>().add(1) = RSEQ_FAILED;
        }
        for offset in &template.shared {
            *word(tcb, *offset) = *word(*home, *offset);
        }
        let node = (tcb + layout.list) as *mut Link;
        *node = Link { next: node, previous: node };
    }
    Ok(())
}

/// Puts a new thread into glibc's list, in which a later dlopen finds the blocks that need its static TLS.
pub fn enlist(tcb: usize) {
    let layout = &identity().layout;
    // SAFETY: the node of a block that was made just now, in no list.
    unsafe { link(layout.stack_user, (tcb + layout.list) as *mut Link) };
}

unsafe fn link(list: *mut Link, node: *mut Link) {
    // SAFETY: the caller gives glibc's list and a node in no list.
    unsafe {
        let next = (*list).next;
        *node = Link { next, previous: list };
        (*next).previous = node;
        (*list).next = node;
    }
}

/// Takes a thread out of glibc's list; its tid becomes 0, glibc's sign of a thread that is no more.
pub fn unlink(tcb: usize) {
    let layout = &identity().layout;
    let node = (tcb + layout.list) as *mut Link;
    // SAFETY: a linked node's neighbours are linked nodes.
    unsafe {
        let Link { next, previous } = *node;
        (*next).previous = previous;
        (*previous).next = next;
        *((tcb + layout.tid) as *mut i32) = 0;
    }
}

/// In a fork child, for the thread that forked, if it is green: glibc gave its TCB the child's pid and re-made the
/// list of threads. `tid` is what it was before; locks that it holds say so.
pub fn forked(tcb: usize, tid: i32) {
    let layout = &identity().layout;
    let node = (tcb + layout.list) as *mut Link;
    // SAFETY: the block of the running thread; the child has no other thread that could touch the list.
    unsafe {
        *((tcb + layout.tid) as *mut i32) = tid;
        let mut at = (*layout.stack_user).next;
        while at != layout.stack_user && at != node {
            at = (*at).next;
        }
        if at != node {
            link(layout.stack_user, node);
        }
    }
}

/// The tid in a TCB.
pub fn tid(tcb: usize) -> i32 {
    // SAFETY: a place in a live block.
    unsafe { *((tcb + identity().layout.tid) as *const i32) }
}

/// The value that the thread gave to pthread_exit (or PTHREAD_CANCELED), once it has come back from that.
pub fn result(tcb: usize) -> *mut c_void {
    // SAFETY: a place in a live block.
    unsafe { *((tcb + identity().template.result) as *const *mut c_void) }
}

/// Sets [`result`], for a thread whose start routine returned.
pub fn set_result(tcb: usize, value: *mut c_void) {
    // SAFETY: a place in a live block.
    unsafe { *((tcb + identity().template.result) as *mut *mut c_void) = value };
}

/// Asks the thread to cancel itself: its next `pthread_testcancel` does, if cancellation is enabled there.
pub fn cancel(tcb: usize) {
    cancel_word(tcb).fetch_or(identity().cancel_bits.asked, Ordering::Release);
}

/// Whether a thread that was asked to cancel itself does so at its next cancellation point.
pub fn is_cancelled(tcb: usize) -> bool {
    let CancelBits { asked, disabled, exiting, .. } = identity().cancel_bits;
    let word = cancel_word(tcb).load(Ordering::Acquire);
    word & asked != 0 && word & (disabled | exiting) == 0
}

/// Whether it ends: it has called pthread_exit, or acts on a cancellation.
pub fn exits(tcb: usize) -> bool {
    cancel_word(tcb).load(Ordering::Acquire) & identity().cancel_bits.exiting != 0
}

/// Whether its cancellation type is asynchronous.
pub fn cancels_at_once(tcb: usize) -> bool {
    cancel_word(tcb).load(Ordering::Acquire) & identity().cancel_bits.asynchronous != 0
}

/// Whether cancellation is disabled, asked for or not, or the thread ends already.
pub fn is_cancel_disabled(tcb: usize) -> bool {
    let CancelBits { disabled, exiting, .. } = identity().cancel_bits;
    cancel_word(tcb).load(Ordering::Acquire) & (disabled | exiting) != 0
}

/// Whether it is in dlopen or dlclose: perhaps in the constructor of a library.
pub fn is_loading(tcb: usize) -> bool {
    identity().loads.is_some_and(|owner| owner.load(Ordering::Relaxed) == tid(tcb))
}

fn cancel_word(tcb: usize) -> &'static AtomicI32 {
    // SAFETY: a place in a live block, which glibc changes atomically as well.
    unsafe { AtomicI32::from_ptr((tcb + identity().layout.cancel) as *mut i32) }
}

/// The bytes of a stack that its thread's static TLS and `struct pthread` take.
pub fn static_size() -> usize {
    identity().layout.tls_size
}

/// The first thing on a new stack: what libc sets up on the running thread itself.
pub fn begin() {
    debug_assert_eq!(word(fs::get(), 0) as usize, fs::get());
    // SAFETY: initialises the running thread's character tables.
    unsafe { (identity().layout.ctype_init)() };
}
