//! The row macro: one declaration makes an interposed symbol, its aliases, its real pointer and its entry in the table.
//!
//! ## How to add a row
//! 1. Choose the file of its group (`os`, `select`, `socket`, `thread`, `time`) and write, inside `rows!`, the C
//!    prototype and the body:
//!    ```ignore
//!    #[deep] #[also(__read)]
//!    fn read(fd: c_int, buf: *mut c_void, n: usize) -> isize {
//!        |g| errno::from(io::read(g, fd, buf, n))
//!    } else SYS_read
//!    ```
//! 2. A body `|g| ...` runs when the caller is a green thread that may park here (`g`) and the group is patched. All
//!    others (foreign threads, dormant, bypass, before the constructor) get the real function: the bare behaviour.
//!    A first parameter that is named `fd` is the descriptor in question: those of Eventlet's own calls are always green.
//!    `|g: [a, b]| ...`: these are. `|g: (condition)| ...`: and if the condition holds.
//! 3. A body without `|g|` runs for everybody. It asks `green()` who calls, and answers the rest by
//!    `real()(fd, buf, n)`: for rows that also wake (close, unlock, post) or that make the first thread.
//! 4. Attributes, in any order:
//!    - `#[also(a, b)]`: other names of the very same function (`__read`, `pread64`). A `_chk` name has other arguments:
//!      a row of its own, `{ fortify(n <= room); super::read::body(fd, buf, n) }`.
//!    - `#[optional]`: may be missing in some glibc (>= 2.34). Where it is missing, `real()` fails with ENOSYS.
//!    - `#[library]`: the same for another library's function. That library may be loaded at any time, out of sight of
//!      RTLD_NEXT too: the real function is looked for at the first call, not by the constructor.
//!    - `#[deep]`: glibc calls it internally; the deep layer detours it too. Then glibc's own function leads to the row, so
//!      such a row ends in `else` and its bare form, which `real()` stands for from then on: a system call with the same
//!      arguments and a cancellation point (`else SYS_read`), or an expression of the row's type (`else { ... }`).
//!    - `#[stateful]`: a deep row that changes what we keep of descriptors or threads; glibc's posix_spawn calls it in a child
//!      that shares our memory.
//!    - `#[unchecked = "why"]`: the `libc` crate does not declare it, or as a variadic. All others are compared with
//!      `libc`'s prototype by the compiler: spell types as `libc` does.
//! 5. The result goes through [`crate::errno`]: `from` (-1 and errno) or `code` (the pthread convention).
//! 6. Types named like a function need their path: `*const libc::sigaction`. Variadic C functions have fixed arity:
//!    `fn fcntl(fd: c_int, command: c_int, argument: usize)`.
//! 7. A body allocates nothing, locks nothing, and keeps no value with a destructor over a park or a real call: forced
//!    unwinding passes through it. One line; if it needs more, the rest belongs on floor 3.
//! 8. `cargo test --test suite exports` compares table, exports and libc. A new file of rows is added to `table::PARTS`.
//! 9. Its names move to `[row]` or `[deep]` in `tests/completeness/functions.txt`; `cargo test --test suite completeness` also
//!    finds other names of the same function, and what waits inside libc because the row is not deep.
//!
//! A row is a module `rows::NAME` with `body` (also for other rows), `real`, `green` and `ROW`. Required rows are
//! exported and bound by redhook's `hook!` and `real!`; aliases and optional rows stand beside them.
//!
//! Safety: an export has the C prototype of its name, so its caller keeps the C contract, and the body hands the
//! arguments on under the same contract. A real pointer is the next function of that name after ours, and has the
//! prototype as well. Redhook's output takes `&mut` of a static `Once` that lives for ever and synchronises itself.

use core::ffi::{CStr, c_int, c_void};
use core::sync::atomic::{AtomicPtr, Ordering};

use eventlet_core::blocking::kind;
use eventlet_core::runtime::{self, Green, descriptors, preempt, signals};

use crate::table::{self, Group};

/// The green thread that calls, if it may park here and `group` is patched.
#[inline(always)]
pub fn green(group: Group) -> Option<&'static Green> {
    let green = runtime::current()?;
    (table::patched(group) || table::forced() & group as u32 != 0).then_some(green)
}

