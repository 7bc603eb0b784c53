//! std::sync::mpsc: one case per run.

use std::sync::mpsc::{RecvTimeoutError, TryRecvError, TrySendError, channel, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

const SHORT: Duration = Duration::from_millis(5);

fn unbounded() {
    let (send, receive) = channel();
    let producers: Vec<_> = (0..20)
        .map(|me| {
            let send = send.clone();
            thread::spawn(move || {
                for i in 0..100 {
                    send.send((me, i)).unwrap();
                    if i % 10 == 0 {
                        thread::yield_now();
                    }
                }
            })
        })
        .collect();
    drop(send);
    let mut last = [-1; 20];
    let mut ordered = true;
    let mut count = 0;
    for (me, i) in receive {
        ordered &= last[me] == i - 1;
        last[me] = i;
        count += 1;
    }
    producers.into_iter().for_each(|thread| thread.join().unwrap());
    println!("{count} ordered {ordered}");
}

fn bounded() {
    for room in [1, 7] {
        let (send, receive) = sync_channel(room);
        let producers: Vec<_> = (0..8)
            .map(|me| {
                let send = send.clone();
                thread::spawn(move || (0..100).for_each(|i| send.send(me * 100 + i).unwrap()))
            })
            .collect();
        drop(send);
        let mut got: Vec<i32> = receive.iter().collect();
        producers.into_iter().for_each(|thread| thread.join().unwrap());
        got.sort();
        println!("room {room}: {}", got == (0..800).collect::<Vec<_>>());
    }
    let (send, receive) = sync_channel(1);
    send.send(1).unwrap();
    println!("{:?}", send.try_send(2) == Err(TrySendError::Full(2)));
    drop(receive);
    println!("{:?}", send.try_send(3) == Err(TrySendError::Disconnected(3)));
}

fn rendezvous() {
    let (send, receive) = sync_channel(0);
    let (answer, answers) = sync_channel(0);
    let echo = thread::spawn(move || {
        for value in receive {
            answer.send(value * 2).unwrap();
        }
    });
    let sum: u64 = (0..500u64).map(|i| (send.send(i).unwrap(), answers.recv().unwrap()).1).sum();
    drop(send);
    echo.join().unwrap();
    println!("{sum} {:?}", answers.recv().is_err());
}

fn timeout() {
    let (send, receive) = channel::<u8>();
    let before = Instant::now();
    println!(
        "{:?} {}",
        receive.recv_timeout(SHORT) == Err(RecvTimeoutError::Timeout),
        before.elapsed() >= SHORT
    );
    println!("{:?}", receive.try_recv() == Err(TryRecvError::Empty));
    let late = thread::spawn(move || {
        thread::sleep(SHORT);
        send.send(1).unwrap();
    });
    println!("{:?}", receive.recv_timeout(Duration::from_secs(60)));
    late.join().unwrap();
    println!("{:?}", receive.recv_timeout(SHORT) == Err(RecvTimeoutError::Disconnected));
}

/// Requests carry the channel of their answer, through a chain of threads.
fn chain() {
    let (first, mut input) = channel::<(u32, std::sync::mpsc::Sender<u32>)>();
    let mut threads = vec![];
    for _ in 0..10 {
        let (send, next) = channel();
        let receive = std::mem::replace(&mut input, next);
        threads.push(thread::spawn(move || {
            for (value, answer) in receive {
                send.send((value + 1, answer)).unwrap();
            }
        }));
    }
    threads.push(thread::spawn(move || {
        input.into_iter().for_each(|(value, answer)| answer.send(value).unwrap())
    }));
    let clients: Vec<_> = (0..10u32)
        .map(|me| {
            let first = first.clone();
            thread::spawn(move || {
                let ask = |i| {
                    let (send, receive) = channel();
                    first.send((me * 1000 + i, send)).unwrap();
                    receive.recv().unwrap() == me * 1000 + i + 10
                };
                (0..50).all(ask)
            })
        })
        .collect();
    drop(first);
    println!("{}", clients.into_iter().all(|thread| thread.join().unwrap()));
    threads.into_iter().for_each(|thread| thread.join().unwrap());
    println!("chain ended");
}

fn main() {
    match std::env::args().nth(1).as_deref() {
        Some("unbounded") => unbounded(),
        Some("bounded") => bounded(),
        Some("rendezvous") => rendezvous(),
        Some("timeout") => timeout(),
        Some("chain") => chain(),
        other => panic!("no case {other:?}"),
    }
}
