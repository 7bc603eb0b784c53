//! Group os: processes. `fork` itself needs no row: libc calls what the constructor registered.

use core::ffi::{c_char, c_int};

use eventlet_core::runtime::fork;
use libc::{pid_t, posix_spawn_file_actions_t, posix_spawnattr_t};

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
}
