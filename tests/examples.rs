//! The programs of `examples/`, linked as the README says.

mod common;

use std::io::{Read, Write};
use std::net::TcpListener;

use common::{Outcome, Program};

fn run(name: &str, input: &str) -> Outcome {
    let program = Program::new(common::linked(&format!("examples/{name}.c"), &format!("example-{name}")));
    let outcome = program.input(input).bare();
    assert!(outcome.status.success() && outcome.stderr.is_empty(), "{outcome}");
    outcome
}

#[test]
fn pipeline() {
    let numbers: String = (1..=1000).map(|number| format!("{number}\n")).collect();
    assert_eq!(run("pipeline", &numbers).text(), "333833500\n");
}

#[test]
fn fetch() {
    let server = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = server.local_addr().expect("its address").port();
    std::thread::spawn(move || {
        // All twenty would-be connections are there before the first is answered: ten at a time.
        for batch in [10, 10] {
            let clients: Vec<_> = (0..batch).map(|_| server.accept().expect("a client").0).collect();
            for mut client in clients {
                let mut request = [0; 512];
                let length = client.read(&mut request).expect("a request");
                let text = String::from_utf8_lossy(&request[..length]).into_owned();
                let size: usize = text.split(['/', ' ']).nth(2).expect("a path").parse().expect("a number");
                client.write_all(&vec![b'x'; size]).expect("an answer");
            }
        }
    });
    let lines: String = (0..20).map(|size| format!("127.0.0.1 {port} /{size}\n")).collect();
    let expected: String = (0..20).map(|size| format!("127.0.0.1/{size}: {size} bytes\n")).collect();
    assert_eq!(run("fetch", &lines).text(), expected);
}

#[test]
fn slow() {
    assert_eq!(run("slow", "hello\n").text(), "in time: hello\n");
    let program = Program::new(common::linked("examples/slow.c", "example-slow"));
    let mut late = program.start(false);
    assert_eq!(late.line(), "too late");
}
