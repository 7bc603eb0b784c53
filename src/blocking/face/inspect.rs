//! What the hub is about: a list of its threads, and a look at what holds it.
//!
//! ```text
//!   2 green threads
//!   4194 main: running
//!   83886081 worker: in recv on descriptor 5 for 1.203 s, 12 KiB of stack
//! ```
//! The list is a text that is complete before any of it is written. The look is a real thread's: it compares the number of
//! the turn, and after so long with the same one says who has it and what the kernel knows of it.
//!
//! Safety: the list is read on the hub's kernel thread. The looking thread reads atomics and /proc.

use core::ffi::c_void;
use core::fmt::Write;
use core::ptr;
use core::sync::atomic::{AtomicI32, AtomicU32, AtomicU64, Ordering};

use crate::kernel::real::real;
use crate::kernel::{Errno, Result, clock, log};
use crate::runtime::green::State;
use crate::runtime::{Green, hub, preempt};
use crate::syscall;

use super::here;
use crate::blocking::io;

/// One line for every green thread. With what was written as text: the caller's `g` waits for `fd` if need be.
pub fn dump(fd: i32) -> Result<()> {
    let g = here()?;
    let text = list();
    let mut rest = text.as_bytes();
    while !rest.is_empty() {
        // SAFETY: our own text.
        let count = unsafe { io::write(g, fd, rest.as_ptr().cast(), rest.len())? };
        rest = &rest[count.min(rest.len())..];
    }
    Ok(())
}

fn list() -> String {
    let mut text = String::new();
    let mut node = hub().threads.front();
    let mut count = 0;
    while let Some(place) = node {
        // SAFETY: the owner of a node in the list of all threads is alive.
        line(&mut text, unsafe { &*place.owner() });
        count += 1;
        node = hub().threads.after(place);
    }
    format!("{count} green thread{}\n{text}", if count == 1 { "" } else { "s" })
}

fn line(text: &mut String, green: &Green) {
    let name = green.name.get();
    let name = name.split(|byte| *byte == 0).next().and_then(|name| core::str::from_utf8(name).ok());
    let name = if green.is_first() { "main" } else { name.unwrap_or("") };
    let _ = write!(text, "{}{}{name}: ", green.tid.get(), if name.is_empty() { "" } else { " " });
    match green.state() {
        State::Runnable => text.push_str("runnable"),
        State::Running => text.push_str("running"),
        State::Finished => text.push_str("ended, not joined"),
        State::Parked => {
            let wait = green.wait();
            let _ = write!(text, "in {}", wait.call);
            // Of all subjects only descriptors are small numbers, and they come with the events that are waited for.
            match wait.a {
                0 if wait.b == 0 => {}
                fd if fd < 1 << 20 && wait.b != 0 => _ = write!(text, " on descriptor {fd}"),
                address => _ = write!(text, " on {address:#x}"),
            }
            let since = green.parked_for();
            let _ = write!(text, " for {}.{:03} s", since / 1_000_000_000, since / 1_000_000 % 1000);
        }
    }
    let touched = touched(green.stack);
    if touched > 0 {
        let _ = write!(text, ", {} KiB of stack", touched / 1024);
    }
    text.push('\n');
}

/// Bytes of a stack that were ever touched and are in memory; 0: nobody knows.
fn touched((lowest, size, _): (usize, usize, usize)) -> usize {
    const PAGE: usize = 4096;
    const STEP: usize = 256;
    let top = (lowest + size) & !(PAGE - 1);
    let mut count = 0;
    while count < size / PAGE {
        let pages = STEP.min(size / PAGE - count);
        let mut resident = [0u8; STEP];
        let from = top - (count + pages) * PAGE;
        // SAFETY: the kernel fills one byte a page.
        if unsafe { syscall!(libc::SYS_mincore, from, pages * PAGE, resident.as_mut_ptr()) }.is_err() {
            break;
        }
        let full = resident[..pages].iter().rev().take_while(|page| **page & 1 != 0).count();
        count += full;
        if full < pages {
            break;
        }
    }
    count * PAGE
}

/// After so many nanoseconds of one turn a line is said; 0: never.
static LIMIT: AtomicU64 = AtomicU64::new(0);
/// Counts changes of the limit: what the looking thread waits on.
static CHANGES: AtomicU32 = AtomicU32::new(0);
/// The process that has a looking thread, and the hub's kernel thread.
static PROCESS: AtomicI32 = AtomicI32::new(0);

