//! One run of a program: one poll loop over its stdin, stdout, stderr and its end.
//!
//! Safety: the system calls here (pidfd_open, poll, kill) take only descriptors and pids that this run owns.

use std::ffi::OsString;
use std::fmt;
use std::fs;
use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, ChildStderr, ChildStdin, ChildStdout, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

/// How a run ended.
#[derive(Clone, Debug)]
pub struct Outcome {
    pub stdout: Vec<u8>,
    /// Without the line of counters.
    pub stderr: Vec<u8>,
    pub status: ExitStatus,
    stats: Option<Stats>,
}

impl Outcome {
    /// stdout as text.
    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.stdout).expect("UTF-8 on stdout")
    }

    /// stderr as text.
    pub fn errors(&self) -> &str {
        std::str::from_utf8(&self.stderr).expect("UTF-8 on stderr")
    }

    /// Whether both ended alike: stdout, stderr, exit status or signal.
    pub fn alike(&self, other: &Outcome) -> bool {
        (&self.stdout, &self.stderr, self.status) == (&other.stdout, &other.stderr, other.status)
    }

    /// Whether the library was there to count.
    pub fn counted(&self) -> bool {
        self.stats.is_some()
    }

    /// The library's counters.
    #[track_caller]
    pub fn stats(&self) -> Stats {
        self.stats.clone().unwrap_or_else(|| panic!("no line of counters on stderr\n{self}"))
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (out, err) = (String::from_utf8_lossy(&self.stdout), String::from_utf8_lossy(&self.stderr));
        write!(f, "{}\n-- stdout\n{out}\n-- stderr\n{err}\n-- {:?}", self.status, self.stats)
    }
}

/// The counters that `EVENTLET_STATS` prints at exit.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Stats {
    pub threads: u64,
    pub finished: u64,
    pub parks: u64,
    pub preemptions: u64,
    pub native: u64,
}

const STATS: &str = "eventlet: stats ";

impl Stats {
    /// Whether green threads ran and parked, and no thread was left to the kernel.
    pub fn green(&self) -> bool {
        self.threads > 0 && self.parks > 0 && self.native == 0
    }

    fn parse(line: &str) -> Stats {
        let mut stats = Stats::default();
        for (label, number) in line.split_whitespace().filter_map(|word| word.split_once('=')) {
            let counter = match label {
                "threads" => &mut stats.threads,
                "finished" => &mut stats.finished,
                "parks" => &mut stats.parks,
                "preemptions" => &mut stats.preemptions,
                "native" => &mut stats.native,
                _ => continue,
            };
            *counter = number.parse().expect("a counter");
        }
        stats
    }

    /// Takes the lines of counters out of stderr; the last one is that of the program itself (its children end before).
    fn take(stderr: Vec<u8>) -> (Vec<u8>, Option<Stats>) {
        let (mut rest, mut stats) = (vec![], None);
        for line in stderr.split_inclusive(|byte| *byte == b'\n') {
            match std::str::from_utf8(line).ok().and_then(|line| line.strip_prefix(STATS)) {
                Some(counters) => stats = Some(Stats::parse(counters)),
                None => rest.extend_from_slice(line),
            }
        }
        (rest, stats)
    }
}

/// A program that runs, leader of a process group of its own. Dropping it kills the group.
#[derive(Debug)]
pub struct Running {
    child: Child,
    end: OwnedFd,
    status: Option<ExitStatus>,
    stdin: Option<ChildStdin>,
    stdout: Option<ChildStdout>,
    stderr: Option<ChildStderr>,
    input: Vec<u8>,
    out: Vec<u8>,
    err: Vec<u8>,
    deadline: Instant,
}

