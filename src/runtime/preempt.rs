//! Preemption: a thread that hogs the hub is switched away from, so that programs written for real threads (a spinning
//! main, a computing Python thread, a Ruby time slice) do not hang.
//!
//! A helper, a kernel thread of ours that libc does not know (raw clone, raw system calls, no TLS), looks every
//! [`TICK`]: the same slice as at its last look, and someone else who could run? Then it sends the hub's thread
//! [`SIGNAL`]. It sleeps while the hub has nothing to run, or nobody else wants the hub.
//!
//! The handler switches only if the interrupted PC lies outside libc, ld.so, libgcc_s, the vDSO, a library that brings malloc
//! and this library (their locks, the unwinder's state and the malloc words that all green threads share would be caught
//! half-way), and no handler of the program is beneath. Else it spends the thread's budget, so that its next row yields.
//!
//! Safety: the handler runs on the hub's kernel thread, on the running green thread's own stack; the signal frame,
//! with all registers, stays there until the thread's next turn returns through it. It makes no libc call and leaves
//! errno alone. SA_NODEFER: the signal stays open while we are away. The helper is sent off only to a hub thread that
//! computes (state R), or to one that [`rescue`] takes out of its sleep: a signal would end other sleeps with EINTR. It may
//! begin one in that very moment; so before a call that waits natively, [`uncut`] makes sure that no signal is on its way.

use core::ffi::{CStr, c_int, c_void};
use core::sync::atomic::{AtomicBool, AtomicI32, AtomicI64, AtomicU32, AtomicU64, AtomicUsize, Ordering};

use crate::kernel::clone::{self, Start};
use crate::kernel::signal::{Action, set_action};
use crate::kernel::{Result, options, stats, tasks};
use crate::syscall;

use super::green::{Green, this};
use super::hub::hub;
use super::{errand, offload, rescue};

/// The reserved signal: SIGSTKFLT, which Linux never sends and no program uses.
pub const SIGNAL: c_int = libc::SIGSTKFLT;
/// Nanoseconds between two looks: a slice is cut after one to two of them, 10 ms at most. And between looks at a thread that spins: one
/// that was cut again within [`NEAR`] bytes of where it was cut before waits for the others, not for the clock.
const TICK: i64 = 5_000_000;
const SPIN_TICK: i64 = 100_000;
const NEAR: usize = 64;
/// Looks at an idle hub before the helper goes to sleep.
const PATIENCE: u32 = 20;

static SLICE: AtomicU64 = AtomicU64::new(0);
static IDLE: AtomicBool = AtomicBool::new(true);
/// 1 while the helper sleeps until the hub has work.
static ASLEEP: AtomicU32 = AtomicU32::new(0);
static HUB_TID: AtomicI32 = AtomicI32::new(0);
static CONTENDED: AtomicBool = AtomicBool::new(false);
/// Whether the thread that has its turn may be cut. One that may not is left alone: a signal would end its native waits.
static MAY_CUT: AtomicBool = AtomicBool::new(true);
/// The helper is about to send a signal, or has sent one that has not come.
static SENT: AtomicBool = AtomicBool::new(false);
/// Its tid.
static TID: AtomicI32 = AtomicI32::new(0);
/// The helper's own tid; 0: there is none.
static HELPER: AtomicI32 = AtomicI32::new(0);
/// What speaks for it that the program's stacks are not for signals: both of [`Sign`].
static KEEPS_OFF: AtomicU32 = AtomicU32::new(0);
static PAUSE: AtomicI64 = AtomicI64::new(TICK);

const RANGES: usize = 16;
/// Where this library's code lies.
static OWN: [AtomicUsize; 2] = [const { AtomicUsize::new(0) }; 2];
static FROM: [AtomicUsize; RANGES] = [const { AtomicUsize::new(0) }; RANGES];
static TO: [AtomicUsize; RANGES] = [const { AtomicUsize::new(0) }; RANGES];

