//! Stock servers: a process or a tree of them with a port, a folder of its own, and clients that ask.

use std::collections::BTreeMap;
use std::fs;
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use super::{Outcome, Program, Running};

/// A new directory, empty, that every user may read, and that goes with this value.
#[derive(Debug)]
pub struct Folder(PathBuf);

impl Folder {
    pub fn new(name: &str) -> Folder {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        // Short, for sockets: their names end at 108 bytes.
        let folder = std::env::temp_dir().join(format!("eventlet-{name}-{}-{count}", std::process::id()));
        fs::create_dir_all(&folder).expect("a directory");
        Folder(folder)
    }

    pub fn path(&self) -> &Path {
        &self.0
    }

    /// Writes a file into it.
    pub fn file(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.0.join(name);
        fs::create_dir_all(path.parent().expect("in the folder")).expect("a directory");
        fs::write(&path, content).expect("a file");
        path
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// A server that listens.
#[derive(Debug)]
pub struct Server {
    running: Running,
    pub port: u16,
}

impl Server {
    /// Starts what `program` says for a port, and waits until it listens there.
    pub fn start(preload: bool, program: impl Fn(u16) -> Program) -> Server {
        let port = free_port();
        let mut running = program(port).start(preload);
        let deadline = Instant::now() + Duration::from_secs(20);
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            assert!(
                !running.has_ended() && Instant::now() < deadline,
                "it does not listen\n{}",
                running.report()
            );
            std::thread::sleep(Duration::from_millis(10));
        }
        Server { running, port }
    }

    /// The program's own threads in each of its processes (0: it has just ended): without those of its malloc and of the library.
    pub fn threads(&self) -> Vec<usize> {
        let own = |pid: &u32| {
            let tasks = fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
            let names = tasks.map(|task| fs::read_to_string(task.path().join("comm")).unwrap_or_default());
            names.filter(|name| !name.starts_with("jemalloc") && !name.starts_with("eventlet")).count()
        };
        self.running.members().iter().map(own).collect()
    }

    /// Whether the library is in all of its processes.
    fn loaded(&self) -> bool {
        let maps = |pid: u32| fs::read_to_string(format!("/proc/{pid}/maps")).unwrap_or_default();
        let library = super::eventlet().display().to_string();
        // A process that has just ended has none.
        let mut all = self.running.members().into_iter().map(maps).filter(|maps| !maps.is_empty());
        all.all(|maps| maps.contains(&library))
    }

    /// Ends it by a signal.
    pub fn end(self, signal: i32) -> Outcome {
        self.running.kill(signal);
        self.running.ended()
    }
}

/// A port that is free now, below those that the kernel gives to clients.
fn free_port() -> u16 {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    loop {
        let step = COUNT.fetch_add(1, Ordering::Relaxed) * 7919 + std::process::id() * 101;
        let port = 10_000 + (step % 20_000) as u16;
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}

/// Serves bare and preloaded. What `ask` was answered and how the server ended after `signal` must be alike; if the bare
/// server is `threaded`, the preloaded one must have one thread in each process.
#[track_caller]
pub fn serves(
    threaded: bool,
    signal: i32,
    program: impl Fn(u16) -> Program,
    ask: impl Fn(&Server) -> String,
) {
    let run = |preload| {
        let server = Server::start(preload, &program);
        let answers = ask(&server);
        let threads = server.threads();
        assert_eq!(server.loaded(), preload, "whether the library is there");
        (answers, threads, server.end(signal))
    };
    let (bare, preloaded) = (run(false), run(true));
    assert_eq!(bare.0, preloaded.0, "the answers");
    assert!(
        bare.2.alike(&preloaded.2),
        "the end differs\n== bare\n{}\n== preloaded\n{}",
        bare.2,
        preloaded.2
    );
    if threaded {
        assert!(bare.1.iter().any(|count| *count > 1), "bare it has no threads: {:?}", bare.1);
    }
    assert!(preloaded.1.iter().all(|count| *count <= 1), "not green: {:?}, bare {:?}", preloaded.1, bare.1);
}

/// The names and contents below `folder` as one line each: name, bytes, a sum.
pub fn contents(folder: &Path) -> String {
    fn walk(folder: &Path, under: &str, files: &mut BTreeMap<String, Vec<u8>>) {
        for entry in fs::read_dir(folder).expect("a directory").flatten() {
            let name = format!("{under}{}", entry.file_name().to_string_lossy());
            if entry.path().is_dir() {
                walk(&entry.path(), &format!("{name}/"), files);
            } else {
                files.insert(name, fs::read(entry.path()).expect("a file"));
            }
        }
    }
    let mut files = BTreeMap::new();
    walk(folder, "", &mut files);
    files.iter().map(|(name, bytes)| format!("{name} {} {:016x}\n", bytes.len(), sum(bytes))).collect()
}

/// FNV-1a.
pub fn sum(bytes: &[u8]) -> u64 {
    bytes
        .iter()
        .fold(0xcbf2_9ce4_8422_2325, |sum, byte| (sum ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3))
}

/// Bytes that look random and are the same for the same seed.
pub fn noise(seed: u64, length: usize) -> Vec<u8> {
    let mut state = seed | 1;
    std::iter::repeat_with(|| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 56) as u8
    })
    .take(length)
    .collect()
}

