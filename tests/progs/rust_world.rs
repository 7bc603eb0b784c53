//! std::net, std::os::unix::net, std::process and std::io from threads: one case per run.

use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream, UdpSocket};
use std::os::unix::net::UnixStream;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

const SHORT: Duration = Duration::from_millis(5);
const LONG: Duration = Duration::from_secs(60);
const CLIENTS: usize = 100;

fn echo(mut stream: TcpStream) -> usize {
    stream.set_read_timeout(Some(LONG)).unwrap();
    let (mut buffer, mut total) = ([0; 4096], 0);
    loop {
        match stream.read(&mut buffer).unwrap() {
            0 => return total,
            n => stream.write_all(&buffer[..n]).unwrap(),
        }
        total += 1;
    }
}

fn tcp() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let server = thread::spawn(move || {
        let threads: Vec<_> =
            listener.incoming().take(CLIENTS).map(|stream| thread::spawn(|| echo(stream.unwrap()))).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).filter(|&reads| reads > 0).count()
    });
    let client = move |me: usize| {
        let mut stream = TcpStream::connect(address).unwrap();
        let mut reader = BufReader::new(stream.try_clone().unwrap());
        for i in 0..20 {
            let line = format!("{me} {i} {}\n", "y".repeat(me * i * 13 % 5000));
            stream.write_all(line.as_bytes()).unwrap();
            let mut got = String::new();
            reader.read_line(&mut got).unwrap();
            assert_eq!(got, line);
        }
        // More than the socket's buffers hold: a writer beside a reader.
        let bytes: Vec<u8> = (0..300_000).map(|i| (i * me) as u8).collect();
        let sent = bytes.clone();
        let writer = thread::spawn(move || {
            stream.write_all(&bytes).unwrap();
            stream.shutdown(Shutdown::Write).unwrap();
        });
        let mut got = vec![];
        reader.read_to_end(&mut got).unwrap();
        writer.join().unwrap();
        got == sent
    };
    let clients: Vec<_> = (0..CLIENTS).map(|me| thread::spawn(move || client(me))).collect();
    println!("{}", clients.into_iter().all(|thread| thread.join().unwrap()));
    println!("{} served", server.join().unwrap());
}

fn udp() {
    let server = UdpSocket::bind("127.0.0.1:0").unwrap();
    let address = server.local_addr().unwrap();
    let second = server.try_clone().unwrap();
    let serve = |socket: UdpSocket| {
        move || {
            let mut buffer = [0; 100];
            loop {
                let (n, from) = socket.recv_from(&mut buffer).unwrap();
                if n == 0 {
                    return;
                }
                buffer[..n].reverse();
                socket.send_to(&buffer[..n], from).unwrap();
            }
        }
    };
    let servers = [thread::spawn(serve(server)), thread::spawn(serve(second))];
    let clients: Vec<_> = (0..20u8)
        .map(|me| {
            thread::spawn(move || {
                let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
                socket.connect(address).unwrap();
                socket.set_read_timeout(Some(LONG)).unwrap();
                (0..20u8).all(|i| {
                    let mut got = [0; 100];
                    socket.send(&[me, i, 0]).unwrap();
                    socket.recv(&mut got).unwrap() == 3 && got[..3] == [0, i, me]
                })
            })
        })
        .collect();
    println!("{}", clients.into_iter().all(|thread| thread.join().unwrap()));
    let end = UdpSocket::bind("127.0.0.1:0").unwrap();
    for _ in &servers {
        end.send_to(&[], address).unwrap(); // whoever takes it ends
    }
    for server in servers {
        server.join().unwrap();
    }
    println!("ended");
}

