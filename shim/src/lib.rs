//! The edge: `libeventlet.so`, the only place with exports.
//!
//! [`interpose`] says how a symbol is declared; the files of the groups declare them; [`table`] lists them all.

mod c11;
mod capi;
mod deep;
mod errno;
mod file;
mod foreign;
mod got;
mod helped;
mod identity;
mod interpose;
mod lock;
mod lookup;
mod memory;
mod os;
mod preload;
mod process;
mod raw;
mod rings;
mod sched;
mod select;
mod signal;
mod socket;
mod start;
mod table;
mod thread;
mod time;
mod transfer;
mod vfork;