/// `green` has its turn.
#[inline(always)]
pub(super) fn slice_begins(green: &Green) {
    MAY_CUT.store(green.preemptible.get(), Ordering::Relaxed);
    TID.store(green.tid.get(), Ordering::Relaxed);
    SLICE.store(SLICE.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
    look_again();
}

/// The hub is about to wait in the poller (or has come back).
#[inline(always)]
pub(super) fn idle(waits: bool) {
    IDLE.store(waits, Ordering::Relaxed);
}

/// The running number of the turn that lasts now, and the tid of the thread that has it; None: the hub waits in the poller.
/// Any thread.
pub fn turn() -> Option<(u64, i32)> {
    let idle = IDLE.load(Ordering::Relaxed);
    (!idle).then(|| (SLICE.load(Ordering::Relaxed), TID.load(Ordering::Relaxed)))
}

/// Makes a call natively, that may wait, for `green` on the processor: no signal of preemption ends it.
#[inline(always)]
pub fn uncut<T>(green: &Green, call: impl FnOnce() -> T) -> T {
    keep_off(green);
    let answer = call();
    resume();
    answer
}

/// The end of [`uncut`], or the running thread has left such a call otherwise.
pub fn resume() {
    if let Some(green) = this() {
        MAY_CUT.store(green.preemptible.get(), Ordering::Relaxed);
        look_again();
    }
}

/// Either the helper sees the first store, or this sees that it sends.
#[cold]
fn keep_off(green: &Green) {
    /// System calls that a signal has to come by. More: it is blocked, and ends nothing.
    const LOOKS: usize = 10_000;
    if !green.preemptible.get() {
        return;
    }
    MAY_CUT.store(false, Ordering::SeqCst);
    for _ in 0..LOOKS {
        if !SENT.load(Ordering::SeqCst) {
            return;
        }
        // SAFETY: takes nothing; a signal comes at the return of a system call at the latest.
        let _ = unsafe { syscall!(libc::SYS_sched_yield) };
    }
}

/// Sends the signal to a thread that computes, unless it is about to wait. By the helper.
fn cut(pid: usize, hub: c_int) {
    SENT.store(true, Ordering::SeqCst);
    // SAFETY: a signal to our own thread.
    if !MAY_CUT.load(Ordering::SeqCst) || unsafe { syscall!(libc::SYS_tgkill, pid, hub, SIGNAL) }.is_err() {
        SENT.store(false, Ordering::Relaxed);
    }
}

#[cold]
fn wake_helper() {
    if ASLEEP.swap(0, Ordering::SeqCst) != 0 {
        // SAFETY: wakes the helper at its futex word.
        let _ = unsafe { syscall!(libc::SYS_futex, &ASLEEP, libc::FUTEX_WAKE | libc::FUTEX_PRIVATE_FLAG, 1) };
    }
}

/// Starts the helper, unless EVENTLET_PREEMPT=0. On the hub's thread, at activation and in a fork child.
pub(super) fn start() -> Result<()> {
    MAY_CUT.store(hub().first.preemptible.get(), Ordering::Relaxed);
    TID.store(hub().first.tid.get(), Ordering::Relaxed);
    if options::PREEMPT.on() || rescue::blind() { start_looking() } else { Ok(()) }
}

/// Rescue needs the helper in any case.
pub(super) fn start_for_rescue() -> Result<()> {
    if options::PREEMPT.on() { Ok(()) } else { start_looking() }
}

fn start_looking() -> Result<()> {
    // SAFETY: gettid takes nothing.
    HUB_TID.store(unsafe { syscall!(libc::SYS_gettid)? } as i32, Ordering::Relaxed);
    find_ranges();
    install_handler()?;
    start_helper()
}

/// In a fork child: the helper is not there.
pub(super) fn forked() {
    HELPER.store(0, Ordering::Relaxed);
    ASLEEP.store(0, Ordering::Relaxed);
    SENT.store(false, Ordering::Relaxed);
    IDLE.store(true, Ordering::Relaxed);
    contended(false);
}

/// Whether this kernel thread is the helper, which never stands in libc.
pub fn is_helper(tid: c_int) -> bool {
    HELPER.load(Ordering::Relaxed) == tid
}

/// Whether this PC is one of this library.
pub(super) fn is_own(pc: usize) -> bool {
    (OWN[0].load(Ordering::Relaxed)..OWN[1].load(Ordering::Relaxed)).contains(&pc)
}

/// Whether this PC may be switched away from.
pub(super) fn switchable(pc: usize) -> bool {
    FROM.iter()
        .zip(&TO)
        .all(|(from, to)| !(from.load(Ordering::Relaxed)..to.load(Ordering::Relaxed)).contains(&pc))
}

extern "C" fn on_signal(_: c_int, _: *mut libc::siginfo_t, context: *mut c_void) {
    SENT.store(false, Ordering::Relaxed);
    let Some(green) = this() else { return offload::on_signal(context) };
    let hub = hub();
    // While the loop itself runs on some thread's %fs: nothing to do.
    if !hub.running().is_some_and(|running| core::ptr::eq(running, green)) || green.in_bypass() {
        return;
    }
    if keeps_off() {
        return hub.spend();
    }
    // SAFETY: the kernel gives a ucontext with the interrupted registers.
    if unsafe { rescue::on_signal(green, context.cast()) }
        || !hub.contended()
        || !green.preemptible.get()
        || !options::PREEMPT.on()
    {
        return;
    }
    // SAFETY: as above.
    let pc =
        unsafe { (*context.cast::<libc::ucontext_t>()).uc_mcontext.gregs[libc::REG_RIP as usize] } as usize;
    if switchable(pc) {
        stats::PREEMPTIONS.bump();
        let spins = pc.abs_diff(green.cut_at.replace(pc)) < NEAR;
        PAUSE.store(if spins { SPIN_TICK } else { TICK }, Ordering::Relaxed);
        hub.want_poll();
        green.yield_now();
    } else {
        hub.spend();
    }
}

/// A runtime whose stacks have no room for a signal's frame, since they grow towards its heaps (Erlang's, Go's), does both of
/// these. Then none is put there: threads change hands at rows alone.
pub(super) enum Sign {
    /// A signal that is no fault is handled on an alternate stack. (Python does so as well.)
    Handler = 1,
    /// A thread other than the first has an alternate stack. (Rust and Ruby, to tell of overflows.)
    Stack = 2,
}

/// The program has given that sign.
pub(super) fn keep_off_stacks(sign: Sign) {
    let before = KEEPS_OFF.fetch_or(sign as u32, Ordering::Relaxed);
    if before != BOTH && keeps_off() {
        let _ = install_handler();
    }
}

const BOTH: u32 = Sign::Handler as u32 | Sign::Stack as u32;

fn keeps_off() -> bool {
    KEEPS_OFF.load(Ordering::Relaxed) == BOTH
}

/// Installs the handler of [`SIGNAL`]. Again and again, if need be.
pub(super) fn install_handler() -> Result<()> {
    let place = if keeps_off() { libc::SA_ONSTACK } else { 0 };
    let action = Action {
        handler: on_signal as *const () as usize,
        flags: (libc::SA_SIGINFO | libc::SA_RESTART | libc::SA_NODEFER | place) as usize,
        ..Default::default()
    };
    // SAFETY: our handler, for our own reserved signal.
    unsafe { set_action(SIGNAL, &action)? };
    Ok(())
}

/// Collects where a switch is not allowed.
fn find_ranges() {
    static COUNT: AtomicUsize = AtomicUsize::new(0);
    COUNT.store(0, Ordering::Relaxed);
    fn add(from: usize, to: usize) {
        let place = COUNT.fetch_add(1, Ordering::Relaxed);
        if place < RANGES {
            FROM[place].store(from, Ordering::Relaxed);
            TO[place].store(to, Ordering::Relaxed);
        }
    }
    extern "C" fn object(info: *mut libc::dl_phdr_info, _: usize, _: *mut c_void) -> c_int {
        // SAFETY: dl_iterate_phdr gives a live description of a loaded object.
        let (info, name) = unsafe { (&*info, CStr::from_ptr((*info).dlpi_name)) };
        let name = name.to_bytes();
        // SAFETY: its program headers, `dlpi_phnum` of them.
        let headers = unsafe { core::slice::from_raw_parts(info.dlpi_phdr, info.dlpi_phnum as usize) };
        let code = headers
            .iter()
            .filter(|header| header.p_type == libc::PT_LOAD && header.p_flags & libc::PF_X != 0);
        let base = info.dlpi_addr as usize;
        let spans = code.map(|header| {
            (base + header.p_vaddr as usize, base + (header.p_vaddr + header.p_memsz) as usize)
        });
        let ours = on_signal as *const () as usize;
        // The program itself, whose name is empty, stays open.
        let malloc = if name.is_empty() { 0 } else { libc::malloc as *const () as usize };
        let contains = |part: &[u8]| name.windows(part.len()).any(|window| window == part);
        let excluded = [&b"/libc.so"[..], b"/ld-linux", b"/libgcc_s.so", b"linux-vdso"]
            .iter()
            .any(|part| contains(part));
        for (from, to) in spans {
            if (from..to).contains(&ours) {
                OWN[0].store(from, Ordering::Relaxed);
                OWN[1].store(to, Ordering::Relaxed);
            }
            if excluded || [ours, malloc].iter().any(|place| (from..to).contains(place)) {
                add(from, to);
            }
        }
        0
    }
    // SAFETY: the callback keeps nothing; called while the process has one green thread.
    unsafe { libc::dl_iterate_phdr(Some(object), core::ptr::null_mut()) };
}

const STACK: usize = 16 * 1024;

/// A kernel thread without libc: its own small stack, the hub's `%fs` (which it never uses).
fn start_helper() -> Result<()> {
    IDLE.store(false, Ordering::Relaxed);
    ASLEEP.store(0, Ordering::Relaxed);
    // SAFETY: a private mapping, which is the helper's stack for ever.
    unsafe {
        let stack = syscall!(
            libc::SYS_mmap,
            0,
            STACK,
            libc::PROT_READ | libc::PROT_WRITE,
            libc::MAP_PRIVATE | libc::MAP_ANONYMOUS,
            -1isize,
            0
        )?;
        let start = Start { top: stack + STACK, run: helper, argument: 0, mask: !0, own: None };
        HELPER.store(clone::start(&start)?, Ordering::Relaxed);
    }
    Ok(())
}

extern "C" fn helper(_: usize) -> ! {
    let name = c"eventlet-ticker";
    // SAFETY: raw system calls on our own memory only.
    unsafe {
        let _ = syscall!(libc::SYS_prctl, libc::PR_SET_NAME, name.as_ptr());
        let pid = syscall!(libc::SYS_getpid).unwrap_or(0);
        let (mut seen, mut quiet, mut calls) = (0, 0, 0);
        loop {
            let pause = libc::timespec { tv_sec: 0, tv_nsec: PAUSE.load(Ordering::Relaxed) };
            let _ = syscall!(libc::SYS_nanosleep, &pause, 0);
            let slice = SLICE.load(Ordering::Relaxed);
            let idle = IDLE.load(Ordering::Relaxed);
            let hub = HUB_TID.load(Ordering::Relaxed);
            let stays = slice == seen && !idle;
            let may_cut = MAY_CUT.load(Ordering::Relaxed);
            let hogged = stays && may_cut && wanted();
            // Rows that it has gone through meanwhile: it does not sleep in a call that has none.
            let calls_then = core::mem::replace(&mut calls, self::hub().budget.left());
            let stuck = stays && calls == calls_then;
            let asleep = stuck && (may_cut || rescue::blind()) && rescue::look(hub);
            if asleep {
                let _ = syscall!(libc::SYS_tgkill, pid, hub, SIGNAL);
            } else if hogged && tasks::computes(hub) {
                cut(pid, hub);
            }
            quiet = if slice == seen && !watched() && !asleep { quiet + 1 } else { 0 };
            seen = slice;
            if quiet >= PATIENCE {
                quiet = 0;
                PAUSE.store(TICK, Ordering::Relaxed);
                ASLEEP.store(1, Ordering::SeqCst);
                // The hub looks at it with no fence after its own store: what it stored meanwhile shows after a pause.
                let _ = syscall!(libc::SYS_nanosleep, &pause, 0);
                if SLICE.load(Ordering::SeqCst) == seen && !watched() {
                    let _ =
                        syscall!(libc::SYS_futex, &ASLEEP, libc::FUTEX_WAIT | libc::FUTEX_PRIVATE_FLAG, 1, 0);
                }
                ASLEEP.store(0, Ordering::SeqCst);
            }
        }
    }
}

/// Tells the helper whether anyone but the running thread could use the hub.
#[inline(always)]
pub(super) fn contended(any: bool) {
    CONTENDED.store(any, Ordering::Relaxed);
    if any {
        look_again();
    }
}

/// Somebody wants the hub in the midst of a slice, which the helper may have seen and gone to sleep over.
#[inline(always)]
pub(super) fn look_again() {
    if ASLEEP.load(Ordering::Relaxed) != 0 {
        wake_helper();
    }
}

/// Whether anyone but the running thread wants the hub, or could soon. By the helper.
fn wanted() -> bool {
    CONTENDED.load(Ordering::Relaxed) || !errand::is_none()
}

/// Whether a slice lasts that may have to be cut, now or later.
fn watched() -> bool {
    let cuts = MAY_CUT.load(Ordering::Relaxed) || rescue::blind();
    cuts && wanted() && !IDLE.load(Ordering::Relaxed)
}