/// The same for a call about `fds`: what Eventlet's own calls made is green whatever is patched, and so are reads and
/// writes of sockets with group socket alone.
#[inline(always)]
pub fn green_at<const N: usize>(group: Group, fds: [c_int; N]) -> Option<&'static Green> {
    let green = runtime::current()?;
    (table::patched(group) || by_descriptor(group, &fds)).then_some(green)
}

#[cold]
fn by_descriptor(group: Group, fds: &[c_int]) -> bool {
    let forced = table::forced();
    let sockets = matches!(group, Group::Os) && (forced | table::groups()) & Group::Socket as u32 != 0;
    let is_socket = |fd| sockets && kind::of(fd, descriptors::entry(fd)).is_socket();
    forced & group as u32 != 0 || fds.iter().any(|fd| descriptors::is_green(*fd) || is_socket(*fd))
}

/// Makes a row's call natively, and whole if a green thread makes it.
#[inline(always)]
pub fn natively<T>(call: impl FnOnce() -> T) -> T {
    match runtime::current() {
        Some(green) => preempt::uncut(green, call),
        None => call(),
    }
}

/// The end of a green thread's row: signal handlers that wait for the thread run now, as the kernel runs them at the
/// return from a system call.
#[inline(always)]
pub fn end(green: &Green) {
    if signals::waiting() {
        handle(green);
    }
}

#[cold]
fn handle(green: &Green) {
    // SAFETY: the thread's own errno, whose value is the row's: natively it would be set after the handlers.
    unsafe {
        let errno = *libc::__errno_location();
        signals::deliver(green);
        *libc::__errno_location() = errno;
    }
}

/// The real function of a row: bound by the constructor, or by a call that came before it.
pub struct Real(AtomicPtr<c_void>);

impl Real {
    /// Not bound yet.
    pub const fn new() -> Real {
        Real(AtomicPtr::new(core::ptr::null_mut()))
    }

    /// The pointer; `find` looks it up the first time. Two threads may both look: they find the same.
    #[inline(always)]
    pub fn get(&self, find: fn() -> *mut c_void) -> *mut c_void {
        let known = self.0.load(Ordering::Relaxed);
        if known.is_null() { self.bind(find) } else { known }
    }

    /// The pointer, or NULL.
    pub fn known(&self) -> *mut c_void {
        self.0.load(Ordering::Relaxed)
    }

    /// From now on `function` is called in its place.
    pub fn replace(&self, function: *const c_void) {
        self.0.store(function.cast_mut(), Ordering::Relaxed);
    }

    #[cold]
    fn bind(&self, find: fn() -> *mut c_void) -> *mut c_void {
        let found = find();
        self.0.store(found, Ordering::Relaxed);
        found
    }
}

/// The next definition of `name` after ours, or NULL.
pub fn next(name: &CStr) -> *mut c_void {
    // SAFETY: `name` is NUL-terminated; dlsym reads it and changes nothing of the program's.
    unsafe { libc::dlsym(libc::RTLD_NEXT, name.as_ptr()) }
}

/// The check of a `_chk` row: ends the program as glibc does unless `fits`.
#[inline(always)]
pub fn fortify(fits: bool) {
    unsafe extern "C" {
        fn __chk_fail() -> !;
    }
    if !fits {
        // SAFETY: takes nothing, reports a buffer overflow and aborts; not interposed.
        unsafe { __chk_fail() }
    }
}

