//! TLS: `eventlet_wrap_ssl` between green threads of one process, and with openssl, curl and Python at the other end.
//! Certificates are made by openssl.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use crate::common::{Outcome, Program, Running};

/// How the library comes into a program.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Form {
    Linked,
    Patched,
    Preloaded,
}

const FORMS: [Form; 3] = [Form::Linked, Form::Patched, Form::Preloaded];
/// For programs that wait in calls of their own beside TLS.
const OWN_WAITS: [Form; 2] = [Form::Patched, Form::Preloaded];

/// The folder of certificates: an authority; a server's, for localhost, for another host, expired; a client's; one that has
/// signed itself.
fn certificates() -> &'static Path {
    static FOLDER: OnceLock<PathBuf> = OnceLock::new();
    FOLDER.get_or_init(|| {
        let progs = crate::common::eventlet_target().join("progs");
        let folder = progs.join("certificates-1");
        if !folder.exists() {
            let aside = progs.join(format!(".certificates.{}", std::process::id()));
            fs::create_dir_all(&aside).expect("a folder");
            let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/progs/certificates.sh");
            let output = Command::new("bash").arg(script).current_dir(&aside).output().expect("bash");
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
            // Another process may have been faster.
            if fs::rename(&aside, &folder).is_err() {
                fs::remove_dir_all(&aside).expect("our own folder");
            }
        }
        folder
    })
}

fn file(name: &str) -> PathBuf {
    certificates().join(name)
}

/// A program of `tests/progs/capi/`.
fn program(source: &str, form: Form, args: &[&str]) -> Running {
    crate::common::many_files();
    let name = format!("capi-{}", source.split('.').next().expect("a name"));
    let program = Program::new(crate::common::linked(&format!("tests/progs/capi/{source}"), &name));
    let program = args.iter().fold(program, |program, arg| program.arg(arg));
    let program = program.env("CERTS", certificates()).env("EVENTLET_DETECT", "1");
    match form {
        Form::Linked => program.start(false),
        Form::Patched => program.env("EVENTLET_PATCH", "all").start(false),
        Form::Preloaded => program.start(true),
    }
}

macro_rules! cases {
    ($source:literal, $forms:expr; $($name:ident),* $(,)?) => {
        $(#[test]
        fn $name() {
            for form in $forms {
                let outcome = program($source, form, &[stringify!($name)]).finish();
                let done = concat!(stringify!($name), " done\n");
                assert!(outcome.status.success() && outcome.text() == done, "{form:?}\n{outcome}");
                assert!(outcome.stderr.is_empty(), "{form:?}\n{outcome}");
            }
        })*
    };
}

cases!("ssl.c", FORMS; echo, both_ways, half_close, polled, streams, names, back_pressure, many, prefork, served);
cases!("ssl.c", OWN_WAITS; duplicates);
cases!("ssl_refused.c", FORMS; told, verified, client_certificates, wrong, silent, given_up);
cases!("ssl_refused.c", OWN_WAITS; bad_peers);

/// A stock program with its input; what it printed, on both.
fn stock(name: &str, args: &[&str], input: &str) -> (String, bool) {
    let program = args.iter().fold(Program::new(name), |program, arg| program.arg(arg));
    let outcome: Outcome = program.input(input).bare();
    (format!("{}{}", outcome.text(), outcome.errors()), outcome.status.success())
}

fn text(path: &Path) -> &str {
    path.to_str().expect("UTF-8")
}

