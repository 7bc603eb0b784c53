//! Floor 0: the kernel without libc symbols.

pub mod asan;
pub mod cache;
pub mod clock;
pub mod clone;
pub mod fdinfo;
pub mod fs;
pub mod log;
pub mod memory;
pub mod options;
pub mod patch;
pub mod real;
pub mod signal;
pub mod stats;
pub mod sync;
pub mod syscall;
pub mod tasks;
pub mod valgrind;

pub use syscall::{Errno, Result};
