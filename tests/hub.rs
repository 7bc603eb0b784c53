//! The hub by itself, linked without the shim: order, timers, foreign wake-ups, the end of threads. Its own
//! main, since the hub lives on the process's first thread. Preemption is
//! not among it: linked, the test's own code counts as the library's, which is never switched away from.

use std::cell::RefCell;
use std::ffi::c_void;
use std::sync::atomic::{AtomicI64, AtomicUsize, Ordering};
use std::time::Duration;

use eventlet_core::blocking::lock::{Until, cond, mutex, sem};
use eventlet_core::blocking::{sleep, thread};
use eventlet_core::data::Deadline;
use eventlet_core::kernel::{Errno, fs, real, stats};
use eventlet_core::runtime::hub::unpark;
use eventlet_core::runtime::spawn::{Plan, Stack, ready, spawn};
use eventlet_core::runtime::{Green, Wait, Wake, current, hub, parking, steps, this};

fn start(start: extern "C" fn(*mut c_void) -> *mut c_void, arg: usize) -> &'static Green {
    let plan = Plan {
        start,
        arg: arg as *mut c_void,
        stack: Stack::Size(256 << 10),
        guard_size: 4096,
        detached: false,
        mask: 0,
        scheduling: None,
        affinity: None,
        nice: None,
        credentials: None,
    };
    // SAFETY: the thread was made just now and is not joined before `join`.
    unsafe { Green::of(spawn(plan).expect("the hub").expect("a thread")).expect("a green one") }
}

fn join(green: &'static Green) -> usize {
    thread::join(this(), green, Until::NEVER).expect("joined") as usize
}

struct Trace(RefCell<Vec<usize>>);
// SAFETY: green threads of one kernel thread.
unsafe impl Sync for Trace {}
static TRACE: Trace = Trace(RefCell::new(Vec::new()));

extern "C" fn traced(arg: *mut c_void) -> *mut c_void {
    for _ in 0..3 {
        TRACE.0.borrow_mut().push(arg as usize);
        current().unwrap().yield_now();
    }
    (arg as usize * 10) as *mut c_void
}

fn fifo() {
    let threads: Vec<_> = (0..3).map(|number| start(traced, number)).collect();
    assert!(TRACE.0.borrow().is_empty(), "spawn does not switch");
    let results: Vec<_> = threads.into_iter().map(join).collect();
    assert_eq!(results, [0, 10, 20]);
    assert_eq!(*TRACE.0.borrow(), [0, 1, 2, 0, 1, 2, 0, 1, 2]);
}

extern "C" fn sleeper(arg: *mut c_void) -> *mut c_void {
    let me = current().unwrap();
    let deadline = Deadline::after(Duration::from_micros(arg as usize as u64 * 300));
    assert_eq!(me.park(&Wait::opaque("sleep"), deadline), Wake::TimedOut);
    assert!(deadline.passed(), "not early");
    TRACE.0.borrow_mut().push(arg as usize);
    std::ptr::null_mut()
}

fn timers() {
    TRACE.0.borrow_mut().clear();
    let threads: Vec<_> = [5, 1, 4, 2, 3].map(|number| start(sleeper, number)).into();
    threads.into_iter().for_each(|thread| assert_eq!(join(thread), 0));
    assert_eq!(*TRACE.0.borrow(), [1, 2, 3, 4, 5]);
}

static WORD: AtomicUsize = AtomicUsize::new(0);

extern "C" fn waiter(_: *mut c_void) -> *mut c_void {
    let me = current().unwrap();
    let address = &raw const WORD as usize;
    while WORD.load(Ordering::SeqCst) == 0 {
        me.expect(Wait::opaque("word"));
        parking::park(me, address, Deadline::NEVER, false, || WORD.load(Ordering::SeqCst) == 0);
    }
    WORD.fetch_sub(1, Ordering::SeqCst) as *mut c_void
}

fn foreign_wakes() {
    let threads: Vec<_> = (0..100).map(|_| start(waiter, 0)).collect();
    let foreign = std::thread::spawn(|| {
        assert!(this().is_none(), "a real thread is foreign");
        for _ in 0..100 {
            WORD.fetch_add(1, Ordering::SeqCst);
            parking::wake(&raw const WORD as usize, 1);
            std::thread::sleep(Duration::from_micros(50));
        }
    });
    threads.into_iter().for_each(|thread| assert!(join(thread) > 0));
    foreign.join().unwrap();
    assert_eq!(WORD.load(Ordering::SeqCst), 0);
    assert!(stats::INBOX.get() > 0);
}

extern "C" fn deaf(word: *mut c_void) -> *mut c_void {
    let me = current().unwrap();
    // No signal ends this wait: its thread parks again by itself.
    me.expect(Wait { interruptible: false, ..Wait::opaque("word") });
    parking::park(me, word as usize, Deadline::NEVER, false, || true);
    word
}

/// A wake-up after a signal, before the thread has had its turn.
fn woken_when_interrupted() {
    let word = &raw const WORD as usize;
    let thread = start(deaf, word);
    this().unwrap().yield_now();
    assert!(unpark(thread, Wake::Interrupted));
    assert_eq!(parking::wake(word, 1), 1);
    assert_eq!(join(thread), word);
}

extern "C" fn identity(_: *mut c_void) -> *mut c_void {
    let me = current().unwrap();
    let before = fs::get();
    assert_eq!(before, me.tcb());
    // SAFETY: our own errno.
    unsafe { *libc::__errno_location() = me.tid.get() };
    for _ in 0..10 {
        me.yield_now();
        // SAFETY: as above.
        assert_eq!(unsafe { *libc::__errno_location() }, me.tid.get());
    }
    before as *mut c_void
}

