//! Group os: waiting for what libc's own helper threads do.
//!
//! Safety: lists are the C caller's, of as many entries as it says; an entry that was handed to libc stays until its end.

use core::ffi::{c_int, c_void};
use core::ptr;

use eventlet_core::blocking::helped::until;
use eventlet_core::blocking::poll::timespec_deadline;
use eventlet_core::data::Deadline;
use eventlet_core::kernel::{Errno, Result};
use eventlet_core::runtime::Green;
use libc::{aiocb, sigevent, timespec};

use crate::errno;
use crate::interpose::rows;

const NOW: timespec = timespec { tv_sec: 0, tv_nsec: 0 };

rows! { Os;
    #[also(aio_suspend64)]
    fn aio_suspend(list: *const *const aiocb, count: c_int, timeout: *const timespec) -> c_int {
        |g| {
            let look = || {
                let answer = errno::taken(|| real()(list, count, &NOW));
                (answer != Err(Errno(libc::EAGAIN))).then_some(answer)
            };
            errno::from(timespec_deadline(timeout).and_then(|end| until(g, "aio_suspend", end, true, look)?))
        }
    }

    #[also(lio_listio64)]
    fn lio_listio(mode: c_int, list: *const *mut aiocb, count: c_int, event: *mut sigevent) -> c_int {
        match green() {
            Some(g) if mode == libc::LIO_WAIT && count > 0 => {
                let begun = errno::taken(|| real()(libc::LIO_NOWAIT, list, count, ptr::null_mut()));
                errno::from(all_done(g, list, count as usize, begun))
            }
            _ => real()(mode, list, count, event),
        }
    }

    #[unchecked = "not declared"]
    fn gai_suspend(list: *const *const c_void, count: c_int, timeout: *const timespec) -> c_int {
        |g| {
            let look = || Some(real()(list, count, &NOW)).filter(|answer| *answer != EAI_AGAIN);
            resolved(timespec_deadline(timeout).and_then(|end| until(g, "gai_suspend", end, true, look)))
        }
    }

    #[unchecked = "not declared"]
    fn getaddrinfo_a(mode: c_int, list: *const *mut c_void, count: c_int, event: *mut sigevent) -> c_int {
        const WAIT: c_int = 0;
        const NO_WAIT: c_int = 1;
        match green() {
            Some(g) if mode == WAIT && count > 0 => {
                let answer = real()(NO_WAIT, list, count, ptr::null_mut());
                let requests = core::slice::from_raw_parts(list, count as usize);
                let in_progress =
                    |request: &*mut c_void| !request.is_null() && gai_error(*request) == EAI_INPROGRESS;
                let look = || (!requests.iter().any(in_progress)).then_some(answer);
                resolved(until(g, "getaddrinfo_a", Deadline::NEVER, false, look))
            }
            _ => real()(mode, list, count, event),
        }
    }
}

const EAI_AGAIN: c_int = -3;
const EAI_INPROGRESS: c_int = -100;
const EAI_INTR: c_int = -104;

unsafe extern "C" {
    fn gai_error(request: *mut c_void) -> c_int;
}

/// The answer as the resolver's codes say it.
fn resolved(answer: Result<c_int>) -> c_int {
    match answer {
        Ok(answer) => answer,
        Err(Errno(libc::EAGAIN)) => EAI_AGAIN,
        Err(errno) => {
            errno::from::<usize, c_int>(Err(errno));
            EAI_INTR
        }
    }
}

/// Waits for all that `begun` says was begun. EIO: one of them failed.
fn all_done(g: &'static Green, list: *const *mut aiocb, count: usize, begun: Result<c_int>) -> Result<c_int> {
    // SAFETY: see the file's header.
    let requests = unsafe { core::slice::from_raw_parts(list, count) };
    let states = || {
        // SAFETY: as above.
        let asked = requests
            .iter()
            .filter(|one| unsafe { one.as_ref() }.is_some_and(|one| one.aio_lio_opcode != libc::LIO_NOP));
        // SAFETY: as above.
        asked.map(|one| unsafe { libc::aio_error(*one) })
    };
    let look = || (!states().any(|state| state == libc::EINPROGRESS)).then_some(());
    until(g, "lio_listio", Deadline::NEVER, false, look)?;
    match begun {
        // None was begun.
        Err(errno) if states().all(|state| state == errno.0) => begun,
        _ if states().any(|state| state != 0) => Err(Errno(libc::EIO)),
        _ => Ok(0),
    }
}