/// The declarations of one file: see the page above.
macro_rules! rows {
    ($group:ident; $(
        $(#[$attribute:ident $(= $value:literal)? $(($($alias:ident),*))?])*
        fn $name:ident $parameters:tt -> $answer:ty { $($body:tt)* } $(else $bare:tt)?
    )*) => {
        pub mod rows {
            $($crate::interpose::row! {
                $group $name $parameters ($answer) [$($attribute)*] [$($($($alias)*)?)*] [$($bare)?] { $($body)* }
            })*
        }

        /// The rows of this file.
        pub const ROWS: &[$crate::table::Row] = &[$(rows::$name::ROW),*];
    };
}

/// One row: the module `rows::NAME`.
macro_rules! row {
    ($group:ident $name:ident ($($p:ident: $t:ty),*) ($answer:ty) [$($attribute:ident)*] [$($alias:ident)*] $bare:tt
        $body:tt) => {
        #[allow(unsafe_op_in_unsafe_fn, reason = "an export is under its caller's C contract as a whole")]
        #[allow(unused_imports, reason = "a row takes what it needs of its file's names")]
        #[allow(dead_code, reason = "what a row offers to its body and to its neighbours")]
        #[allow(non_snake_case, clippy::missing_safety_doc, clippy::too_many_arguments, reason = "as in C")]
        pub mod $name {
            use super::super::*;
            use $crate::interpose::Real;
            use $crate::table::{self, Group, Row, flag};

            type Function = unsafe extern "C" fn($($t),*) -> $answer;

            $crate::interpose::prototype! { $name [$($attribute)*] }

            static REAL: Real = Real::new();

            /// The real function.
            #[inline(always)]
            pub fn real() -> Function {
                // SAFETY: the function of this name has this prototype.
                unsafe { core::mem::transmute::<*mut core::ffi::c_void, Function>(REAL.get(export::find)) }
            }

            /// The green thread that calls, if it may park here and the group is patched.
            #[inline(always)]
            pub fn green() -> Option<&'static eventlet_core::runtime::Green> {
                $crate::interpose::green(Group::$group)
            }

            /// The same for a call about `fds`.
            #[inline(always)]
            pub fn green_at<const N: usize>(
                fds: [core::ffi::c_int; N]
            ) -> Option<&'static eventlet_core::runtime::Green> {
                $crate::interpose::green_at(Group::$group, fds)
            }

            /// What the exported names do.
            #[inline(always)]
            pub unsafe fn body($($p: $t),*) -> $answer {
                $crate::interpose::body! { ($($p),*) $body }
            }

            $crate::interpose::export! { $name ($($p: $t),*) ($answer) [$($attribute)*] }

            /// The export, for objects in which the group is patched though it is not elsewhere.
            unsafe extern "C" fn imported($($p: $t),*) -> $answer {
                table::force(Group::$group);
                let answer = body($($p),*);
                table::force_nothing();
                answer
            }

            /// The same where group socket is: reads and writes of sockets are green.
            unsafe extern "C" fn imported_for_sockets($($p: $t),*) -> $answer {
                table::force(Group::Socket);
                let answer = body($($p),*);
                table::force_nothing();
                answer
            }

            mod deep {
                use super::*;
                $crate::interpose::bare! { ($($p: $t),*) ($answer) $bare }
            }

            mod aliases {
                use super::*;
                $crate::interpose::symbols! { ($($p: $t),*) ($answer) [$($alias)*] }
            }

            pub const ROW: Row = Row {
                name: concat!(stringify!($name), "\0").as_ptr().cast(),
                aliases: concat!($(stringify!($alias), " ",)* "\0").as_ptr().cast(),
                group: Group::$group.name().as_ptr(),
                flags: 0 $(| flag::$attribute)*,
                export: export::POINTER,
                imported: imported as Function as *const core::ffi::c_void,
                imported_for_sockets: imported_for_sockets as Function as *const core::ffi::c_void,
                real: &raw const REAL,
                bind: if flag::is_late(0 $(| flag::$attribute)*) { || {} } else { || { real(); } },
                bare: deep::BARE,
                detour: deep::DETOUR,
            };
        }
    };
}

/// The compiler's comparison with the prototype in the `libc` crate.
macro_rules! prototype {
    ($name:ident [unchecked $($attribute:ident)*]) => {};
    ($name:ident [$other:ident $($attribute:ident)*]) => { $crate::interpose::prototype! { $name [$($attribute)*] } };
    ($name:ident []) => { const _: Function = libc::$name; };
}

/// The forms of a body.
macro_rules! body {
    ($arguments:tt { |$g:ident: ($($too:tt)*)| $($body:tt)* }) => {
        $crate::interpose::body! { $arguments $g {
            green().or_else(|| eventlet_core::runtime::current().filter(|_| $($too)*))
        } { $($body)* } }
    };
    ($arguments:tt { |$g:ident: [$($fd:ident),*]| $($body:tt)* }) => {
        $crate::interpose::body! { $arguments $g { green_at([$($fd),*]) } { $($body)* } }
    };
    ($arguments:tt { |$g:ident| $($body:tt)* }) => {
        $crate::interpose::body! { $arguments $g { $crate::interpose::caller! { $arguments $arguments } } { $($body)* } }
    };
    ($arguments:tt $g:ident { $($caller:tt)* } { $($body:tt)* }) => {
        match $($caller)* {
            Some($g) => {
                let answer = { $($body)* };
                $crate::interpose::end($g);
                answer
            }
            None => $crate::interpose::natively(|| real() $arguments),
        }
    };
    ($arguments:tt { $($body:tt)* }) => { $($body)* };
}

