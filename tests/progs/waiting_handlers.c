/* Signal handlers that wait: as garbage collectors stop the world, as programs end, and because nobody forbids it. */
#include "prog.h"
#include <poll.h>
#include <semaphore.h>
#include <setjmp.h>

static void handle(int number, void (*handler)(int), int flags) {
    struct sigaction action = {.sa_handler = handler, .sa_flags = flags};
    must(sigaction(number, &action, NULL));
}

/* ---- the world is stopped ---- */

enum { KINDS = 9, ROUNDS = 60 };

static sem_t stopped, tokens, ready;
static volatile sig_atomic_t running = 1;
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER, around = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t cond = PTHREAD_COND_INITIALIZER;
static pthread_rwlock_t rwlock = PTHREAD_RWLOCK_INITIALIZER;
static int over, pipes[2][2];
static pthread_t sleeper;

static void go_on(int number) { (void)number; }

static void stop(int number) {
    (void)number;
    sigset_t all_but;
    sigfillset(&all_but);
    sigdelset(&all_but, SIGUSR2);
    int errno_ = errno;
    must(sem_post(&stopped));
    sigsuspend(&all_but);
    must(sem_post(&stopped));
    errno = errno_;
}

static void *sleep_a_little(void *arg) {
    while (running) usleep(500);
    return arg;
}

static void *wait_somehow(void *kind) {
    char byte;
    struct pollfd fds[] = {{.fd = pipes[1][0], .events = POLLIN}, {.fd = -1}, {.fd = pipes[0][1]}};
    must(sem_post(&ready));
    switch ((intptr_t)kind) {
    case 0: zero(pthread_mutex_lock(&mutex)); zero(pthread_mutex_unlock(&mutex)); break;
    case 1:
        zero(pthread_mutex_lock(&around));
        while (!over) zero(pthread_cond_wait(&cond, &around));
        zero(pthread_mutex_unlock(&around));
        break;
    case 2: while (sem_wait(&tokens)) check(errno == EINTR); break;
    case 3: zero(pthread_rwlock_rdlock(&rwlock)); zero(pthread_rwlock_unlock(&rwlock)); break;
    case 4: check(read(pipes[0][0], &byte, 1) == 1); break;
    case 5: while (poll(fds, 3, -1) < 0) check(errno == EINTR); break;
    case 6: zero(pthread_join(sleeper, NULL)); break;
    case 7: while (running) for (volatile int i = 0; i < 1000; i++); break;
    case 8: while (running) sched_yield(); break;
    }
    return kind;
}

static void world(void) {
    must(sem_init(&stopped, 0, 0)), must(sem_init(&tokens, 0, 0)), must(sem_init(&ready, 0, 0));
    must(pipe(pipes[0])), must(pipe(pipes[1]));
    sigset_t both;
    sigemptyset(&both), sigaddset(&both, SIGUSR1), sigaddset(&both, SIGUSR2);
    struct sigaction action = {.sa_handler = stop, .sa_mask = both, .sa_flags = SA_RESTART};
    must(sigaction(SIGUSR1, &action, NULL));
    handle(SIGUSR2, go_on, SA_RESTART);
    zero(pthread_mutex_lock(&mutex)), zero(pthread_rwlock_wrlock(&rwlock));
    pthread_t threads[KINDS];
    sleeper = spawn(sleep_a_little, NULL);
    for (intptr_t kind = 0; kind < KINDS; kind++) threads[kind] = spawn(wait_somehow, (void *)kind);
    for (int kind = 0; kind < KINDS; kind++) must(sem_wait(&ready));
    for (int round = 0; round < ROUNDS; round++) {
        for (int kind = 0; kind < KINDS; kind++) zero(pthread_kill(threads[kind], SIGUSR1));
        for (int kind = 0; kind < KINDS; kind++) must(sem_wait(&stopped));
        for (int kind = 0; kind < KINDS; kind++) zero(pthread_kill(threads[kind], SIGUSR2));
        for (int kind = 0; kind < KINDS; kind++) must(sem_wait(&stopped));
    }
    printf("stopped %d times\n", ROUNDS);
    /* What ends the waits comes while the threads stand in their handlers, and is not lost. */
    for (int kind = 0; kind < KINDS; kind++) zero(pthread_kill(threads[kind], SIGUSR1));
    for (int kind = 0; kind < KINDS; kind++) must(sem_wait(&stopped));
    zero(pthread_mutex_unlock(&mutex)), zero(pthread_rwlock_unlock(&rwlock));
    zero(pthread_mutex_lock(&around)), over = 1, zero(pthread_cond_signal(&cond)), zero(pthread_mutex_unlock(&around));
    must(sem_post(&tokens)), must(write(pipes[0][1], "x", 1)), must(write(pipes[1][1], "x", 1));
    running = 0;
    for (int kind = 0; kind < KINDS; kind++) zero(pthread_kill(threads[kind], SIGUSR2));
    for (intptr_t kind = 0; kind < KINDS; kind++) check(join(threads[kind]) == (void *)kind);
    puts("all went on");
}

/* ---- what is interrupted ends as it should ---- */

static int inside[2], outside[2];

