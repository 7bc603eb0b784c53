/* The end of the process, and of threads with something left to do. */
#include "../prog.h"
#include <semaphore.h>

static sem_t go, gone;
static pthread_t worker;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t cond = PTHREAD_COND_INITIALIZER;
static pthread_key_t keys[3];
static int stop, pair[2];

static void *until_stopped(void *arg) {
    zero(pthread_mutex_lock(&lock));
    while (!stop) zero(pthread_cond_wait(&cond, &lock));
    zero(pthread_mutex_unlock(&lock));
    usleep(1000);
    puts("the worker has stopped");
    return arg;
}

static void stop_worker(void) {
    zero(pthread_mutex_lock(&lock));
    stop = 1;
    zero(pthread_cond_broadcast(&cond));
    zero(pthread_mutex_unlock(&lock));
    puts(join(worker));
}

static void say_last(void) { puts("registered first, runs last"); }

static void *exit_now(void *status) { exit((intptr_t)status); }

/* exit: handlers run on the thread that calls it, in reverse order, and may join. */
static void joins_at_exit(void) {
    atexit(say_last);
    atexit(stop_worker);
    worker = spawn(until_stopped, "joined at exit");
    breathe();
    puts("joins_at_exit done");
    exit(0);
}

static void exit_from_another(void) {
    atexit(say_last);
    atexit(stop_worker);
    worker = spawn(until_stopped, "joined at exit");
    spawn(exit_now, (void *)5);
    pause();
}

/* The same from main's return. */
static void returns(void) {
    atexit(say_last);
    atexit(stop_worker);
    worker = spawn(until_stopped, "joined at exit");
}

static void make_threads(void) {
    for (int i = 0; i < 3; i++) {
        stop = 1;
        puts(join(spawn(until_stopped, "made at exit")));
    }
}

/* A handler may make threads, the first ones of the process too. */
static void threads_at_exit(void) {
    atexit(make_threads);
    usleep(1);
}

static void *read_for_ever(void *arg) {
    read(pair[0], &(char){0}, 1);
    return arg;
}
static void *sleep_for_ever(void *arg) {
    sleep(1000);
    return arg;
}
static void *wait_for_ever(void *arg) {
    sem_wait(&gone);
    return arg;
}

/* Detached threads in every wait do not keep the process, nor are they awaited. */
static void detached_alive(void) {
    must(pipe(pair));
    void *(*runs[])(void *) = {read_for_ever, sleep_for_ever, wait_for_ever, until_stopped};
    for (int i = 0; i < 40; i++) zero(pthread_detach(spawn(runs[i % 4], NULL)));
    breathe();
}

/* pthread_key_create: a destructor may set values anew; there are PTHREAD_DESTRUCTOR_ITERATIONS rounds, and all of them
 * may wait. */
static void again(void *value) {
    int n = (intptr_t)value;
    usleep(100);
    printf("destructor %d\n", n);
    zero(pthread_setspecific(keys[n % 3], (void *)(intptr_t)(n + 1)));
}
static void *set_key(void *arg) {
    zero(pthread_setspecific(keys[0], (void *)1));
    return arg;
}
static void new_values(void) {
    zero(pthread_key_create(&keys[0], again));
    join(spawn(set_key, NULL));
}

/* A key made and deleted inside a destructor; threads made and joined there. */
static void *nothing(void *arg) {
    usleep(10);
    return arg;
}
static void busy(void *value) {
    pthread_key_t other;
    zero(pthread_key_create(&other, again));
    zero(pthread_setspecific(other, (void *)1));
    zero(pthread_key_delete(other));
    puts(join(spawn(nothing, value)));
}
static void *set_busy(void *arg) {
    zero(pthread_setspecific(keys[1], arg));
    pthread_exit(arg);
}
static void busy_destructors(void) {
    zero(pthread_key_create(&keys[1], busy));
    pthread_t threads[3];
    for (int i = 0; i < 3; i++) threads[i] = spawn(set_busy, "made by a destructor");
    for (int i = 0; i < 3; i++) puts(join(threads[i]));
}

/* A joiner waits for the destructors too. */
static void slow(void *value) {
    usleep(3000);
    puts(value);
}
static void *set_slow(void *arg) {
    zero(pthread_setspecific(keys[2], arg));
    return arg;
}
static void join_waits(void) {
    zero(pthread_key_create(&keys[2], slow));
    pthread_t thread = spawn(set_slow, "destroyed");
    void *result;
    struct timespec soon = from_now(CLOCK_REALTIME, 60000);
    zero(pthread_timedjoin_np(thread, &result, &soon));
    puts("joined");
}

/* main's pthread_exit, then exit from the last thread. */
static void let_go(void *value) {
    puts(value);
    for (int i = 0; i < 3; i++) must(sem_post(&go));
}
static void *outlive(void *arg) {
    must(sem_wait(&go));
    puts("still here");
    return arg;
}
static void main_leaves(void) {
    zero(pthread_key_create(&keys[2], let_go));
    zero(pthread_setspecific(keys[2], "key of main"));
    atexit(say_last);
    for (int i = 0; i < 3; i++) zero(pthread_detach(spawn(outlive, NULL)));
    puts("main_leaves done");
    pthread_exit(NULL);
}

static void *signal_end(void *arg) {
    kill(getpid(), SIGTERM);
    return arg;
}
/* A signal's default action ends all. */
static void killed(void) {
    spawn(until_stopped, NULL);
    spawn(signal_end, NULL);
    for (;;) pause();
}

static void *raise_end(void *arg) {
    *(volatile int *)arg = 1;
    return arg;
}
static void faults(void) {
    spawn(until_stopped, NULL);
    join(spawn(raise_end, (void *)8));
}

int main(int argc, char **argv) {
    must(sem_init(&go, 0, 0)), must(sem_init(&gone, 0, 0));
    setvbuf(stdout, NULL, _IOLBF, 0);
    struct test tests[] = {CASE(joins_at_exit),    CASE(exit_from_another), CASE(returns),    CASE(threads_at_exit),
                           CASE(detached_alive),   CASE(new_values),        CASE(busy_destructors),
                           CASE(join_waits),       CASE(main_leaves),       CASE(killed),     CASE(faults)};
    return RUN(argc, argv, tests);
}