fn timeouts() {
    let work = || {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (mut server, _) = listener.accept().unwrap();
        client.set_read_timeout(Some(SHORT)).unwrap();
        client.set_write_timeout(Some(SHORT)).unwrap();
        let before = Instant::now();
        let kind = client.read(&mut [0]).unwrap_err().kind();
        let full = client.write_all(&vec![0; 64 << 20]).unwrap_err().kind();
        server.write_all(b"!").unwrap();
        client.set_read_timeout(Some(LONG)).unwrap();
        let read = client.read(&mut [0; 8]).unwrap();
        listener.set_nonblocking(true).unwrap();
        let accept = listener.accept().unwrap_err().kind();
        let (mut left, right) = UnixStream::pair().unwrap();
        left.set_read_timeout(Some(SHORT)).unwrap();
        let unix = left.read(&mut [0]).unwrap_err().kind();
        drop(right);
        let end = left.read(&mut [0]).unwrap();
        let refused = {
            let address = listener.local_addr().unwrap();
            drop(listener);
            TcpStream::connect(address).unwrap_err().kind()
        };
        let blocked = ErrorKind::WouldBlock;
        (
            kind == blocked,
            before.elapsed() >= SHORT,
            full == blocked,
            read,
            accept == blocked,
            unix == blocked,
            end,
            refused,
        )
    };
    println!("{:?}", work());
    let threads: Vec<_> = (0..5).map(|_| thread::spawn(work)).collect();
    for thread in threads {
        println!("{:?}", thread.join().unwrap());
    }
}

/// A reader and a writer at once on one stream, shut down by a third.
fn shutdown() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let (server, _) = listener.accept().unwrap();
    let (mut reading, mut writing) = (client.try_clone().unwrap(), client.try_clone().unwrap());
    let reader = thread::spawn(move || reading.read(&mut [0]).map_err(|error| error.kind()));
    let writer = thread::spawn(move || {
        loop {
            if let Err(error) = writing.write_all(&[0; 65536]) {
                return error.kind();
            }
        }
    });
    let third = thread::spawn(move || client.shutdown(Shutdown::Both).unwrap());
    println!("{:?} {:?}", reader.join().unwrap(), writer.join().unwrap());
    third.join().unwrap();
    drop(server);
}

fn processes() {
    let threads: Vec<_> = (0..8)
        .map(|me| {
            thread::spawn(move || {
                let output =
                    Command::new("/bin/sh").args(["-c", &format!("echo {me}; exit {me}")]).output().unwrap();
                let mut cat =
                    Command::new("cat").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
                let mut input = cat.stdin.take().unwrap();
                let writer = thread::spawn(move || input.write_all(&vec![b'z'; me * 60_000]).unwrap());
                let got = cat.wait_with_output().unwrap().stdout.len();
                writer.join().unwrap();
                let mut killed = Command::new("sleep").arg("600").spawn().unwrap();
                killed.kill().unwrap();
                (output.stdout, output.status.code(), got, killed.wait().unwrap().code())
            })
        })
        .collect();
    for thread in threads {
        println!("{:?}", thread.join().unwrap());
    }
    println!("{:?}", Command::new("/no/such/program").spawn().unwrap_err().kind());
}

/// Threads that print, and threads that share stdin.
fn stdio() {
    let printers: Vec<_> = (0..10)
        .map(|_| {
            thread::spawn(|| {
                for _ in 0..10 {
                    println!("whole lines only");
                    thread::yield_now();
                }
            })
        })
        .collect();
    printers.into_iter().for_each(|thread| thread.join().unwrap());
    let readers: Vec<_> = (0..5)
        .map(|_| {
            thread::spawn(|| {
                let mut taken = 0;
                let mut line = String::new();
                while std::io::stdin().read_line(&mut line).unwrap() > 0 {
                    taken += line.trim().len();
                    line.clear();
                }
                taken
            })
        })
        .collect();
    println!("read {}", readers.into_iter().map(|thread| thread.join().unwrap()).sum::<usize>());
}

fn main() {
    match std::env::args().nth(1).as_deref() {
        Some("tcp") => tcp(),
        Some("udp") => udp(),
        Some("timeouts") => timeouts(),
        Some("shutdown") => shutdown(),
        Some("processes") => processes(),
        Some("stdio") => stdio(),
        other => panic!("no case {other:?}"),
    }
}
