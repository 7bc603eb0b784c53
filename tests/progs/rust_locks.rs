//! std::sync: one case per run. Its locks wait in futexes made through `syscall`.

use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Barrier, Condvar, LazyLock, Mutex, Once, OnceLock, RwLock, TryLockError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

const N: usize = 16;
const SHORT: Duration = Duration::from_millis(5);
const LONG: Duration = Duration::from_secs(60);

fn spawn_all<T: Send + 'static>(work: impl Fn(usize) -> T + Send + Sync + 'static) -> Vec<JoinHandle<T>> {
    let work = Arc::new(work);
    (0..N).map(|me| (me, work.clone())).map(|(me, work)| thread::spawn(move || work(me))).collect()
}

fn join<T>(threads: Vec<JoinHandle<T>>) -> Vec<T> {
    threads.into_iter().map(|thread| thread.join().unwrap()).collect()
}

fn mutex() {
    let total = Arc::new(Mutex::new(0));
    let sum = total.clone();
    join(spawn_all(move |_| {
        for i in 0..500 {
            let mut held = sum.lock().unwrap();
            let seen = *held;
            if i % 100 == 0 {
                thread::sleep(Duration::from_micros(10)); // parks while it holds the lock
            }
            *held = seen + 1;
        }
    }));
    println!("{}", total.lock().unwrap());
    let held = total.lock().unwrap();
    println!(
        "{}",
        thread::scope(|s| s
            .spawn(|| matches!(total.try_lock(), Err(TryLockError::WouldBlock)))
            .join()
            .unwrap())
    );
    drop(held);
    println!("{}", total.try_lock().is_ok());
}

fn rwlock() {
    let pair = Arc::new(RwLock::new((0u64, 0u64)));
    let (shared, gate) = (pair.clone(), Barrier::new(N));
    let readers_at_once = join(spawn_all(move |_| {
        let held = shared.read().unwrap();
        gate.wait(); // all readers hold it
        held.0
    }));
    println!("{readers_at_once:?}");
    let shared = pair.clone();
    let torn: usize = join(spawn_all(move |me| {
        let mut torn = 0;
        for i in 0..200 {
            if (i + me) % 5 == 0 {
                let mut held = shared.write().unwrap();
                held.0 += 1;
                thread::yield_now();
                held.1 += 1;
            } else {
                let held = shared.read().unwrap();
                torn += usize::from(held.0 != held.1);
            }
        }
        torn
    }))
    .into_iter()
    .sum();
    println!("torn {torn} {:?}", pair.read().unwrap());
    let _writer = pair.write().unwrap();
    println!("{} {}", pair.try_read().is_err(), pair.try_write().is_err());
}

fn condvar() {
    let shared = Arc::new((Mutex::new(0usize), Condvar::new()));
    let turns = shared.clone();
    let said = Arc::new(Mutex::new(vec![]));
    let order = said.clone();
    join(spawn_all(move |me| {
        for _ in 0..20 {
            let mut turn = turns.1.wait_while(turns.0.lock().unwrap(), |turn| *turn % N != me).unwrap();
            order.lock().unwrap().push(me);
            *turn += 1;
            turns.1.notify_all();
        }
    }));
    println!("{}", said.lock().unwrap().iter().enumerate().all(|(i, &me)| me == i % N));

    let (lock, changed) = &*shared;
    let before = Instant::now();
    let (held, timeout) = changed.wait_timeout_while(lock.lock().unwrap(), SHORT, |_| true).unwrap();
    println!("timed out {} {} {}", timeout.timed_out(), before.elapsed() >= SHORT, *held);
    drop(held);
    let waker = shared.clone();
    let mut held = lock.lock().unwrap();
    let thread = thread::spawn(move || {
        *waker.0.lock().unwrap() = 0;
        waker.1.notify_one();
    });
    while *held != 0 {
        let (again, timeout) = changed.wait_timeout(held, LONG).unwrap();
        assert!(!timeout.timed_out());
        held = again;
    }
    println!("notified");
    thread.join().unwrap();
}

fn bounded_buffer() {
    struct Buffer {
        items: Mutex<Vec<usize>>,
        room: Condvar,
        some: Condvar,
    }
    let buffer = Arc::new(Buffer { items: Mutex::default(), room: Condvar::new(), some: Condvar::new() });
    let (put, taken) = (buffer.clone(), Arc::new(AtomicUsize::new(0)));
    let producers = spawn_all(move |me| {
        for i in 0..100 {
            let mut items = put.room.wait_while(put.items.lock().unwrap(), |items| items.len() == 3).unwrap();
            items.push(me * 100 + i);
            put.some.notify_one();
        }
    });
    let sum = taken.clone();
    let consumers = spawn_all(move |_| {
        for _ in 0..100 {
            let mut items =
                buffer.some.wait_while(buffer.items.lock().unwrap(), |items| items.is_empty()).unwrap();
            sum.fetch_add(items.pop().unwrap(), SeqCst);
            buffer.room.notify_one();
        }
    });
    join(producers);
    join(consumers);
    println!("{} of {}", taken.load(SeqCst), (0..N * 100).sum::<usize>());
}

fn barrier() {
    let (barrier, step) = (Barrier::new(N), AtomicUsize::new(0));
    let leaders: usize = join(spawn_all(move |_| {
        let mut led = 0;
        for round in 0..50 {
            assert_eq!(step.load(SeqCst), round);
            if barrier.wait().is_leader() {
                step.fetch_add(1, SeqCst);
                led += 1;
            }
            barrier.wait();
        }
        led
    }))
    .into_iter()
    .sum();
    println!("leaders {leaders}");
}

fn once() {
    static MADE: AtomicUsize = AtomicUsize::new(0);
    static CELL: OnceLock<usize> = OnceLock::new();
    static LAZY: LazyLock<usize> = LazyLock::new(|| make(20));
    static ONCE: Once = Once::new();
    fn make(value: usize) -> usize {
        thread::sleep(Duration::from_millis(2)); // the initialiser parks while the others come
        MADE.fetch_add(1, SeqCst);
        value
    }
    let gate = Barrier::new(N);
    let got = join(spawn_all(move |me| {
        gate.wait();
        ONCE.call_once(|| assert_eq!(make(0), 0));
        (*CELL.get_or_init(|| make(10)), *LAZY, if me % 2 == 0 { ONCE.is_completed() } else { true })
    }));
    println!("{} made {}", got.iter().all(|got| *got == (10, 20, true)), MADE.load(SeqCst));
}

fn main() {
    match std::env::args().nth(1).as_deref() {
        Some("mutex") => mutex(),
        Some("rwlock") => rwlock(),
        Some("condvar") => condvar(),
        Some("bounded_buffer") => bounded_buffer(),
        Some("barrier") => barrier(),
        Some("once") => once(),
        other => panic!("no case {other:?}"),
    }
}
