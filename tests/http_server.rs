//! `python3 -m http.server`, as it stands in the distribution: 500 downloads at once, a thread for each.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::thread;
use std::time::{Duration, Instant};

use crate::common::python::pythons;
use crate::common::{Program, Running, connect, many_files};

const DOWNLOADS: usize = 500;
const SIZES: [usize; 6] = [0, 1, 1000, 65_536, 1 << 20, 8 << 20];
/// The hub, and at most two helpers of the library.
const GREEN_TASKS: usize = 3;
/// It listens with a backlog of 5: more at once would wait for the kernel to try again.
const BACKLOG: usize = 5;

/// What the files hold: no two places that could be mixed up look alike.
fn contents() -> &'static [Vec<u8>] {
    static MADE: OnceLock<Vec<Vec<u8>>> = OnceLock::new();
    let byte = |i: u64| (i.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 40) as u8;
    MADE.get_or_init(|| SIZES.iter().map(|&size| (0..size as u64).map(byte).collect()).collect())
}

/// The file that a download takes: many small ones, 20 times the one of 8 MiB.
fn pick(download: usize) -> &'static [u8] {
    &contents()[match download % 25 {
        0 => 5,
        1..=3 => 4,
        rest => rest % 4,
    }]
}

fn folder() -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("http-{}", std::process::id()));
    fs::create_dir_all(&folder).expect("a directory");
    for content in contents() {
        fs::write(folder.join(content.len().to_string()), content).expect("a file");
    }
    folder
}

fn until(what: &str, done: impl Fn() -> bool) {
    let limit = Instant::now() + Duration::from_secs(60);
    while !done() {
        assert!(Instant::now() < limit, "never: {what}");
        thread::sleep(Duration::from_millis(1));
    }
}

/// What its descriptors stand for, without the library's own.
fn open_files(server: &Running) -> Vec<PathBuf> {
    let entries = fs::read_dir(format!("/proc/{}/fd", server.pid())).expect("it lives").flatten();
    let links = entries.filter_map(|entry| fs::read_link(entry.path()).ok());
    let mut links: Vec<_> = links.filter(|link| !link.to_string_lossy().starts_with("anon_inode:")).collect();
    links.sort();
    links
}

/// How many sockets it has open: the listener, and the connections it has not closed.
fn sockets(server: &Running) -> usize {
    open_files(server).iter().filter(|link| link.to_string_lossy().starts_with("socket:")).count()
}

/// The request without its last line: the server's thread waits for the rest.
fn begin(port: u16, size: usize) -> TcpStream {
    let mut stream = connect(port);
    stream.set_read_timeout(Some(Duration::from_secs(60))).expect("a time limit");
    write!(stream, "GET /{size} HTTP/1.0\r\nHost: localhost\r\n").expect("a request");
    stream
}

/// Ends the request and reads the head of the answer.
fn head(stream: &mut BufReader<TcpStream>, size: usize) {
    stream.get_mut().write_all(b"\r\n").expect("the end of the request");
    let lines: Vec<String> =
        stream.lines().map(|line| line.expect("a line")).take_while(|line| !line.is_empty()).collect();
    assert!(lines[0].ends_with(" 200 OK"), "{lines:?}");
    assert!(lines.contains(&format!("Content-Length: {size}")), "{lines:?}");
}

fn body(stream: &mut BufReader<TcpStream>, expected: &[u8]) {
    let (mut buffer, mut at) = (vec![0; 65536], 0);
    loop {
        let n = stream.read(&mut buffer).expect("read");
        if n == 0 {
            break;
        }
        assert!(expected[at..].starts_with(&buffer[..n]), "other bytes at {at} of {}", expected.len());
        at += n;
    }
    assert_eq!(at, expected.len(), "it ends early");
}

/// Does it for all connections at once.
fn at_once(streams: &mut [BufReader<TcpStream>], work: impl Fn(&[u8], &mut BufReader<TcpStream>) + Sync) {
    thread::scope(|scope| {
        for (download, stream) in streams.iter_mut().enumerate() {
            let work = &work;
            scope.spawn(move || work(pick(download), stream));
        }
    });
}

/// Starts the server; gives its port.
fn server(python: &Path, folder: &Path, preload: bool) -> (Running, u16) {
    let program = Program::new(python).arg("-u").arg("-m").arg("http.server").arg("0");
    let mut server = program.arg("--bind").arg("127.0.0.1").arg("--directory").arg(folder).start(preload);
    let line = server.line();
    let port = line
        .split(" port ")
        .nth(1)
        .and_then(|rest| rest.split(' ').next())
        .and_then(|port| port.parse().ok());
    (server, port.unwrap_or_else(|| panic!("no port: {line}")))
}

/// All downloads, then Ctrl-C. Gives the kernel threads that were seen while the requests came in and while files went out.
fn downloads(python: &Path, folder: &Path, preload: bool) -> [usize; 2] {
    many_files();
    let (server, port) = server(python, folder, preload);
    let mut first = BufReader::new(begin(port, 1000));
    head(&mut first, 1000);
    body(&mut first, &contents()[2]);
    until("the first connection is closed", || sockets(&server) == 1);
    let at_start = open_files(&server);

    let mut streams = vec![];
    for download in 0..DOWNLOADS {
        until("the server accepts", || sockets(&server) + BACKLOG > download + 1);
        streams.push(BufReader::new(begin(port, pick(download).len())));
    }
    until("the server has accepted all", || sockets(&server) == DOWNLOADS + 1);
    let coming = server.tasks();
    at_once(&mut streams, |file, stream| head(stream, file.len()));
    let going = server.tasks();
    at_once(&mut streams, |file, stream| body(stream, file));
    drop(streams);
    until("every connection is closed", || open_files(&server) == at_start);

    server.kill(libc::SIGINT);
    let outcome = server.ended();
    assert_eq!(outcome.text(), "\nKeyboard interrupt received, exiting.\n", "{outcome}");
    assert_eq!(outcome.status.code(), Some(0), "{outcome}");
    let served = outcome.errors().lines().filter(|line| line.ends_with("HTTP/1.0\" 200 -")).count();
    assert_eq!((served, outcome.errors().lines().count()), (DOWNLOADS + 1, DOWNLOADS + 1), "{outcome}");
    if preload {
        let stats = outcome.stats();
        let threads = DOWNLOADS as u64 + 1;
        assert_eq!((stats.threads, stats.finished, stats.native), (threads, threads, 0), "{outcome}");
        assert!(stats.parks > threads, "{outcome}");
    }
    [coming, going]
}

#[test]
fn five_hundred_downloads() {
    let folder = folder();
    for python in pythons() {
        let [coming, _] = downloads(python, &folder, false);
        assert!(coming > DOWNLOADS, "bare, a thread each: {coming}");
        let tasks = downloads(python, &folder, true);
        assert!(tasks.iter().all(|&tasks| tasks <= GREEN_TASKS), "kernel threads: {tasks:?}");
    }
    fs::remove_dir_all(folder).expect("our own directory");
}