#[test]
fn openssl_is_the_client() {
    let (ca, certificate, key) = (file("ca.pem"), file("client.pem"), file("client.key"));
    for form in FORMS {
        let mut server = program("ssl_peer.c", form, &["serve", "3", "h2,http/1.1"]);
        let address = format!("127.0.0.1:{}", server.port());
        let base = ["s_client", "-connect", &address, "-servername", "localhost", "-CAfile", text(&ca)];
        let base = [&base[..], &["-verify_return_error", "-verify_hostname", "localhost"]].concat();
        for (version, alpn) in [("-tls1_3", "http/1.1"), ("-tls1_2", "h2")] {
            let args = [&base[..], &[version, "-alpn", alpn, "-ign_eof", "-nocommands"]].concat();
            let mut client = Command::new("openssl")
                .args(args)
                .stdin(Stdio::piped())
                .stdout(Stdio::piped())
                .stderr(Stdio::piped())
                .spawn()
                .expect("openssl");
            client.stdin.as_mut().expect("stdin").write_all(b"hello\n").expect("written");
            let mut out = client.stdout.take().expect("stdout");
            let mut seen = String::new();
            while !seen.contains("HELLO") {
                let mut bytes = [0; 1024];
                let count = out.read(&mut bytes).expect("read");
                assert!(count > 0, "{seen}");
                seen += &String::from_utf8_lossy(&bytes[..count]);
            }
            assert!(seen.contains(&format!("ALPN protocol: {alpn}")), "{seen}");
            assert!(seen.contains("Verify return code: 0 (ok)"), "{seen}");
            client.kill().expect("ours");
            client.wait().expect("ours");
            // It had no time to say that it leaves.
            assert_eq!(server.line(), format!("{alpn} 6 bytes, then EPROTO"), "{form:?}");
        }
        // Without -ign_eof it ends with its input, and says so.
        let (seen, _) = stock("openssl", &[&base[..], &["-quiet", "-no_ign_eof"]].concat(), "bye\n");
        let line = server.line();
        assert!(line == " 4 bytes, then the end" || line == " 0 bytes, then the end", "{line}\n{seen}");
        assert!(server.finish().status.success());

        let mut server = program("ssl_peer.c", form, &["check", "2"]);
        let address = format!("127.0.0.1:{}", server.port());
        let base = ["s_client", "-connect", &address, "-CAfile", text(&ca), "-quiet", "-no_ign_eof"];
        let (_, _) = stock("openssl", &base, "x\n");
        let line = server.line();
        assert!(line.starts_with("no handshake: peer sent no certificates"), "{line}");
        let with = [&base[..], &["-cert", text(&certificate), "-key", text(&key)]].concat();
        let (seen, _) = stock("openssl", &with, "x\n");
        let line = server.line();
        assert!(line.ends_with("bytes, then the end"), "{line}\n{seen}");
        assert!(server.finish().status.success());
    }
}

/// `openssl s_server` on a free port; it says its own name for each, and reads one client after the other.
fn s_server(args: &[&str]) -> (Running, String) {
    let base = ["s_server", "-accept", "127.0.0.1:0", "-rev"];
    let program = base.iter().chain(args).fold(Program::new("openssl"), |program, arg| program.arg(arg));
    let mut server = program.start(false);
    loop {
        let line = server.line();
        if let Some(address) = line.strip_prefix("ACCEPT ") {
            let port = address.rsplit(':').next().expect("a port").to_owned();
            return (server, port);
        }
    }
}

#[test]
fn openssl_is_the_server() {
    let (ca, certificate, key) = (file("ca.pem"), file("server.pem"), file("server.key"));
    let own = ["-cert", text(&certificate), "-key", text(&key), "-CAfile", text(&ca)];
    for form in OWN_WAITS {
        for (flag, version) in [("-tls1_3", "TLSv1.3"), ("-tls1_2", "TLSv1.2")] {
            let (_server, port) = s_server(&[&own[..], &[flag, "-alpn", "http/1.1"]].concat());
            let mut client = program("ssl_peer.c", form, &["talk", &port, "localhost", "h2,http/1.1"]);
            assert_eq!(client.line(), format!("{version} \"http/1.1\""));
            assert_eq!(client.ask("hello"), "olleh");
            assert_eq!(client.ask("again"), "niaga");
        }
        let (_server, port) = s_server(&own);
        let outcome = program("ssl_peer.c", form, &["talk", &port, "elsewhere.example"]).finish();
        assert!(
            outcome.text().starts_with("EACCES: ") && outcome.text().contains("elsewhere.example"),
            "{outcome}"
        );
        let (_server, port) = s_server(&[&own[..], &["-Verify", "1", "-verify_return_error"]].concat());
        let mut client = program("ssl_peer.c", form, &["talk", &port, "localhost"]);
        client.line();
        let refused = client.line();
        assert!(refused.starts_with("EPROTO: the peer has refused: TLS alert"), "{refused}");
    }
}

#[test]
fn client_certificates_for_openssl() {
    let (ca, certificate, key) = (file("ca.pem"), file("server.pem"), file("server.key"));
    let own = ["-cert", text(&certificate), "-key", text(&key), "-CAfile", text(&ca)];
    let (_server, port) = s_server(&[&own[..], &["-Verify", "1", "-verify_return_error"]].concat());
    let source = crate::common::linked("tests/progs/capi/ssl_peer.c", "capi-ssl_peer");
    let client = Program::new(source).arg("talk").arg(&port).arg("localhost");
    let mut client = client.env("CERTS", certificates()).env("CLIENT", "1").start(true);
    client.line();
    assert_eq!(client.ask("hello"), "olleh");
}

