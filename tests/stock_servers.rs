//! Stock servers: clients cannot tell whether they run bare or preloaded; preloaded they have one thread.

use std::io::{BufRead, BufReader, Read, Write};
use std::path::Path;
use std::thread;

use crate::common::server::{Folder, Server, client, fetch, nginx, noise, root_user, serves, site, sum};
use crate::common::{Program, connect};

/// `curl -Z` asks for everything twice, 50 transfers at a time.
fn fifty(server: &Server, paths: &[String], more: &[String]) -> String {
    let all = paths.iter().chain(paths).chain(more).cloned().collect::<Vec<_>>();
    assert!(all.len() >= 42);
    fetch(server.port, &all)
}

fn redis(extra: &[&str], requests: u32) {
    let folder = Folder::new("redis");
    let program = |port: u16| {
        let program =
            Program::new("redis-server").arg("--port").arg(port.to_string()).arg("--bind").arg("127.0.0.1");
        let program = program.arg("--dir").arg(folder.path()).arg("--logfile").arg(folder.path().join("log"));
        extra
            .iter()
            .fold(program.arg("--save").arg("").arg("--enable-debug-command").arg("yes"), Program::arg)
    };
    serves(true, libc::SIGTERM, program, |server| {
        let port = server.port.to_string();
        let cli = |line: &str| {
            let words = line.split(' ').map(String::from);
            client("redis-cli", &["-p".into(), port.clone()].into_iter().chain(words).collect::<Vec<_>>())
        };
        let bench = |tests: &str, pipeline: u32| {
            let args = format!("-p {port} -n {requests} -c 50 -r 1 -P {pipeline} -t {tests} --csv");
            let lines = client("redis-benchmark", &args.split(' ').map(String::from).collect::<Vec<_>>());
            // Without the figures.
            lines
                .lines()
                .map(|line| format!("{}\n", line.split(',').next().expect("a name")))
                .collect::<String>()
        };
        let mut said = cli("flushall") + &bench("set,get,incr,lpush,rpop,sadd,hset,mset", 1);
        said += &bench("set,get,incr,lpush", 16);
        for line in [
            "get counter:000000000000",
            "llen mylist",
            "dbsize",
            "debug digest",
            "bgsave",
            "lastsave nothing",
        ] {
            said += &cli(line);
        }
        // A blocked client is served by another one.
        let blocked = thread::scope(|scope| {
            let waiting = scope.spawn(|| cli("blpop later 20"));
            cli("rpush later came");
            waiting.join().expect("a client")
        });
        said + &blocked + &cli("eval return{redis.call('ping'),#KEYS} 0") + &cli("config get io-threads")
    });
}

#[test]
fn redis_server() {
    redis(&[], 5000);
}

/// Its threads for descriptors spin, and its main thread waits for them spinning.
#[test]
fn redis_with_io_threads() {
    redis(&["--io-threads", "4", "--io-threads-do-reads", "yes"], 300);
}

/// Twenty connections at once: set, get back, count together.
fn memcached_client(server: &Server) -> String {
    let connection = |me: u64| {
        let mut stream = BufReader::new(connect(server.port));
        let mut line = String::new();
        let mut ask = |stream: &mut BufReader<_>, request: &[u8]| {
            std::net::TcpStream::write_all(stream.get_mut(), request).expect("write");
            line.clear();
            stream.read_line(&mut line).expect("read");
            line.trim_end().to_owned()
        };
        let mut total = 0;
        for i in 0..100 {
            let value = noise(me * 1000 + i, 100 + (i as usize * 797) % 20_000);
            let mut request = format!("set {me}:{i} {i} 0 {}\r\n", value.len()).into_bytes();
            request.extend_from_slice(&value);
            request.extend_from_slice(b"\r\n");
            assert_eq!(ask(&mut stream, &request), "STORED");
            let head = ask(&mut stream, format!("get {me}:{i}\r\n").as_bytes());
            assert_eq!(head, format!("VALUE {me}:{i} {i} {}", value.len()));
            let mut back = vec![0; value.len() + "\r\nEND\r\n".len()];
            stream.read_exact(&mut back).expect("a value");
            total ^= sum(&back);
            ask(&mut stream, b"incr together 1\r\n").parse::<u64>().expect("a number");
        }
        format!("{me} {total:x}\n")
    };
    let mut first = BufReader::new(connect(server.port));
    first.get_mut().write_all(b"set together 0 0 1\r\n0\r\n").expect("write");
    first.read_line(&mut String::new()).expect("STORED");
    let connections = thread::scope(|scope| {
        let all = (0..20).map(|me| scope.spawn(move || connection(me))).collect::<Vec<_>>();
        all.into_iter().map(|one| one.join().expect("a connection")).collect::<String>()
    });
    first
        .get_mut()
        .write_all(b"get together\r\nget missing\r\nnonsense\r\nflush_all\r\nget 1:1\r\nquit\r\n")
        .expect("write");
    let mut rest = String::new();
    first.read_to_string(&mut rest).expect("answers");
    connections + &rest
}

