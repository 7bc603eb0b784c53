//! The life of a green thread: made, run, ended, reaped. And activation: the first `pthread_create` that asks for one
//! builds identity, hub, poller and preemption; before it the library is dormant.
//!
//! A thread that has ended keeps its slot until it is joined, or gives it up at once if it is detached; then the slot,
//! TLS block included, waits for the next thread.
//!
//! Safety: a [`Green`] lies in its own slot, between stack and TLS block. It is written before the thread is admitted
//! and stays until the slot is taken again, so a pointer to it is good as long as C allows its `pthread_t` to be used.

use core::ffi::c_void;
use core::ptr;
use core::sync::atomic::{AtomicBool, AtomicPtr, AtomicU32, Ordering};

use corosensei::stack::Stack as _;

use crate::data::Deadline;
use crate::data::stack::{self, StackSlot};
use crate::kernel::{Result, asan, fs, log, stats};
use crate::syscall;

use super::credentials::Credentials;
use super::green::{Affinity, Coroutine, Green, Joiner, Scheduling, State, Task, Wait, Wake, this};
use super::hub::{hand, hub};
use super::{entry, errand, fork, identity, parking, preempt, raise, signals};

/// The stack of a new thread.
#[derive(Clone, Copy, Debug)]
pub enum Stack {
    /// So many bytes of ours.
    Size(usize),
    /// The program's memory (`pthread_attr_setstack`).
    Own {
        /// Its lowest address.
        address: usize,
        /// Its length.
        size: usize,
    },
}

/// What a new thread is to be.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    /// The start routine.
    pub start: extern "C" fn(*mut c_void) -> *mut c_void,
    /// Its argument.
    pub arg: *mut c_void,
    /// Where it runs.
    pub stack: Stack,
    /// Guard bytes that `pthread_getattr_np` reports.
    pub guard_size: usize,
    /// PTHREAD_CREATE_DETACHED.
    pub detached: bool,
    /// The signal mask it starts with.
    pub mask: u64,
    /// Scheduling parameters other than its creator's.
    pub scheduling: Option<Scheduling>,
    /// Processors other than its creator's.
    pub affinity: Option<Affinity>,
    /// A nice value other than the process's.
    pub nice: Option<i32>,
    /// Credentials other than the process's.
    pub credentials: Option<Credentials>,
}

impl Plan {
    fn has_own_parameters(&self) -> bool {
        self.scheduling.is_some()
            || self.affinity.is_some()
            || self.nice.is_some()
            || self.credentials.is_some()
    }
}

const PTHREAD_CANCELED: *mut c_void = ptr::without_provenance_mut(usize::MAX);

const DORMANT: u32 = 0;
const GREEN: u32 = 1;
const NATIVE: u32 = 2;
static MODE: AtomicU32 = AtomicU32::new(DORMANT);

static DEEPEN: AtomicPtr<()> = AtomicPtr::new(ptr::null_mut());

/// Gives activation, and the making of every thread, a step: what the edge does to libc's own calls. On the hub's thread.
pub fn install_deepen(deepen: fn()) {
    DEEPEN.store(deepen as *mut (), Ordering::Release);
}

fn deepen() {
    let step = DEEPEN.load(Ordering::Acquire);
    if !step.is_null() {
        // SAFETY: stored above, with this type.
        unsafe { core::mem::transmute::<*mut (), fn()>(step)() };
    }
}

/// Whether threads made now can be green; the first call on the process's first thread activates. False for ever when
/// this glibc's layout is not understood (said once on stderr), and false for a foreign thread while dormant.
pub fn ready() -> bool {
    match MODE.load(Ordering::Acquire) {
        GREEN => true,
        NATIVE => false,
        _ => activate(),
    }
}