fn many() {
    for _ in 0..3 {
        let threads: Vec<_> = (0..10_000).map(|_| start(identity, 0)).collect();
        assert_eq!(hub().live(), 10_000);
        threads.into_iter().for_each(|thread| assert_eq!(thread.tcb(), join(thread)));
        assert_eq!(hub().live(), 0);
    }
}

/// What CLOCK_REALTIME has been set forward by, since no test may set the machine's.
static STEP: AtomicI64 = AtomicI64::new(0);

unsafe extern "C" fn stepping_clock(clock: libc::clockid_t, time: *mut libc::timespec) -> i32 {
    // SAFETY: the caller's contract.
    unsafe {
        let answer = libc::clock_gettime(clock, time);
        if clock == libc::CLOCK_REALTIME {
            (*time).tv_sec += STEP.load(Ordering::Relaxed);
        }
        answer
    }
}

/// Sets the clock, and tells it as the timer does.
fn step(seconds: i64) {
    STEP.fetch_add(seconds, Ordering::Relaxed);
    steps::stepped();
}

static ENDED: AtomicUsize = AtomicUsize::new(0);

fn real_time_in(seconds: i64, nanoseconds: i64) -> libc::timespec {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: room for the answer.
    unsafe { stepping_clock(libc::CLOCK_REALTIME, &mut time) };
    time.tv_sec += seconds + (time.tv_nsec + nanoseconds) / 1_000_000_000;
    time.tv_nsec = (time.tv_nsec + nanoseconds) % 1_000_000_000;
    time
}

/// Waits until a point of CLOCK_REALTIME, by each call in turn.
extern "C" fn until(number: *mut c_void) -> *mut c_void {
    let (me, number) = (current().unwrap(), number as usize);
    let time = if number < 4 { real_time_in(3600, 0) } else { real_time_in(0, 500_000_000) };
    let mut lock: libc::pthread_mutex_t = libc::PTHREAD_MUTEX_INITIALIZER;
    let mut cond: libc::pthread_cond_t = libc::PTHREAD_COND_INITIALIZER;
    let mut semaphore = [0usize; 4];
    let (lock, cond) = ((&raw mut lock).cast::<c_void>(), (&raw mut cond).cast::<c_void>());
    const REAL: libc::clockid_t = libc::CLOCK_REALTIME;
    // SAFETY: locks of this thread's own; an empty semaphore is all zeros.
    let answer = unsafe {
        match number % 4 {
            0 => sleep::clock_nanosleep(me, REAL, libc::TIMER_ABSTIME, &time, std::ptr::null_mut()),
            1 => loop {
                mutex::lock(me, lock).unwrap();
                match cond::wait_until(me, cond, lock, &time) {
                    Ok(()) => mutex::unlock(Some(me), lock).unwrap(),
                    timed_out => break timed_out,
                }
            },
            2 => sem::wait_until(me, (&raw mut semaphore).cast(), REAL, &time),
            _ => {
                mutex::lock(me, lock).unwrap();
                mutex::lock_until(me, lock, REAL, &time)
            }
        }
    };
    assert_eq!(answer, if number % 4 == 0 { Ok(()) } else { Err(Errno(libc::ETIMEDOUT)) });
    ENDED.fetch_add(1, Ordering::Relaxed);
    std::ptr::null_mut()
}

fn pause(milliseconds: u64) {
    let me = this().unwrap();
    me.park(&Wait::opaque("sleep"), Deadline::after(Duration::from_millis(milliseconds)));
}

/// Waits that end at a point of a clock end when it is set forward, and last when it is set back.
fn clock_steps() {
    ENDED.store(0, Ordering::Relaxed);
    let threads: Vec<_> = (0..8).map(|number| start(until, number)).collect();
    this().unwrap().yield_now();
    step(-100);
    pause(600);
    assert_eq!(ENDED.load(Ordering::Relaxed), 0, "back");
    step(100);
    threads[4..].iter().for_each(|thread| _ = join(thread));
    assert_eq!(ENDED.load(Ordering::Relaxed), 4, "and forward again");
    step(7200);
    threads[..4].iter().for_each(|thread| _ = join(thread));
    assert_eq!(ENDED.load(Ordering::Relaxed), 8, "forward");
    let timers = std::fs::read_dir("/proc/self/fdinfo").expect("/proc").flatten();
    let texts = timers.map(|entry| std::fs::read_to_string(entry.path()).unwrap_or_default());
    // TFD_TIMER_ABSTIME | TFD_TIMER_CANCEL_ON_SET
    assert_eq!(texts.filter(|text| text.contains("settime flags: 03")).count(), 1);
}

fn main() {
    // SAFETY: the default search order finds libc's own functions: this program is not preloaded.
    let find = |name: &std::ffi::CStr| unsafe { libc::dlsym(libc::RTLD_DEFAULT, name.as_ptr()).cast_const() };
    real::install(real::Real { clock_gettime: stepping_clock, ..real::lookup(find).expect("libc") });
    fs::init();
    assert!(current().is_none(), "dormant");
    assert!(ready(), "the layout is understood");
    let tests = [
        ("fifo", fifo as fn()),
        ("timers", timers),
        ("foreign_wakes", foreign_wakes),
        ("woken_when_interrupted", woken_when_interrupted),
        ("clock_steps", clock_steps),
        ("many", many),
    ];
    for (name, test) in tests {
        test();
        println!("test {name} ... ok");
    }
    println!("\ntest result: ok. 6 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out; finished");
}
