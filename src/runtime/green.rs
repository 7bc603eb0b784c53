//! [`Green`]: one green thread, and its `park`.
//!
//! ```text
//!   slot of one green thread                      %fs of that thread
//!   | guard | stack  <-- grows   | Green | static TLS | struct pthread |
//!                                  ^            |
//!                                  +-- eventlet_this (a word of ours in the TLS block)
//! ```
//! Green thread 0 is the process's first thread: it has no coroutine, its TLS block is glibc's own, and its `park`
//! runs the hub's loop. Every other one is a corosensei coroutine that the loop resumes.
//!
//! Safety: but for `link` (the inbox) and `ended` all fields are touched on the hub's kernel thread alone, by the running green
//! thread or by the hub; so `Cell`s do. A `Green` never moves; it dies when its slot is recycled, after it has ended
//! and was joined or detached.

use core::cell::{Cell, UnsafeCell};
use core::mem::offset_of;
use core::ptr;
use core::sync::atomic::{AtomicU32, Ordering};

use crate::data::Deadline;
use crate::data::inbox::Link;
use crate::data::list::Node;
use crate::data::timers::Timer;
use crate::kernel::fs::{self, FpControl};
use crate::kernel::{cache, options, stats};

use super::cancel;
use super::credentials::Credentials;
use super::detect;
use super::hub::{self, hub};
use super::raise::{self, Raise};
use super::signals::{self, stack::Alternate};
pub use super::wait::{Wait, Wake};

/// Where a green thread stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum State {
    /// In the run queue.
    Runnable,
    /// On the processor.
    Running,
    /// Waiting to be unparked.
    Parked,
    /// Ended; its slot waits for join or recycling.
    Finished,
}

/// Who takes a thread's result, and with it what is left of the thread.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Joiner {
    /// Nobody yet.
    None,
    /// This green thread, which waits for its end.
    Green(*const Green),
    /// A foreign thread, which waits for its end.
    Foreign,
    /// Nobody ever will.
    Detached,
    /// It is done: the thread is no more.
    Joined,
}

/// The coroutine type of all green threads but the first.
pub type Coroutine = corosensei::Coroutine<(), (), (), crate::data::stack::StackSlot>;
type Yielder = corosensei::Yielder<(), ()>;

/// Policy and priority.
#[derive(Clone, Copy, Debug)]
pub struct Scheduling {
    /// SCHED_*.
    pub policy: i32,
    /// 0, or that of a real-time policy.
    pub priority: i32,
}

/// Bits of processors: as many as a `cpu_set_t` has.
pub type Affinity = [u64; 16];

/// What the thread was made for.
#[derive(Debug)]
pub struct Task {
    /// The start routine.
    pub start: extern "C" fn(*mut core::ffi::c_void) -> *mut core::ffi::c_void,
    /// Its argument.
    pub arg: *mut core::ffi::c_void,
}

/// One green thread. What a park, a wake-up and a switch touch comes first, so that it takes few cache lines: a thread
/// that waited long finds all of its memory cold, and each line costs as much as all our instructions.
#[repr(C, align(64))]
pub struct Green {
    pub(super) queued: Cell<*const Green>,
    pub(super) tcb: Cell<usize>,
    /// Where its stack was left, roughly; for [`Green::prefetch_stack`] alone.
    pub(super) sp: Cell<usize>,
    /// Its signal mask (kernel bit order); changed by [`signals`] alone once the thread is admitted.
    pub mask: Cell<u64>,
    /// The address of the frame that raised the bypass (a signal handler's wrapper), [`HUB`] in the hub, 0: none.
    pub(super) bypass: Cell<usize>,
    pub(super) yielder: Cell<*const Yielder>,
    pub(super) fp: Cell<FpControl>,
    /// The tid that the program sees.
    pub tid: Cell<i32>,
    pub(super) state: Cell<State>,
    pub(super) wake: Cell<Wake>,
    /// Cancellation was asked for. Whether it may be acted on, glibc's word in the TCB says.
    pub(super) cancelled: Cell<bool>,
    /// May it be switched away from wherever it stands? Not for threads of `eventlet_spawn`.
    pub preemptible: Cell<bool>,
    pub(super) coroutine: UnsafeCell<Option<Coroutine>>,
    /// The wait node of calls that wait for one thing.
    pub node: Node<Green>,
    pub(super) timer: Timer,
    pub(super) wait: Cell<Wait>,
    /// What is raised in it.
    pub raise: Raise,

