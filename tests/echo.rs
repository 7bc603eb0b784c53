//! A thread per connection and 2,000 of them at once, served by one kernel thread.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::time::Duration;

use crate::common::{Program, connect};

const CLIENTS: usize = 2000;
/// The hub, and at most two helpers of the library.
const GREEN_TASKS: usize = 3;

/// A message of its own for each client, of one byte to 16 KiB.
fn message(client: usize) -> Vec<u8> {
    let length = 1 + client * 7919 % 16384;
    (0..length).map(|i| (i * 31 + client) as u8).collect()
}

fn echo(clients: &mut [TcpStream], message: impl Fn(usize) -> Vec<u8>) {
    for (i, client) in clients.iter_mut().enumerate() {
        client.write_all(&message(i)).expect("write");
    }
    for (i, client) in clients.iter_mut().enumerate() {
        let (sent, mut got) = (message(i), vec![]);
        client.take(sent.len() as u64).read_to_end(&mut got).expect("read");
        assert!(got == sent, "client {i} got other bytes back");
    }
}

/// Serves [`CLIENTS`]; gives the kernel threads while all were connected, and what the server says of itself at the end.
fn serve(preload: bool) -> (usize, String) {
    crate::common::many_files();
    let mut server = Program::of("echo_server.c").limit(Duration::from_secs(300)).start(preload);
    let port = server.port();
    echo(&mut [connect(port)], |_| b"first".to_vec());
    let first = server.ask("left");
    assert_eq!(first, "served 1 alive 0 descriptors +0");
    let descriptors = server.descriptors();

    let mut clients: Vec<TcpStream> = (0..CLIENTS).map(|_| connect(port)).collect();
    echo(&mut clients, |i| vec![i as u8]);
    let tasks = server.tasks();
    echo(&mut clients, message);
    for client in &mut clients {
        client.shutdown(Shutdown::Write).expect("shutdown");
        assert_eq!(client.read(&mut [0]).expect("read"), 0, "nothing but what was sent");
    }
    let left = server.ask("left");
    assert_eq!(server.descriptors(), descriptors, "descriptors left");

    let outcome = server.finish();
    assert!(outcome.status.success(), "{outcome}");
    if preload {
        let stats = outcome.stats();
        assert_eq!((stats.threads, stats.finished), (CLIENTS as u64 + 2, CLIENTS as u64 + 2), "{outcome}");
        assert!(stats.parks as usize > 2 * CLIENTS, "{outcome}");
    }
    (tasks, left)
}

#[test]
fn two_thousand_clients() {
    let (bare_tasks, bare) = serve(false);
    assert!(bare_tasks > CLIENTS, "{bare_tasks} kernel threads");
    let (green_tasks, green) = serve(true);
    assert!(green_tasks <= GREEN_TASKS, "{green_tasks} kernel threads");
    assert_eq!(green, bare);
    assert_eq!(green, format!("served {} alive 0 descriptors +0", CLIENTS + 1));
}
