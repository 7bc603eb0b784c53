/* Mutexes of the rarer kinds, locks between processes, and signals that interrupt a wait. */
#include "prog.h"
#include <semaphore.h>
#include <sys/mman.h>

static pthread_mutex_t mutex;
static pthread_mutexattr_t attr;
static sem_t sem, other;
static int count;

static void *add(void *arg) {
    for (int i = 0; i < 100; i++) {
        zero(pthread_mutex_lock(&mutex));
        int before = count;
        if (i % 8 == 0) sched_yield();
        count = before + 1;
        zero(pthread_mutex_unlock(&mutex));
    }
    return arg;
}

static void *die_with_it(void *arg) {
    zero(pthread_mutex_lock(&mutex));
    must(sem_post(&sem));
    breathe();
    return arg;
}

static void *inherit(void *arg) {
    if (tell(pthread_mutex_lock(&mutex)) == EOWNERDEAD && arg) tell(pthread_mutex_consistent(&mutex));
    tell(pthread_mutex_unlock(&mutex));
    return arg;
}

/* The owner ends while one waits: it gets EOWNERDEAD; without pthread_mutex_consistent nobody gets it again. */
static void robust(void) {
    zero(pthread_mutexattr_init(&attr));
    zero(pthread_mutexattr_setrobust(&attr, PTHREAD_MUTEX_ROBUST));
    for (intptr_t consistent = 1; consistent >= 0; consistent--) {
        zero(pthread_mutex_init(&mutex, &attr));
        must(sem_init(&sem, 0, 0));
        pthread_t owner = spawn(die_with_it, NULL);
        must(sem_wait(&sem));
        pthread_t heir = spawn(inherit, (void *)consistent);
        join(owner);
        join(heir);
        tell(pthread_mutex_lock(&mutex));
    }
}

static void contended(void) {
    count = 0;
    zero(pthread_mutex_init(&mutex, &attr));
    pthread_t threads[8];
    for (int i = 0; i < 8; i++) threads[i] = spawn(add, NULL);
    for (int i = 0; i < 8; i++) join(threads[i]);
    zero(pthread_mutex_destroy(&mutex));
    printf("count %d\n", count);
}

static void protocols(void) {
    zero(pthread_mutexattr_init(&attr));
    zero(pthread_mutexattr_setprotocol(&attr, PTHREAD_PRIO_INHERIT));
    contended();
    zero(pthread_mutexattr_setprotocol(&attr, PTHREAD_PRIO_NONE));
    zero(pthread_mutexattr_settype(&attr, PTHREAD_MUTEX_ADAPTIVE_NP));
    contended();
}

struct shared {
    pthread_mutex_t mutex;
    pthread_cond_t cond;
    sem_t ping, pong;
    pthread_barrier_t barrier;
    int turn, count;
};

static struct shared *shared;

static void prepare(void) {
    pthread_condattr_t condattr;
    pthread_barrierattr_t barrierattr;
    shared = mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    zero(pthread_mutexattr_init(&attr));
    zero(pthread_mutexattr_setpshared(&attr, PTHREAD_PROCESS_SHARED));
    zero(pthread_mutex_init(&shared->mutex, &attr));
    zero(pthread_condattr_init(&condattr));
    zero(pthread_condattr_setpshared(&condattr, PTHREAD_PROCESS_SHARED));
    zero(pthread_cond_init(&shared->cond, &condattr));
    zero(pthread_barrierattr_init(&barrierattr));
    zero(pthread_barrierattr_setpshared(&barrierattr, PTHREAD_PROCESS_SHARED));
    zero(pthread_barrier_init(&shared->barrier, &barrierattr, 2));
    must(sem_init(&shared->ping, 1, 0));
    must(sem_init(&shared->pong, 1, 0));
}

static void *side(void *arg) {
    intptr_t me = (intptr_t)arg;
    for (int i = 0; i < 20; i++) {
        must(sem_wait(me ? &shared->ping : &shared->pong));
        must(sem_post(me ? &shared->pong : &shared->ping));
    }
    for (int i = 0; i < 20; i++) {
        zero(pthread_mutex_lock(&shared->mutex));
        while (shared->turn != me) zero(pthread_cond_wait(&shared->cond, &shared->mutex));
        shared->turn = !me;
        zero(pthread_cond_signal(&shared->cond));
        zero(pthread_mutex_unlock(&shared->mutex));
    }
    for (int i = 0; i < 20; i++) pthread_barrier_wait(&shared->barrier);
    for (int i = 0; i < 500; i++) {
        zero(pthread_mutex_lock(&shared->mutex));
        int before = shared->count;
        if (i % 50 == 0) sched_yield();
        shared->count = before + 1;
        zero(pthread_mutex_unlock(&shared->mutex));
    }
    return arg;
}

/* One end in a child process, which has no thread beside the one that forked. */
static void processes(void) {
    prepare();
    must(sem_post(&shared->ping));
    pid_t child = must(fork());
    if (!child) {
        side((void *)1);
        _exit(0);
    }
    join(spawn(side, (void *)0));
    int status;
    must(waitpid(child, &status, 0));
    printf("status %d count %d\n", status, shared->count);
}

static void handler(int sig) { (void)sig; }

static void post_handler(int sig) {
    (void)sig;
    sem_post(&other);
}

static int back;
static pthread_t waiter;

/* Signals until the waiter is back, or some times and then posts. */
static void *interrupt(void *posts) {
    for (int i = 0; posts ? i < 5 : !__atomic_load_n(&back, __ATOMIC_SEQ_CST); i++) {
        breathe();
        zero(pthread_kill(waiter, SIGUSR1));
    }
    if (posts) must(sem_post(&sem));
    return NULL;
}

static void interrupted_with(int flags) {
    struct sigaction action = {.sa_handler = handler, .sa_flags = flags};
    struct timespec later = from_now(CLOCK_REALTIME, 60000);
    must(sigaction(SIGUSR1, &action, NULL));
    for (int timed = 0; timed < 2; timed++) {
        waiter = pthread_self();
        __atomic_store_n(&back, 0, __ATOMIC_SEQ_CST);
        must(sem_init(&sem, 0, 0));
        pthread_t thread = spawn(interrupt, !timed && flags ? "posts" : NULL);
        timed ? show(sem_timedwait(&sem, &later)) : show(sem_wait(&sem));
        __atomic_store_n(&back, 1, __ATOMIC_SEQ_CST);
        join(thread);
    }
}

static void interrupted(void) {
    interrupted_with(0);
    interrupted_with(SA_RESTART);
}

/* A handler posts for a thread that waits while the one it interrupts computes. */
static void *take_other(void *arg) {
    must(sem_wait(&other));
    return arg;
}

static void posted_by_handler(void) {
    struct sigaction action = {.sa_handler = post_handler};
    must(sigaction(SIGUSR1, &action, NULL));
    must(sem_init(&other, 0, 0));
    pthread_t thread = spawn(take_other, NULL);
    breathe();
    must(raise(SIGUSR1));
    join(thread);
}

int main(int argc, char **argv) {
    struct test tests[] = {CASE(robust), CASE(protocols), CASE(processes), CASE(interrupted), CASE(posted_by_handler)};
    return RUN(argc, argv, tests);
}
