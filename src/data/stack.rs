//! Stack slots: where they come from, and where they go when their thread has ended.
//!
//! ```text
//!   slab (one MAP_NORESERVE mapping)
//!   | slot 0                            | slot 1                            | ... | untouched rest
//!   | guard | stack  <-- grows | room, TLS block, TCB |     <- the top is laid out by the caller (identity)
//!   start   bottom             base                end
//! ```
//! A size class is a power of two from 64 KiB; a slot is two pages longer than its class. One is the guard, one makes
//! up for the caller's room, and the odd stride spreads the slots over the TLB's sets and keeps the top of one slot
//! and the guard of the next in the same page-table page.
//!
//! Free slots are a LIFO per class, so a busy server runs on a few warm ones. Slots that pile up unused are given back
//! by [`tidy`], which the hub calls when it has nothing to do: those that lay free for a whole [`AGE`], all of their
//! memory, some at a time. A thread's end itself makes no system call.
//!
//! Safety: the pool belongs to the hub's kernel thread; [`find`] alone may be called from a signal handler (slabs are
//! published once, complete, and never taken away). A slot is owned by whoever holds its [`StackSlot`].

use core::cell::UnsafeCell;
use core::sync::atomic::{AtomicPtr, Ordering};

use corosensei::stack::{STACK_ALIGNMENT, Stack, StackPointer};

use crate::kernel::{Errno, Result, asan, options, valgrind};

const PAGE: usize = 4096;
/// log2 of the smallest and of the largest class.
const SMALLEST: u32 = 16;
const LARGEST: u32 = 43;
const CLASSES: usize = (LARGEST - SMALLEST + 1) as usize;
/// Slots of a class's first slab; each further slab doubles, up to these bytes.
const FIRST_SLAB: usize = 16;
const SLAB_BYTES: usize = 1 << 38;
/// How long a slot lies free before its memory is given back, and how many go in one call of [`tidy`].
const AGE: u64 = 1_000_000_000;
const BATCH: usize = 64;
/// From this class on the hot lines of all slots would fall into the same sets of the first-level cache.
const COLOURED: usize = 2 << 20;
/// The class of memory that is not ours ([`StackSlot::outside`]).
const OUTSIDE: u8 = u8::MAX;

/// One thread's stack, with room for its TLS block at the top.
#[derive(Debug)]
pub struct StackSlot {
    start: usize,
    end: usize,
    base: usize,
    class: u8,
    used: bool,
    /// What Valgrind calls the program's own memory.
    number: u32,
}

impl StackSlot {
    /// The program's own memory (`pthread_attr_setstack`): no guard, never in the pool.
    pub fn outside(address: usize, size: usize) -> StackSlot {
        let start = address.next_multiple_of(STACK_ALIGNMENT);
        let end = address + size;
        StackSlot {
            start,
            end,
            base: start,
            class: OUTSIDE,
            used: false,
            number: valgrind::stack(start, end),
        }
    }

    /// Whether it is the program's own memory.
    pub fn is_outside(&self) -> bool {
        self.class == OUTSIDE
    }

    fn of_pool(start: usize, class: usize, used: bool) -> StackSlot {
        // Consecutive slots differ in these bits, since the stride is an odd number of two pages more than its class.
        let colour = if bytes(class) < COLOURED { 0 } else { (start / (2 * PAGE)) % 16 * 64 };
        let end = start + stride(class) - colour;
        StackSlot { start, end, base: end, class: class as u8, used, number: 0 }
    }

    /// The lowest usable address, above the guard.
    pub fn bottom(&self) -> usize {
        if self.is_outside() { self.start } else { self.start + PAGE }
    }

    /// Where its memory ends.
    pub fn end(&self) -> usize {
        self.end
    }

    /// Whether its top holds a TLS block of an earlier thread.
    pub fn used(&self) -> bool {
        self.used
    }

    /// Says whether its top holds a TLS block.
    pub fn set_used(&mut self, used: bool) {
        self.used = used;
    }

    /// Sets the stack's top; what lies above is the caller's.
    pub fn set_base(&mut self, base: usize) {
        debug_assert!(base.is_multiple_of(STACK_ALIGNMENT) && base > self.bottom() && base <= self.end);
        self.base = base;
    }

    /// Whether `address` lies in its guard.
    pub fn guards(&self, address: usize) -> bool {
        (self.start..self.bottom()).contains(&address)
    }