    /// What it calls is no cancellation point now, whatever it calls.
    pub(super) deaf: Cell<bool>,
    /// Whether the handler that the bypass is up for may lower it, to wait.
    pub(super) may_open: Cell<bool>,
    /// Whether a handler that was called at the last delivery has left the wait that it interrupted.
    pub(super) disturbed: Cell<bool>,
    /// Since when it is parked, and its wait known to be over: for the detector.
    pub(super) parked_at: Cell<u64>,
    pub(super) over_since: Cell<u64>,
    /// The hub's cycle counter when it parked, as of the last time that the hub looked.
    pub(super) parked_cycles: Cell<u64>,
    /// Its place in the hub's list of all threads.
    pub(super) all: Node<Green>,
    /// The inbox's.
    pub(super) link: Link<Green>,
    /// Where it was last preempted.
    pub(super) cut_at: Cell<usize>,

    /// When it came to the address that it waits on: a running number.
    pub age: Cell<u64>,
    /// The condition variable whose wait timed out last, and its age there.
    pub overdue: Cell<(usize, u64)>,
    /// The deadline of the last wait that follows a clock which may be set.
    pub follows: Cell<Deadline>,
    /// The wait nodes of calls that wait for many (poll, select).
    pub nodes: UnsafeCell<Vec<Node<Green>>>,
    /// Who joins it.
    pub joiner: Cell<Joiner>,
    /// 1 once it has ended. Green joiners park on it, foreign ones wait on it in the kernel.
    pub ended: AtomicU32,
    /// What it returned or gave to pthread_exit.
    pub result: Cell<*mut core::ffi::c_void>,
    /// `pthread_setname_np`; NUL-terminated.
    pub name: Cell<[u8; 16]>,
    /// The signals it waits for in sigwait and its kin.
    pub(super) awaited: Cell<u64>,
    /// What it gave to sigaltstack.
    pub(super) alternate: Cell<Alternate>,
    /// The scheduling parameters it was given, and the processors; reported, not in force.
    pub scheduling: Cell<Option<Scheduling>>,
    /// See `scheduling`.
    pub affinity: Cell<Option<Affinity>>,
    /// Its nice value, once it is another than the process's; reported, not in force.
    pub nice: Cell<Option<i32>>,
    /// Its credentials, once they are other than the process's.
    pub(super) credentials: Cell<Option<Credentials>>,
    /// Processor time of its turns.
    pub(super) used: Cell<u64>,
    /// A descriptor of ours that was made for its wait; -1: none.
    pub(super) lent: Cell<i32>,
    /// What it runs.
    pub task: Task,
    /// Stack: lowest usable address, size that the program asked for, guard size.
    pub stack: (usize, usize, usize),
}

/// The `bypass` of green thread 0 while it runs the hub's loop.
pub(super) const HUB: usize = 1;

/// The bytes that a switch touches: of a `Green`, from its start; of a stack, from what the switch pushes to the frame of
/// the program's own function that waits.
const HOT: usize = 256;
const HOT_STACK: usize = 512;
const PUSHED: usize = 64;
const _: () = assert!(offset_of!(Green, coroutine) == 64 && offset_of!(Green, raise) + 16 <= HOT);

// SAFETY: foreign threads touch `link` and `ended` alone, which are atomic (file header).
unsafe impl Sync for Green {}

extern "C" fn no_start(_: *mut core::ffi::c_void) -> *mut core::ffi::c_void {
    ptr::null_mut()
}

