/* Events and semaphores. */
#include "capi.h"

static void *waits_for(void *event) {
    void *value;
    if (eventlet_event_wait(event, &value, -1)) return N(-errno);
    return value;
}

static void events(void) {
    eventlet_event *event = eventlet_event_new();
    eventlet_thread *all[5];
    for (int i = 0; i < 5; i++) all[i] = eventlet_spawn(waits_for, event);
    eventlet_sleep(0);
    fails(eventlet_event_reset(event), EINVAL);
    fails(eventlet_event_wait(event, NULL, 0.002), ETIMEDOUT);
    fails(eventlet_event_wait(event, NULL, 0), ETIMEDOUT);
    check(!eventlet_event_ready(event) && eventlet_event_send(event, N(6)) == 0 && eventlet_event_ready(event));
    check(!eventlet_dead(all[0]));
    fails(eventlet_event_send(event, N(7)), EALREADY);
    fails(eventlet_event_send_error(event, EIO), EALREADY);
    for (int i = 0; i < 5; i++) {
        void *value = NULL;
        check(eventlet_wait(all[i], &value) == 0 && value == N(6));
        eventlet_release(all[i]);
    }
    check(eventlet_event_reset(event) == 0 && !eventlet_event_ready(event));
    check(eventlet_event_send_error(event, EVENTLET_USER) == 0);
    fails(eventlet_event_wait(event, NULL, -1), EVENTLET_USER);
    eventlet_event_reset(event);
    fails(eventlet_event_send_error(event, 0), EINVAL);
    eventlet_thread *late = eventlet_spawn(waits_for, event);
    eventlet_sleep(0);
    eventlet_event_delete(event);
    void *value;
    check(eventlet_wait(late, &value) == 0 && value == N(-ECANCELED));
    eventlet_release(late);
    fails(eventlet_event_send(NULL, NULL), EINVAL);
    fails(eventlet_event_wait(NULL, NULL, 0), EINVAL);
    eventlet_event_delete(NULL);
}

static eventlet_semaphore *semaphore;
static void *takes(void *word) {
    if (eventlet_semaphore_acquire(semaphore, -1)) return N(errno);
    note(word);
    return NULL;
}

static void semaphores(void) {
    semaphore = eventlet_semaphore_new(1, 2);
    check(eventlet_semaphore_acquire(semaphore, 0) == 0 && eventlet_semaphore_value(semaphore) == 0);
    fails(eventlet_semaphore_acquire(semaphore, 0), EAGAIN);
    fails(eventlet_semaphore_acquire(semaphore, 0.002), ETIMEDOUT);
    eventlet_thread *a = eventlet_spawn(takes, "a"), *b = eventlet_spawn(takes, "b"), *c = eventlet_spawn(takes, "c");
    eventlet_sleep(0);
    /* No barging: what is released is a's, though it has not run yet. */
    check(eventlet_semaphore_release(semaphore) == 0 && eventlet_semaphore_value(semaphore) == 0);
    fails(eventlet_semaphore_acquire(semaphore, 0), EAGAIN);
    check(ended(a) == 0);
    traced("a");
    /* b is killed after it was woken: it goes to c. */
    check(eventlet_semaphore_release(semaphore) == 0 && eventlet_kill(b, 0) == 0);
    check(ended(b) == EVENTLET_EXIT && ended(c) == 0);
    traced("c");
    check(eventlet_semaphore_release(semaphore) == 0 && eventlet_semaphore_release(semaphore) == 0);
    fails(eventlet_semaphore_release(semaphore), EOVERFLOW);
    check(eventlet_semaphore_value(semaphore) == 2);
    check(eventlet_semaphore_acquire(semaphore, 0) == 0 && eventlet_semaphore_acquire(semaphore, 0) == 0);
    a = eventlet_spawn(takes, "never");
    eventlet_sleep(0);
    eventlet_semaphore_delete(semaphore);
    void *code;
    check(eventlet_wait(a, &code) == 0 && code == N(ECANCELED));
    null(eventlet_semaphore_new(-1, -1), EINVAL);
    null(eventlet_semaphore_new(3, 2), EINVAL);
    fails(eventlet_semaphore_acquire(NULL, 0), EINVAL);
}

/* A killed waiter gives back what it was woken for, but not above the bound. */
static void bound(void) {
    semaphore = eventlet_semaphore_new(0, 1);
    eventlet_thread *waiter = eventlet_spawn(takes, "never");
    eventlet_sleep(0);
    check(eventlet_semaphore_release(semaphore) == 0 && eventlet_semaphore_release(semaphore) == 0);
    check(eventlet_kill(waiter, 0) == 0 && ended(waiter) == EVENTLET_EXIT);
    check(eventlet_semaphore_value(semaphore) == 1);
    fails(eventlet_semaphore_release(semaphore), EOVERFLOW);
    eventlet_semaphore_delete(semaphore);
}

int main(int argc, char **argv) {
    struct test tests[] = {CASE(events), CASE(semaphores), CASE(bound)};
    return RUN(argc, argv, tests);
}
