//! The rest of the thread surface: C11 threads, what threads are given by number, cancellation at every point.

mod c11 {
    cases!("pthread/c11.c": thrd_join_, thrd_detach_, thrd_yield_, mtx_lock_, mtx_timedlock_, mtx_trylock_, cnd_wait_, cnd_timedwait_, call_once_,
        tss_set_, thrd_current_);
}

mod by_thread {
    cases!("pthread/by_thread.c": pthread_setschedparam_, sched_setscheduler_, explicit_scheduling,
        pthread_setaffinity_np_, pthread_getcpuclockid_, pthread_setconcurrency_, stack_min,
        pthread_setattr_default_np_, nice_, getrusage_, sched_rr_get_interval_);
}

mod protocols {
    cases!("pthread/protocols.c": inherit, inherit_errorcheck, protect, protect_real_time);
}

mod awkward {
    cases!("pthread/awkward.c": given_stack, locked_memory, coroutines, jumps, timers, kill_until_gone, numbers, atfork);
}

/// The library goes although a thread waits in it, unless the thread has a destructor there.
mod dlclosed {
    use crate::common::{Outcome, Program, shared};
    use std::os::unix::process::ExitStatusExt;

    fn dlclosed(case: &str) -> Outcome {
        let library = shared("dlclosed_library.c", "dlclosed_library.so", &[]);
        Program::of("dlclosed.c").arg(case).arg(library).same()
    }

    #[test]
    fn gone() {
        assert_eq!(dlclosed("gone").status.signal(), Some(libc::SIGSEGV));
    }

    #[test]
    fn pinned() {
        assert!(dlclosed("pinned").stats().green());
    }
}

mod points {
    cases!("pthread/points.c": cancelled, not_cancelled);
}

mod cancel_types {
    cases!("pthread/cancel_types.c": computing, locking, whichever_last, not_begun, cleanups_wait, exiting, keys_after,
        once_again, of_main, childless);
}

mod cancel_cpp {
    cases!("pthread/cancel_cpp.cpp": destructors, guards, exits);
}
