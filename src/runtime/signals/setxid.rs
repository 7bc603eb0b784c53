//! glibc's SIGSETXID, by which a thread that changes the user tells all others to make the same system call. A thread notes
//! in its own control block that it has done so, and until then it is told again and again.
//!
//! The hub's kernel thread is told in the name of green thread 0, whoever is on the processor: so it answers in that name.
//!
//! Safety: glibc's handler makes system calls and writes to the control block; nothing of ours runs meanwhile.

use core::ffi::{c_int, c_void};
use core::mem::transmute;
use core::sync::atomic::{AtomicUsize, Ordering};

use crate::kernel::fs;
use crate::kernel::signal::{self, Action};
use crate::runtime::green::this;
use crate::runtime::hub::hub;

const SIGSETXID: c_int = 33;

type Handler = extern "C" fn(c_int, *mut libc::siginfo_t, *mut c_void);
/// glibc's.
static HANDLER: AtomicUsize = AtomicUsize::new(0);

extern "C" fn answer(sig: c_int, info: *mut libc::siginfo_t, context: *mut c_void) {
    // SAFETY: glibc's handler, stored below.
    let handler = unsafe { transmute::<usize, Handler>(HANDLER.load(Ordering::Relaxed)) };
    let own = fs::get();
    // SAFETY: on the hub's kernel thread, the control block of its first thread; and back.
    unsafe {
        if this().is_some() {
            fs::set(hub().first.tcb());
        }
        handler(sig, info, context);
        fs::set(own);
    }
}

/// Takes the signal over from glibc, which has its handler from the first real thread on: one was made for activation.
pub(super) fn activate() {
    let ours = answer as *const () as usize;
    if let Ok(action) = signal::action(SIGSETXID)
        && action.is_handler()
        && action.handler != ours
    {
        HANDLER.store(action.handler, Ordering::Relaxed);
        // SAFETY: as glibc's, which it calls.
        let _ = unsafe { signal::set_action(SIGSETXID, &Action { handler: ours, mask: !0, ..action }) };
    }
}
