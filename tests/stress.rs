//! Many threads for a bounded number of steps; the program checks its invariants all the way.

cases!("pthread/stress.c": producers_consumers, readers_writers, writers_first, philosophers, barriers, cancel_storm,
    create_storm, timed_races, cond_races, real_posts);

/// The same where nobody is preempted: what must be waited for is waited for.
mod cooperative {

    cases!("pthread/stress.c", EVENTLET_PREEMPT = "0": producers_consumers, writers_first, philosophers, cond_races);
}
