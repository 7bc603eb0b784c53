//! Stock clients and threaded interpreters: what they fetch and print is the same bare and preloaded.

use crate::common::Program;
use crate::common::server::{Folder, Server, contents, nginx, site};

/// A bare web server over `site`, and its paths.
fn web() -> (Folder, Server, Vec<String>) {
    let folder = Folder::new("web");
    let paths = site(&folder);
    let server = Server::start(false, |port| nginx(folder.path(), port, "sendfile on;", "autoindex on;"));
    (folder, server, paths)
}

/// Runs a client bare and preloaded, each in a folder of its own that is its home; gives what both left there.
#[track_caller]
fn leaves_the_same(client: impl Fn(&Folder) -> Program) -> String {
    let left = [false, true].map(|preload| {
        let folder = Folder::new("client");
        let program = client(&folder).env("HOME", folder.path());
        let outcome = if preload { program.preloaded() } else { program.bare() };
        let out = outcome.text().replace(&folder.path().display().to_string(), "FOLDER");
        (contents(folder.path()), out, outcome.status.to_string())
    });
    let [bare, preloaded] = left;
    assert_eq!(bare, preloaded);
    assert_eq!(bare.2, "exit status: 0", "{bare:?}");
    bare.0
}

/// One process, fifty transfers; by name each has a thread that resolves.
#[test]
fn curl_with_fifty_transfers() {
    let (_folder, server, paths) = web();
    for host in ["127.0.0.1", "localhost"] {
        let left = leaves_the_same(|folder| {
            let curl = Program::new("curl")
                .arg("-sS4fZ")
                .arg("--parallel-immediate")
                .arg("--parallel-max")
                .arg("50");
            let all = paths.iter().cycle().take(60).enumerate();
            all.fold(curl, |curl, (i, path)| {
                let into = folder.path().join(format!("{i:02}"));
                curl.arg(format!("http://{host}:{}/{path}", server.port)).arg("-o").arg(into)
            })
        });
        assert_eq!(left.lines().count(), 60);
    }
}

#[test]
fn curl_says_what_failed() {
    let (_folder, server, _) = web();
    let url = |path: &str| format!("http://localhost:{}/{path}", server.port);
    let missing = Program::new("curl").arg("-sS4f").arg(url("missing")).same();
    assert_eq!(missing.status.code(), Some(22), "{missing}");
    let closed = Program::new("curl").arg("-s4").arg("http://localhost:9/").arg("-o/dev/null").same();
    assert_eq!(closed.status.code(), Some(7), "{closed}");
    let code =
        Program::new("curl").arg("-sS4I").arg("-w%{http_code}").arg("-o/dev/null").arg(url("big")).same();
    assert_eq!(code.text(), "200");
}

#[test]
fn wget() {
    let (_folder, server, _) = web();
    let left = leaves_the_same(|folder| {
        let wget = Program::new("wget").arg("-q").arg("-r").arg("-nH").arg("-R").arg("index.html*");
        wget.arg("-P").arg(folder.path()).arg(format!("http://localhost:{}/", server.port))
    });
    assert_eq!(left.lines().count(), 21, "{left}");
}

/// Two hundred threads, each a user who asks four times.
#[test]
fn siege_with_two_hundred_users() {
    let (folder, server, paths) = web();
    let urls = paths[1..].iter().map(|path| format!("http://127.0.0.1:{}/{path}\n", server.port));
    let urls = folder.file("urls", urls.collect::<String>());
    let counts = [false, true].map(|preload| {
        let home = Folder::new("siege");
        let siege = Program::new("siege")
            .env("HOME", home.path())
            .arg("-q")
            .arg("-b")
            .arg("-j")
            .arg("-c200")
            .arg("-r4");
        let siege = siege.arg("-f").arg(&urls);
        let outcome = if preload { siege.preloaded() } else { siege.bare() };
        assert!(outcome.status.success(), "{outcome}");
        assert!(
            !preload || outcome.stats().threads >= 200 && outcome.stats().native == 0,
            "not green\n{outcome}"
        );
        let counts =
            ["\"transactions\"", "\"failed_transactions\"", "\"availability\"", "\"data_transferred\""];
        let lines = outcome.text().lines().filter(|line| counts.iter().any(|count| line.contains(count)));
        lines.map(|line| format!("{}\n", line.trim())).collect::<String>()
    });
    assert_eq!(counts[0], counts[1]);
    assert!(counts[0].lines().count() == 4 && counts[0].contains("800,"), "{}", counts[0]);
}

#[test]
fn redis_benchmark_with_threads() {
    let folder = Folder::new("redis");
    let server = Server::start(false, |port| {
        let redis =
            Program::new("redis-server").arg("--port").arg(port.to_string()).arg("--bind").arg("127.0.0.1");
        redis
            .arg("--dir")
            .arg(folder.path())
            .arg("--save")
            .arg("")
            .arg("--logfile")
            .arg(folder.path().join("log"))
    });
    let port = server.port.to_string();
    for preload in [false, true] {
        let clients =
            Program::new("redis-benchmark").arg("-p").arg(&port).arg("--threads").arg("4").arg("--csv");
        let clients = clients.arg("-n").arg("4000").arg("-c").arg("40").arg("-t").arg("incr,lpush");
        let outcome = if preload { clients.preloaded() } else { clients.bare() };
        assert!(outcome.status.success() && (!preload || outcome.stats().green()), "{outcome}");
        let count =
            Program::new("redis-cli").arg("-p").arg(&port).arg("get").arg("counter:__rand_int__").same();
        assert_eq!(count.text(), if preload { "8000\n" } else { "4000\n" });
    }
}

fn script(interpreter: &str, name: &str) -> Program {
    let progs = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/progs/stock");
    Program::new(interpreter).arg(progs.join(name))
}

#[test]
fn ruby_threads() {
    script("ruby", "threads.rb").green();
}

/// TCPServer, Queue, Net::HTTP.
#[test]
fn ruby_http() {
    script("ruby", "http.rb").green();
}

#[test]
fn perl_threads() {
    script("perl", "threads.pl").green();
}

#[test]
fn perl_thread_sockets() {
    script("perl", "thread_sockets.pl").green();
}