/// A script of Python's, with the folder of certificates and these arguments.
fn python(script: &str, args: &[&str]) -> Running {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/progs/python").join(script);
    let program = Program::new("/usr/bin/python3").arg(script).arg(certificates());
    args.iter().fold(program, |program, arg| program.arg(arg)).start(false)
}

#[test]
fn python_is_the_client() {
    for form in FORMS {
        let mut server = program("ssl_peer.c", form, &["serve", "2", "http/1.1"]);
        let client = python("tls_client.py", &[&server.port().to_string()]).finish();
        assert_eq!(
            client.text(),
            "200000 bytes back, http/1.1, unwrapped\nrefused: certificate verify failed\n"
        );
        let (mut lines, mut told) = (vec![server.line(), server.line()], vec![]);
        told.append(&mut lines);
        told.sort();
        assert_eq!(told[0], "http/1.1 200000 bytes, then the end", "{told:?}");
        assert!(told[1].starts_with("no handshake: the peer has refused: TLS alert"), "{told:?}");
        assert!(server.finish().status.success());
    }
}

#[test]
fn python_is_the_server() {
    for form in FORMS {
        let mut server = python("tls_server.py", &["3"]);
        let port = server.port().to_string();
        let outcome = {
            let input: String = (0..20000).map(|line| format!("line {line}\n")).collect();
            let client = program("ssl_peer.c", form, &["talk", &port, "localhost", "h2"]);
            let outcome = client.finish_with(input.as_bytes());
            assert_eq!(outcome.text(), format!("TLSv1.3 \"h2\"\n{}", input.to_uppercase()), "{form:?}");
            outcome
        };
        assert!(outcome.status.success() && outcome.stderr.is_empty(), "{outcome}");
        assert_eq!(server.line(), format!("{} bytes, then the end", 208_890));
        // What was written before exit arrives.
        assert!(program("ssl_peer.c", form, &["leave", &port, "localhost"]).finish().status.success());
        assert_eq!(server.line(), "300000 bytes, then the end");
        let outcome = program("ssl_peer.c", form, &["talk", &port, "127.0.0.2"]).finish();
        assert!(outcome.text().starts_with("EACCES: "), "{outcome}");
        assert_eq!(server.line(), "no handshake");
        assert!(server.finish().status.success());
    }
}

#[test]
fn the_example_serves_curl() {
    crate::common::many_files();
    let source = crate::common::linked("examples/tls_server.c", "example-tls_server");
    for preload in [false, true] {
        let server = Program::new(&source).arg(file("server.pem")).arg(file("server.key")).arg("0");
        let mut server = server.start(preload);
        let port = server.port();
        let silent = TcpStream::connect(("127.0.0.1", port)).expect("a silent client");
        let (ca, url) = (file("ca.pem"), format!("https://localhost:{port}/page"));
        let base = ["-sS", "--max-time", "20", "--noproxy", "*", "-4", "--cacert", text(&ca)];
        for version in ["--tlsv1.3", "--tls-max"] {
            let args = if version == "--tls-max" { vec![version, "1.2"] } else { vec![version] };
            let (seen, fine) = stock("curl", &[&base[..], &args[..], &[&url]].concat(), "");
            let expected = if args.len() == 1 { "/page by TLSv1.3, TLS_" } else { "/page by TLSv1.2, TLS_" };
            assert!(fine && seen.starts_with(expected) && seen.contains("It is "), "{seen}");
        }
        let (seen, fine) = stock("curl", &["-sS", "--max-time", "20", "--noproxy", "*", "-4", &url], "");
        assert!(!fine && seen.contains("certificate"), "{seen}");
        drop(silent);
    }
}

#[test]
fn without_its_engine_it_says_so() {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("tls-alone-{}", std::process::id()));
    fs::create_dir_all(&folder).expect("a folder");
    let alone = folder.join("libeventlet.so");
    fs::copy(crate::common::eventlet(), &alone).expect("a copy");
    let source = crate::common::linked("tests/progs/capi/ssl_peer.c", "capi-ssl_peer");
    let outcome =
        Program::new(source).arg("serve").arg("1").env("CERTS", certificates()).under(alone).preloaded();
    let said = outcome.errors();
    assert!(said.contains("no libeventlet_tls.so beside"), "{outcome}");
    assert!(said.contains("Can not access a needed shared library"), "{outcome}");
    fs::remove_dir_all(&folder).expect("our own folder");
}