#[cold]
fn activate() -> bool {
    // SAFETY: both take nothing.
    let (pid, tid) = unsafe { (syscall!(libc::SYS_getpid), syscall!(libc::SYS_gettid)) };
    if pid != tid {
        return false;
    }
    let known = if identity::built() { Ok(()) } else { identity::build() };
    let answer = known.and_then(|()| {
        hub().activate(tid.unwrap_or(0) as i32).map_err(|_| "the poller could not be made")?;
        signals::activate().map_err(|_| "no alternate stack for overflow reports")?;
        deepen();
        asan::find();
        preempt::start().map_err(|_| "the preemption helper could not be started")
    });
    match answer {
        Ok(()) => {
            MODE.store(GREEN, Ordering::Release);
            log::note(format_args!("green threads from here on"));
            true
        }
        Err(what) => {
            MODE.store(NATIVE, Ordering::Release);
            log::warn(format_args!("{what}: threads stay real"));
            false
        }
    }
}

/// Makes a green thread and puts it at the back of the run queue; its `pthread_t`. EAGAIN: no memory for its stack.
/// Only when [`ready`]; a foreign thread waits until the hub has done its part. None: the hub does not come to it, and a
/// real thread must do.
pub fn spawn(plan: Plan) -> Option<Result<usize>> {
    let made = make(plan);
    if made.is_none() {
        stats::NATIVE.bump();
    }
    made
}

/// The block is made by the caller: its memory is the program's malloc's, which may have a mutex for a lock, and the hub must
/// not wait there.
fn make(plan: Plan) -> Option<Result<usize>> {
    let fp = fs::FpControl::read();
    if this().is_none() {
        return make_from_afar(plan, fp);
    }
    Some(take(&plan).and_then(|mut slot| match identity::make(&mut slot, size_of::<Green>()) {
        Ok(tcb) => Ok(begin(&plan, slot, tcb, fp)),
        Err(error) => {
            stack::put(slot);
            Err(error)
        }
    }))
}

/// The same by a foreign thread, for which the hub does its part; each part has what it needs, since it may come too late.
#[cold]
fn make_from_afar(plan: Plan, fp: fs::FpControl) -> Option<Result<usize>> {
    let mut slot = match errand::on_hub_or_not(move || take(&plan))? {
        Ok(slot) => slot,
        Err(error) => return Some(Err(error)),
    };
    match identity::make(&mut slot, size_of::<Green>()) {
        Ok(tcb) => errand::on_hub_or_not(move || Ok(begin(&plan, slot, tcb, fp))),
        Err(error) => errand::on_hub_or_not(move || {
            stack::put(slot);
            Err(error)
        }),
    }
}

fn take(plan: &Plan) -> Result<StackSlot> {
    deepen();
    match plan.stack {
        Stack::Own { address, size } => Ok(StackSlot::outside(address, size)),
        Stack::Size(size) => stack::take(size),
    }
}

/// Makes a thread of a slot with a block, and admits it; its `pthread_t`.
fn begin(plan: &Plan, slot: StackSlot, tcb: usize, fp: fs::FpControl) -> usize {
    // What pthread_getattr_np tells: as many bytes as were asked for, of those that end where the class does.
    let (lowest, size) = match plan.stack {
        Stack::Own { address, size } => (address, size),
        Stack::Size(size) => (slot.bottom() + slot.size() - size, size),
    };
    let place = slot.base().get() as *mut Green;
    let task = Task { start: plan.start, arg: plan.arg };
    // SAFETY: the room above the base is ours, aligned to 64 and of that size; the slot's former thread was reaped.
    let green: &'static Green = unsafe {
        place.write(Green::new(tcb, task, (lowest, size, plan.guard_size)));
        &*place
    };
    green.tid.set(identity::tid(tcb));
    green.joiner.set(if plan.detached { Joiner::Detached } else { Joiner::None });
    green.mask.set(plan.mask);
    if plan.has_own_parameters() {
        green.scheduling.set(plan.scheduling);
        green.affinity.set(plan.affinity);
        green.nice.set(plan.nice);
        green.credentials.set(plan.credentials);
    }
    green.fp.set(fp);
    // SAFETY: the block was made just now and nobody runs on it.
    unsafe { *fs::this_of(tcb) = ptr::from_ref(green).cast() };
    identity::enlist(tcb);
    let coroutine = Coroutine::with_stack(slot, move |yielder, ()| {
        green.begin(yielder);
        body(green);
    });
    // SAFETY: nobody else looks at the fresh thread.
    unsafe { *green.coroutine.get() = Some(coroutine) };
    hub().admit(green);
    tcb
}

