//! Group os: processes. What a fork changes is not the row's: libc calls what we registered, whoever forks, and first in the
//! child. Else what another library unlocks there (jemalloc, whose handlers are older than our constructor) would find the parent's
//! waiters and make way for them.

use core::ffi::{c_char, c_int, c_void};
use core::ptr;
use core::sync::atomic::{AtomicBool, Ordering};

use eventlet_core::blocking::process;
use eventlet_core::runtime::signals::children;
use eventlet_core::runtime::{Green, current, fork, raise};
use eventlet_core::syscall;
use libc::{id_t, idtype_t, pid_t, posix_spawn_file_actions_t, posix_spawnattr_t, rusage, siginfo_t};

use crate::deep::bare;
use crate::errno;
use crate::interpose::rows;
use crate::memory;

/// A function of pthread_atfork.
type Handler = Option<unsafe extern "C" fn()>;

static REGISTERED: AtomicBool = AtomicBool::new(false);

/// What the parent does after a fork.
extern "C" fn parent() {
    memory::after_fork();
    fork::parent();
}

/// What a fork child does first.
extern "C" fn child() {
    memory::after_fork();
    fork::child();
}

/// Registers it, before anybody else registers anything.
pub fn watch_forks() {
    if !REGISTERED.swap(true, Ordering::Relaxed) {
        let functions: [Handler; 3] = [Some(memory::before_fork), Some(parent), Some(child)];
        let [before, after, child] = functions;
        // SAFETY: the functions are for a fork, whoever forks; this library is never unloaded.
        unsafe { rows::__register_atfork::real()(before, after, child, ptr::null_mut()) };
    }
}

/// Makes `call`, a fork by `g`.
fn made(g: &Green, call: impl FnOnce() -> pid_t) -> pid_t {
    children::makes(g);
    let it = call();
    children::made(g, it);
    it
}

/// Makes `call`, a posix_spawn by `g` that stores the child's pid where it is told.
unsafe fn spawned(g: &Green, child: *mut pid_t, call: impl FnOnce(*mut pid_t) -> c_int) -> c_int {
    let mut own = 0;
    let place = if child.is_null() { &raw mut own } else { child };
    children::makes(g);
    let answer = fork::sharing(g, || call(place));
    // SAFETY: the C function has stored it, if it succeeded.
    children::made(g, if answer == 0 { unsafe { *place } } else { 0 });
    answer
}

/// The function of a `clone()`, and what it is called with.
type Start = Option<unsafe extern "C" fn(*mut c_void) -> c_int>;

/// Makes `call`, a clone() with these flags, whose child begins with the function and argument that it is given. None: that
/// child is no process that begins as one of fork or vfork does.
unsafe fn cloned(
    g: &Green,
    flags: c_int,
    start: Start,
    argument: *mut c_void,
    call: impl Fn(Start, *mut c_void) -> c_int,
) -> Option<c_int> {
    const OTHER: c_int = libc::CLONE_THREAD | libc::CLONE_SETTLS;
    const BORROWS: c_int = libc::CLONE_VM | libc::CLONE_VFORK;
    unsafe extern "C" fn begins(start: *mut c_void) -> c_int {
        memory::after_fork();
        fork::child();
        // SAFETY: the pair below, in the child's copy of the parent's stack.
        unsafe {
            let (start, argument) = *start.cast::<(Start, *mut c_void)>();
            let status = start.map_or(0, |start| start(argument));
            // libc ends the kernel thread alone, and ours would go on.
            let _ = syscall!(libc::SYS_exit_group, status);
            status
        }
    }
    if start.is_none() || flags & OTHER != 0 {
        return None;
    }
    if flags & libc::CLONE_VM == 0 && flags & libc::CLONE_FILES == 0 {
        let mut both = (start, argument);
        memory::before_fork();
        let it = made(g, || call(Some(begins), (&raw mut both).cast()));
        parent();
        return Some(it);
    }
    (flags & BORROWS == BORROWS).then(|| fork::sharing(g, || made(g, || call(start, argument))))
}

rows! { Os;
    #[unchecked = "not declared"]
    fn __register_atfork(prepare: Handler, parent: Handler, child: Handler, object: *mut c_void) -> c_int {
        watch_forks();
        real()(prepare, parent, child, object)
    }

    #[also(__fork, __libc_fork)]
    fn fork() -> pid_t { |g| made(g, || real()()) }

    #[optional] #[unchecked = "not declared"]
    fn _Fork() -> pid_t {
        memory::before_fork();
        let it = match current() {
            Some(g) => made(g, || real()()),
            None => real()(),
        };
        if it == 0 { child() } else { parent() }
        it
    }

    #[also(__clone)] #[unchecked = "variadic"]
    fn clone(
        start: Start, stack: *mut c_void, flags: c_int, argument: *mut c_void, parent: *mut pid_t, tls: *mut c_void,
        child: *mut pid_t
    ) -> c_int {
        |g| cloned(g, flags, start, argument, |start, argument| {
            real()(start, stack, flags, argument, parent, tls, child)
        })
        .unwrap_or_else(|| real()(start, stack, flags, argument, parent, tls, child))
    }

    fn posix_spawn(
        child: *mut pid_t, path: *const c_char, actions: *const posix_spawn_file_actions_t,
        attributes: *const posix_spawnattr_t, arguments: *const *mut c_char, environment: *const *mut c_char
    ) -> c_int {
        |g| spawned(g, child, |child| real()(child, path, actions, attributes, arguments, environment))
    }

    fn posix_spawnp(
        child: *mut pid_t, file: *const c_char, actions: *const posix_spawn_file_actions_t,
        attributes: *const posix_spawnattr_t, arguments: *const *mut c_char, environment: *const *mut c_char
    ) -> c_int {
        |g| spawned(g, child, |child| real()(child, file, actions, attributes, arguments, environment))
    }

    /// Its waits are those of libc's own calls.
    #[also(__libc_system)]
    fn system(command: *const c_char) -> c_int {
        |g| raise::keeping_mask(g, || fork::starting(g, || real()(command)))
    }

    #[also(_IO_popen)]
    fn popen(command: *const c_char, mode: *const c_char) -> *mut libc::FILE {
        |g| fork::starting(g, || real()(command, mode))
    }

    /// The others of its kind end here as well, inside libc; but for those of posix_spawn's children.
    #[deep] #[stateful]
    fn execve(path: *const c_char, arguments: *const *const c_char, environment: *const *const c_char) -> c_int {
        |g| errno::from(fork::exec(g, || syscall!(libc::SYS_execve, path, arguments, environment)))
    } else { bare::at_once(syscall!(libc::SYS_execve, path, arguments, environment)) }

    fn fexecve(fd: c_int, arguments: *const *const c_char, environment: *const *const c_char) -> c_int {
        |g| fork::exec(g, || real()(fd, arguments, environment))
    }

    #[optional] #[unchecked = "not declared"]
    fn execveat(
        folder: c_int, path: *const c_char, arguments: *const *mut c_char, environment: *const *mut c_char, flags: c_int
    ) -> c_int {
        |g| fork::exec(g, || real()(folder, path, arguments, environment, flags))
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
        |g| errno::from(process::waitid(g, kind, id, info, options, ptr::null_mut()))
    } else SYS_waitid
}
