//! fork, vfork and what starts programs, from threaded programs; waiting for the children.

cases!("forks.c": from_main, from_thread, thread_ends, outlives, masks, vforks, spawns, waits, around, jumps, ahead);

/// Children in the ways that servers, shells and other runtimes make them.
mod offspring {
    cases!("offspring.c": hundreds, storms, held, ordered, preforked, daemonized, on_pty, cloned);
}

/// What is kept, given and left alone; calls that fail.
mod forking {
    cases!("forking.c": locks, refused, shared_errno, attributes, unchanged);
}

/// Whose the SIGCHLD is.
mod forkers {
    cases!("forkers.c": forked, numbered, spawned, vforked);
}

/// By libc's `clone()`.
mod clones {
    cases!("clones.c": own_memory, our_memory);

    #[test]
    fn wrong() {
        let outcome = crate::common::Program::of("clones.c").arg("wrong").same();
        assert!(outcome.status.success(), "{outcome}");
    }
}

/// What a child has of its maker's own.
mod inherits {
    cases!("inherits.c": given);

    #[test]
    fn becoming() {
        let outcome = crate::common::Program::of("inherits.c").arg("becoming").same();
        assert!(outcome.status.success(), "{outcome}");
    }
}
