/* Timeouts. */
#include "capi.h"

static void *in_read(void *arg) {
    int ends[2];
    char byte;
    must(pipe(ends));
    must(read(ends[0], &byte, 1));
    return arg;
}

static void *in_semaphore(void *arg) {
    eventlet_semaphore_acquire(eventlet_semaphore_new(0, -1), -1);
    return arg;
}

static void *in_queue(void *arg) {
    void *item;
    eventlet_queue_get(eventlet_queue_new(0), &item, -1);
    return arg;
}

static void *in_wait(void *arg) {
    eventlet_wait(eventlet_spawn(sleeps, NULL), NULL);
    return arg;
}

static void *in_sleep(void *arg) {
    sleep(1000);
    return arg;
}

static void raised(void) {
    void *(*waits[])(void *) = {sleeps, in_semaphore, in_queue, in_wait};
    for (size_t i = 0; i < sizeof waits / sizeof *waits; i++) {
        eventlet_timeout *timeout = eventlet_timeout_start(0.002, 0);
        check(eventlet_timeout_pending(timeout) && !eventlet_timeout_fired(timeout));
        check(eventlet_try(waits[i], NULL, NULL) == EVENTLET_TIMEOUT);
        check(!eventlet_timeout_pending(timeout) && eventlet_timeout_fired(timeout));
        check(eventlet_timeout_cancel(timeout) == 0);
    }
}

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static void unlocked(void *arg) {
    check(pthread_mutex_trylock(&mutex) == EBUSY);
    zero(pthread_mutex_unlock(&mutex));
    (void)arg;
}

static void *in_cond(void *arg) {
    static pthread_cond_t cond = PTHREAD_COND_INITIALIZER;
    zero(pthread_mutex_lock(&mutex));
    pthread_cleanup_push(unlocked, NULL);
    for (;;) pthread_cond_wait(&cond, &mutex);
    pthread_cleanup_pop(1);
    return arg;
}

/* Patched calls. */
static void rows(void) {
    void *(*waits[])(void *) = {in_read, in_sleep, in_cond};
    for (size_t i = 0; i < sizeof waits / sizeof *waits; i++) {
        eventlet_timeout *timeout = eventlet_timeout_start(0.002, EVENTLET_USER);
        check(eventlet_try(waits[i], NULL, NULL) == EVENTLET_USER);
        check(eventlet_timeout_cancel(timeout) == 0);
    }
    zero(pthread_mutex_trylock(&mutex));
}

static void *yields(void *arg) {
    for (;;) eventlet_sleep(0);
    return arg;
}

static void cancelled(void) {
    eventlet_timeout *never = eventlet_timeout_start(-1, 0), *later = eventlet_timeout_start(0.002, 0);
    check(eventlet_timeout_cancel(later) == 1);
    eventlet_sleep(0.004);
    check(!eventlet_timeout_fired(never) && eventlet_timeout_cancel(never) == 1);
    eventlet_timeout *now = eventlet_timeout_start(0, EIO);
    check(eventlet_try(yields, NULL, NULL) == EIO);
    check(eventlet_timeout_cancel(now) == 0);
    null(eventlet_timeout_start(0.0 / 0.0, 0), EINVAL);
    null(eventlet_timeout_start(1, -1), EINVAL);
    check(eventlet_timeout_cancel(NULL) == 0 && eventlet_timeout_pending(NULL) == 0 && eventlet_timeout_fired(NULL) == 0);
}

static void *outer(void *arg) {
    /* The one that fires is the one raised. */
    eventlet_with_timeout(100, sleeps, NULL, NULL);
    note("never");
    return arg;
}

static void *catching(void *arg) {
    check(eventlet_try(sleeps, NULL, NULL) == EVENTLET_TIMEOUT);
    return arg;
}

static void with(void) {
    void *result = NULL;
    check(eventlet_with_timeout(1, same, N(3), &result) == 0 && result == N(3));
    fails(eventlet_with_timeout(0.002, sleeps, NULL, &result), ETIMEDOUT);
    fails(eventlet_with_timeout(0.002, outer, NULL, NULL), ETIMEDOUT);
    check(eventlet_with_timeout(0.002, catching, N(2), &result) == 0 && result == N(2));
    fails(eventlet_with_timeout(1, NULL, NULL, NULL), EINVAL);
    traced("");
}

static void *raises_through(void *arg) {
    eventlet_with_timeout(1, raises, arg, NULL);
    return NULL;
}

static void others(void) {
    check(eventlet_try(raises_through, N(EDOM), NULL) == EDOM);
    check(eventlet_try(raises_through, N(EVENTLET_TIMEOUT), NULL) == EVENTLET_TIMEOUT);
}

static eventlet_timeout *kept;
static void *starts(void *arg) {
    kept = eventlet_timeout_start(0.002, 0);
    return arg;
}

static void taken_along(void) {
    check(ended(eventlet_spawn(starts, NULL)) == 0);
    eventlet_sleep(0.004);
    check(!eventlet_timeout_pending(kept) && !eventlet_timeout_fired(kept));
    check(eventlet_timeout_cancel(kept) == 1);
}

static void many(void) {
    eventlet_timeout *all[1000];
    for (int i = 0; i < 1000; i++) all[i] = eventlet_timeout_start(i % 2 ? 100 : -1, 0);
    for (int i = 0; i < 1000; i++) check(eventlet_timeout_cancel(all[(i * 7) % 1000]) == 1);
}

int main(int argc, char **argv) {
    struct test tests[] = {CASE(raised), CASE(rows), CASE(cancelled), CASE(with), CASE(others), CASE(taken_along), CASE(many)};
    return RUN(argc, argv, tests);
}
