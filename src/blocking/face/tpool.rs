//! [`execute`]: a function on a real thread, while the green thread that asks for it is parked.
//!
//! ```text
//!   execute -> Job -> queue --TICKETS--> worker (a real thread of libc's, all signals blocked)
//!      parked on the job's word  <---- done --+
//! ```
//! Workers are made as they are needed, up to EVENTLET_THREADPOOL_SIZE, and stay. What a job raises comes back to who asked.
//! If that thread was ended meanwhile, the job goes on and its end takes it away.
//!
//! Safety: a job belongs to the queue, then to its worker, and is given back by `state`; whoever comes second frees it. The
//! queue and the list of workers are touched under `LOCK` alone. After fork the child has none of it: [`renewed`].

use core::cell::Cell;
use core::ffi::c_void;
use core::hint::spin_loop;
use core::ptr;
use core::sync::atomic::{AtomicBool, AtomicI32, AtomicU32, AtomicUsize, Ordering};

use crate::data::Deadline;
use crate::kernel::real::real;
use crate::kernel::{Errno, Result, fs, options};
use crate::runtime::entry::{self, Start};
use crate::runtime::raise::{self, Outcome};
use crate::runtime::{Green, Wait, Wake, identity, parking};
use crate::syscall;

use super::thread::Ending;

/// Frees what a job's argument holds, when nobody waits for it any more.
pub type Forsaken = unsafe fn(*mut c_void);

struct Job {
    start: Start,
    arg: *mut c_void,
    forsaken: Forsaken,
    next: Cell<*const Job>,
    ending: Cell<Ending>,
    /// [`WANTED`], [`DONE`] or [`FORSAKEN`].
    state: AtomicU32,
}

const WANTED: u32 = 0;
const DONE: u32 = 1;
const FORSAKEN: u32 = 2;

struct Worker {
    tcb: usize,
    /// What its job raises now; 0: nothing.
    code: Cell<i32>,
    next: Cell<*const Worker>,
}

struct Queue {
    head: Cell<*const Job>,
    tail: Cell<*const Job>,
    workers: Cell<*const Worker>,
}

// SAFETY: under `LOCK` alone (file header).
unsafe impl Sync for Queue {}

static QUEUE: Queue =
    Queue { head: Cell::new(ptr::null()), tail: Cell::new(ptr::null()), workers: Cell::new(ptr::null()) };
static LOCK: AtomicBool = AtomicBool::new(false);
/// Jobs in the queue that no worker has come for: what workers wait on.
static TICKETS: AtomicU32 = AtomicU32::new(0);
/// Workers, and those of them that have a job or are about to take one.
static WORKERS: AtomicUsize = AtomicUsize::new(0);
static BUSY: AtomicUsize = AtomicUsize::new(0);
/// The process whose workers these are.
static PROCESS: AtomicI32 = AtomicI32::new(0);

fn locked<T>(job: impl FnOnce() -> T) -> T {
    while LOCK.swap(true, Ordering::Acquire) {
        spin_loop();
        // SAFETY: takes nothing; the holder may share our core.
        let _ = unsafe { syscall!(libc::SYS_sched_yield) };
    }
    let answer = job();
    LOCK.store(false, Ordering::Release);
    answer
}

/// In a fork child: as new.
fn renewed() {
    // SAFETY: getpid takes nothing.
    let process = unsafe { syscall!(libc::SYS_getpid) }.unwrap_or(0) as i32;
    if PROCESS.swap(process, Ordering::Relaxed) != process {
        LOCK.store(false, Ordering::Relaxed);
        for place in [&QUEUE.head, &QUEUE.tail] {
            place.set(ptr::null());
        }
        QUEUE.workers.set(ptr::null());
        TICKETS.store(0, Ordering::Relaxed);
        WORKERS.store(0, Ordering::Relaxed);
        BUSY.store(0, Ordering::Relaxed);
    }
}

