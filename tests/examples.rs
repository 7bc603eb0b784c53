//! The programs of `examples/`, linked as the README says.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::Command;

use crate::common::{Outcome, Program};

fn run(name: &str, input: &str) -> Outcome {
    let program =
        Program::new(crate::common::linked(&format!("examples/{name}.c"), &format!("example-{name}")));
    let outcome = program.input(input).bare();
    assert!(outcome.status.success() && outcome.stderr.is_empty(), "{outcome}");
    outcome
}

/// Some warnings come with optimisation alone.
#[test]
fn no_compiler_warns() {
    let tree = Path::new(env!("CARGO_MANIFEST_DIR"));
    for entry in tree.join("examples").read_dir().expect("examples") {
        let source = entry.expect("a file").path();
        for level in ["-O0", "-O1", "-O2", "-O3"] {
            let output = Command::new("cc")
                .args([level, "-Wall", "-Wextra", "-Werror", "-c", "-o", "/dev/null", "-I"])
                .args([&tree.join("shim/include"), &source])
                .output()
                .expect("cc");
            assert!(output.status.success(), "{level}\n{}", String::from_utf8_lossy(&output.stderr));
        }
    }
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
    let program = Program::new(crate::common::linked("examples/slow.c", "example-slow"));
    let mut late = program.start(false);
    assert_eq!(late.line(), "too late");
}

/// A server of these that says its port first; what else is there to do comes in `talk`. It ends by itself.
fn serves(name: &str, talk: impl FnOnce(&dyn Fn() -> TcpStream)) {
    let program =
        Program::new(crate::common::linked(&format!("examples/{name}.c"), &format!("example-{name}")));
    let mut server = program.start(false);
    let port: u16 = server.line().parse().expect("a port");
    talk(&|| TcpStream::connect(("127.0.0.1", port)).expect("a connection"));
    let outcome = server.finish();
    assert!(outcome.status.success() && outcome.stderr.is_empty(), "{outcome}");
}

#[test]
fn echo() {
    serves("echo", |dial| {
        let clients: Vec<_> = (0..100).map(|_| dial()).collect();
        for (number, mut client) in clients.iter().enumerate().rev() {
            let text = format!("hello {number}");
            client.write_all(text.as_bytes()).expect("a question");
            let mut answer = vec![0; text.len()];
            client.read_exact(&mut answer).expect("an answer");
            assert_eq!(answer, text.as_bytes());
        }
        drop(clients);
        dial().write_all(b"stop\n").expect("the end");
    });
}

#[test]
fn chat() {
    serves("chat", |dial| {
        let line = |client: &TcpStream| {
            let mut text = String::new();
            let mut one = [0];
            while { client }.read(&mut one).expect("a line") == 1 && one[0] != b'\n' {
                text.push(one[0] as char);
            }
            text
        };
        let (mut ann, mut ben) = (dial(), dial());
        ann.write_all(b"ann\n").expect("a name");
        // Until she is there: whoever comes is told to her.
        let mut probe = dial();
        probe.write_all(b"probe\n").expect("a name");
        assert_eq!(line(&ann), "probe is here");
        ben.write_all(b"ben\n").expect("a name");
        assert_eq!((line(&ann), line(&probe)), ("ben is here".into(), "ben is here".into()));
        ben.write_all(b"hello\n").expect("a line");
        assert_eq!((line(&ann), line(&probe)), ("ben: hello".into(), "ben: hello".into()));
        ann.write_all(b"good day\n").expect("a line");
        assert_eq!(line(&ben), "ann: good day");
        drop(ben);
        assert_eq!(line(&ann), "ben is gone");
        dial().write_all(b"stop\n").expect("the end");
    });
}

#[test]
fn crawler() {
    let server = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = server.local_addr().expect("its address").to_string();
    std::thread::spawn(move || {
        for client in server.incoming() {
            let mut client = client.expect("a client");
            let mut request = [0; 512];
            let length = client.read(&mut request).expect("a request");
            let text = String::from_utf8_lossy(&request[..length]).into_owned();
            let page: usize = text.split(['/', ' ']).nth(2).expect("a path").parse().expect("a number");
            // A binary tree, with a way back to the root from each page.
            let links = [0, page * 2 + 1, page * 2 + 2].into_iter().filter(|link| *link < 60);
            let body: String = links.map(|link| format!("<a href=\"/{link}\">{link}</a>\n")).collect();
            write!(client, "HTTP/1.0 200 OK\r\n\r\n{body}").expect("an answer");
        }
    });
    let program = Program::new(crate::common::linked("examples/crawler.c", "example-crawler"));
    let outcome = program.arg(address).arg("/0").bare();
    let mut lines: Vec<_> = outcome.text().lines().map(str::to_owned).collect();
    let mut expected: Vec<_> = (0..60).map(|page| format!("/{page}: fetched")).collect();
    lines.sort();
    expected.sort();
    assert!(lines == expected && outcome.status.success(), "{outcome}");
}

#[test]
fn import() {
    let library = crate::common::shared("capi/client_library.c", "libexample-client.so", &[]);
    let server = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = server.local_addr().expect("its address").to_string();
    std::thread::spawn(move || {
        // All ten wait before the first is answered.
        let clients: Vec<_> = (0..10).map(|_| server.accept().expect("a client").0).collect();
        for mut client in clients {
            let mut number = [0];
            client.read_exact(&mut number).expect("a number");
            client.write_all(&[number[0] * 2]).expect("an answer");
        }
    });
    let program = Program::new(crate::common::linked("examples/import.c", "example-import"));
    let outcome = program.arg(library).arg(address).bare();
    let expected: String = (0..10).map(|number| format!("{}\n", number * 2)).collect();
    assert!(outcome.text() == expected && outcome.status.success() && outcome.stderr.is_empty(), "{outcome}");
}
