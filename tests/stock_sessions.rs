//! Sessions: an interactive shell at a terminal, and OpenSSH over loopback.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use crate::common::Program;
use crate::common::server::{Folder, Server, client, contents, noise, root_user, sum};

fn progs() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/progs/stock"))
}

/// Ctrl-C, Ctrl-Z, fg, bg of a green program in bash in tmux, all of them preloaded.
#[test]
fn terminal() {
    let program = crate::common::program("stock/interactive.c", &[]);
    let outcome = Program::new("bash").arg(progs().join("terminal.sh")).arg(program).same();
    assert!(outcome.status.success(), "{outcome}");
    assert!(outcome.text().contains("interrupted 2"), "{outcome}");
}

/// A server with its own keys, and the options of a client that may enter.
struct Ssh {
    folder: Folder,
}

impl Ssh {
    fn new() -> Ssh {
        let folder = Folder::new("ssh");
        for key in ["host", "user"] {
            let file = folder.path().join(key).display().to_string();
            client("ssh-keygen", &["-q", "-t", "ed25519", "-N", "", "-f", &file].map(String::from));
        }
        fs::copy(folder.path().join("user.pub"), folder.path().join("authorized")).expect("our own file");
        if root_user() {
            // Where the server's unprivileged part lives.
            fs::create_dir_all("/run/sshd").expect("/run/sshd");
            fs::set_permissions("/run/sshd", PermissionsExt::from_mode(0o755)).expect("/run/sshd");
        }
        Ssh { folder }
    }

    fn server(&self, port: u16) -> Program {
        let root = self.folder.path().display();
        // SHLVL: bash does not run what the user has it run for sessions (.bashrc), which would be tested too.
        let config = format!(
            "Port {port}\nListenAddress 127.0.0.1\nHostKey {root}/host\nPidFile {root}/pid\nAuthorizedKeysFile {root}/authorized
            StrictModes no\nUsePAM no\nPasswordAuthentication no\nKbdInteractiveAuthentication no\nPermitRootLogin yes
            MaxStartups 100\nPrintMotd no\nPrintLastLog no\nSubsystem sftp internal-sftp\nAcceptEnv WORD\nSetEnv SHLVL=1\n"
        );
        let file = self.folder.file("config", config);
        Program::new("/usr/sbin/sshd").arg("-D").arg("-e").arg("-f").arg(file).arg("-o").arg("LogLevel=ERROR")
    }

    fn options(&self, port: u16) -> Vec<String> {
        let root = self.folder.path().display();
        let fixed = [
            "BatchMode=yes",
            "StrictHostKeyChecking=no",
            "UserKnownHostsFile=/dev/null",
            "LogLevel=ERROR",
            "IdentitiesOnly=yes",
        ];
        let mut options = vec!["-F".into(), "none".into(), "-i".into(), format!("{root}/user")];
        fixed.iter().for_each(|option| options.extend(["-o".into(), option.to_string()]));
        options.extend(["-o".into(), format!("Port={port}")]);
        options
    }

    /// `program` (ssh, sftp, scp) with the options.
    fn client(&self, program: &str, port: u16) -> Program {
        self.options(port).iter().fold(Program::new(program), Program::arg)
    }
}

/// Everything from outside: the server bare with both clients, then preloaded.
#[test]
fn openssh() {
    let ssh = Ssh::new();
    let bytes = noise(7, 2_000_000);
    let said = [false, true].map(|preload| {
        let server = Server::start(preload, |port| ssh.server(port));
        let port = server.port;
        let run = |words: &[&str]| words.iter().fold(ssh.client("ssh", port), Program::arg);
        let mut said = vec![];

        let plain = run(&["127.0.0.1", "echo out; echo err >&2; exit 3"]).same();
        assert_eq!(plain.status.code(), Some(3), "{plain}");
        said.push(plain);
        // Through a pipe both ways, twice: with a terminal there is one stream.
        let piped = run(&["-C", "127.0.0.1", "cat"]).input(&bytes).same();
        assert!(piped.stdout == bytes, "{} bytes came back", piped.stdout.len());
        said.push(run(&["-tt", "-o", "SendEnv=WORD", "127.0.0.1", "stty -echo -onlcr; tty >/dev/null && echo a terminal; exit 4"]).same());
        said.push(run(&["127.0.0.1", "kill -TERM $$"]).same());
        said.push(run(&["-o", "PreferredAuthentications=none", "127.0.0.1", "true"]).same());

        // Several sessions on one connection; each at once.
        let socket = ssh.folder.path().join(format!("master{preload}"));
        let script = r#"
            socket=$1; shift
            "$@" -M -S "$socket" -fN 127.0.0.1
            for i in 1 2 3 4 5 6; do "$@" -S "$socket" 127.0.0.1 "echo session $i; exit $i" >"$socket.$i" || echo $? >>"$socket.$i" & done
            wait
            cat "$socket".?
            "$@" -S "$socket" -O exit 127.0.0.1
        "#;
        let several = Program::new("bash").arg("-c").arg(script).arg("bash").arg(&socket).arg("ssh");
        let several = ssh.options(port).iter().fold(several, Program::arg).same();
        assert_eq!(several.text().lines().filter(|line| line.starts_with("session")).count(), 6, "{several}");
        said.push(several);

        // Files there and back.
        let there = ssh.folder.file("there", &bytes);
        let batch = format!("put {there} {there}.put\nget {there}.put {there}.got\nrename {there}.put {there}.moved\nbye\n", there = there.display());
        let sftp = ssh.client("sftp", port).arg("-b").arg("-").arg("127.0.0.1").input(batch).same();
        assert!(sftp.status.success(), "{sftp}");
        let copy = ssh.client("scp", port).arg("-p").arg(format!("127.0.0.1:{}.got", there.display()));
        assert!(copy.arg(there.with_extension("scp")).same().status.success());
        for name in ["there.got", "there.moved", "there.scp"] {
            assert_eq!(sum(&fs::read(ssh.folder.path().join(name)).expect("a file")), sum(&bytes), "{name}");
        }
        let ended = server.end(libc::SIGTERM);
        (said.iter().map(|one| format!("{one}")).collect::<Vec<_>>(), ended)
    });
    let [bare, preloaded] = said;
    assert!(bare.1.alike(&preloaded.1), "the end differs\n{}\n{}", bare.1, preloaded.1);
    assert_eq!(bare.0, preloaded.0);
    assert!(!contents(ssh.folder.path()).is_empty());
}