/// Calls `start(arg)` on a real thread; how it ended. `forsaken(arg)` is called there, if the caller was ended meanwhile.
/// EAGAIN: no thread could be made.
///
/// # Safety
/// `start` may be called on any thread; `arg` is good until it has returned.
pub unsafe fn execute(g: &Green, start: Start, arg: *mut c_void, forsaken: Forsaken) -> Result<Ending> {
    let most = options::THREADPOOL_SIZE.get() as usize;
    if most == 0 {
        // SAFETY: the caller's promise.
        return match unsafe { raise::attempt(g, start, arg) } {
            Outcome::Returned(value) => Ok((0, value)),
            Outcome::Raised(raised) => Ok((raised.code, ptr::null_mut())),
            Outcome::Exits => raise::unwind(),
        };
    }
    renewed();
    if BUSY.fetch_add(1, Ordering::Relaxed) >= WORKERS.load(Ordering::Relaxed)
        && WORKERS.load(Ordering::Relaxed) < most
        && more().is_err()
        && WORKERS.load(Ordering::Relaxed) == 0
    {
        BUSY.fetch_sub(1, Ordering::Relaxed);
        return Err(Errno(libc::EAGAIN));
    }
    let job: &'static Job = Box::leak(Box::new(Job {
        start,
        arg,
        forsaken,
        next: Cell::new(ptr::null()),
        ending: Cell::new((0, ptr::null_mut())),
        state: AtomicU32::new(WANTED),
    }));
    locked(|| {
        // SAFETY: NULL, or the last job of the queue.
        match unsafe { QUEUE.tail.get().as_ref() } {
            Some(tail) => tail.next.set(job),
            None => QUEUE.head.set(job),
        }
        QUEUE.tail.set(job);
    });
    TICKETS.fetch_add(1, Ordering::SeqCst);
    // SAFETY: wakes a worker at our own word.
    let _ = unsafe { syscall!(libc::SYS_futex, &TICKETS, libc::FUTEX_WAKE | libc::FUTEX_PRIVATE_FLAG, 1) };
    wait(g, job)
}

fn wait(g: &Green, job: &'static Job) -> Result<Ending> {
    let address = ptr::from_ref(job) as usize;
    let going = || job.state.load(Ordering::SeqCst) == WANTED;
    while going() {
        let wait = Wait { a: address, over, interruptible: false, ..Wait::opaque("eventlet_tpool_execute") };
        g.expect(wait);
        let wake = parking::park(g, address, Deadline::NEVER, false, going);
        if wake == Some(Wake::Cancelled) || raise::is_due(g) {
            if job.state.swap(FORSAKEN, Ordering::SeqCst) == DONE {
                free(job);
            }
            return Err(Errno::CANCELLED);
        }
    }
    let ending = job.ending.get();
    free(job);
    Ok(ending)
}

/// For [`Wait::over`].
fn over(address: usize, _: usize) -> bool {
    // SAFETY: the address of a job that is waited for.
    unsafe { &*(address as *const Job) }.state.load(Ordering::SeqCst) == DONE
}

fn free(job: &'static Job) {
    // SAFETY: made by `Box::leak`, and nobody else knows it any more.
    drop(unsafe { Box::from_raw(ptr::from_ref(job).cast_mut()) });
}

/// One worker more. Its signals are blocked: the process's are for green threads.
fn more() -> Result<()> {
    // What a fault raises stays free, as in any thread.
    const FAULTS: [i32; 6] =
        [libc::SIGSEGV, libc::SIGBUS, libc::SIGFPE, libc::SIGILL, libc::SIGTRAP, libc::SIGSYS];
    let most = FAULTS.iter().fold(u64::MAX, |mask, signal| mask & !(1 << (signal - 1)));
    let (mut before, mut thread) = (0u64, 0usize);
    // SAFETY: live masks; the worker's function takes no argument. It inherits the mask.
    unsafe {
        syscall!(libc::SYS_rt_sigprocmask, libc::SIG_SETMASK, &most, &mut before, 8)?;
        let answer = (real().pthread_create)(&mut thread, ptr::null(), worker, ptr::null_mut());
        let _ = syscall!(libc::SYS_rt_sigprocmask, libc::SIG_SETMASK, &before, ptr::null::<u8>(), 8);
        if answer != 0 {
            return Err(Errno(answer));
        }
        (real().pthread_detach)(thread);
    }
    WORKERS.fetch_add(1, Ordering::Relaxed);
    Ok(())
}

