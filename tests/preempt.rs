//! Programs that were written for preemption: loops without a call.

use crate::common::Program;

/// It cannot have come to its end without preemption; some never wait, so that there is no park to count.
fn preempted(case: &str) {
    preempted_in("preempt.c", case);
}

fn preempted_in(source: &str, case: &str) {
    let outcome = Program::of(source).arg(case).same();
    let stats = outcome.stats();
    assert!(outcome.status.success() && stats.threads > 0 && stats.preemptions > 0, "{outcome}");
}

#[test]
fn main_spins_for_a_runnable_thread() {
    preempted("runnable");
}

#[test]
fn main_spins_for_a_timer() {
    preempted("timer");
}

#[test]
fn main_spins_for_a_reader() {
    preempted("pipe_ready");
}

#[test]
fn main_spins_after_it_was_alone_for_long() {
    preempted("alone_at_first");
}

#[test]
fn main_spins_for_a_real_thread_that_makes_one() {
    preempted("for_a_real_thread");
}

#[test]
fn a_thread_spins_for_main() {
    preempted("by_main");
}

#[test]
fn two_compute_and_a_ticker_ticks() {
    preempted("computing");
}

#[test]
fn workers_spin_for_main_and_main_for_them() {
    preempted("handing");
}

#[test]
fn native_waits_are_left_alone() {
    let outcome = Program::of("left_out.c").env("EVENTLET_PATCH", "all,-select,-time").same();
    assert!(outcome.status.success() && outcome.stats().preemptions > 0, "{outcome}");
}

#[test]
fn native_calls_that_are_left_by_a_jump() {
    let outcome = Program::of("left_call.c").env("EVENTLET_PATCH", "all,-select").same();
    assert!(outcome.status.success() && outcome.stats().preemptions > 0, "{outcome}");
}

#[test]
fn registers_survive() {
    preempted("registers");
}

/// Not there, of course: what is below the stack pointer is the thread's heap.
#[test]
fn where_a_stack_has_no_room_for_a_frame() {
    let outcome = Program::of("preempt.c").arg("narrow").same();
    assert!(outcome.status.success() && outcome.stats().threads > 0, "{outcome}");
}

#[test]
fn no_look_at_descriptors_ends_for_it() {
    preempted("looking");
}

#[test]
fn in_the_programs_own_malloc() {
    preempted_in("own_malloc.c", "waits");
}

#[test]
fn holding_the_mutex_of_the_programs_own_malloc() {
    preempted_in("own_locked_malloc.c", "made_by_real_threads");
}

#[test]
fn without_preemption_a_spin_starves() {
    let outcome = Program::of("preempt.c").arg("starving").env("EVENTLET_PREEMPT", "0").preloaded();
    assert_eq!(outcome.text(), "starved\nstarving done\n", "{outcome}");
    assert_eq!(outcome.stats().preemptions, 0, "{outcome}");
}

#[test]
fn without_preemption_calls_take_turns() {
    let outcome = Program::of("preempt.c").arg("cooperative").env("EVENTLET_PREEMPT", "0").green();
    assert_eq!(outcome.stats().preemptions, 0, "{outcome}");
}
