/* Exceptions. */
#include "capi.h"

static void cleaned(void *word) { note(word); }

static void *inner(void *arg) {
    pthread_cleanup_push(cleaned, "cleanup");
    eventlet_raise((int)(intptr_t)arg);
    pthread_cleanup_pop(0);
    return NULL;
}

static void *nests(void *arg) {
    check(eventlet_try(inner, N(EVENTLET_USER + 1), NULL) == EVENTLET_USER + 1);
    note("between");
    return inner(arg);
}

static void caught(void) {
    void *result = NULL;
    check(eventlet_try(same, N(7), &result) == 0 && result == N(7));
    check(eventlet_try(same, N(7), NULL) == 0);
    check(eventlet_try(nests, N(EIO), &result) == EIO);
    traced("cleanup between cleanup");
    check(eventlet_try(raises, N(0), NULL) == EINVAL && eventlet_try(raises, N(-3), NULL) == EINVAL);
    check(eventlet_try(NULL, NULL, NULL) == EINVAL);
    for (int i = 0; i < 1000; i++) check(eventlet_try(raises, N(EVENTLET_USER + i), NULL) == EVENTLET_USER + i);
    check(EVENTLET_EXIT > 4095 && EVENTLET_TIMEOUT > 4095 && EVENTLET_STOP_SERVE > 4095 && EVENTLET_USER > EVENTLET_STOP_SERVE);
}

static void *catches(void *arg) {
    (void)arg;
    check(eventlet_try(sleeps, NULL, NULL) == EVENTLET_USER);
    note("caught");
    eventlet_sleep(0);
    return N(5);
}

/* A cleanup handler may wait, and catch on its own. */
static void waits_in_cleanup(void *arg) {
    eventlet_sleep(0.001);
    check(eventlet_try(raises, N(EDOM), NULL) == EDOM);
    note(arg);
}

static void *dirty(void *arg) {
    pthread_cleanup_push(waits_in_cleanup, "waited");
    eventlet_raise((int)(intptr_t)arg);
    pthread_cleanup_pop(0);
    return NULL;
}

static void in_threads(void) {
    void *result = NULL;
    eventlet_thread *thread = eventlet_spawn(catches, NULL);
    eventlet_sleep(0);
    check(eventlet_kill(thread, EVENTLET_USER) == 0);
    traced("caught");
    check(eventlet_wait(thread, &result) == 0 && result == N(5));
    eventlet_release(thread);
    check(eventlet_hub_exceptions(0) == 1);
    check(ended(eventlet_spawn(dirty, N(ERANGE))) == ERANGE);
    traced("waited");
    check(eventlet_try(dirty, N(ERANGE), NULL) == ERANGE);
    traced("waited");
    check(eventlet_hub_exceptions(1) == 0);
}

static void *exits(void *arg) {
    pthread_cleanup_push(cleaned, "exit");
    pthread_exit(arg);
    pthread_cleanup_pop(0);
    return NULL;
}

static void *exits_in_try(void *arg) {
    eventlet_try(exits, arg, NULL);
    note("never");
    return NULL;
}

static void pthread_exits(void) {
    void *result = NULL;
    eventlet_thread *thread = eventlet_spawn(exits_in_try, N(9));
    check(eventlet_wait(thread, &result) == 0 && result == N(9));
    eventlet_release(thread);
    traced("exit");
}

static void reported(void) {
    check(ended(eventlet_spawn(raises, N(EVENTLET_EXIT))) == EVENTLET_EXIT);
    check(ended(eventlet_spawn(raises, N(EVENTLET_USER))) == EVENTLET_USER);
}

static void raising_link(eventlet_thread *thread, void *arg) { (void)thread, raises(arg); }
static void notes_link(eventlet_thread *thread, void *word) { (void)thread, note(word); }

/* What a link raises is said, and the next one is called. */
static void reported_of_link(void) {
    eventlet_thread *thread = eventlet_spawn(same, NULL);
    check(eventlet_link(thread, raising_link, N(EVENTLET_USER)) == 0 && eventlet_link(thread, notes_link, "next") == 0);
    check(ended(thread) == 0);
    eventlet_sleep(0);
    traced("next");
}

static void in_main(void) { eventlet_raise(EIO); }

static void *foreign(void *arg) {
    if (arg == N(1)) eventlet_raise(EIO);
    if (arg == N(2)) eventlet_stop_serve();
    check(eventlet_getcurrent() == NULL && eventlet_try(same, NULL, NULL) == EPERM);
    null(eventlet_spawn(same, NULL), EPERM);
    null(eventlet_pool_new(1), EPERM);
    null(eventlet_timeout_start(1, 0), EPERM);
    fails(eventlet_spawn_n(same, NULL), EPERM);
    struct timespec before = from_now(CLOCK_MONOTONIC, 0);
    eventlet_sleep(0.01);
    check(from_now(CLOCK_MONOTONIC, 0).tv_nsec != before.tv_nsec);
    return N(1);
}

/* Real threads, that is: linked and not patched. */
static void on_foreign(void) {
    eventlet_sleep(0);
    check(join(spawn(foreign, NULL)) == N(1));
}

static void abort_on_foreign(void) { join(spawn(foreign, N(1))); }
static void stop_on_foreign(void) { join(spawn(foreign, N(2))); }

static void *slept(void *arg) {
    eventlet_sleep(-1);
    return arg;
}

/* A pthread that is green has a handle too: preloaded. */
static void in_pthread(void) {
    pthread_t thread = spawn(slept, NULL);
    eventlet_sleep(0);
    check(eventlet_hub_exceptions(0) == 1);
    pthread_t raising = spawn(raises, N(EIO));
    check(join(raising) == PTHREAD_CANCELED);
    pthread_cancel(thread);
    check(join(thread) == PTHREAD_CANCELED);
}

static void *disabled(void *arg) {
    pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, NULL);
    eventlet_sleep(0.004);
    note("slept");
    pthread_setcancelstate(PTHREAD_CANCEL_ENABLE, NULL);
    eventlet_sleep(-1);
    return arg;
}

static void not_now(void) {
    eventlet_thread *thread = eventlet_spawn(disabled, NULL);
    eventlet_sleep(0);
    check(eventlet_kill(thread, 0) == 0);
    traced("");
    check(ended(thread) == EVENTLET_EXIT);
    traced("slept");
}

int main(int argc, char **argv) {
    struct test tests[] = {CASE(caught), CASE(in_threads), CASE(pthread_exits), CASE(reported), CASE(reported_of_link), CASE(in_main), CASE(on_foreign),
                           CASE(abort_on_foreign), CASE(stop_on_foreign), CASE(in_pthread), CASE(not_now)};
    return RUN(argc, argv, tests);
}