/// Says on stderr when one thread has held the hub for `seconds`; 0: never. EINVAL: negative or NaN.
pub fn detect(seconds: f64) -> Result<()> {
    here()?;
    if seconds.is_nan() || seconds < 0.0 {
        return Err(Errno(libc::EINVAL));
    }
    LIMIT.store((seconds * 1e9) as u64, Ordering::SeqCst);
    CHANGES.fetch_add(1, Ordering::SeqCst);
    // SAFETY: wakes the looking thread at our own word; getpid takes nothing. The thread's function takes no argument; it
    // inherits the mask, in which every signal is blocked.
    unsafe {
        let _ = syscall!(libc::SYS_futex, &CHANGES, libc::FUTEX_WAKE | libc::FUTEX_PRIVATE_FLAG, 1);
        let process = syscall!(libc::SYS_getpid)? as i32;
        if seconds == 0.0 || PROCESS.swap(process, Ordering::SeqCst) == process {
            return Ok(());
        }
        let (all, mut before, mut thread) = (u64::MAX, 0u64, 0usize);
        syscall!(libc::SYS_rt_sigprocmask, libc::SIG_SETMASK, &all, &mut before, 8)?;
        let answer = (real().pthread_create)(&mut thread, ptr::null(), looks, ptr::null_mut());
        let _ = syscall!(libc::SYS_rt_sigprocmask, libc::SIG_SETMASK, &before, ptr::null::<u8>(), 8);
        if answer != 0 {
            PROCESS.store(0, Ordering::SeqCst);
            return Err(Errno(answer));
        }
        (real().pthread_detach)(thread);
    }
    Ok(())
}

extern "C" fn looks(_: *mut c_void) -> *mut c_void {
    let (mut seen, mut since, mut said) = (None, 0, false);
    loop {
        let changes = CHANGES.load(Ordering::SeqCst);
        let limit = LIMIT.load(Ordering::SeqCst);
        let pause = (limit / 4).clamp(1_000_000, 1_000_000_000);
        let pause = libc::timespec {
            tv_sec: (pause / 1_000_000_000) as i64,
            tv_nsec: (pause % 1_000_000_000) as i64,
        };
        let forever = ptr::null();
        let pause = if limit == 0 { forever } else { &raw const pause };
        // SAFETY: waits on our own word.
        let _ = unsafe {
            syscall!(libc::SYS_futex, &CHANGES, libc::FUTEX_WAIT | libc::FUTEX_PRIVATE_FLAG, changes, pause)
        };
        let (turn, now) = (preempt::turn(), clock::now());
        if turn != seen || turn.is_none() {
            (seen, since, said) = (turn, now, false);
        } else if let Some((_, tid)) = turn
            && limit != 0
            && !said
            && now - since >= limit
        {
            said = true;
            say(tid, now - since);
        }
    }
}

fn say(tid: i32, held: u64) {
    let (seconds, rest) = (held / 1_000_000_000, held / 1_000_000 % 1000);
    match waits_in(PROCESS.load(Ordering::Relaxed)) {
        Some(number) => log::warn(format_args!(
            "green thread {tid} has held the hub for {seconds}.{rest:03} s, in system call {number}{}",
            name(number)
        )),
        None => log::warn(format_args!(
            "green thread {tid} has held the hub for {seconds}.{rest:03} s, computing"
        )),
    }
}

/// The system call in which the process's first thread is.
fn waits_in(tid: i32) -> Option<i64> {
    let text = std::fs::read_to_string(format!("/proc/self/task/{tid}/syscall")).ok()?;
    text.split(' ').next()?.parse().ok().filter(|number| *number >= 0)
}

/// Those in which threads wait.
fn name(number: i64) -> &'static str {
    match number {
        libc::SYS_read => " (read)",
        libc::SYS_write => " (write)",
        libc::SYS_poll | libc::SYS_ppoll => " (poll)",
        libc::SYS_select | libc::SYS_pselect6 => " (select)",
        libc::SYS_epoll_wait | libc::SYS_epoll_pwait => " (epoll_wait)",
        libc::SYS_accept | libc::SYS_accept4 => " (accept)",
        libc::SYS_connect => " (connect)",
        libc::SYS_recvfrom => " (recvfrom)",
        libc::SYS_recvmsg => " (recvmsg)",
        libc::SYS_sendto => " (sendto)",
        libc::SYS_futex => " (futex)",
        libc::SYS_nanosleep | libc::SYS_clock_nanosleep => " (nanosleep)",
        libc::SYS_wait4 | libc::SYS_waitid => " (wait)",
        libc::SYS_fsync => " (fsync)",
        _ => "",
    }
}
