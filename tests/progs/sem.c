/* Semaphores: waits of every kind, and threads that find nothing. */
#include "prog.h"
#include <semaphore.h>

enum { THREADS = 6, ROUNDS = 300 };
static sem_t sem, done;
static int inside, most;

static void *guarded(void *arg) {
    for (int i = 0; i < ROUNDS; i++) {
        must(sem_wait(&sem));
        int now = __atomic_add_fetch(&inside, 1, __ATOMIC_SEQ_CST);
        if (now > 2) most = now;
        if (i % 50 == 0) usleep(1);
        __atomic_sub_fetch(&inside, 1, __ATOMIC_SEQ_CST);
        must(sem_post(&sem));
    }
    return arg;
}

/* Never more inside than it admits. */
static void limit(void) {
    must(sem_init(&sem, 0, 2));
    pthread_t threads[THREADS];
    for (int i = 0; i < THREADS; i++) threads[i] = spawn(guarded, NULL);
    for (int i = 0; i < THREADS; i++) join(threads[i]);
    int value;
    must(sem_getvalue(&sem, &value));
    printf("too many inside: %d; value %d\n", most, value);
}

static void *wait_in_vain(void *arg) {
    struct timespec real = from_now(CLOCK_REALTIME, 5), mono = from_now(CLOCK_MONOTONIC, 5), past = {1, 0};
    struct timespec bad = {0, 1000000000};
    show(sem_trywait(&sem));
    show(sem_timedwait(&sem, &real));
    show(sem_timedwait(&sem, &past));
    show(sem_timedwait(&sem, &bad));
    show(sem_clockwait(&sem, CLOCK_MONOTONIC, &mono));
    show(sem_clockwait(&sem, CLOCK_REALTIME, &real));
    show(sem_clockwait(&sem, CLOCK_PROCESS_CPUTIME_ID, &mono));
    return arg;
}

static void timed_out(void) {
    must(sem_init(&sem, 0, 0));
    join(spawn(wait_in_vain, NULL));
}

static void *wait_well(void *how) {
    struct timespec real = from_now(CLOCK_REALTIME, 60000), mono = from_now(CLOCK_MONOTONIC, 60000);
    switch ((intptr_t)how) {
    case 0: must(sem_wait(&sem)); break;
    case 1: must(sem_timedwait(&sem, &real)); break;
    case 2: must(sem_clockwait(&sem, CLOCK_MONOTONIC, &mono)); break;
    case 3: must(sem_clockwait(&sem, CLOCK_REALTIME, &real)); break;
    }
    must(sem_post(&done));
    return how;
}

/* Each post lets one of them through; a timed wait takes an available one though its time is past. */
static void posted(void) {
    must(sem_init(&sem, 0, 0));
    must(sem_init(&done, 0, 0));
    pthread_t threads[4];
    for (intptr_t i = 0; i < 4; i++) threads[i] = spawn(wait_well, (void *)i);
    breathe();
    for (int i = 0; i < 4; i++) {
        must(sem_post(&sem));
        must(sem_wait(&done));
        printf("through %d, next %d\n", i, sem_trywait(&done));
    }
    for (int i = 0; i < 4; i++) join(threads[i]);
    struct timespec past = {1, 0};
    must(sem_post(&sem));
    show(sem_timedwait(&sem, &past));
}

/* Tries until it gets it, without a wait. */
static void *insist(void *arg) {
    while (sem_trywait(&sem)) check(errno == EAGAIN);
    return arg;
}

static void try_loop(void) {
    must(sem_init(&sem, 0, 0));
    pthread_t other = spawn(insist, NULL);
    breathe();
    must(sem_post(&sem));
    join(other);
}

static void *pong(void *arg) {
    for (int i = 0; i < ROUNDS; i++) must(sem_wait(&sem)), must(sem_post(&done));
    return arg;
}

/* main and a thread take turns. */
static void ping_pong(void) {
    must(sem_init(&sem, 0, 0));
    must(sem_init(&done, 0, 0));
    pthread_t other = spawn(pong, NULL);
    for (int i = 0; i < ROUNDS; i++) must(sem_post(&sem)), must(sem_wait(&done));
    join(other);
}

int main(int argc, char **argv) {
    struct test tests[] = {CASE(limit), CASE(timed_out), CASE(posted), CASE(try_loop), CASE(ping_pong)};
    return RUN(argc, argv, tests);
}
