/* eventlet_tpool_execute. */
#include "capi.h"

static void *computes(void *arg) {
    check(eventlet_getcurrent() == NULL);
    fails(eventlet_spawn_n(same, NULL), EPERM);
    fails(eventlet_wait(eventlet_getcurrent(), NULL), EINVAL);
    eventlet_sleep(0.001);
    return arg;
}

static void *asks(void *arg) {
    void *result = NULL;
    check(eventlet_tpool_execute(computes, arg, &result) == 0 && result == arg);
    return NULL;
}

static void many(void) {
    eventlet_pool *pool = eventlet_pool_new(50);
    for (long i = 0; i < 500; i++) check(eventlet_pool_spawn_n(pool, asks, N(i)) == 0);
    check(eventlet_pool_waitall(pool) == 0);
    eventlet_pool_delete(pool);
    check(eventlet_tpool_execute(computes, NULL, NULL) == 0);
    fails(eventlet_tpool_execute(NULL, NULL, NULL), EINVAL);
}

static int pair[2];

/* Blocks in the kernel, where nothing is patched. */
static void *blocks(void *arg) {
    (void)arg;
    char c = 0;
    check(syscall(0, pair[0], &c, 1) == 1);
    return N(c);
}

static void *tells(void *arg) {
    (void)arg;
    eventlet_sleep(0.005);
    check(write(pair[1], "k", 1) == 1);
    return NULL;
}

static void parked(void) {
    check(pipe(pair) == 0);
    check(eventlet_spawn_n(tells, NULL) == 0);
    void *result;
    check(eventlet_tpool_execute(blocks, NULL, &result) == 0 && result == N('k'));
}

static int destroyed;
static void cleanup(void *arg) { (void)arg; destroyed++; }

static void *fails_with(void *arg) {
    pthread_cleanup_push(cleanup, NULL);
    eventlet_raise((int)(intptr_t)arg);
    pthread_cleanup_pop(0);
    return NULL;
}

static void *inner(void *arg) {
    void *result;
    check(eventlet_tpool_execute(computes, arg, &result) == 0 && result == arg);
    fails(eventlet_tpool_execute(fails_with, N(ENOSPC), NULL), ENOSPC);
    return N(7);
}

static void *exits(void *arg) { pthread_exit(arg); }

static void raised(void) {
    fails(eventlet_tpool_execute(fails_with, N(EVENTLET_USER + 1), NULL), EVENTLET_USER + 1);
    fails(eventlet_tpool_execute(fails_with, N(EBADF), NULL), EBADF);
    fails(eventlet_tpool_execute(fails_with, N(-1), NULL), EINVAL);
    check(destroyed == 3);
    void *result = NULL;
    check(eventlet_tpool_execute(inner, N(5), &result) == 0 && result == N(7) && destroyed == 4);
    check(eventlet_tpool_execute(exits, N(9), &result) == 0 && result == N(9));
    check(eventlet_tpool_execute(computes, N(2), &result) == 0 && result == N(2));
}

static void *waits(void *arg) {
    (void)arg;
    eventlet_tpool_execute(blocks, NULL, NULL);
    die("not reached");
}

static void killed(void) {
    eventlet_hub_exceptions(0);
    check(pipe(pair) == 0);
    for (int i = 0; i < 30; i++) {
        eventlet_thread *victim = eventlet_spawn(waits, NULL);
        eventlet_sleep(i % 3 ? 0.001 : 0);
        check(eventlet_kill(victim, EVENTLET_USER) == 0 && ended(victim) == EVENTLET_USER);
    }
    void *result;
    char text[64];
    memset(text, 'x', sizeof text);
    check(write(pair[1], text, sizeof text) == sizeof text);
    check(eventlet_tpool_execute(computes, N(3), &result) == 0 && result == N(3));
}

/* As many at a time as EVENTLET_THREADPOOL_SIZE says; 0: in place. */
static int busy, most;
static pthread_t main_thread;
static void *occupies(void *arg) {
    int now = __atomic_add_fetch(&busy, 1, __ATOMIC_SEQ_CST);
    if (now > __atomic_load_n(&most, __ATOMIC_SEQ_CST)) __atomic_store_n(&most, now, __ATOMIC_SEQ_CST);
    struct timespec nap = {0, 2000000};
    clock_nanosleep(CLOCK_MONOTONIC, 0, &nap, NULL);
    __atomic_sub_fetch(&busy, 1, __ATOMIC_SEQ_CST);
    return arg;
}
static void *executes(void *arg) {
    check(eventlet_tpool_execute(occupies, arg, NULL) == 0);
    return arg;
}
static void *where(void *arg) { return N(pthread_equal(pthread_self(), main_thread) + !arg); }
static void limited(void) {
    eventlet_thread *all[9];
    for (int i = 0; i < 9; i++) all[i] = eventlet_spawn(executes, N(i));
    for (int i = 0; i < 9; i++) check(ended(all[i]) == 0);
    check(most <= 2);
}
static void in_place(void) {
    void *result;
    main_thread = pthread_self();
    check(eventlet_tpool_execute(where, N(1), &result) == 0 && result == N(1));
    fails(eventlet_tpool_execute(fails_with, N(ENOSPC), NULL), ENOSPC);
    check(destroyed == 1);
}

static void forked(void) {
    void *result;
    check(eventlet_tpool_execute(computes, N(1), &result) == 0 && result == N(1));
    pid_t child = fork();
    if (child == 0) {
        check(eventlet_tpool_execute(computes, N(2), &result) == 0 && result == N(2));
        _exit(0);
    }
    int status;
    check(waitpid(child, &status, 0) == child && status == 0);
    check(eventlet_tpool_execute(computes, N(4), &result) == 0 && result == N(4));
}

int main(int argc, char **argv) {
    struct test tests[] = {CASE(many), CASE(parked), CASE(raised), CASE(killed), CASE(forked), CASE(limited), CASE(in_place)};
    return RUN(argc, argv, tests);
}
