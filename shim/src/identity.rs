//! Group os: who a thread is to the kernel, and what else it keeps by thread.
//!
//! No row for `setuid` and its kin, which change all threads: libc tells each real one by a signal, the hub among them
//! (see `signals::setxid`), and finds none for the others.

use core::ffi::{c_int, c_uint, c_ulong, c_void};

use eventlet_core::runtime::{credentials, everybody};
use libc::{c_long, gid_t, uid_t};

use crate::errno;
use crate::interpose::rows;

/// `answer`, of libc's function for a system call that changes what is everybody's here.
fn heard(number: c_long, arguments: [usize; 2], answer: c_int) -> c_int {
    if answer != -1 {
        everybody::changed(number, arguments);
    }
    answer
}

rows! { Os;
    /// To the kernel, the user of files is a thread's.
    fn setfsuid(user: uid_t) -> c_int {
        |g| errno::from(credentials::change(g, libc::SYS_setfsuid, [user as usize, 0, 0]))
    }

    fn setfsgid(group: gid_t) -> c_int {
        |g| errno::from(credentials::change(g, libc::SYS_setfsgid, [group as usize, 0, 0]))
    }

    #[unchecked = "not declared"]
    fn capset(header: *mut c_void, data: *const c_void) -> c_int {
        |g| errno::from(credentials::change(g, libc::SYS_capset, [header.addr(), data.addr(), 0]))
    }

    fn unshare(flags: c_int) -> c_int { heard(libc::SYS_unshare, [flags as usize, 0], real()(flags)) }

    fn setns(fd: c_int, kind: c_int) -> c_int { heard(libc::SYS_setns, [0; 2], real()(fd, kind)) }

    fn personality(domain: c_ulong) -> c_int {
        heard(libc::SYS_personality, [domain as usize, 0], real()(domain))
    }

    #[optional] #[unchecked = "not declared"]
    fn iopl(level: c_int) -> c_int { heard(libc::SYS_iopl, [0; 2], real()(level)) }

    #[optional] #[unchecked = "not declared"]
    fn ioperm(from: c_ulong, count: c_ulong, allowed: c_int) -> c_int {
        heard(libc::SYS_ioperm, [0; 2], real()(from, count, allowed))
    }

    #[optional] #[also(__arch_prctl)] #[unchecked = "not declared"]
    fn arch_prctl(option: c_int, address: c_ulong) -> c_int {
        heard(libc::SYS_arch_prctl, [option as usize, 0], real()(option, address))
    }

    #[optional] #[unchecked = "not declared"]
    fn sched_setattr(tid: libc::pid_t, attributes: *mut c_void, flags: c_uint) -> c_int {
        heard(libc::SYS_sched_setattr, [0; 2], real()(tid, attributes, flags))
    }
}
