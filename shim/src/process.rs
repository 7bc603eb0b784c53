//! Group os: processes. `fork` itself needs no row: libc calls what the constructor registered.

use core::ffi::{c_char, c_int};
use core::ptr;

use eventlet_core::blocking::process;
use eventlet_core::runtime::fork;
use libc::{id_t, idtype_t, pid_t, posix_spawn_file_actions_t, posix_spawnattr_t, rusage, siginfo_t};

use crate::errno;
use crate::interpose::rows;

rows! { Os;
    #[optional] #[unchecked = "not declared"]
    fn _Fork() -> pid_t {
        let child = real()();
        if child == 0 { fork::child() }
        child
    }

    fn posix_spawn(
        child: *mut pid_t, path: *const c_char, actions: *const posix_spawn_file_actions_t,
        attributes: *const posix_spawnattr_t, arguments: *const *mut c_char, environment: *const *mut c_char
    ) -> c_int {
        |g| fork::sharing(g, || real()(child, path, actions, attributes, arguments, environment))
    }

    fn posix_spawnp(
        child: *mut pid_t, file: *const c_char, actions: *const posix_spawn_file_actions_t,
        attributes: *const posix_spawnattr_t, arguments: *const *mut c_char, environment: *const *mut c_char
    ) -> c_int {
        |g| fork::sharing(g, || real()(child, file, actions, attributes, arguments, environment))
    }

    #[also(__wait)]
    fn wait(status: *mut c_int) -> pid_t { |g| errno::from(process::wait4(g, -1, status, 0, ptr::null_mut())) }

    #[also(__waitpid)]
    fn waitpid(pid: pid_t, status: *mut c_int, options: c_int) -> pid_t {
        |g| errno::from(process::wait4(g, pid, status, options, ptr::null_mut()))
    }

    #[unchecked = "not declared"]
    fn wait3(status: *mut c_int, options: c_int, usage: *mut rusage) -> pid_t {
        |g| errno::from(process::wait4(g, -1, status, options, usage))
    }

    #[deep]
    fn wait4(pid: pid_t, status: *mut c_int, options: c_int, usage: *mut rusage) -> pid_t {
        |g| errno::from(process::wait4(g, pid, status, options, usage))
    } else SYS_wait4

    #[deep]
    fn waitid(kind: idtype_t, id: id_t, info: *mut siginfo_t, options: c_int) -> c_int {
        |g| errno::from(process::waitid(g, kind, id, info, options))
    } else SYS_waitid
}