/// Who calls: a row whose first parameter is `fd` is about that descriptor.
macro_rules! caller {
    ((fd $($others:tt)*) ($fd:ident $($rest:tt)*)) => {
        green_at([$fd])
    };
    ($names:tt $arguments:tt) => {
        green()
    };
}

/// The module `export` of a row: the exported symbol, its address, and how to find the real function.
macro_rules! export {
    ($name:ident $parameters:tt $answer:tt [optional $($attribute:ident)*]) => {
        $crate::interpose::export! { $name $parameters $answer by $crate::interpose::next }
    };
    ($name:ident $parameters:tt $answer:tt [library $($attribute:ident)*]) => {
        $crate::interpose::export! { $name $parameters $answer by $crate::lookup::anywhere }
    };
    ($name:ident ($($p:ident: $t:ty),*) ($answer:ty) by $find:path) => {
        mod export {
            use super::*;

            $crate::interpose::symbols! { ($($p: $t),*) ($answer) [$name] }

            #[allow(unused_variables, reason = "an absent function looks at no argument")]
            unsafe extern "C" fn absent($($p: $t),*) -> $answer {
                $crate::errno::absent()
            }

            pub const POINTER: *const core::ffi::c_void = $name as Function as *const core::ffi::c_void;

            pub fn find() -> *mut core::ffi::c_void {
                // SAFETY: the literal ends in its NUL.
                let name = unsafe { core::ffi::CStr::from_ptr(ROW.name) };
                let found = $find(name);
                if found.is_null() { absent as Function as *mut core::ffi::c_void } else { found }
            }
        }
    };
    ($name:ident $parameters:tt $answer:tt [$other:ident $($attribute:ident)*]) => {
        $crate::interpose::export! { $name $parameters $answer [$($attribute)*] }
    };
    ($name:ident ($($p:ident: $t:ty),*) ($answer:ty) []) => {
        #[allow(static_mut_refs, missing_abi, reason = "redhook's macro is written for an older edition")]
        mod export {
            use super::*;

            redhook::hook! {
                unsafe fn $name($($p: $t),*) -> $answer => forward { super::body($($p),*) }
            }

            pub const POINTER: *const core::ffi::c_void = $name::$name as Function as *const core::ffi::c_void;

            pub fn find() -> *mut core::ffi::c_void {
                redhook::real!($name) as *mut core::ffi::c_void
            }
        }
    };
}

/// The two faces of a deep row that are not exported: what it does without us, and where libc's own calls arrive.
macro_rules! bare {
    ($parameters:tt $answer:tt []) => {
        pub const BARE: *const core::ffi::c_void = core::ptr::null();
        pub const DETOUR: *const core::ffi::c_void = core::ptr::null();
    };
    (($($p:ident: $t:ty),*) $answer:tt [$number:ident]) => {
        $crate::interpose::bare! { ($($p: $t),*) $answer [{
            $crate::deep::bare::cancellable(|| {
                $crate::errno::from(eventlet_core::syscall!(libc::$number $(, $p)*))
            })
        }] }
    };
    (($($p:ident: $t:ty),*) ($answer:ty) [{ $($code:tt)* }]) => {
        unsafe extern "C" fn bare($($p: $t),*) -> $answer {
            $($code)*
        }

        unsafe extern "C" fn detour($($p: $t),*) -> $answer {
            if $crate::deep::enter(ROW.flags & flag::stateful != 0) {
                return bare($($p),*);
            }
            super::body($($p),*)
        }

        pub const BARE: *const core::ffi::c_void = bare as Function as *const core::ffi::c_void;
        pub const DETOUR: *const core::ffi::c_void = detour as Function as *const core::ffi::c_void;
    };
}

/// Exported names beside redhook's.
macro_rules! symbols {
    ($parameters:tt $answer:tt []) => {};
    (($($p:ident: $t:ty),*) ($answer:ty) [$name:ident $($others:ident)*]) => {
        #[unsafe(no_mangle)]
        pub unsafe extern "C" fn $name($($p: $t),*) -> $answer {
            super::body($($p),*)
        }
        $crate::interpose::symbols! { ($($p: $t),*) ($answer) [$($others)*] }
    };
}

pub(crate) use {bare, body, caller, export, prototype, row, rows, symbols};
