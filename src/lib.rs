//! The core of libeventlet: green threads on one hub per process, and blocking calls that park.
//!
//! An ordinary library without exported C symbols. Dependency goes down only:
//!
//! | floor | folder | what it holds |
//! | --- | --- | --- |
//! | 3 | [`blocking`] | the semantics of each call that can wait, as Rust functions |
//! | 2 | [`runtime`] | green threads, the hub, the poller, preemption |
//! | 1 | [`data`] | structures that know no switching |
//! | 0 | [`kernel`] | system calls, the TLS block, options, log: no libc function that is interposed |
//!
//! In `libeventlet.so` the name `libc::read` **is** our own export. So nothing in this crate names a libc
//! function that the table of interposed symbols lists: it uses [`kernel::syscall`] and [`kernel::real`].

#![allow(clippy::missing_safety_doc, reason = "the contract of raw calls is the C function's own")]

#[cfg(not(all(target_os = "linux", target_arch = "x86_64")))]
compile_error!("libeventlet runs on Linux x86-64 (glibc >= 2.34)");

// The models are of floor 1: see `data::models`.
#[cfg(not(feature = "loom"))]
pub mod blocking;
pub mod data;
pub mod kernel;
#[cfg(not(feature = "loom"))]
pub mod runtime;
