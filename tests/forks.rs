//! fork, vfork and what starts programs, from threaded programs; waiting for the children.

#[macro_use]
mod common;

cases!("forks.c": from_main, from_thread, thread_ends, outlives, masks, vforks, spawns, waits, around, jumps, ahead);
