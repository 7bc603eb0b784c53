//! What the kernel keeps by thread and this library does not: there is one kernel thread, so what one green thread changes
//! is changed for all. A line of the log says so, once for each kind.

use core::ffi::{c_int, c_long};
use core::sync::atomic::{AtomicBool, Ordering};

use crate::kernel::log;

use super::fork::in_vfork;
use super::green::this;
use super::hub::hub;

const KEYCTL_JOIN_SESSION_KEYRING: c_int = 1;
const KEYCTL_SET_REQKEY_KEYRING: c_int = 14;
const PR_SET_IO_FLUSHER: c_int = 57;
const PR_SET_SYSCALL_USER_DISPATCH: c_int = 59;
/// With this, `personality` changes nothing.
const ASKED: c_int = -1;

/// The system call `number`, whose first arguments these are, has succeeded in the calling thread.
pub fn changed(number: c_long, [a, b]: [usize; 2]) {
    macro_rules! kind {
        ($name:literal) => {{
            static SAID: AtomicBool = AtomicBool::new(false);
            (&SAID, $name)
        }};
    }
    let a = a as c_int;
    let (said, name) = match number {
        libc::SYS_arch_prctl => match a {
            0x1001 => kind!("arch_prctl(ARCH_SET_GS)"),
            0x1002 => kind!("arch_prctl(ARCH_SET_FS)"),
            0x1012 => kind!("arch_prctl(ARCH_SET_CPUID)"),
            _ => return,
        },
        libc::SYS_ioperm => kind!("ioperm"),
        libc::SYS_iopl => kind!("iopl"),
        libc::SYS_ioprio_set => kind!("ioprio_set"),
        libc::SYS_keyctl => match a {
            KEYCTL_JOIN_SESSION_KEYRING => kind!("keyctl(KEYCTL_JOIN_SESSION_KEYRING)"),
            KEYCTL_SET_REQKEY_KEYRING => kind!("keyctl(KEYCTL_SET_REQKEY_KEYRING)"),
            _ => return,
        },
        libc::SYS_landlock_restrict_self => kind!("landlock_restrict_self"),
        libc::SYS_personality if a != ASKED => kind!("personality"),
        libc::SYS_prctl => match a {
            libc::PR_CAP_AMBIENT if b as c_int != libc::PR_CAP_AMBIENT_IS_SET => {
                kind!("prctl(PR_CAP_AMBIENT)")
            }
            libc::PR_CAPBSET_DROP => kind!("prctl(PR_CAPBSET_DROP)"),
            libc::PR_MCE_KILL => kind!("prctl(PR_MCE_KILL)"),
            libc::PR_SCHED_CORE if b != 0 => kind!("prctl(PR_SCHED_CORE)"),
            PR_SET_IO_FLUSHER => kind!("prctl(PR_SET_IO_FLUSHER)"),
            libc::PR_SET_KEEPCAPS => kind!("prctl(PR_SET_KEEPCAPS)"),
            libc::PR_SET_NO_NEW_PRIVS => kind!("prctl(PR_SET_NO_NEW_PRIVS)"),
            libc::PR_SET_PDEATHSIG => kind!("prctl(PR_SET_PDEATHSIG)"),
            libc::PR_SET_SECCOMP => kind!("prctl(PR_SET_SECCOMP)"),
            libc::PR_SET_SECUREBITS => kind!("prctl(PR_SET_SECUREBITS)"),
            libc::PR_SET_SPECULATION_CTRL => kind!("prctl(PR_SET_SPECULATION_CTRL)"),
            PR_SET_SYSCALL_USER_DISPATCH => kind!("prctl(PR_SET_SYSCALL_USER_DISPATCH)"),
            libc::PR_SET_TIMERSLACK => kind!("prctl(PR_SET_TIMERSLACK)"),
            libc::PR_SET_TSC => kind!("prctl(PR_SET_TSC)"),
            libc::PR_TASK_PERF_EVENTS_DISABLE => kind!("prctl(PR_TASK_PERF_EVENTS_DISABLE)"),
            libc::PR_TASK_PERF_EVENTS_ENABLE => kind!("prctl(PR_TASK_PERF_EVENTS_ENABLE)"),
            _ => return,
        },
        libc::SYS_rseq => kind!("rseq"),
        libc::SYS_sched_setattr => kind!("sched_setattr"),
        // A filter may be for all threads in the bare program too.
        libc::SYS_seccomp
            if a as u32 == libc::SECCOMP_SET_MODE_STRICT
                || a as u32 == libc::SECCOMP_SET_MODE_FILTER
                    && b & libc::SECCOMP_FILTER_FLAG_TSYNC as usize == 0 =>
        {
            kind!("seccomp")
        }
        libc::SYS_set_mempolicy => kind!("set_mempolicy"),
        libc::SYS_set_robust_list => kind!("set_robust_list"),
        libc::SYS_setns => kind!("setns"),
        libc::SYS_unshare if a != 0 => kind!("unshare"),
        _ => return,
    };
    let alone = this().is_none() || in_vfork() || hub().live() == 0;
    if !alone && !said.swap(true, Ordering::Relaxed) {
        log::note(format_args!("{name} by one thread holds for all threads"));
    }
}