impl Running {
    pub fn spawn(path: &Path, args: &[OsString], env: &[(OsString, OsString)], limit: Duration) -> Running {
        let mut command = Command::new(path);
        command.args(args).env_remove("LD_PRELOAD").envs(env.iter().cloned());
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).process_group(0);
        let mut child = command.spawn().unwrap_or_else(|error| panic!("{path:?}: {error}"));
        // SAFETY: our own child, not yet waited for.
        let end = unsafe { libc::syscall(libc::SYS_pidfd_open, child.id(), 0) };
        assert!(end >= 0, "pidfd_open: {}", std::io::Error::last_os_error());
        // SAFETY: a new descriptor that nobody else owns.
        let end = unsafe { OwnedFd::from_raw_fd(end as i32) };
        let (stdin, stdout, stderr) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
        let deadline = Instant::now() + limit;
        let (input, out, err) = (vec![], vec![], vec![]);
        Running { child, end, status: None, stdin, stdout, stderr, input, out, err, deadline }
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Sends a line to its stdin.
    pub fn send(&mut self, line: &str) {
        self.input.extend_from_slice(line.as_bytes());
        self.input.push(b'\n');
    }

    /// The next line of its stdout, without the newline.
    #[track_caller]
    pub fn line(&mut self) -> String {
        self.turn_until(|run| run.out.contains(&b'\n') || run.stdout.is_none());
        let Some(end) = self.out.iter().position(|byte| *byte == b'\n') else {
            panic!("no further line\n{}", self.report());
        };
        let line = self.out.drain(..=end).collect::<Vec<u8>>();
        String::from_utf8(line[..end].to_vec()).expect("UTF-8 on stdout")
    }

    /// Sends a line and gives the line it answers.
    #[track_caller]
    pub fn ask(&mut self, line: &str) -> String {
        self.send(line);
        self.line()
    }

    /// Reads the line `port N` that a server prints first.
    #[track_caller]
    pub fn port(&mut self) -> u16 {
        let line = self.line();
        line.strip_prefix("port ")
            .and_then(|port| port.parse().ok())
            .unwrap_or_else(|| panic!("no port: {line}"))
    }

    /// Entries of `/proc/PID/task`: kernel threads.
    pub fn tasks(&self) -> usize {
        self.count("task")
    }

    /// Entries of `/proc/PID/fd`.
    pub fn descriptors(&self) -> usize {
        self.count("fd")
    }

    fn count(&self, what: &str) -> usize {
        fs::read_dir(format!("/proc/{}/{what}", self.pid())).expect("the process lives").count()
    }

    /// Sends it a signal.
    pub fn kill(&self, signal: i32) {
        // SAFETY: our child, not yet waited for while `status` is None.
        let sent = self.status.is_none() && unsafe { libc::kill(self.pid() as i32, signal) } == 0;
        assert!(sent, "it has ended already");
    }

    /// Closes its stdin and waits for its end.
    pub fn finish(self) -> Outcome {
        self.finish_with(&[])
    }

    /// Sends the rest of its stdin, closes it, and waits for its end.
    #[track_caller]
    pub fn finish_with(mut self, input: &[u8]) -> Outcome {
        self.input.extend_from_slice(input);
        self.turn_until(|run| run.input.is_empty());
        self.stdin = None;
        self.ended()
    }

    /// Waits for its end; stdin stays open.
    #[track_caller]
    pub fn ended(mut self) -> Outcome {
        self.turn_until(|run| run.status.is_some() && run.stdout.is_none() && run.stderr.is_none());
        let (stderr, stats) = Stats::take(std::mem::take(&mut self.err));
        let (stdout, status) = (std::mem::take(&mut self.out), self.status.expect("it ended"));
        Outcome { stdout, stderr, status, stats }
    }