    /// The stack bytes that its class promises; 0 for memory that is not ours.
    pub fn size(&self) -> usize {
        if self.is_outside() { 0 } else { bytes(self.class as usize) }
    }
}

// SAFETY: base and start delimit one slot's memory, guard included, and no two live slots overlap. A slot of the
// program's own memory has no guard, as natively.
unsafe impl Stack for StackSlot {
    fn base(&self) -> StackPointer {
        StackPointer::new(self.base).expect("a slot is not at address 0")
    }

    fn limit(&self) -> StackPointer {
        StackPointer::new(self.start).expect("a slot is not at address 0")
    }
}

const fn bytes(class: usize) -> usize {
    1 << (class as u32 + SMALLEST)
}

const fn stride(class: usize) -> usize {
    bytes(class) + 2 * PAGE
}

/// One mapping, known to [`find`].
struct Slab {
    start: usize,
    end: usize,
    class: usize,
    next: *mut Slab,
}

static SLABS: AtomicPtr<Slab> = AtomicPtr::new(core::ptr::null_mut());

struct Class {
    /// The untouched part of the newest slab.
    fresh: usize,
    fresh_end: usize,
    /// Slots that the next slab shall have, and that all slabs have.
    grow: usize,
    total: usize,
    /// Free slots: the start address, its lowest bit says used. Those below `cold` are unused ones.
    free: Vec<usize>,
    cold: usize,
    /// The shortest that `free` was since `since`.
    low: usize,
}

struct Pool {
    classes: [Class; CLASSES],
    since: u64,
}

struct Shared(UnsafeCell<Pool>);

// SAFETY: one kernel thread uses the pool (file header).
unsafe impl Sync for Shared {}

static POOL: Shared = Shared(UnsafeCell::new(Pool {
    classes: [const {
        Class { fresh: 0, fresh_end: 0, grow: FIRST_SLAB, total: 0, free: Vec::new(), cold: 0, low: 0 }
    }; CLASSES],
    since: 0,
}));

#[allow(clippy::mut_from_ref, reason = "one thread, and no borrow outlives a function of this file")]
fn pool() -> &'static mut Pool {
    // SAFETY: one kernel thread; the functions below do not call each other with a borrow alive.
    unsafe { &mut *POOL.0.get() }
}

/// A slot for a stack of `size` bytes. EAGAIN when there is no memory for it, as pthread_create.
pub fn take(size: usize) -> Result<StackSlot> {
    let bits = size.max(1).checked_next_power_of_two().ok_or(Errno(libc::EAGAIN))?.ilog2().max(SMALLEST);
    if bits > LARGEST {
        return Err(Errno(libc::EAGAIN));
    }
    let index = (bits - SMALLEST) as usize;
    let class = &mut pool().classes[index];
    if let Some(entry) = class.free.pop() {
        class.low = class.low.min(class.free.len());
        class.cold = class.cold.min(class.free.len());
        return Ok(StackSlot::of_pool(entry & !1, index, entry & 1 != 0));
    }
    if class.fresh == class.fresh_end {
        class.map(index)?;
    }
    let start = class.fresh;
    guard(start)?;
    class.fresh += stride(index);
    let slot = StackSlot::of_pool(start, index, false);
    valgrind::stack(slot.bottom(), slot.end());
    Ok(slot)
}

/// Takes the slot of an ended thread back. Nobody stands on it any more.
pub fn put(slot: StackSlot) {
    asan::no_frames(slot.bottom(), slot.end());
    if slot.is_outside() {
        return valgrind::no_stack(slot.number);
    }
    let free = &mut pool().classes[slot.class as usize].free;
    debug_assert!(free.len() < free.capacity(), "room for every slot was reserved with its slab");
    free.push(slot.start | slot.used as usize);
}

