//! Identity: a TCB and a TLS block of glibc's own kind for every green thread, so that errno, `__thread`,
//! `pthread_self`, keys, C++ exception state and lock ownership are right without special cases.
//!
//! | file | what it holds |
//! | --- | --- |
//! | [`layout`] | what glibc says about itself |
//! | [`template`] | what one real thread shows |
//! | [`block`] | the blocks: made, recycled, released; their fields |
//! | [`end`] | what a thread does at its end |
//! | [`loader`] | who is in dlopen and dlclose |
//!
//! The life of a block: [`make`] by the creator, [`enlist`]; on the new stack [`begin`], then [`super::entry::run`], then
//! [`finish`]; after the switch away from it [`put`]. The next [`make`] on that slot recycles it; [`tidy`] gives
//! the memory of slots back that nobody needs.
//!
//! Safety: [`build`] runs once, on the main thread, before anything else here; what it writes never changes after.
//! All the rest runs on the hub's kernel thread, but for [`make`].

pub mod block;
pub mod end;
pub mod layout;
pub mod loader;
pub mod template;

use core::cell::UnsafeCell;
use core::mem::MaybeUninit;
use core::sync::atomic::{AtomicBool, Ordering};

use crate::data::stack::{self, StackSlot};
use crate::kernel::{fs, log, options, real::real};

pub use block::{
    begin, cancel, cancels_at_once, enlist, exits, forked, is_cancel_disabled, is_cancelled, is_loading,
    make, result, static_size, tid,
};
pub use end::{finish, finish_first};
use layout::Layout;
use template::Template;

/// All that is known about this process's glibc.
struct Identity {
    layout: Layout,
    template: Template,
    /// The main thread's TCB, whose malloc words all share.
    home: usize,
    /// The bits of the word that glibc keeps for cancellation.
    cancel_bits: CancelBits,
    /// Who holds the loader's lock; None: it was not found.
    loads: Option<loader::Owner>,
}

struct Shared(UnsafeCell<MaybeUninit<Identity>>);

// SAFETY: written once by `build`, before other threads look (file header).
unsafe impl Sync for Shared {}

static IDENTITY: Shared = Shared(UnsafeCell::new(MaybeUninit::uninit()));
static BUILT: AtomicBool = AtomicBool::new(false);

#[inline(always)]
fn identity() -> &'static Identity {
    debug_assert!(built());
    // SAFETY: only after `build`.
    unsafe { (*IDENTITY.0.get()).assume_init_ref() }
}

/// Whether [`build`] has succeeded.
pub fn built() -> bool {
    BUILT.load(Ordering::Acquire)
}

/// Learns glibc's layout and checks all of it, on the main thread, once. It starts one real thread, which is gone when
/// it returns (libc knows from then on that the process is threaded: stdio takes its locks). An error says what is not
/// as expected; then there can be no green threads.
pub fn build() -> Result<(), &'static str> {
    if options::FAULT.get() & options::fault::LAYOUT != 0 {
        return Err("forced by EVENTLET_FAULT");
    }
    let home = fs::get();
    let layout = Layout::read(home)?;
    // SAFETY: the main thread's own block; gettid takes nothing.
    let (said, is) =
        unsafe { (*((home + layout.tid) as *const i32), crate::syscall!(libc::SYS_gettid).unwrap_or(0)) };
    if said as usize != is {
        return Err("the main thread's tid is not where the descriptor says");
    }
    let template = template::learn(&layout)?;
    let cancel_bits =
        cancel_bits(home + layout.cancel, template.ended).ok_or("pthread_cancel leaves no mark")?;
    block::seed_tids();
    let loads = loader::find(layout.loader.clone(), said);
    if loads.is_none() {
        log::note(format_args!("the loader's lock is not to be found: kills may leave it locked"));
    }
    // SAFETY: nobody looks before BUILT is set.
    unsafe { (*IDENTITY.0.get()).write(Identity { layout, template, home, cancel_bits, loads }) };
    BUILT.store(true, Ordering::Release);
    trial().inspect_err(|_| BUILT.store(false, Ordering::Release))
}

