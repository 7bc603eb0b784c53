/* Condition variables: every way to wait, every way to wake. */
#include "prog.h"

enum { WAITERS = 8, ITEMS = 2000 };
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t cond = PTHREAD_COND_INITIALIZER, back = PTHREAD_COND_INITIALIZER;
static int waiting, go, woken, slot;

/* Waits until `waiting` others hold still: they count under the lock that their wait gives back. */
static void until_waiting(int count) {
    zero(pthread_mutex_lock(&lock));
    while (waiting < count) zero(pthread_cond_wait(&back, &lock));
    zero(pthread_mutex_unlock(&lock));
}

static void *wait_for_go(void *arg) {
    zero(pthread_mutex_lock(&lock));
    waiting++;
    zero(pthread_cond_signal(&back));
    while (go == 0) zero(pthread_cond_wait(&cond, &lock));
    if (go > 0) go--;
    woken++;
    zero(pthread_mutex_unlock(&lock));
    return arg;
}

/* All are woken at once. */
static void broadcast(void) {
    pthread_t threads[WAITERS];
    for (int i = 0; i < WAITERS; i++) threads[i] = spawn(wait_for_go, NULL);
    until_waiting(WAITERS);
    zero(pthread_mutex_lock(&lock));
    printf("waiting %d woken %d\n", waiting, woken);
    go = -1;
    zero(pthread_cond_broadcast(&cond));
    zero(pthread_mutex_unlock(&lock));
    for (int i = 0; i < WAITERS; i++) join(threads[i]);
    printf("woken %d\n", woken);
}

/* Each signal wakes at least one, signalled with and without the lock. */
static void signal_each(void) {
    pthread_t threads[WAITERS];
    for (int i = 0; i < WAITERS; i++) threads[i] = spawn(wait_for_go, NULL);
    until_waiting(WAITERS);
    for (int i = 0; i < WAITERS; i++) {
        zero(pthread_mutex_lock(&lock));
        go++;
        if (i % 2) zero(pthread_cond_signal(&cond));
        zero(pthread_mutex_unlock(&lock));
        if (i % 2 == 0) zero(pthread_cond_signal(&cond));
    }
    for (int i = 0; i < WAITERS; i++) join(threads[i]);
    printf("woken %d left %d\n", woken, go);
}

static void *produce(void *arg) {
    for (int i = 1; i <= ITEMS; i++) {
        zero(pthread_mutex_lock(&lock));
        while (slot) zero(pthread_cond_wait(&back, &lock));
        slot = i;
        zero(pthread_cond_signal(&cond));
        zero(pthread_mutex_unlock(&lock));
    }
    return arg;
}

/* A slot of one item between two threads. */
static void hand_over(void) {
    pthread_t producer = spawn(produce, NULL);
    long sum = 0;
    for (int i = 0; i < ITEMS; i++) {
        zero(pthread_mutex_lock(&lock));
        while (!slot) zero(pthread_cond_wait(&cond, &lock));
        sum += slot;
        slot = 0;
        zero(pthread_cond_signal(&back));
        zero(pthread_mutex_unlock(&lock));
    }
    join(producer);
    printf("sum %ld\n", sum);
}

static pthread_cond_t *on_clock(clockid_t clock) {
    pthread_condattr_t attr;
    zero(pthread_condattr_init(&attr));
    zero(pthread_condattr_setclock(&attr, clock));
    zero(pthread_cond_init(&cond, &attr));
    return &cond;
}

static void *wait_in_vain(void *arg) {
    struct timespec real = from_now(CLOCK_REALTIME, 5), mono = from_now(CLOCK_MONOTONIC, 5), past = {1, 0};
    struct timespec bad = {0, -1};
    zero(pthread_mutex_lock(&lock));
    tell(pthread_cond_timedwait(&cond, &lock, arg ? &mono : &real));
    tell(pthread_cond_timedwait(&cond, &lock, &past));
    tell(pthread_cond_clockwait(&cond, &lock, CLOCK_MONOTONIC, &mono));
    tell(pthread_cond_clockwait(&cond, &lock, CLOCK_REALTIME, &real));
    tell(pthread_cond_timedwait(&cond, &lock, &bad));
    tell(pthread_cond_clockwait(&cond, &lock, CLOCK_THREAD_CPUTIME_ID, &past));
    tell(pthread_mutex_unlock(&lock)); /* it is held again after each of them */
    return NULL;
}

static void timed_out(void) { join(spawn(wait_in_vain, NULL)); }

static void timed_out_monotonic(void) {
    on_clock(CLOCK_MONOTONIC);
    join(spawn(wait_in_vain, "monotonic"));
}

enum how { TIMED, CLOCK_MONO, CLOCK_REAL };

static void *wait_well(void *how) {
    struct timespec real = from_now(CLOCK_REALTIME, 60000), mono = from_now(CLOCK_MONOTONIC, 60000);
    zero(pthread_mutex_lock(&lock));
    waiting++;
    zero(pthread_cond_signal(&back));
    while (!go) switch ((enum how)(intptr_t)how) {
        case TIMED: zero(pthread_cond_timedwait(&cond, &lock, &real)); break;
        case CLOCK_MONO: zero(pthread_cond_clockwait(&cond, &lock, CLOCK_MONOTONIC, &mono)); break;
        case CLOCK_REAL: zero(pthread_cond_clockwait(&cond, &lock, CLOCK_REALTIME, &real)); break;
    }
    woken++;
    zero(pthread_mutex_unlock(&lock));
    return NULL;
}

/* A timed wait that is woken before its time says so. */
static void timed_woken(void) {
    pthread_t threads[3];
    for (int i = 0; i < 3; i++) threads[i] = spawn(wait_well, (void *)(intptr_t)i);
    until_waiting(3);
    zero(pthread_mutex_lock(&lock));
    go = 1;
    zero(pthread_cond_broadcast(&cond));
    zero(pthread_mutex_unlock(&lock));
    for (int i = 0; i < 3; i++) join(threads[i]);
    printf("woken %d\n", woken);
}

static void *signal_nobody(void *arg) {
    zero(pthread_cond_signal(arg));
    return NULL;
}

/* A signal that nobody waits for is lost: the next wait times out. */
static void no_memory(void) {
    join(spawn(signal_nobody, &cond));
    struct timespec soon = from_now(CLOCK_REALTIME, 5);
    zero(pthread_mutex_lock(&lock));
    tell(pthread_cond_timedwait(&cond, &lock, &soon));
    zero(pthread_mutex_unlock(&lock));
    tell(pthread_cond_destroy(&cond));
}

int main(int argc, char **argv) {
    struct test tests[] = {CASE(broadcast), CASE(signal_each), CASE(hand_over), CASE(timed_out),
                           CASE(timed_out_monotonic), CASE(timed_woken), CASE(no_memory)};
    return RUN(argc, argv, tests);
}
