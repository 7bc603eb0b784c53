//! Signal masks: one of each green thread's own, and the kernel's, which is that of whoever is on the processor.
//!
//! The kernel's mask changes at a switch, if the two threads' differ, and while the hub asks the poller: then only what
//! *all* threads block stays blocked, so that a signal which any thread lets through reaches the wrapper.
//!
//! Safety: all of it is touched on the hub's kernel thread alone.

use core::ffi::c_int;
use core::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};

use crate::kernel::signal::{self, bit};
use crate::runtime::green::Green;
use crate::runtime::preempt;

/// The mask that the hub's kernel thread has.
static KERNEL: AtomicU64 = AtomicU64::new(0);
/// No mask of a thread's.
const UNKNOWN: u64 = bit(libc::SIGKILL);
/// The signals that all threads block; fewer, if a thread has ended since it was last counted.
static ALL: AtomicU64 = AtomicU64::new(0);
static RECOUNT: AtomicBool = AtomicBool::new(false);
/// How many threads there are, and how many block each signal.
static THREADS: AtomicU32 = AtomicU32::new(0);
static BLOCKERS: [AtomicU32; 64] = [const { AtomicU32::new(0) }; 64];

/// What the kernel is told of a thread's mask: preemption is not the program's to block.
#[inline(always)]
fn for_kernel(mask: u64) -> u64 {
    mask & !bit(preempt::SIGNAL)
}

/// Whether `green` blocks `sig`.
#[inline(always)]
pub(super) fn blocks(green: &Green, sig: c_int) -> bool {
    green.mask.get() & bit(sig) != 0
}

fn bits(mut mask: u64) -> impl Iterator<Item = usize> {
    core::iter::from_fn(move || {
        let place = mask.trailing_zeros();
        mask &= mask.wrapping_sub(1);
        (place < 64).then_some(place as usize)
    })
}

fn count(mask: u64, change: i32) {
    for place in bits(mask) {
        let blockers = BLOCKERS[place].load(Ordering::Relaxed).wrapping_add_signed(change);
        BLOCKERS[place].store(blockers, Ordering::Relaxed);
    }
}

/// Which of `candidates` all threads block.
fn unanimous(candidates: u64) -> u64 {
    let threads = THREADS.load(Ordering::Relaxed);
    bits(candidates)
        .filter(|place| BLOCKERS[*place].load(Ordering::Relaxed) == threads)
        .fold(0, |all, place| all | 1 << place)
}

/// A thread with its mask begins to count.
pub(in crate::runtime) fn join(green: &Green) {
    let mask = green.mask.get();
    let threads = THREADS.load(Ordering::Relaxed) + 1;
    THREADS.store(threads, Ordering::Relaxed);
    count(mask, 1);
    ALL.store(if threads == 1 { mask } else { ALL.load(Ordering::Relaxed) & mask }, Ordering::Relaxed);
}

/// It has ended: it takes no signal any more.
pub(in crate::runtime) fn leave(green: &Green) {
    let mask = green.mask.replace(!0);
    THREADS.store(THREADS.load(Ordering::Relaxed) - 1, Ordering::Relaxed);
    count(mask, -1);
    RECOUNT.store(true, Ordering::Relaxed);
}

/// Green thread 0, alone at activation: what the kernel says is true.
pub(super) fn activate(first: &Green) {
    first.mask.set(signal::mask());
    KERNEL.store(first.mask.get(), Ordering::Relaxed);
    THREADS.store(0, Ordering::Relaxed);
    BLOCKERS.iter().for_each(|blockers| blockers.store(0, Ordering::Relaxed));
    join(first);
}

/// Gives `green` another mask. The kernel is not told: that is for the next switch or [`load`].
pub(super) fn set(green: &Green, mask: u64) {
    let mask = mask & !(bit(libc::SIGKILL) | bit(libc::SIGSTOP));
    let old = green.mask.replace(mask);
    count(mask & !old, 1);
    count(old & !mask, -1);
    let all = ALL.load(Ordering::Relaxed) & !(old ^ mask);
    ALL.store(all | unanimous(mask & !old), Ordering::Relaxed);
}

/// Puts the mask of `green`, which is about to be on the processor or is, in force.
#[inline(always)]
pub(in crate::runtime) fn load(green: &Green) {
    enforce(for_kernel(green.mask.get()));
}

/// Lets all through that not all threads block: before the poller is asked.
#[inline(always)]
pub(in crate::runtime) fn open() {
    if RECOUNT.load(Ordering::Relaxed) {
        RECOUNT.store(false, Ordering::Relaxed);
        ALL.store(unanimous(!0), Ordering::Relaxed);
    }
    enforce(for_kernel(ALL.load(Ordering::Relaxed)));
}

/// Tells the kernel the whole mask of `green`, which is on the processor: what is started now inherits it.
pub(super) fn expose(green: &Green) {
    enforce(green.mask.get());
}

#[inline(always)]
fn enforce(mask: u64) {
    if KERNEL.load(Ordering::Relaxed) != mask {
        tell(mask);
    }
}

#[cold]
fn tell(mask: u64) {
    // First ours, then the kernel's: what comes through at once finds both the same.
    KERNEL.store(mask, Ordering::Relaxed);
    signal::set_mask(mask);
}

/// While a handler runs, the kernel has a mask of its own making: not known, until the handler returns. It may never.
pub(super) fn during<T>(handler: impl FnOnce() -> T) -> T {
    let before = KERNEL.swap(UNKNOWN, Ordering::Relaxed);
    let answer = handler();
    KERNEL.store(before, Ordering::Relaxed);
    answer
}

/// The kernel's mask was, or is about to be, changed to `mask` without us, by the running thread `green`.
pub(super) fn adopt(green: &Green, mask: u64) {
    KERNEL.store(mask, Ordering::Relaxed);
    set(green, mask | green.mask.get() & bit(preempt::SIGNAL));
}
