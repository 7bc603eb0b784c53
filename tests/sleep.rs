//! Sleeping gives way. Preemption is off: it is the call that must.

cases!("sleeps.c", EVENTLET_PREEMPT = "0": micro, nano, c11, relative, deadline, real_deadline, seconds, wrong);

/// Every clock, what is left after a signal, and timers by the thousand.
mod clocks {
    cases!("clocks.c": each, left, processor, thousands, overruns, inherited);
}
