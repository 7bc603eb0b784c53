//! Locks, thread ends and futexes, as POSIX and glibc have them.

mod mutex {
    cases!("mutex.c": contended, recursive, errorcheck, timed, try_loop, inherit);
}

mod lock_kinds {
    cases!("lock_kinds.c": robust, protocols, processes, interrupted, posted_by_handler);
}

mod foreign {
    cases!("foreign.c": mutexes, conditions, semaphores, rwlocks, barriers, futexes, onces, families, given_up_inside,
        owners, posted_by_handler, forking);
}

mod cond {
    cases!("cond.c": broadcast, signal_each, hand_over, timed_out, timed_out_monotonic, timed_woken, no_memory);
}

mod rwlock {
    cases!("rwlock.c": contended, together, timed_out, freed, try_write, try_read);
}

mod meet {
    cases!("meet.c": barriers, destroyed_at_once, spins, spin_try_loop);
}

mod sem {
    cases!("sem.c": limit, timed_out, posted, try_loop, ping_pong);
}

mod once {
    cases!("once.c": parking, leaving, nested);
}

mod join {
    cases!("join.c": results, timed, wrong, wrong_times, chain, detached, attributes, names, try_loop);
}

mod cancel {
    cases!("cancel.c": waits, not_now, computing, itself, mutexes);
}

mod ends {
    use std::os::unix::process::ExitStatusExt;

    cases!("ends.c": thread_exit, main_exit, main_thrd_exit, main_returns, yielding);

    fn ends_with(case: &str, status: i32) {
        let outcome = crate::common::Program::of("ends.c").arg(case).same();
        assert_eq!(outcome.status.code(), Some(status), "{outcome}");
    }

    #[test]
    fn exit_from_thread() {
        ends_with("exit_from_thread", 3);
    }

    #[test]
    fn quick_exit_from_thread() {
        ends_with("quick_exit_from_thread", 4);
    }

    #[test]
    fn abort_from_thread() {
        let outcome = crate::common::Program::of("ends.c").arg("abort_from_thread").same();
        assert_eq!(outcome.status.signal(), Some(libc::SIGABRT), "{outcome}");
    }
}

mod futex {
    cases!("futex.c": private, shared, bitset, timed_out, counted, owners, owned_by_another, requeued,
        any_of_three);
}
