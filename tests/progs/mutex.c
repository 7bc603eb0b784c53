/* Mutexes of every kind, contended. */
#include "prog.h"

enum { THREADS = 8, ROUNDS = 200 };
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static int count;

static pthread_mutex_t *of_type(int type) {
    pthread_mutexattr_t attr;
    zero(pthread_mutexattr_init(&attr));
    zero(pthread_mutexattr_settype(&attr, type));
    zero(pthread_mutex_init(&mutex, &attr));
    zero(pthread_mutexattr_destroy(&attr));
    return &mutex;
}

static void *add(void *arg) {
    for (int i = 0; i < ROUNDS; i++) {
        zero(pthread_mutex_lock(&mutex));
        int seen = count;
        if (i % 20 == 0) usleep(1);
        count = seen + 1;
        zero(pthread_mutex_unlock(&mutex));
    }
    return arg;
}

/* No increment is lost though the holder sleeps. */
static void contended(void) {
    pthread_t threads[THREADS];
    for (int i = 0; i < THREADS; i++) threads[i] = spawn(add, NULL);
    for (int i = 0; i < THREADS; i++) join(threads[i]);
    printf("count %d\n", count);
}

static void *steal(void *arg) {
    tell(pthread_mutex_trylock(arg));
    tell(pthread_mutex_unlock(arg));
    return NULL;
}

static void *take(void *arg) {
    zero(pthread_mutex_lock(arg));
    puts("taken");
    zero(pthread_mutex_unlock(arg));
    return NULL;
}

/* Twice by its owner; another thread waits until both are given back. */
static void recursive(void) {
    pthread_mutex_t *m = of_type(PTHREAD_MUTEX_RECURSIVE);
    tell(pthread_mutex_lock(m));
    tell(pthread_mutex_lock(m));
    tell(pthread_mutex_trylock(m));
    join(spawn(steal, m));
    pthread_t other = spawn(take, m);
    breathe();
    for (int i = 0; i < 3; i++) {
        if (i == 2) puts("last");
        zero(pthread_mutex_unlock(m));
        if (i < 2) breathe();
    }
    join(other);
    tell(pthread_mutex_unlock(m));
}

static void errorcheck(void) {
    pthread_mutex_t *m = of_type(PTHREAD_MUTEX_ERRORCHECK);
    tell(pthread_mutex_lock(m));
    tell(pthread_mutex_lock(m));
    tell(pthread_mutex_trylock(m));
    join(spawn(steal, m));
    pthread_t other = spawn(take, m);
    breathe();
    puts("free");
    zero(pthread_mutex_unlock(m));
    join(other);
    tell(pthread_mutex_unlock(m));
}

static void *wait_in_vain(void *arg) {
    struct timespec real = from_now(CLOCK_REALTIME, 5), mono = from_now(CLOCK_MONOTONIC, 5), past = {1, 0};
    struct timespec bad = {0, 1000000000};
    tell(pthread_mutex_timedlock(&mutex, &real));
    tell(pthread_mutex_clocklock(&mutex, CLOCK_MONOTONIC, &mono));
    tell(pthread_mutex_clocklock(&mutex, CLOCK_REALTIME, &real));
    tell(pthread_mutex_timedlock(&mutex, &past));
    tell(pthread_mutex_timedlock(&mutex, &bad));
    tell(pthread_mutex_clocklock(&mutex, CLOCK_PROCESS_CPUTIME_ID, &mono));
    return arg;
}

static void *wait_well(void *arg) {
    struct timespec real = from_now(CLOCK_REALTIME, 60000), mono = from_now(CLOCK_MONOTONIC, 60000);
    if (arg) zero(pthread_mutex_timedlock(&mutex, &real));
    else zero(pthread_mutex_clocklock(&mutex, CLOCK_MONOTONIC, &mono));
    count++;
    zero(pthread_mutex_unlock(&mutex));
    return NULL;
}

/* Timed locks time out while it is held, and get it once it is free. */
static void timed(void) {
    zero(pthread_mutex_lock(&mutex));
    join(spawn(wait_in_vain, NULL));
    pthread_t one = spawn(wait_well, NULL), two = spawn(wait_well, "real");
    breathe();
    zero(pthread_mutex_unlock(&mutex));
    join(one), join(two);
    struct timespec past = {1, 0};
    tell(pthread_mutex_timedlock(&mutex, &past));
    printf("count %d\n", count);
}

/* A thread that finds it taken tries again without ever waiting. */
static void *insist(void *arg) {
    while (pthread_mutex_trylock(&mutex)) continue;
    count++;
    zero(pthread_mutex_unlock(&mutex));
    return arg;
}

static void try_loop(void) {
    zero(pthread_mutex_lock(&mutex));
    pthread_t other = spawn(insist, NULL);
    breathe();
    zero(pthread_mutex_unlock(&mutex));
    join(other);
    printf("count %d\n", count);
}

/* Priorities mean nothing here, yet a mutex that inherits them must work when it is contended. */
static void inherit(void) {
    pthread_mutexattr_t attr;
    zero(pthread_mutexattr_init(&attr));
    zero(pthread_mutexattr_setprotocol(&attr, PTHREAD_PRIO_INHERIT));
    join(spawn(steal, &mutex));
    zero(pthread_mutex_init(&mutex, &attr));
    contended();
}

int main(int argc, char **argv) {
    struct test tests[] = {CASE(contended), CASE(recursive), CASE(errorcheck), CASE(timed), CASE(try_loop), CASE(inherit)};
    return RUN(argc, argv, tests);
}