/* A byte of the other thread's. */
static void read_in_handler(int number) {
    char byte;
    int errno_ = errno;
    check(read(inside[0], &byte, 1) == 1);
    printf("handler %d read %c\n", number == SIGUSR1 ? 1 : 2, byte);
    errno = errno_;
}

static sigset_t none;

/* A wait with `none` ends by them, whether they come before or after its beginning. */
static void block_both(void) {
    sigset_t both;
    sigemptyset(&both), sigaddset(&both, SIGUSR1), sigaddset(&both, SIGUSR2);
    zero(pthread_sigmask(SIG_BLOCK, &both, NULL));
}

static void *kill_and_write(void *target) {
    for (int i = 0; i < 2; i++) {
        must(sem_wait(&ready));
        breathe();
        zero(pthread_kill((pthread_t)target, SIGUSR1));
        breathe();
        must(write(inside[1], "ab" + i, 1));
    }
    breathe();
    must(write(outside[1], "z", 1));
    return NULL;
}

static void interrupts(void) {
    char byte;
    must(sem_init(&ready, 0, 0)), must(pipe(inside)), must(pipe(outside));
    pthread_t other = spawn(kill_and_write, (void *)pthread_self());
    handle(SIGUSR1, read_in_handler, 0);
    block_both();
    must(sem_post(&ready));
    show(ppoll(NULL, 0, NULL, &none));
    zero(pthread_sigmask(SIG_SETMASK, &none, NULL));
    handle(SIGUSR1, read_in_handler, SA_RESTART);
    must(sem_post(&ready));
    show(read(outside[0], &byte, 1));
    join(other);
}

static void *kill_both(void *target) {
    must(sem_wait(&ready));
    zero(pthread_kill((pthread_t)target, SIGUSR1));
    breathe();
    zero(pthread_kill((pthread_t)target, SIGUSR2));
    breathe();
    must(write(inside[1], "a", 1));
    breathe();
    must(write(inside[1], "b", 1));
    return NULL;
}

/* A handler that waits is interrupted by another that does. */
static void nested(void) {
    sigset_t mask;
    must(sem_init(&ready, 0, 0)), must(pipe(inside)), must(pipe(outside));
    handle(SIGUSR1, read_in_handler, SA_RESTART), handle(SIGUSR2, read_in_handler, SA_RESTART);
    pthread_t other = spawn(kill_both, (void *)pthread_self());
    block_both();
    must(sem_post(&ready));
    while (sigpending(&mask), !sigismember(&mask, SIGUSR1)) sched_yield();
    show(ppoll(NULL, 0, NULL, &none));
    zero(pthread_sigmask(SIG_SETMASK, &none, NULL));
    join(other);
    zero(pthread_sigmask(SIG_BLOCK, NULL, &mask));
    show(sigismember(&mask, SIGUSR1) + sigismember(&mask, SIGUSR2));
}

static sigjmp_buf place;

static void read_and_jump(int number) {
    read_in_handler(number);
    siglongjmp(place, 1);
}

/* It waits, and is left for good; and that again. */
static void left(void) {
    char byte;
    must(sem_init(&ready, 0, 0)), must(pipe(inside)), must(pipe(outside));
    handle(SIGUSR1, read_and_jump, 0);
    pthread_t other = spawn(kill_and_write, (void *)pthread_self());
    for (int i = 0; i < 2; i++) {
        if (sigsetjmp(place, 1)) continue;
        must(sem_post(&ready));
        show(read(outside[0], &byte, 1));
    }
    show(read(outside[0], &byte, 1));
    join(other);
    sigset_t mask;
    zero(pthread_sigmask(SIG_BLOCK, NULL, &mask));
    show(sigismember(&mask, SIGUSR1));
}

/* ---- a program ends so ---- */

static pthread_t workers[3];

static void *work(void *arg) {
    zero(pthread_mutex_lock(&around));
    while (!over) zero(pthread_cond_wait(&cond, &around));
    zero(pthread_mutex_unlock(&around));
    breathe();
    return arg;
}

static void join_all(void) {
    zero(pthread_mutex_lock(&around)), over = 1, zero(pthread_cond_broadcast(&cond)), zero(pthread_mutex_unlock(&around));
    for (int i = 0; i < 3; i++) join(workers[i]);
    puts("joined");
}

static void leave(int number) {
    printf("signal %d\n", number);
    exit(0);
}

static void *terminate(void *arg) {
    breathe();
    must(kill(getpid(), SIGTERM));
    return arg;
}

static void begin_to_end(void) {
    handle(SIGTERM, leave, 0);
    atexit(join_all);
    for (int i = 0; i < 3; i++) workers[i] = spawn(work, NULL);
    spawn(terminate, NULL);
}

static void exits_from_pause(void) {
    begin_to_end();
    for (;;) pause();
}

static void exits_from_work(void) {
    begin_to_end();
    for (volatile unsigned i = 0;; i++);
}

int main(int argc, char **argv) {
    struct test tests[] = {CASE(world), CASE(interrupts), CASE(nested),         CASE(left),
                           CASE(exits_from_pause), CASE(exits_from_work)};
    return RUN(argc, argv, tests);
}
