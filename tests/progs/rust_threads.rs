//! std::thread: one case per run.

use std::cell::{Cell, RefCell};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Barrier, Mutex};
use std::thread::{self, Builder, Thread};
use std::time::{Duration, Instant};

fn spawn_join() {
    let threads: Vec<_> = (0..50).map(|i| thread::spawn(move || i * i)).collect();
    let results: Vec<usize> = threads.into_iter().map(|thread| thread.join().unwrap()).collect();
    println!("{}", results.iter().sum::<usize>());
    let deep = (0..20).fold(thread::spawn(|| 1), |inner, _| thread::spawn(move || inner.join().unwrap() + 1));
    println!("chain {}", deep.join().unwrap());
    let finished = thread::spawn(|| ());
    while !finished.is_finished() {
        thread::yield_now();
    }
    println!("finished {:?}", finished.join().is_ok());
    thread::spawn(|| thread::sleep(Duration::from_secs(600)));
    println!("left sleeping");
}

fn names() {
    let big = Builder::new().name("has a long name, too long for the kernel".into()).stack_size(16 << 20);
    let handle = big.spawn(|| {
        let comm = std::fs::read_to_string("/proc/thread-self/comm").is_ok();
        let pages = [1u8; 8 << 20];
        (thread::current().name().map(str::to_owned), comm, std::hint::black_box(&pages).len())
    });
    println!("{:?}", handle.unwrap().join().unwrap());
    println!(
        "{:?} {:?}",
        thread::current().name(),
        thread::spawn(|| thread::current().name().is_none()).join().unwrap()
    );
    let ids: std::collections::HashSet<_> =
        (0..20).map(|_| thread::spawn(|| thread::current().id()).join().unwrap()).collect();
    println!("{} ids", ids.len());
}

fn scope() {
    let mut numbers = vec![1, 2, 3, 4, 5, 6];
    let total = AtomicUsize::new(0);
    let first = thread::scope(|s| {
        let handle = s.spawn(|| {
            thread::sleep(Duration::from_millis(2));
            total.fetch_add(1, SeqCst)
        });
        for part in numbers.chunks_mut(2) {
            s.spawn(|| {
                part.iter_mut().for_each(|n| *n *= 10);
                thread::yield_now();
                total.fetch_add(10, SeqCst);
            });
        }
        handle.join().is_ok()
    });
    println!("{first} {numbers:?} {}", total.into_inner());
    let failed = std::panic::catch_unwind(|| thread::scope(|s| drop(s.spawn(|| panic!("inside a scope")))));
    println!("scope failed {}", failed.is_err());
}

fn park() {
    let flag = Arc::new(AtomicBool::new(false));
    let woken = flag.clone();
    let parked = thread::spawn(move || {
        while !woken.load(SeqCst) {
            thread::park();
        }
        "woken"
    });
    flag.store(true, SeqCst);
    parked.thread().unpark();
    println!("{}", parked.join().unwrap());

    thread::current().unpark(); // a token is kept, and only one
    thread::current().unpark();
    thread::park();
    let (before, short) = (Instant::now(), Duration::from_millis(5));
    thread::park_timeout(short);
    println!("timed out {}", before.elapsed() >= short);

    // A ring: each passes a token to the next, many rounds.
    let ring: Arc<Mutex<Vec<Thread>>> = Arc::default();
    let (start, hops) = (Arc::new(Barrier::new(9)), Arc::new(AtomicUsize::new(0)));
    let threads: Vec<_> = (0..8)
        .map(|me| {
            let (ring, start, hops) = (ring.clone(), start.clone(), hops.clone());
            thread::spawn(move || {
                start.wait();
                let next = ring.lock().unwrap()[(me + 1) % 8].clone();
                for round in 0..200 {
                    while hops.load(SeqCst) != round * 8 + me {
                        thread::park();
                    }
                    hops.fetch_add(1, SeqCst);
                    next.unpark();
                }
            })
        })
        .collect();
    *ring.lock().unwrap() = threads.iter().map(|thread| thread.thread().clone()).collect();
    start.wait();
    threads.into_iter().for_each(|thread| thread.join().unwrap());
    println!("hops {}", hops.load(SeqCst));
}