/// A site: a large file and twenty small ones, as `www/` in `folder`. Gives the paths.
pub fn site(folder: &Folder) -> Vec<String> {
    let small = (1..=20).map(|i| (format!("f{i}"), i * 5000));
    let files = std::iter::once(("big".into(), 3_000_000)).chain(small);
    let paths = files.map(|(name, length)| {
        folder.file(&format!("www/{name}"), noise(length as u64, length));
        name
    });
    paths.collect()
}

/// nginx that serves `site`, with further directives for http and for the server.
pub fn nginx(folder: &Path, port: u16, http: &str, server: &str) -> Program {
    let root = folder.display();
    let paths =
        ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"].map(|what| format!("{what}_temp_path tmp;"));
    let config = format!(
        "daemon off; {user} worker_processes 2; pid pid; error_log {root}/error.log; env LD_PRELOAD;
        events {{ worker_connections 1024; }}
        http {{ access_log off; {paths} {http}
            server {{ listen 127.0.0.1:{port} backlog=1024; root {root}/www; {server} }} }}",
        user = if root_user() { "user root;" } else { "" },
        paths = paths.concat(),
    );
    let file = folder.join("nginx.conf");
    fs::write(&file, config).expect("a file");
    Program::new("/usr/sbin/nginx")
        .arg("-p")
        .arg(folder)
        .arg("-e")
        .arg(folder.join("error.log"))
        .arg("-c")
        .arg(file)
}

/// Whether the tests run as root: a server that changes its user then needs one.
pub fn root_user() -> bool {
    // SAFETY: takes nothing, cannot fail.
    unsafe { libc::geteuid() == 0 }
}

/// What a client prints; it must succeed, within 25 seconds.
#[track_caller]
pub fn client(program: &str, args: &[String]) -> String {
    let mut command = Command::new("timeout");
    command.arg("25").arg(program).args(args).env_remove("LD_PRELOAD");
    let output = command.output().unwrap_or_else(|error| panic!("{program}: {error}"));
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{command:?}: {}\n{out}\n{err}", output.status);
    out.into_owned()
}

/// Fetches `paths` at once with curl; gives what arrived.
#[track_caller]
pub fn fetch(port: u16, paths: &[String]) -> String {
    let into = Folder::new("fetched");
    let mut args: Vec<String> =
        ["-s", "-S", "-f", "-Z", "--parallel-immediate", "--parallel-max", "50", "--create-dirs"]
            .map(String::from)
            .into();
    for (i, path) in paths.iter().enumerate() {
        args.push(format!("http://127.0.0.1:{port}/{path}"));
        args.extend(["-o".into(), into.path().join(format!("{i:03}")).display().to_string()]);
    }
    client("curl", &args);
    contents(into.path())
}