/// Gives the memory of slots back that lay free for long; to be called when there is nothing to do. `release` takes
/// the TLS block out of a slot first.
pub fn tidy(now: u64, mut release: impl FnMut(&StackSlot)) {
    let pool = pool();
    if now.wrapping_sub(pool.since) < AGE {
        return;
    }
    let mut left = BATCH;
    for (index, class) in pool.classes.iter_mut().enumerate() {
        let last = class.low.min(class.cold + left);
        for entry in &mut class.free[class.cold.min(last)..last] {
            let slot = StackSlot::of_pool(*entry & !1, index, *entry & 1 != 0);
            if slot.used {
                release(&slot);
            }
            *entry = slot.start;
            // A guard survives it. On locked memory it fails and the pages stay.
            // SAFETY: nobody owns the slot, and nothing in it is needed.
            let _ = unsafe {
                crate::syscall!(
                    libc::SYS_madvise,
                    slot.bottom(),
                    slot.start + stride(index) - slot.bottom(),
                    libc::MADV_DONTNEED
                )
            };
            left -= 1;
        }
        class.cold = class.cold.max(last);
    }
    if left > 0 {
        pool.since = now;
        pool.classes.iter_mut().for_each(|class| class.low = class.free.len());
    }
}

/// The slot in which `address` lies, guard included. May be called from a signal handler.
pub fn find(address: usize) -> Option<StackSlot> {
    let mut slab = SLABS.load(Ordering::Acquire);
    // SAFETY: published slabs are complete and live for ever.
    while let Some(Slab { start, end, class, next }) = unsafe { slab.as_ref() } {
        if (*start..*end).contains(&address) {
            let slot = start + (address - start) / stride(*class) * stride(*class);
            return Some(StackSlot::of_pool(slot, *class, true));
        }
        slab = *next;
    }
    None
}

impl Class {
    /// Maps one more slab; a smaller one where a large one does not fit (RLIMIT_AS, overcommit_memory=2).
    fn map(&mut self, index: usize) -> Result<()> {
        let stride = stride(index);
        let mut slots = self.grow.min(SLAB_BYTES / stride).max(1);
        let start = loop {
            const FLAGS: i32 =
                libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE | libc::MAP_STACK;
            let rights = libc::PROT_READ | libc::PROT_WRITE | if is_code() { libc::PROT_EXEC } else { 0 };
            // SAFETY: a new private mapping wherever the kernel likes.
            match unsafe { crate::syscall!(libc::SYS_mmap, 0, slots * stride, rights, FLAGS, -1, 0) } {
                Ok(start) => break start,
                Err(_) if slots > 1 => slots /= 2,
                Err(_) => return Err(Errno(libc::EAGAIN)),
            }
        };
        let length = slots * stride;
        // Huge pages would back every parked thread with 2 MiB. A kernel without them says EINVAL.
        // SAFETY: advice on our own new mapping.
        let _ = unsafe { crate::syscall!(libc::SYS_madvise, start, length, libc::MADV_NOHUGEPAGE) };
        self.grow = slots * 2;
        self.total += slots;
        self.free.reserve(self.total - self.free.len());
        (self.fresh, self.fresh_end) = (start, start + length);
        let next = SLABS.load(Ordering::Relaxed);
        let slab = Box::leak(Box::new(Slab { start, end: start + length, class: index, next }));
        SLABS.store(slab, Ordering::Release);
        Ok(())
    }
}

/// Whether the program is marked to have code on its stacks (GCC's nested functions), or not marked at all.
fn is_code() -> bool {
    // SAFETY: the kernel's word about the program's own headers, which stay mapped.
    unsafe {
        let headers = libc::getauxval(libc::AT_PHDR) as *const libc::Elf64_Phdr;
        let count = libc::getauxval(libc::AT_PHNUM) as usize;
        if headers.is_null() {
            return false;
        }
        let headers = core::slice::from_raw_parts(headers, count);
        let mark = headers.iter().find(|header| header.p_type == libc::PT_GNU_STACK);
        mark.is_none_or(|header| header.p_flags & libc::PF_X != 0)
    }
}

/// Makes the page at `start` a guard: without splitting the mapping where the kernel can (6.13), else by mprotect,
/// which ends at vm.max_map_count as native threads do.
fn guard(start: usize) -> Result<()> {
    const MADV_GUARD_INSTALL: i32 = 102;
    if options::FAULT.get() & options::fault::NO_GUARD_INSTALL == 0 {
        // SAFETY: the first page of a fresh slot of ours.
        if unsafe { crate::syscall!(libc::SYS_madvise, start, PAGE, MADV_GUARD_INSTALL) }.is_ok() {
            return Ok(());
        }
    }
    // SAFETY: as above.
    match unsafe { crate::syscall!(libc::SYS_mprotect, start, PAGE, libc::PROT_NONE) } {
        Ok(_) => Ok(()),
        Err(_) => Err(Errno(libc::EAGAIN)),
    }
}