fn panics() {
    let failed = thread::spawn(|| panic!("number {}", std::hint::black_box(7))).join().unwrap_err();
    println!("{:?}", failed.downcast_ref::<String>());
    let lock = Arc::new(Mutex::new(0));
    let poisoner = lock.clone();
    let result = Builder::new().name("poisoner".into()).spawn(move || {
        let mut held = poisoner.lock().unwrap();
        *held = 1;
        thread::sleep(Duration::from_millis(1));
        panic!("while it holds the lock");
    });
    println!("{} poisoned {}", result.unwrap().join().is_err(), lock.lock().is_err());

    // Caught across parks, in many threads at once: each has its own count of panics.
    let gate = Arc::new(Barrier::new(10));
    let threads: Vec<_> = (0..10)
        .map(|me| {
            let gate = gate.clone();
            thread::spawn(move || {
                struct Late<'a>(&'a Barrier, bool);
                impl Drop for Late<'_> {
                    fn drop(&mut self) {
                        self.0.wait(); // all unwind at once
                        self.1 = thread::panicking();
                        assert!(self.1);
                    }
                }
                let caught = std::panic::catch_unwind(|| {
                    let _late = Late(&gate, false);
                    std::panic::resume_unwind(Box::new(me));
                });
                gate.wait();
                (*caught.unwrap_err().downcast::<i32>().unwrap(), thread::panicking())
            })
        })
        .collect();
    let caught: Vec<_> = threads.into_iter().map(|thread| thread.join().unwrap()).collect();
    println!("{}", caught.iter().enumerate().all(|(i, &(me, still))| me == i as i32 && !still));
    let mut nested = 0;
    for _ in 0..100 {
        nested += thread::spawn(|| std::panic::resume_unwind(Box::new(3)))
            .join()
            .unwrap_err()
            .downcast_ref::<i32>()
            .unwrap();
    }
    println!("{nested}");
}

struct Told(&'static AtomicUsize);

impl Drop for Told {
    fn drop(&mut self) {
        let mine = VALUE.with(Cell::get);
        thread::sleep(Duration::from_millis(1)); // a destructor may park
        assert_eq!(mine, VALUE.with(Cell::get));
        self.0.fetch_add(mine, SeqCst);
    }
}

static DROPPED: AtomicUsize = AtomicUsize::new(0);

thread_local! {
    static VALUE: Cell<usize> = const { Cell::new(1000) };
    static LIST: RefCell<Vec<usize>> = RefCell::new(Vec::with_capacity(4));
    static TOLD: Told = const { Told(&DROPPED) };
}

fn thread_locals() {
    let gate = Arc::new(Barrier::new(20));
    let threads: Vec<_> = (0..20)
        .map(|me| {
            let gate = gate.clone();
            thread::spawn(move || {
                let fresh = VALUE.replace(me) == 1000 && LIST.with_borrow(Vec::is_empty);
                TOLD.with(|_| ());
                for i in 0..10 {
                    gate.wait();
                    LIST.with_borrow_mut(|list| list.push(me * i));
                }
                fresh
                    && VALUE.get() == me
                    && LIST.with_borrow(|list| *list == (0..10).map(|i| me * i).collect::<Vec<_>>())
            })
        })
        .collect();
    println!("own {}", threads.into_iter().all(|thread| thread.join().unwrap()));
    println!("dropped {} main {}", DROPPED.load(SeqCst), VALUE.get());
}

fn spins() {
    let flag = Arc::new(AtomicBool::new(false));
    let setter = flag.clone();
    let thread = thread::spawn(move || setter.store(true, SeqCst));
    while !flag.load(SeqCst) {
        std::hint::spin_loop();
    }
    thread.join().unwrap();
    let turn = Arc::new(AtomicUsize::new(0));
    let threads: Vec<_> = (0..3)
        .map(|me| {
            let turn = turn.clone();
            thread::spawn(move || {
                for round in 0..5 {
                    while turn.load(SeqCst) != round * 3 + me {}
                    turn.fetch_add(1, SeqCst);
                }
            })
        })
        .collect();
    threads.into_iter().for_each(|thread| thread.join().unwrap());
    println!("turns {}", turn.load(SeqCst));
}

fn sleep_order() {
    let woken = Arc::new(Mutex::new(vec![]));
    let start = Instant::now() + Duration::from_millis(50);
    let threads: Vec<_> = [3, 0, 4, 1, 2]
        .map(|rank| {
            let woken = woken.clone();
            thread::spawn(move || {
                thread::sleep(
                    (start + rank * Duration::from_millis(100)).saturating_duration_since(Instant::now()),
                );
                woken.lock().unwrap().push(rank);
            })
        })
        .into_iter()
        .collect();
    threads.into_iter().for_each(|thread| thread.join().unwrap());
    println!("{:?}", woken.lock().unwrap());
}

fn main() {
    // As the standard one, without the thread's id, which no two runs share.
    std::panic::set_hook(Box::new(|info| {
        eprintln!("{:?}: {:?}", thread::current().name(), info.payload_as_str());
    }));
    match std::env::args().nth(1).as_deref() {
        Some("spawn_join") => spawn_join(),
        Some("names") => names(),
        Some("scope") => scope(),
        Some("park") => park(),
        Some("panics") => panics(),
        Some("thread_locals") => thread_locals(),
        Some("spins") => spins(),
        Some("sleep_order") => sleep_order(),
        other => panic!("no case {other:?}"),
    }
}