/// Takes the slot of an ended thread back. The block stays in it for the next thread; in the program's own memory it
/// cannot stay.
pub fn put(slot: StackSlot) {
    if slot.is_outside() && slot.used() {
        block::release(&slot);
    }
    stack::put(slot);
}

/// Gives the memory of stacks back that lay free for long. To be called by an idle hub.
pub fn tidy(now: u64) {
    stack::tidy(now, block::release);
}

#[derive(Clone, Copy)]
struct CancelBits {
    /// pthread_cancel sets them.
    asked: i32,
    /// The state: disabled.
    disabled: i32,
    /// The type: asynchronous.
    asynchronous: i32,
    /// The thread ends, by pthread_exit, cancellation or return.
    exiting: i32,
}

/// What pthread_cancel and its kin set in the word at `address`, the main thread's: cancellation is asked for while it
/// is disabled, and taken back. `exiting` was seen in a thread that has ended.
fn cancel_bits(address: usize, exiting: i32) -> Option<CancelBits> {
    const ENABLE: i32 = 0;
    const DISABLE: i32 = 1;
    const ASYNCHRONOUS: i32 = 1;
    let word = address as *mut i32;
    let (mut old, mut kind, mut unused) = (0, 0, 0);
    // SAFETY: the running thread's own word; it cannot be cancelled in between.
    unsafe {
        (real().pthread_setcancelstate)(DISABLE, &mut old);
        let before = word.read_volatile();
        (real().pthread_cancel)(fs::get());
        let asked = word.read_volatile() & !before;
        word.write_volatile(before);
        (real().pthread_setcanceltype)(ASYNCHRONOUS, &mut kind);
        let asynchronous = word.read_volatile();
        (real().pthread_setcanceltype)(1 - ASYNCHRONOUS, &mut unused);
        let asynchronous = asynchronous & !word.read_volatile();
        (real().pthread_setcanceltype)(kind, &mut unused);
        (real().pthread_setcancelstate)(ENABLE, &mut unused);
        let disabled = before & !word.read_volatile();
        (real().pthread_setcancelstate)(old, &mut unused);
        let bits = CancelBits { asked, disabled, asynchronous, exiting };
        let one_meaning = asked & disabled == 0 && (asked | disabled | asynchronous) & exiting == 0;
        let all = asked != 0 && disabled != 0 && asynchronous != 0 && exiting != 0;
        (all && one_meaning).then_some(bits)
    }
}

/// Makes a block, makes it again, looks at it and takes it away.
fn trial() -> Result<(), &'static str> {
    let size = identity().layout.tls_size + (64 << 10);
    let mut memory = vec![0xa5u8; size];
    let mut slot = StackSlot::outside(memory.as_mut_ptr() as usize, size);
    let mut tids = [0; 2];
    for tid in &mut tids {
        let tcb = make(&mut slot, 256).map_err(|_| "a block could not be made")?;
        *tid = block::tid(tcb);
        block::unlink(tcb);
        if !fresh(tcb) {
            block::release(&slot);
            return Err("a new block is not as a new thread's should be");
        }
    }
    block::release(&slot);
    if tids[0] == tids[1] || tids[0] <= 1 << 22 { Err("tids are not unique") } else { Ok(()) }
}

fn fresh(tcb: usize) -> bool {
    let Identity { layout, template, home, .. } = identity();
    let word = |offset: isize| {
        // SAFETY: a place in the block just made, or in the main thread's.
        unsafe { *block::word(tcb, offset) }
    };
    // SAFETY: the main thread's own words.
    let shared = |offset: &isize| word(*offset) == unsafe { *block::word(*home, *offset) };
    // SAFETY: a place in the block.
    let errno = unsafe { *block::word(tcb, layout.errno).cast::<i32>() };
    word(0) == tcb
        && word(16) == tcb
        && word(layout.dtv as isize) != 0
        && word(layout.resp) == tcb + template.resolver
        && word(template.robust as isize) == tcb + template.robust
        && errno == 0
        && template.shared.iter().all(shared)
}