impl Green {
    /// A thread that has never run, with the TLS block at `tcb`.
    pub(super) const fn new(tcb: usize, task: Task, stack: (usize, usize, usize)) -> Green {
        Green {
            state: Cell::new(State::Runnable),
            wake: Cell::new(Wake::Ready),
            queued: Cell::new(ptr::null()),
            wait: Cell::new(Wait::opaque("start")),
            tcb: Cell::new(tcb),
            sp: Cell::new(0),
            fp: Cell::new(FpControl::DEFAULT),
            coroutine: UnsafeCell::new(None),
            yielder: Cell::new(ptr::null()),
            timer: Timer::new(),
            parked_at: Cell::new(0),
            over_since: Cell::new(0),
            parked_cycles: Cell::new(0),
            bypass: Cell::new(0),
            all: Node::new(),
            link: Link::new(),
            preemptible: Cell::new(true),
            cut_at: Cell::new(0),
            node: Node::new(),
            age: Cell::new(0),
            overdue: Cell::new((0, 0)),
            lent: Cell::new(-1),
            follows: Cell::new(Deadline::NEVER),
            nodes: UnsafeCell::new(Vec::new()),
            cancelled: Cell::new(false),
            deaf: Cell::new(false),
            may_open: Cell::new(false),
            disturbed: Cell::new(false),
            raise: Raise::new(),
            joiner: Cell::new(Joiner::None),
            ended: AtomicU32::new(0),
            result: Cell::new(ptr::null_mut()),
            tid: Cell::new(0),
            name: Cell::new([0; 16]),
            mask: Cell::new(0),
            awaited: Cell::new(0),
            alternate: Cell::new(Alternate::NONE),
            scheduling: Cell::new(None),
            affinity: Cell::new(None),
            nice: Cell::new(None),
            credentials: Cell::new(None),
            used: Cell::new(0),
            task,
            stack,
        }
    }

    /// Green thread 0, before activation.
    pub(super) const fn first() -> Green {
        Green::new(0, Task { start: no_start, arg: ptr::null_mut() }, (0, 0, 0))
    }

    /// The coroutine's first step.
    pub(super) fn begin(&self, yielder: &Yielder) {
        self.yielder.set(yielder);
        self.state.set(State::Running);
    }

    /// In a fork child: green thread 0 as it was before activation, whoever it becomes.
    pub(super) fn renew(&self) {
        self.state.set(State::Running);
        self.wake.set(Wake::Ready);
        self.bypass.set(0);
        self.timer.forget();
        self.all.forget();
        self.node.forget();
        self.raise.renew();
        self.joiner.set(Joiner::None);
        self.ended.store(0, Ordering::Relaxed);
        self.cancelled.set(false);
        self.deaf.set(false);
        self.may_open.set(false);
        self.awaited.set(0);
        self.lent.set(-1);
    }

    /// Whether it is the process's first thread.
    #[inline(always)]
    pub fn is_first(&self) -> bool {
        ptr::eq(self, &hub().first)
    }

    /// Asks the processor for the start of this, which tells where the rest lies. For a thread whose turn comes soon.
    #[inline(always)]
    pub(super) fn prefetch(&self) {
        cache::prefetch(ptr::from_ref(self).addr(), HOT);
    }

    /// [`Green::prefetch`] of the thread whose `node` this is, or of what lies there.
    #[inline(always)]
    pub(super) fn prefetch_of(node: &Node<Green>) {
        cache::prefetch(ptr::from_ref(node).addr().wrapping_sub(offset_of!(Green, node)), HOT);
    }

    /// Asks for the rest, when [`Green::prefetch`] has been answered. For a thread whose turn comes next.
    #[inline(always)]
    pub(super) fn prefetch_stack(&self) {
        cache::prefetch(fs::this_of(self.tcb.get()).addr(), 1);
        cache::prefetch(self.sp.get().wrapping_sub(PUSHED), HOT_STACK);
    }

    /// Its TCB, which is its `pthread_t`.
    pub fn tcb(&self) -> usize {
        self.tcb.get()
    }

    /// Where it stands.
    pub fn state(&self) -> State {
        self.state.get()
    }

    /// For how many nanoseconds it has been parked, some tens of microseconds more or less.
    pub fn parked_for(&self) -> u64 {
        hub().since(self.parked_cycles.get())
    }

    /// What it waits for; means something while it is parked.
    pub fn wait(&self) -> Wait {
        self.wait.get()
    }

    pub(super) fn of_timer<'a>(timer: *const Timer) -> &'a Green {
        // SAFETY: every timer in the hub's heap is the `timer` field of a live Green.
        unsafe { &*timer.byte_sub(offset_of!(Green, timer)).cast() }
    }

