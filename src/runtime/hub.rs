//! [`Hub`]: the scheduler of the process, M:1.
//!
//! ```text
//!   green thread 0:  main() ... read() -> park() -> Hub::leave -> Hub::run  <- its park IS the loop
//!                                                      |  resume        ^ suspend (park, yield) or end
//!                                                      v                |
//!   green thread n:                               start(arg) ... recv() -> park()
//! ```
//! A round: run what was runnable when the round began, in FIFO order, then take the inbox, fire due timers, ask the
//! poller; with nothing runnable the poller waits. Round state lives here, not on the stack: green thread 0 may leave
//! `run` in mid-round (when its own turn comes) and enter it again from another depth.
//!
//! `%fs` is switched lazily: between two green threads the loop keeps the last one's. So code on that path uses no
//! thread-local and no errno; [`Hub::at_home`] takes green thread 0's `%fs` for what does (the poller, reports).
//!
//! Safety: everything here runs on the hub's kernel thread. The loop runs with green thread 0's bypass up.

use core::cell::{Cell, UnsafeCell};
use core::ptr;
use core::sync::atomic::{AtomicBool, Ordering};

use crate::data::Deadline;
use crate::data::list::List;
use crate::data::timers::Timers;
use crate::kernel::fs::{self, FpControl};
use crate::kernel::{clock, stats};

use super::budget::Budget;
use super::green::{self, Green, State, Wake};
use super::inbox;
use super::poller::Poller;
use super::runqueue::RunQueue;
use super::{
    cancel, cpu, credentials, descriptors, detect, edges, errand, identity, parking, preempt, signals, spawn,
    steps, uring,
};

/// Switches after which the poller is asked even when more is runnable.
const SWITCHES_PER_POLL: u32 = 64;
/// Cycles after which it is asked as well, some tens of microseconds; and rounds after which they are looked at, since
/// reading the counter costs as much as a switch.
const CYCLES_PER_POLL: u64 = 60_000;
const ROUNDS_PER_LOOK: u32 = 8;

/// The hub of this process.
pub struct Hub {
    /// Green thread 0.
    pub first: Green,
    running: Cell<*const Green>,
    pub(super) queue: RunQueue,
    /// Those who are runnable, but let go first whom the poller finds.
    pub(super) last: RunQueue,
    switches: Cell<u32>,
    rounds: Cell<u32>,
    polled_at: Cell<u64>,
    /// Cycles and nanoseconds at activation: what a cycle takes.
    started: Cell<(u64, u64)>,
    poll_due: Cell<bool>,
    pub(super) budget: Budget,
    woken: Cell<bool>,
    inside: Cell<bool>,
    fp: Cell<FpControl>,
    fs: Cell<usize>,
    timers: UnsafeCell<Timers>,
    /// Every green thread that was started and has not been reaped.
    pub threads: List<Green>,
    live: Cell<usize>,
    poller: UnsafeCell<Option<Poller>>,
}

// SAFETY: one kernel thread uses it (file header); foreign threads go through the inbox.
unsafe impl Sync for Hub {}

static HUB: Hub = Hub {
    first: Green::first(),
    running: Cell::new(ptr::null()),
    queue: RunQueue::new(),
    last: RunQueue::new(),
    switches: Cell::new(0),
    rounds: Cell::new(0),
    polled_at: Cell::new(0),
    started: Cell::new((0, 0)),
    poll_due: Cell::new(false),
    budget: Budget::new(),
    woken: Cell::new(false),
    inside: Cell::new(false),
    fp: Cell::new(FpControl::DEFAULT),
    fs: Cell::new(0),
    timers: UnsafeCell::new(Timers::new()),
    threads: List::new(),
    live: Cell::new(0),
    poller: UnsafeCell::new(None),
};

static ACTIVE: AtomicBool = AtomicBool::new(false);

/// The hub. Only for the hub's kernel thread.
#[inline(always)]
pub fn hub() -> &'static Hub {
    &HUB
}

/// Whether green threads exist or have existed; false while dormant. Any thread may ask.
#[inline(always)]
pub fn active() -> bool {
    ACTIVE.load(Ordering::Acquire)
}