/// All of a thread's life, on its own stack and `%fs`.
fn body(green: &'static Green) {
    identity::begin();
    // SAFETY: start routine and argument are the program's; a pthread_exit inside comes back from here too.
    unsafe { entry::run(green.task.start, green.task.arg) };
    fork::end_if_first(green);
    raise_ends(green);
    // The program's destructors run in it and may park.
    green.result.set(identity::finish(|mutex| {
        parking::wake(mutex as usize, usize::MAX);
    }));
    // What its destructors have asked for.
    raise::ended(green, None);
}

/// What was raised in `green` and caught by nobody is its end.
fn raise_ends(green: &Green) {
    let code = raise::escaped(green);
    if code != 0 {
        raise::report(green, code);
        identity::block::set_result(green.tcb(), PTHREAD_CANCELED);
    }
    raise::ended(green, Some(code));
}

/// The coroutine of `green` has returned. On the hub's `%fs`.
pub(super) fn ended(green: &'static Green) {
    green.state.set(State::Finished);
    tell_joiner(green);
    if hub().live() == 0 && FIRST_ENDED.load(Ordering::Relaxed) {
        hand(&hub().first, Wake::Ready);
    }
}

fn tell_joiner(green: &'static Green) {
    green.ended.store(1, Ordering::Release);
    match green.joiner.get() {
        Joiner::Green(joiner) => {
            // SAFETY: it is parked for us, so alive.
            hand(unsafe { &*joiner }, Wake::Ready);
        }
        Joiner::Foreign => {
            let (word, wake) = (&green.ended, libc::FUTEX_WAKE | libc::FUTEX_PRIVATE_FLAG);
            // SAFETY: it waits at this word of ours.
            let _ = unsafe { syscall!(libc::SYS_futex, word, wake, 1) };
        }
        Joiner::Detached => reap(green),
        Joiner::None | Joiner::Joined => {}
    }
}

/// In a fork child: dormant again.
pub(super) fn forked() {
    let _ = MODE.compare_exchange(GREEN, DORMANT, Ordering::Relaxed, Ordering::Relaxed);
    errand::forked();
    FIRST_ENDED.store(false, Ordering::Relaxed);
}

/// Gives the slot of a finished thread back: after join, or at the end of a detached one. The first thread has none.
pub fn reap(green: &'static Green) {
    debug_assert!(green.ended.load(Ordering::Relaxed) != 0);
    green.joiner.set(Joiner::Joined);
    if green.is_first() {
        return;
    }
    green.all.unlink();
    // SAFETY: an ended thread waits for nothing.
    drop(core::mem::take(unsafe { &mut *green.nodes.get() }));
    // SAFETY: the coroutine has returned, nobody refers to the thread any more.
    let coroutine = unsafe { (*green.coroutine.get()).take() };
    if let Some(coroutine) = coroutine {
        identity::put(coroutine.into_stack());
    }
}

static FIRST_ENDED: AtomicBool = AtomicBool::new(false);

/// Green thread 0 has left main by pthread_exit or cancellation, with `result`: its keys are destroyed, it can be joined,
/// and it waits here until the last other one has ended. Nothing while dormant.
pub fn outlive_all(result: *mut c_void) {
    let Some(first) = super::this() else { return };
    raise::ended(first, Some(0));
    identity::finish_first();
    first.result.set(result);
    FIRST_ENDED.store(true, Ordering::Relaxed);
    tell_joiner(first);
    signals::leave(first);
    let wait = Wait {
        interruptible: false,
        cancellable: false,
        over: |_, _| hub().live() == 0,
        ..Wait::opaque("pthread_exit")
    };
    while hub().live() > 0 {
        first.park(&wait, Deadline::NEVER);
    }
}