    /// The poll loop.
    #[track_caller]
    fn turn_until(&mut self, done: impl Fn(&Running) -> bool) {
        while !done(self) {
            let left = self.deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                let report = self.report();
                self.kill_group();
                panic!("over its time limit\n{report}");
            }
            self.turn(left);
        }
    }

    fn turn(&mut self, left: Duration) {
        let entry = |fd: Option<i32>, events| libc::pollfd { fd: fd.unwrap_or(-1), events, revents: 0 };
        let writing = self.stdin.as_ref().filter(|_| !self.input.is_empty());
        let mut set = [
            entry(writing.map(|pipe| pipe.as_raw_fd()), libc::POLLOUT),
            entry(self.stdout.as_ref().map(|pipe| pipe.as_raw_fd()), libc::POLLIN),
            entry(self.stderr.as_ref().map(|pipe| pipe.as_raw_fd()), libc::POLLIN),
            entry(self.status.is_none().then(|| self.end.as_raw_fd()), libc::POLLIN),
        ];
        // SAFETY: the set is ours; a negative descriptor is skipped.
        unsafe { libc::poll(set.as_mut_ptr(), set.len() as u64, left.as_millis() as i32 + 1) };
        let [stdin, stdout, stderr, end] = set.map(|entry| entry.revents != 0);
        if stdin {
            self.feed();
        }
        if stdout {
            fill(&mut self.stdout, &mut self.out);
        }
        if stderr {
            fill(&mut self.stderr, &mut self.err);
        }
        if end {
            self.status = self.child.try_wait().expect("wait");
        }
    }

    /// Writes what the pipe takes without waiting (PIPE_BUF is sure once it polls writable). A program that does not
    /// read its stdin loses it, as in a shell.
    fn feed(&mut self) {
        let part = self.input.len().min(libc::PIPE_BUF);
        match self.stdin.as_mut().expect("open").write(&self.input[..part]) {
            Ok(taken) => drop(self.input.drain(..taken)),
            Err(error) if error.kind() == ErrorKind::BrokenPipe => self.input.clear(),
            Err(error) => panic!("stdin: {error}"),
        }
    }

    /// Whether it has ended.
    pub fn has_ended(&mut self) -> bool {
        self.turn(Duration::ZERO);
        self.status.is_some()
    }

    /// The processes of its group.
    pub fn members(&self) -> Vec<u32> {
        members(self.pid())
    }

    /// What it printed so far and what its threads do.
    pub fn report(&self) -> String {
        let (out, err) = (String::from_utf8_lossy(&self.out), String::from_utf8_lossy(&self.err));
        let mut report = format!("-- stdout\n{out}\n-- stderr\n{err}\n-- threads (comm, wchan, syscall)\n");
        for process in members(self.pid()) {
            let tasks = fs::read_dir(format!("/proc/{process}/task")).into_iter().flatten().flatten();
            for task in tasks.take(50) {
                let part = |name: &str| fs::read_to_string(task.path().join(name)).unwrap_or_default();
                let [comm, wchan, call] =
                    ["comm", "wchan", "syscall"].map(|name| part(name).trim().to_owned());
                report += &format!("{process}/{:?}: {comm} {wchan} {call}\n", task.file_name());
            }
        }
        report
    }

    fn kill_group(&mut self) {
        // SAFETY: the group is that of our own child.
        unsafe { libc::kill(-(self.pid() as i32), libc::SIGKILL) };
        if self.status.is_none() {
            let _ = self.child.wait();
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.kill_group();
    }
}

/// Takes what a pipe holds; at its end, closes it.
fn fill(pipe: &mut Option<impl Read>, bytes: &mut Vec<u8>) {
    let mut buffer = [0; 65536];
    match pipe.as_mut().expect("open").read(&mut buffer) {
        Ok(0) => *pipe = None,
        Ok(taken) => bytes.extend_from_slice(&buffer[..taken]),
        Err(error) => panic!("read: {error}"),
    }
}

/// The processes of a group.
fn members(group: u32) -> Vec<u32> {
    let of_group = |pid: &u32| {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        let after_name = stat.rsplit(')').next().unwrap_or_default();
        after_name.split_whitespace().nth(2).and_then(|word| word.parse().ok()) == Some(group)
    };
    let entries = fs::read_dir("/proc").expect("/proc").flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).filter(of_group).collect()
}

/// Connects to a server's port.
pub fn connect(port: u16) -> TcpStream {
    TcpStream::connect(("127.0.0.1", port)).expect("connect")
}

/// Lets this process and its children open as many files as they may.
pub fn many_files() {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: a structure of ours, filled and handed back.
    let set = unsafe {
        libc::getrlimit(libc::RLIMIT_NOFILE, &mut limit);
        limit.rlim_cur = limit.rlim_max;
        libc::setrlimit(libc::RLIMIT_NOFILE, &limit)
    };
    assert_eq!(set, 0, "RLIMIT_NOFILE");
}