/// Whether the bypass recorded in `green` still holds. A handler that was left by longjmp never lowered it: then the
/// stack pointer has passed the handler's frame, and it is lowered here.
#[cold]
pub(super) fn bypassed(green: &Green) -> bool {
    if signals::handler_alive(green) {
        return true;
    }
    green.bypass.set(0);
    signals::handler_left(green);
    false
}

impl Hub {
    /// Makes green thread 0 out of the calling thread, the process's first. The poller comes up with it.
    pub(super) fn activate(&'static self, tid: i32) -> crate::kernel::Result<()> {
        descriptors::measure();
        let poller = Poller::new()?;
        descriptors::activate(&poller);
        uring::activate();
        // SAFETY: nothing else uses the hub before ACTIVE is set.
        unsafe { *self.poller.get() = Some(poller) };
        let tcb = fs::get();
        self.first.tcb.set(tcb);
        self.first.tid.set(tid);
        self.first.state.set(State::Running);
        self.started.set((clock::cycles(), clock::now()));
        self.polled_at.set(clock::cycles());
        self.fs.set(tcb);
        self.fp.set(FpControl::read());
        self.running.set(&self.first);
        self.threads.push_back(&self.first.all, &self.first);
        // SAFETY: the calling thread's own TLS block.
        unsafe { *fs::this_of(tcb) = (&raw const self.first).cast() };
        ACTIVE.store(true, Ordering::Release);
        Ok(())
    }

    /// In a fork child: as before activation. What is dropped is not touched; the poller's descriptors are closed.
    pub(super) fn forked(&self) {
        ACTIVE.store(false, Ordering::Release);
        // SAFETY: the only thread; nobody uses the poller.
        if let Some(poller) = unsafe { (*self.poller.get()).take() } {
            poller.abandon();
        }
        self.queue.forget();
        self.last.forget();
        self.running.set(ptr::null());
        self.live.set(0);
        self.timers().forget();
        self.threads.forget();
        self.first.renew();
    }

    /// The timer heap.
    #[allow(clippy::mut_from_ref, reason = "one thread, and no caller keeps the borrow over a switch")]
    pub fn timers(&self) -> &mut Timers {
        // SAFETY: hub's thread only; borrowed for one call at a time.
        unsafe { &mut *self.timers.get() }
    }

    /// The poller.
    pub fn poller(&self) -> &Poller {
        // SAFETY: set by `activate`, replaced only in a fork child.
        unsafe { (*self.poller.get()).as_ref().expect("an active hub has a poller") }
    }