    /// The green thread whose `pthread_t` is `thread`; None for a foreign thread.
    ///
    /// # Safety
    /// `thread` was given out by pthread_create or pthread_self and its thread was not joined (POSIX asks the same).
    pub unsafe fn of(thread: usize) -> Option<&'static Green> {
        // SAFETY: every TLS block of the process has our word at that place.
        unsafe { (*fs::this_of(thread)).cast::<Green>().as_ref() }
    }

    /// Gives the hub away until someone unparks this thread, the deadline passes, a signal handler has run (if the
    /// wait is interruptible) or cancellation is asked for (if it is a cancellation point). The caller has linked its
    /// nodes before and unlinks them after.
    pub fn park(&self, wait: &Wait, deadline: Deadline) -> Wake {
        self.expect(*wait);
        self.park_expecting(deadline)
    }

    /// Says what the next [`Green::park_expecting`] waits for.
    #[inline(always)]
    pub fn expect(&self, wait: Wait) {
        self.wait.set(wait);
    }

    /// [`Green::park`] for what [`Green::expect`] said.
    pub fn park_expecting(&self, deadline: Deadline) -> Wake {
        let (interruptible, cancellable) = (self.wait.get().interruptible, self.wait.get().cancellable);
        let raises = self.wait.get().raised_in();
        if options::FAULT.get() & options::fault::PARK != 0 {
            return Wake::Ready;
        }
        let hub = hub();
        loop {
            if cancellable && self.is_cancelled() {
                return Wake::Cancelled;
            }
            if raises && raise::is_due(self) {
                return Wake::Cancelled;
            }
            if let Some(wake) = signals::deliver(self) {
                if interruptible {
                    return wake;
                }
                if self.disturbed.get() {
                    return Wake::Ready;
                }
            }
            self.state.set(State::Parked);
            self.parked_cycles.set(hub.cycles());
            detect::parks(self);
            hub.timers().set(&self.timer, deadline);
            stats::PARKS.bump();
            hub.leave(self);
            if self.wake.get() == Wake::TimedOut && raises && raise::is_due(self) {
                return Wake::Cancelled;
            }
            match self.wake.get() {
                Wake::Interrupted | Wake::Cancelled => {}
                wake => {
                    if !interruptible {
                        signals::deliver(self);
                    }
                    // Else handlers run when the call parks again, or at its end.
                    return wake;
                }
            }
        }
    }

    /// Whether a cancellation point acts: cancellation was asked for, is enabled, and the thread does not end already.
    #[inline(always)]
    pub fn is_cancelled(&self) -> bool {
        self.cancelled.get() && cancel::is_due(self)
    }

    /// Runs `call`, in which deferred cancellation waits. Not in a handler.
    #[inline(always)]
    pub fn uncancelled<T>(&self, call: impl FnOnce() -> T) -> T {
        self.deaf.set(true);
        let answer = call();
        self.deaf.set(false);
        answer
    }

    /// `call` of [`Green::uncancelled`] is left by unwinding or longjmp.
    pub fn hears(&self) {
        self.deaf.set(false);
    }

    /// Whether it is in the hub or in a signal handler that has not waited yet.
    #[inline(always)]
    pub fn in_bypass(&self) -> bool {
        self.bypass.get() != 0 && hub::bypassed(self)
    }

    /// Lets every other runnable thread go first.
    pub fn yield_now(&self) {
        let hub = hub();
        self.state.set(State::Runnable);
        hub.queue.push_back(self);
        hub.leave(self);
        signals::deliver(self);
    }

    /// The same, and those as well whose descriptors or deadlines the hub finds ready then.
    pub fn yield_last(&self) {
        let hub = hub();
        hub.want_poll();
        self.state.set(State::Runnable);
        hub.last.push_back(self);
        hub.leave(self);
        signals::deliver(self);
    }
}

/// The green thread of this TLS block, bypass or not; None on a foreign thread and while dormant.
#[inline(always)]
pub fn this() -> Option<&'static Green> {
    // SAFETY: the word is NULL or points at the block's Green, which lives as long as its thread runs.
    unsafe { fs::this().cast::<Green>().as_ref() }
}

/// The green thread that may park here: None on a foreign thread, while dormant, in the hub and in a signal handler that
/// came at a bad moment.
#[inline(always)]
pub fn current() -> Option<&'static Green> {
    let green = this()?;
    if green.in_bypass() && !signals::open(green) { None } else { Some(green) }
}
