//! Group os: who the process is, and who a thread is to the file system.
//!
//! libc's calls change all threads: it tells each of its own to make the system call too, and waits for those that there
//! are. The first thread's tid is that of the kernel thread that all green threads share: another one that calls would
//! wait for itself for ever. So it calls in the first one's name.

use core::ffi::{c_char, c_int};

use eventlet_core::kernel::Errno;
use eventlet_core::runtime::{credentials, fork, hub, this};
use libc::{gid_t, size_t, uid_t};

use crate::errno;
use crate::interpose::rows;

/// Makes `call`, one of libc's that tell all threads.
fn for_all(call: impl FnOnce() -> c_int) -> c_int {
    match this() {
        Some(g) if !g.is_first() && !fork::in_vfork() => match hub().as_first(|| errno::apart(call)) {
            (-1, code) => errno::from(Err::<c_int, _>(Errno(code))),
            (answer, _) => answer,
        },
        _ => call(),
    }
}

rows! { Os;
    fn setuid(user: uid_t) -> c_int { for_all(|| real()(user)) }

    fn setgid(group: gid_t) -> c_int { for_all(|| real()(group)) }

    fn seteuid(user: uid_t) -> c_int { for_all(|| real()(user)) }

    fn setegid(group: gid_t) -> c_int { for_all(|| real()(group)) }

    fn setreuid(user: uid_t, effective: uid_t) -> c_int { for_all(|| real()(user, effective)) }

    fn setregid(group: gid_t, effective: gid_t) -> c_int { for_all(|| real()(group, effective)) }

    fn setresuid(user: uid_t, effective: uid_t, saved: uid_t) -> c_int {
        for_all(|| real()(user, effective, saved))
    }

    fn setresgid(group: gid_t, effective: gid_t, saved: gid_t) -> c_int {
        for_all(|| real()(group, effective, saved))
    }

    fn setgroups(count: size_t, groups: *const gid_t) -> c_int { for_all(|| real()(count, groups)) }

    fn initgroups(user: *const c_char, group: gid_t) -> c_int { for_all(|| real()(user, group)) }

    /// To the kernel, the user of files is a thread's.
    fn setfsuid(user: uid_t) -> c_int {
        |g| errno::from(credentials::change(g, libc::SYS_setfsuid, [user as usize, 0, 0]))
    }

    fn setfsgid(group: gid_t) -> c_int {
        |g| errno::from(credentials::change(g, libc::SYS_setfsgid, [group as usize, 0, 0]))
    }
}