extern "C" fn worker(_: *mut c_void) -> *mut c_void {
    let own: &'static Worker =
        Box::leak(Box::new(Worker { tcb: fs::get(), code: Cell::new(0), next: Cell::new(ptr::null()) }));
    locked(|| own.next.set(QUEUE.workers.replace(own)));
    loop {
        let job = take();
        // SAFETY: the program's function and argument, on this thread.
        let outcome = unsafe { entry::enter(job.start, job.arg) };
        let code = own.code.replace(0);
        let value = match (outcome.exited(), code) {
            (false, _) => outcome.value(),
            (true, 0) => identity::result(own.tcb),
            (true, _) => ptr::null_mut(),
        };
        let exits = outcome.exited() && code == 0;
        if exits {
            WORKERS.fetch_sub(1, Ordering::Relaxed);
            leave(own);
        }
        BUSY.fetch_sub(1, Ordering::Relaxed);
        job.ending.set((code, value));
        let address = ptr::from_ref(job) as usize;
        if job.state.swap(DONE, Ordering::SeqCst) == FORSAKEN {
            // SAFETY: the asker's promise: this frees the argument.
            unsafe { (job.forsaken)(job.arg) };
            free(job);
        } else {
            parking::wake(address, 1);
        }
        if exits {
            // The job called pthread_exit, whose unwinding goes on to libc's own frame.
            raise::unwind();
        }
    }
}

/// The next job. Waits for it.
fn take() -> &'static Job {
    loop {
        let tickets = TICKETS.load(Ordering::SeqCst);
        if tickets == 0 {
            // SAFETY: waits at our own word while it is 0.
            let _ = unsafe {
                syscall!(libc::SYS_futex, &TICKETS, libc::FUTEX_WAIT | libc::FUTEX_PRIVATE_FLAG, 0, 0)
            };
            continue;
        }
        if TICKETS.compare_exchange(tickets, tickets - 1, Ordering::SeqCst, Ordering::Relaxed).is_err() {
            continue;
        }
        return locked(|| {
            // SAFETY: a ticket is a job in the queue.
            let job = unsafe { &*QUEUE.head.get() };
            QUEUE.head.set(job.next.get());
            if job.next.get().is_null() {
                QUEUE.tail.set(ptr::null());
            }
            job
        });
    }
}

fn leave(worker: &Worker) {
    locked(|| {
        let mut place = &QUEUE.workers;
        // SAFETY: a listed worker is alive.
        while let Some(other) = unsafe { place.get().as_ref() } {
            if ptr::eq(other, worker) {
                return place.set(other.next.get());
            }
            place = &other.next;
        }
    });
}

/// The calling thread, if it is a worker.
fn this() -> Option<&'static Worker> {
    let tcb = fs::get();
    locked(|| {
        let mut next = QUEUE.workers.get();
        // SAFETY: a listed worker is alive.
        while let Some(worker) = unsafe { next.as_ref() } {
            if worker.tcb == tcb {
                return Some(worker);
            }
            next = worker.next.get();
        }
        None
    })
}

/// [`execute`] by a worker, which does it itself.
///
/// # Safety
/// As `execute`; the caller [is a worker](is_worker).
pub unsafe fn inline(start: Start, arg: *mut c_void) -> Ending {
    // SAFETY: the caller's promise.
    let outcome = unsafe { entry::enter(start, arg) };
    let code = this().map_or(0, |worker| worker.code.replace(0));
    if outcome.exited() && code == 0 {
        raise::unwind();
    }
    (code, outcome.value())
}

/// Whether the caller is a worker with a job.
pub fn is_worker() -> bool {
    PROCESS.load(Ordering::Relaxed) != 0 && this().is_some()
}

/// Has the caller's job end with `code`, for [`raise::unwind`]. False: it is no worker.
pub fn raise(code: i32) -> bool {
    let worker = if PROCESS.load(Ordering::Relaxed) != 0 { this() } else { None };
    worker.inspect(|worker| worker.code.set(code)).is_some()
}