    /// The green thread on the processor; None while the loop itself runs.
    pub fn running(&self) -> Option<&'static Green> {
        // SAFETY: NULL or a live thread.
        unsafe { self.running.get().as_ref() }
    }

    /// Green threads that have started and not ended, the first not counted.
    pub fn live(&self) -> usize {
        self.live.get()
    }

    /// Whether anybody but the running thread could use the hub.
    pub fn contended(&self) -> bool {
        !self.queue.is_empty() || self.live.get() > 0 || !errand::is_none()
    }

    /// The cycle counter when the poller was asked last: the time, for who needs it cheap and not exact.
    #[inline(always)]
    pub fn cycles(&self) -> u64 {
        self.polled_at.get()
    }

    /// Nanoseconds since such a reading.
    pub fn since(&self, cycles: u64) -> u64 {
        let (first, then) = self.started.get();
        let (ticks, time) = (clock::cycles().saturating_sub(first).max(1), clock::now() - then);
        let passed = clock::cycles().saturating_sub(cycles.max(first));
        (passed as u128 * time as u128 / ticks as u128) as u64
    }

    /// The next round asks the poller, whatever the budget says.
    pub fn want_poll(&self) {
        self.poll_due.set(true);
    }

    /// A call of `green` succeeded without waiting. After a budget of such calls it lets the others go.
    #[inline(always)]
    pub fn charge(&self, green: &Green) {
        if self.budget.take() {
            self.spent(green);
        }
    }

    /// The running thread has brought another one what it waits for.
    pub fn woke(&self) {
        self.woken.set(true);
    }

    /// Whether it has in this turn.
    pub fn has_woken(&self) -> bool {
        self.woken.get()
    }

    /// libc itself makes the call that follows. While libc initialises something once, other threads would wait in the
    /// kernel for its end: so what need not wait must not give the hub away there.
    #[inline(always)]
    pub fn enter_libc(&self) {
        self.inside.set(true);
    }

    /// [`charge`](Hub::charge) of a call that cannot wait, unless libc makes it.
    pub fn charge_inline(&self, green: &Green) {
        if !self.inside.replace(false) {
            self.charge(green);
        }
    }

    /// Whether preemption could not switch away where `green` stood: a call that always succeeds at once, and so is not
    /// charged, makes up for it.
    #[inline(always)]
    pub fn make_up(&self, green: &Green) {
        if self.budget.is_spent() {
            self.spent(green);
        }
    }

    /// The running thread's next charged call yields.
    pub(super) fn spend(&self) {
        self.budget.spend();
    }

    #[cold]
    fn spent(&self, green: &Green) {
        self.budget.renew();
        if !green.preemptible.get() {
            return;
        }
        self.want_poll();
        green.yield_now();
    }

    /// A new thread: to the back of the run queue.
    pub(super) fn admit(&self, green: &Green) {
        self.threads.push_back(&green.all, green);
        signals::join(green);
        self.live.set(self.live.get() + 1);
        preempt::contended(true);
        stats::THREADS.bump();
        self.queue.push_back(green);
    }

    /// Gives the processor away; returns when `green`, the running thread, has its next turn.
    pub(super) fn leave(&'static self, green: &Green) {
        if green.is_first() {
            cpu::turn_ends(green);
            self.run(green);
            cpu::turn_begins();
        } else {
            green.sp.set(fs::stack_pointer());
            // SAFETY: set at the coroutine's first step and valid while it runs.
            unsafe { (*green.yielder.get()).suspend(()) };
        }
        // Said here, on the thread's own stack: signal handlers may run on it from now on.
        green.state.set(State::Running);
        self.budget.renew();
        self.woken.set(false);
        if green.cancelled.get() {
            cancel::at_once(green);
        }
    }

    /// The loop, on green thread 0's stack, until its own turn comes. Not inlined: every thread's [`Hub::leave`] would carry
    /// its frame.
    #[inline(never)]
    fn run(&'static self, first: &Green) {
        first.fp.set(FpControl::read());
        self.fp.set(first.fp.get());
        first.bypass.set(green::HUB);
        self.running.set(ptr::null());
        loop {
            while let Some(green) = self.queue.next() {
                if green.is_first() {
                    self.go_home();
                    self.load_fp(first);
                    signals::load_mask(first);
                    credentials::load(first);
                    first.bypass.set(0);
                    self.running.set(first);
                    stats::SWITCHES.bump();
                    preempt::slice_begins(first);
                    return;
                }
                self.resume(green);
            }
            self.between_rounds();
            self.queue.begin_round();
        }
    }

    fn resume(&'static self, green: &'static Green) {
        self.queue.prefetch();
        self.running.set(green);
        cpu::turn_begins();
        self.switches.set(self.switches.get() + 1);
        stats::SWITCHES.bump();
        preempt::slice_begins(green);
        if self.fs.get() != green.tcb.get() {
            self.fs.set(green.tcb.get());
            // SAFETY: a complete TCB; the loop holds no address of a thread-local.
            unsafe { fs::set(green.tcb.get()) };
        }
        self.load_fp(green);
        signals::load_mask(green);
        credentials::load(green);
        // SAFETY: the coroutine is there from the thread's birth to its reaping, and nobody else resumes it.
        let ended =
            unsafe { (*green.coroutine.get()).as_mut().unwrap_unchecked().resume(()).as_return().is_some() };
        let fp = FpControl::read();
        green.fp.set(fp);
        self.fp.set(fp);
        self.running.set(ptr::null());
        cpu::turn_ends(green);
        if ended {
            self.live.set(self.live.get() - 1);
            preempt::contended(self.live.get() > 0);
            stats::FINISHED.bump();
            signals::leave(green);
            // The dead thread's TLS block may be rebuilt from here on.
            self.go_home();
            spawn::ended(green);
        }
    }

    #[inline(always)]
    fn load_fp(&self, green: &Green) {
        if green.fp.get() != self.fp.get() {
            green.fp.get().load();
            self.fp.set(green.fp.get());
        }
    }

    /// Takes green thread 0's `%fs`.
    pub(super) fn go_home(&self) {
        let tcb = self.first.tcb.get();
        if self.fs.get() != tcb {
            self.fs.set(tcb);
            // SAFETY: the first thread's own TCB.
            unsafe { fs::set(tcb) };
        }
    }

    /// Inbox, timers, descriptors. Waits in the poller when nothing is runnable.
    fn between_rounds(&'static self) {
        inbox::drain();
        parking::wake_posted();
        descriptors::sweep();
        errand::take();
        signals::route();
        let idle = self.queue.is_empty() && self.last.is_empty();
        self.rounds.set(self.rounds.get().wrapping_add(1));
        let recent = || {
            !self.rounds.get().is_multiple_of(ROUNDS_PER_LOOK)
                || clock::cycles().wrapping_sub(self.polled_at.get()) < CYCLES_PER_POLL
        };
        if !idle && !self.poll_due.get() && self.switches.get() < SWITCHES_PER_POLL && recent() {
            return;
        }
        if idle {
            // A due timer makes someone runnable: then the poller must not wait.
            self.fire_timers();
        }
        self.switches.set(0);
        self.poll_due.set(false);
        let deadline = match self.timers().next() {
            _ if !self.queue.is_empty() || !self.last.is_empty() => Deadline(0),
            // What would wake them may be among the events that are still in the kernel.
            next if self.poller().was_full() => next,
            next => detect::look(next),
        };
        self.poll(deadline);
        self.fire_timers();
        self.queue.append(&self.last);
        self.polled_at.set(clock::cycles());
    }

    fn fire_timers(&self) {
        if self.timers().next() == Deadline::NEVER {
            return;
        }
        let now = clock::now();
        while let Some(timer) = self.timers().pop_due(now) {
            // SAFETY: a timer that was in the heap is alive.
            match unsafe { (*timer).act() } {
                // SAFETY: as above.
                Some(act) => act(unsafe { &*timer }),
                None => _ = unpark(Green::of_timer(timer), Wake::TimedOut),
            }
        }
    }

    /// Asks the poller, waiting until `deadline` at most, and hands its events to the waiters.
    fn poll(&'static self, deadline: Deadline) {
        stats::POLLS.bump();
        self.go_home();
        let waits = deadline != Deadline(0);
        if waits {
            identity::tidy(clock::now());
            if !inbox::sleep() {
                return;
            }
        }
        if waits {
            preempt::idle(true);
        }
        signals::open_mask();
        // SAFETY: the poller is used by this loop alone while it waits.
        let poller = unsafe { (*self.poller.get()).as_mut().expect("an active hub has a poller") };
        poller.wait(deadline);
        if waits {
            inbox::awake();
            preempt::idle(false);
        }
        poller.take(edges::prefetch, edges::prefetch_reader, |event| match event.token {
            signals::TOKEN => signals::arrived(),
            steps::TOKEN => steps::stepped(),
            _ => edges::on_event(event),
        });
    }
}

