/* micro CASE: prints the nanoseconds of CPU of one operation. Without a case: their names, one a line. */
#include "bench.h"
#include <pthread.h>
#include <semaphore.h>

#define THREADS 100
#define ROOM 10

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

/* Runs `count` threads to their end; the argument of each is its number. */
static void threads(long count, void *(*body)(void *))
{
    pthread_attr_t attributes;
    pthread_t *made = calloc((size_t)count, sizeof *made);
    check(made != NULL, "calloc");
    pthread_attr_init(&attributes);
    pthread_attr_setstacksize(&attributes, 256 * 1024);
    for (long i = 0; i < count; i++) {
        errno = pthread_create(&made[i], &attributes, body, (void *)(intptr_t)i);
        check(errno == 0, "pthread_create");
    }
    for (long i = 0; i < count; i++)
        pthread_join(made[i], NULL);
    free(made);
}

static void *nothing(void *arg)
{
    return arg;
}

/* Lock and unlock, nobody else wanting it. */
static long mutex(void)
{
    const long rounds = 5000000;
    for (long i = 0; i < rounds; i++) {
        pthread_mutex_lock(&lock);
        pthread_mutex_unlock(&lock);
    }
    return rounds;
}

/* Two threads in turn: mutex and condition. */
static pthread_cond_t turned = PTHREAD_COND_INITIALIZER;
static intptr_t turn;
static long turns = 100000;

static void *take_turns(void *arg)
{
    pthread_mutex_lock(&lock);
    for (long i = 0; i < turns; i++) {
        while (turn != (intptr_t)arg)
            pthread_cond_wait(&turned, &lock);
        turn = !turn;
        pthread_cond_signal(&turned);
    }
    pthread_mutex_unlock(&lock);
    return NULL;
}

static long cond(void)
{
    threads(2, take_turns);
    return 2 * turns;
}

/* Two threads in turn: a semaphore each. */
static sem_t semaphores[2];

static void *post_and_wait(void *arg)
{
    intptr_t me = (intptr_t)arg;
    for (long i = 0; i < turns; i++) {
        sem_wait(&semaphores[me]);
        sem_post(&semaphores[!me]);
    }
    return NULL;
}

static long sem(void)
{
    sem_init(&semaphores[0], 0, 1);
    sem_init(&semaphores[1], 0, 0);
    threads(2, post_and_wait);
    return 2 * turns;
}

/* Threads that only yield. */
static long yields;

static void *yield(void *arg)
{
    for (long i = 0; i < yields; i++)
        sched_yield();
    return arg;
}

static long yield_2(void)
{
    yields = 200000;
    threads(2, yield);
    return 2 * yields;
}

static long yield_1000(void)
{
    yields = 200;
    threads(1000, yield);
    return 1000 * yields;
}

/* One thread made and joined at a time. */
static long create(void)
{
    const long rounds = 20000;
    for (long i = 0; i < rounds; i++)
        threads(1, nothing);
    return rounds;
}

/* 100 producers and 100 consumers on one queue with little room. */
static pthread_cond_t not_full = PTHREAD_COND_INITIALIZER, not_empty = PTHREAD_COND_INITIALIZER;
static long queued, items = 1000;

static void *produce_or_consume(void *arg)
{
    int producer = (intptr_t)arg % 2 == 0;
    for (long i = 0; i < items; i++) {
        pthread_mutex_lock(&lock);
        if (producer) {
            while (queued == ROOM)
                pthread_cond_wait(&not_full, &lock);
            queued++;
            pthread_cond_signal(&not_empty);
        } else {
            while (queued == 0)
                pthread_cond_wait(&not_empty, &lock);
            queued--;
            pthread_cond_signal(&not_full);
        }
        pthread_mutex_unlock(&lock);
    }
    return NULL;
}

static long queue(void)
{
    threads(2 * THREADS, produce_or_consume);
    return THREADS * items;
}

/* A byte to and fro through two pipes. */
static int pipes[2][2];

static void *pass_on(void *arg)
{
    intptr_t me = (intptr_t)arg;
    char byte = 0;
    for (long i = 0; i < turns; i++) {
        if (me == 0)
            check(write(pipes[1][1], &byte, 1) == 1, "write");
        check(read(pipes[me][0], &byte, 1) == 1, "read");
        if (me == 1)
            check(write(pipes[0][1], &byte, 1) == 1, "write");
    }
    return NULL;
}

static long pipe_pong(void)
{
    check(pipe(pipes[0]) == 0 && pipe(pipes[1]) == 0, "pipe");
    threads(2, pass_on);
    return 2 * turns;
}

static const struct {
    const char *name;
    long (*run)(void);
} cases[] = {
    {"mutex", mutex},           {"cond", cond},     {"sem", sem},     {"yield-2", yield_2},
    {"yield-1000", yield_1000}, {"create", create}, {"queue", queue}, {"pipe", pipe_pong},
};

int main(int argc, char **argv)
{
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        if (argc < 2) {
            puts(cases[i].name);
        } else if (strcmp(argv[1], cases[i].name) == 0) {
            threads(1, nothing);
            uint64_t start = now_ns(CLOCK_PROCESS_CPUTIME_ID);
            long done = cases[i].run();
            printf("%.1f\n", (double)(now_ns(CLOCK_PROCESS_CPUTIME_ID) - start) / (double)done);
            return 0;
        }
    }
    return argc < 2 ? 0 : 2;
}
