//! Signals that wait for their thread: fixed memory, filled by wrappers at any instruction and by foreign threads.
//!
//! As in the kernel, an ordinary signal waits once for the process and once for each thread, a realtime signal as often
//! as it was sent, and the lowest number goes first.
//!
//! Safety: whoever moves a slot's state to BUSY owns its contents until the next state.

use core::cell::UnsafeCell;
use core::ffi::c_int;
use core::mem::MaybeUninit;
use core::ptr;
use core::sync::atomic::{AtomicI32, AtomicPtr, AtomicU32, AtomicU64, AtomicUsize, Ordering};

use crate::kernel::log;
use crate::runtime::green::Green;

/// Untouched slots take no memory.
const SLOTS: usize = 4096;
const FIRST_REALTIME: c_int = 32;

const FREE: u32 = 0;
const BUSY: u32 = 1;
const READY: u32 = 2;

struct Slot {
    state: AtomicU32,
    sig: AtomicI32,
    order: AtomicU64,
    /// For whom; NULL: the process.
    target: AtomicPtr<Green>,
    info: UnsafeCell<MaybeUninit<libc::siginfo_t>>,
}

// SAFETY: `info` belongs to whoever made the slot BUSY (file header).
unsafe impl Sync for Slot {}

static TABLE: [Slot; SLOTS] = [const {
    Slot {
        state: AtomicU32::new(FREE),
        sig: AtomicI32::new(0),
        order: AtomicU64::new(0),
        target: AtomicPtr::new(ptr::null_mut()),
        info: UnsafeCell::new(MaybeUninit::uninit()),
    }
}; SLOTS];

/// How many slots from the first on have ever been used.
static USED: AtomicUsize = AtomicUsize::new(0);
static COUNT: AtomicU32 = AtomicU32::new(0);
static ORDER: AtomicU64 = AtomicU64::new(0);

/// Whether any signal waits.
#[inline(always)]
pub(super) fn any() -> bool {
    COUNT.load(Ordering::Relaxed) != 0
}

fn used() -> &'static [Slot] {
    &TABLE[..USED.load(Ordering::Acquire)]
}

/// Whether a signal `sig` waits.
pub(super) fn holds(sig: c_int) -> bool {
    any() && used().iter().any(|slot| slot.is_ready(sig))
}

impl Slot {
    fn claim(&self, from: u32) -> bool {
        self.state.compare_exchange(from, BUSY, Ordering::Acquire, Ordering::Relaxed).is_ok()
    }

    fn is_for(&self, target: *const Green) -> bool {
        ptr::eq(self.target.load(Ordering::Relaxed), target)
    }

    fn release(&self) {
        self.state.store(FREE, Ordering::Release);
        COUNT.fetch_sub(1, Ordering::Relaxed);
    }

    fn is_ready(&self, sig: c_int) -> bool {
        self.state.load(Ordering::Acquire) == READY && self.sig.load(Ordering::Relaxed) == sig
    }
}

/// Lets `sig` wait for `target` (NULL: for the process).
pub(super) fn put(sig: c_int, info: &libc::siginfo_t, target: *const Green) {
    if sig < FIRST_REALTIME && used().iter().any(|slot| slot.is_ready(sig) && slot.is_for(target)) {
        return;
    }
    let Some(place) = TABLE.iter().position(|slot| slot.claim(FREE)) else {
        return log::warn(format_args!("signal {sig} is lost: {SLOTS} others wait"));
    };
    USED.fetch_max(place + 1, Ordering::AcqRel);
    let slot = &TABLE[place];
    slot.sig.store(sig, Ordering::Relaxed);
    slot.order.store(ORDER.fetch_add(1, Ordering::Relaxed), Ordering::Relaxed);
    slot.target.store(target.cast_mut(), Ordering::Relaxed);
    // SAFETY: the slot is ours.
    unsafe { (*slot.info.get()).write(*info) };
    COUNT.fetch_add(1, Ordering::Relaxed);
    slot.state.store(READY, Ordering::Release);
}

/// Takes the first signal out that `mine` says yes to.
pub(super) fn take(mine: impl Fn(c_int, *const Green) -> bool) -> Option<(c_int, libc::siginfo_t)> {
    loop {
        let key = |slot: &&Slot| (slot.sig.load(Ordering::Relaxed), slot.order.load(Ordering::Relaxed));
        let ready = used().iter().filter(|slot| slot.state.load(Ordering::Acquire) == READY);
        let slot = ready
            .filter(|slot| mine(slot.sig.load(Ordering::Relaxed), slot.target.load(Ordering::Relaxed)))
            .min_by_key(key)?;
        if slot.claim(READY) {
            // SAFETY: the slot is ours, and was ready.
            let answer = (slot.sig.load(Ordering::Relaxed), unsafe { (*slot.info.get()).assume_init() });
            slot.release();
            return Some(answer);
        }
    }
}

/// Shows every waiting signal and for whom it is.
pub(super) fn each(mut show: impl FnMut(c_int, *const Green)) {
    for slot in used().iter().filter(|slot| slot.state.load(Ordering::Acquire) == READY) {
        show(slot.sig.load(Ordering::Relaxed), slot.target.load(Ordering::Relaxed));
    }
}

/// Drops what `gone` says yes to: the thread has ended.
pub(super) fn drop_where(gone: impl Fn(*const Green) -> bool) {
    drop_slots(|slot| gone(slot.target.load(Ordering::Relaxed)));
}

/// Drops every `sig` that waits.
pub(super) fn drop_signal(sig: c_int) {
    drop_slots(|slot| slot.sig.load(Ordering::Relaxed) == sig);
}

fn drop_slots(gone: impl Fn(&Slot) -> bool) {
    for slot in used() {
        if slot.state.load(Ordering::Acquire) == READY && gone(slot) && slot.claim(READY) {
            slot.release();
        }
    }
}