#[test]
fn memcached() {
    for signal in [libc::SIGTERM, libc::SIGUSR1] {
        serves(
            true,
            signal,
            |port| {
                let program =
                    Program::new("memcached").arg("-t4").arg("-l127.0.0.1").arg(format!("-p{port}"));
                if root_user() { program.arg("-uroot") } else { program }
            },
            memcached_client,
        );
    }
}

#[test]
fn nginx_plain() {
    let folder = Folder::new("nginx");
    let paths = site(&folder);
    let program = |port| nginx(folder.path(), port, "", "");
    serves(false, libc::SIGQUIT, program, |server| fifty(server, &paths, &[]));
}

#[test]
fn nginx_with_threads() {
    let folder = Folder::new("nginx-aio");
    let paths = site(&folder);
    let program = |port| nginx(folder.path(), port, "aio threads; sendfile off; directio 4k;", "");
    serves(true, libc::SIGQUIT, program, |server| fifty(server, &paths, &[]));
}

/// Apache with a configuration of its own: files, and a CGI script for which it makes processes.
fn apache(mpm: &str, threaded: bool) {
    let folder = Folder::new(mpm);
    let paths = site(&folder);
    let script = folder.file(
        "cgi/script",
        "#!/bin/sh\nprintf 'Content-Type: text/plain\\n\\n'; echo \"$QUERY_STRING\"; seq 1000\n",
    );
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(script, mode).expect("our own file");
    let program = |port: u16| apache_program(folder.path(), port, mpm);
    let scripts = (0..8).map(|i| format!("cgi/script?{i}")).collect::<Vec<_>>();
    serves(threaded, libc::SIGWINCH, program, |server| fifty(server, &paths, &scripts));
    serves(threaded, libc::SIGTERM, program, |server| fifty(server, &paths, &[]));
}

fn apache_program(folder: &Path, port: u16, mpm: &str) -> Program {
    let (modules, root) = ("/usr/lib/apache2/modules", folder.display());
    // cgid has a process of its own for scripts.
    let cgi = if mpm == "prefork" { "cgi" } else { "cgid" };
    let module = |name: &str| format!("LoadModule {name}_module {modules}/mod_{name}.so\n");
    let mut config = ["authz_core", "alias", cgi, &format!("mpm_{mpm}")].map(module).concat();
    if root_user() {
        config += "User www-data\nGroup www-data\n";
    }
    config += match mpm {
        "prefork" => "KeepAlive off\nStartServers 4\nMinSpareServers 2\nMaxRequestWorkers 12\n",
        _ => {
            "StartServers 2\nThreadsPerChild 25\nMinSpareThreads 25\nMaxSpareThreads 75\nMaxRequestWorkers 50\n"
        }
    };
    if cgi == "cgid" {
        config += &format!("ScriptSock {root}/cgid\n");
    }
    config += &format!(
        "ServerName localhost\nListen 127.0.0.1:{port}\nServerRoot {root}\nPidFile {root}/pid\nDefaultRuntimeDir {root}
        ErrorLog {root}/error.log\nDocumentRoot {root}/www\nScriptAlias /cgi/ {root}/cgi/
        <Directory />\nRequire all granted\n</Directory>\n"
    );
    let file = folder.join("apache.conf");
    std::fs::write(&file, config).expect("a file");
    Program::new("/usr/sbin/apache2").arg("-DFOREGROUND").arg("-f").arg(file)
}

#[test]
fn apache_worker() {
    apache("worker", true);
}

#[test]
fn apache_event() {
    apache("event", true);
}

#[test]
fn apache_prefork() {
    apache("prefork", false);
}
