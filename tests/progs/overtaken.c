/* Main waits; a signal for it comes and, before it had a turn, the wake-up. The handler runs, and the wake-up counts. */
#include "prog.h"
#include <sched.h>
#include <semaphore.h>

enum { ROUNDS = 40 };

static volatile sig_atomic_t handled;
static void handler(int signal) {
    (void)signal;
    handled++;
}

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t cond = PTHREAD_COND_INITIALIZER;
static pthread_rwlock_t rwlock = PTHREAD_RWLOCK_INITIALIZER;
static pthread_barrier_t barrier;
static sem_t taken, sem;
static int flag, ends[2];

static void yield(int times) {
    while (times--) sched_yield();
}

/* The signal, and a moment in which the hub may hand it to main. */
static void disturb(int round) {
    must(kill(getpid(), SIGUSR1));
    yield(round % 4);
}

/* One function for each kind of wait: what the other thread does, and what main does. */
static void *notify(void *round) {
    yield(2);
    disturb((intptr_t)round);
    zero(pthread_mutex_lock(&mutex));
    flag = 1;
    zero(pthread_cond_signal(&cond));
    zero(pthread_mutex_unlock(&mutex));
    return NULL;
}
static void wait_cond(void) {
    zero(pthread_mutex_lock(&mutex));
    while (!flag) zero(pthread_cond_wait(&cond, &mutex));
    flag = 0;
    zero(pthread_mutex_unlock(&mutex));
}

static void *hold_mutex(void *round) {
    zero(pthread_mutex_lock(&mutex));
    must(sem_post(&taken));
    yield(3);
    disturb((intptr_t)round);
    zero(pthread_mutex_unlock(&mutex));
    return NULL;
}
static void wait_mutex(void) {
    must(sem_wait(&taken));
    zero(pthread_mutex_lock(&mutex));
    zero(pthread_mutex_unlock(&mutex));
}

static void *hold_rwlock(void *round) {
    zero(pthread_rwlock_wrlock(&rwlock));
    must(sem_post(&taken));
    yield(3);
    disturb((intptr_t)round);
    zero(pthread_rwlock_unlock(&rwlock));
    return NULL;
}
static void wait_rwlock(void) {
    must(sem_wait(&taken));
    zero(pthread_rwlock_rdlock(&rwlock));
    zero(pthread_rwlock_unlock(&rwlock));
}

static void *post(void *round) {
    yield(2);
    disturb((intptr_t)round);
    must(sem_post(&sem));
    return NULL;
}
static void wait_sem(void) { must(sem_wait(&sem)); }

static void *meet(void *round) {
    yield(2);
    disturb((intptr_t)round);
    pthread_barrier_wait(&barrier);
    return NULL;
}
static void wait_barrier(void) { pthread_barrier_wait(&barrier); }

static void *end(void *round) {
    yield(2);
    disturb((intptr_t)round);
    return NULL;
}
static void wait_end(void) {}

static void *tell_reader(void *round) {
    yield(2);
    disturb((intptr_t)round);
    check(must(write(ends[1], "x", 1)) == 1);
    return NULL;
}
static void wait_data(void) {
    char byte;
    check(must(read(ends[0], &byte, 1)) == 1);
}

static void rounds(void *(*other)(void *), void (*wait)(void)) {
    struct sigaction action = {.sa_handler = handler, .sa_flags = SA_RESTART};
    must(sigaction(SIGUSR1, &action, NULL));
    must(sem_init(&taken, 0, 0));
    must(sem_init(&sem, 0, 0));
    zero(pthread_barrier_init(&barrier, NULL, 2));
    must(pipe(ends));
    for (intptr_t round = 0; round < ROUNDS; round++) {
        pthread_t thread = spawn(other, (void *)round);
        wait();
        join(thread);
    }
    printf("handled %d\n", (int)handled);
}

#define WAIT(name, other, wait) static void name(void) { rounds(other, wait); }
WAIT(condition, notify, wait_cond)
WAIT(lock, hold_mutex, wait_mutex)
WAIT(read_write_lock, hold_rwlock, wait_rwlock)
WAIT(semaphore, post, wait_sem)
WAIT(meeting, meet, wait_barrier)
WAIT(ending, end, wait_end)
WAIT(data, tell_reader, wait_data)

static const struct test tests[] = {CASE(condition), CASE(lock), CASE(read_write_lock), CASE(semaphore),
                                    CASE(meeting), CASE(ending), CASE(data)};

int main(int argc, char **argv) { return RUN(argc, argv, tests); }