/// Ends the wait of `green`: it goes to the back of the run queue and its `park` returns `wake`. False if it was not
/// parked. On the hub's thread only.
pub fn unpark(green: &Green, wake: Wake) -> bool {
    let parked = made_runnable(green, wake);
    if parked {
        hub().queue.push_back(green);
    }
    parked
}

/// [`unpark`], but `green` goes to the front of the queue.
pub fn unpark_next(green: &Green, wake: Wake) {
    if made_runnable(green, wake) {
        hub().queue.push_front(green);
    }
}

#[inline(always)]
fn made_runnable(green: &Green, wake: Wake) -> bool {
    if green.state.get() != State::Parked {
        return false;
    }
    green.prefetch_stack();
    hub().timers().unset(&green.timer);
    green.wake.set(wake);
    green.state.set(State::Runnable);
    true
}

/// [`unpark`] by whoever brings what the thread waits for. One whose wait a signal or a cancel has ended, and that has
/// not gone on yet, is told the better news: it may wait again instead of leaving, and then this wake-up would be lost.
pub fn hand(green: &Green, wake: Wake) -> bool {
    if unpark(green, wake) {
        return true;
    }
    let undecided = green.state.get() == State::Runnable
        && matches!(green.wake.get(), Wake::Interrupted | Wake::Restart | Wake::Cancelled);
    if undecided {
        green.wake.set(wake);
    }
    undecided
}
