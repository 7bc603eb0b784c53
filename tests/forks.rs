//! fork, vfork and what starts programs, from threaded programs; waiting for the children.

#[macro_use]
mod common;

cases!("forks.c": from_main, from_thread, thread_ends, outlives, masks, vforks, spawns, waits, around, jumps, ahead);

/// Children in the ways that servers, shells and other runtimes make them.
mod offspring {
    use super::common;
    cases!("offspring.c": hundreds, storms, held, ordered, preforked, daemonized, on_pty, cloned);
}

/// What is kept, given and left alone; calls that fail.
mod forking {
    use super::common;
    cases!("forking.c": locks, refused, shared_errno, attributes, unchanged);
}
