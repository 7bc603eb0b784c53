/* Real threads beside green ones, at the same objects. */
#include "real.h"
#include <linux/futex.h>
#include <sys/syscall.h>

enum { ROUNDS = 2000, THREADS = 4 };
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t cond = PTHREAD_COND_INITIALIZER;
static long count;
static int turn;

/* Runs it on some green and some real threads; returns when all are done. */
static void by_both(void *(*run)(void *)) {
    struct task tasks[THREADS];
    pthread_t threads[THREADS];
    must(sem_init(&done, 0, 0));
    for (intptr_t i = 0; i < THREADS; i++) {
        tasks[i] = (struct task){run, (void *)(i * 2)};
        threads[i] = spawn(run, (void *)(i * 2 + 1));
        on_real_thread(&tasks[i]);
    }
    for (int i = 0; i < THREADS; i++) join(threads[i]);
    for (int i = 0; i < THREADS; i++) must(sem_wait(&done));
}

static void *add(void *arg) {
    for (int i = 0; i < ROUNDS; i++) {
        zero(pthread_mutex_lock(&mutex));
        long before = count;
        if (i % 64 == 0) sched_yield();
        count = before + 1;
        zero(pthread_mutex_unlock(&mutex));
    }
    return arg;
}

static void *add_some(void *arg) {
    for (int i = 0; i < 50; i++) {
        zero(pthread_mutex_lock(&mutex));
        count++;
        zero(pthread_mutex_unlock(&mutex));
        usleep(10);
    }
    return arg;
}

static void mutexes(void) {
    by_both(add);
    printf("%ld\n", count);
}

/* Everybody waits for its turn, in a ring of all: each signal must reach the one that waits, whichever kind it is. */
static void *take_turns(void *arg) {
    for (int i = 0; i < ROUNDS / 10; i++) {
        zero(pthread_mutex_lock(&mutex));
        while (turn != (intptr_t)arg) zero(pthread_cond_wait(&cond, &mutex));
        turn = (turn + 1) % (2 * THREADS);
        count++;
        zero(pthread_cond_broadcast(&cond));
        zero(pthread_mutex_unlock(&mutex));
    }
    return arg;
}

static void conditions(void) {
    by_both(take_turns);
    printf("%ld turn %d\n", count, turn);
}

static sem_t items, room;

static void *pass_on(void *arg) {
    for (int i = 0; i < ROUNDS; i++) {
        int odd = (intptr_t)arg % 4 > 1;
        must(sem_wait(odd ? &items : &room));
        __atomic_add_fetch(&count, odd ? -1 : 1, __ATOMIC_SEQ_CST);
        must(sem_post(odd ? &room : &items));
    }
    return arg;
}

static void semaphores(void) {
    must(sem_init(&items, 0, 0));
    must(sem_init(&room, 0, 3));
    by_both(pass_on);
    int left;
    must(sem_getvalue(&room, &left));
    printf("%ld room %d\n", count, left);
}

static pthread_rwlock_t rwlock = PTHREAD_RWLOCK_INITIALIZER;
static long twin;

static void *read_and_write(void *arg) {
    for (int i = 0; i < ROUNDS; i++) {
        if (i % 4 == 0) {
            zero(pthread_rwlock_wrlock(&rwlock));
            count++;
            if (i % 64 == 0) sched_yield();
            twin++;
        } else {
            zero(pthread_rwlock_rdlock(&rwlock));
            check(count == twin);
            if (i % 64 == 1) sched_yield();
        }
        zero(pthread_rwlock_unlock(&rwlock));
    }
    return arg;
}

static void rwlocks(void) {
    by_both(read_and_write);
    printf("%ld %ld\n", count, twin);
}

static pthread_barrier_t barrier;
static long serial;

static void *meet(void *arg) {
    for (int i = 0; i < ROUNDS / 10; i++) {
        __atomic_add_fetch(&count, 1, __ATOMIC_SEQ_CST);
        if (pthread_barrier_wait(&barrier)) __atomic_add_fetch(&serial, 1, __ATOMIC_SEQ_CST);
        check(__atomic_load_n(&count, __ATOMIC_SEQ_CST) >= (i + 1) * 2 * THREADS);
        pthread_barrier_wait(&barrier);
    }
    return arg;
}

static void barriers(void) {
    zero(pthread_barrier_init(&barrier, NULL, 2 * THREADS));
    by_both(meet);
    zero(pthread_barrier_destroy(&barrier));
    printf("%ld serial %ld\n", count, serial);
}

static int word;

/* A lock on a raw futex: 0 free, 1 taken, 2 taken and waited for. */
static void *futex_add(void *arg) {
    for (int i = 0; i < ROUNDS; i++) {
        int free = 0;
        if (!__atomic_compare_exchange_n(&word, &free, 1, 0, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST))
            while (__atomic_exchange_n(&word, 2, __ATOMIC_SEQ_CST))
                syscall(SYS_futex, &word, FUTEX_WAIT_PRIVATE, 2, NULL, NULL, 0);
        long before = count;
        if (i % 64 == 0) sched_yield();
        count = before + 1;
        if (__atomic_exchange_n(&word, 0, __ATOMIC_SEQ_CST) == 2)
            syscall(SYS_futex, &word, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
    }
    return arg;
}

static void futexes(void) {
    by_both(futex_add);
    printf("%ld\n", count);
}

/* A word with an owner. */
static uint32_t owned;

static void *owned_add(void *arg) {
    for (int i = 0; i < 100; i++) {
        uint32_t free = 0, mine = gettid();
        if (!__atomic_compare_exchange_n(&owned, &free, mine, 0, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST)) must(syscall(SYS_futex, &owned, FUTEX_LOCK_PI_PRIVATE, 0, NULL, NULL, 0));
        long before = count;
        if (i % 8 == 0) sched_yield();
        count = before + 1;
        if (!__atomic_compare_exchange_n(&owned, &mine, 0, 0, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST)) must(syscall(SYS_futex, &owned, FUTEX_UNLOCK_PI_PRIVATE, 0, NULL, NULL, 0));
    }
    return arg;
}

static void owners(void) {
    by_both(owned_add);
    printf("%ld\n", count);
}

static pthread_once_t once = PTHREAD_ONCE_INIT;

static void initialise(void) {
    usleep(20000);
    count++;
}

static void *first_of_all(void *arg) {
    zero(pthread_once(&once, initialise));
    check(count == 1);
    return arg;
}

static void onces(void) {
    by_both(first_of_all);
    printf("%ld\n", count);
}

/* A real thread makes threads, joins, detaches and cancels them. */
static void *nap(void *arg) {
    usleep(3000);
    return arg;
}

static void *wait_for_ever(void *arg) {
    for (;;) pause();
    return arg;
}

static void *parent(void *arg) {
    pthread_t threads[THREADS], cancelled = spawn(wait_for_ever, NULL), loose = spawn(nap, NULL);
    for (intptr_t i = 0; i < THREADS; i++) threads[i] = spawn(nap, (void *)i);
    struct timespec past = {0};
    check(pthread_timedjoin_np(cancelled, NULL, &past) == ETIMEDOUT);
    for (intptr_t i = 0; i < THREADS; i++) check(join(threads[i]) == (void *)i);
    zero(pthread_detach(loose));
    zero(pthread_cancel(cancelled));
    check(join(cancelled) == PTHREAD_CANCELED);
    __atomic_add_fetch(&count, 1, __ATOMIC_SEQ_CST);
    return arg;
}

static void families(void) {
    join(spawn(nap, NULL));
    by_both(parent);
    printf("%ld\n", count);
}

/* A real thread gives its mutex up inside pthread_cond_wait, where no row is. */
static void *wait_long(void *arg) {
    zero(pthread_mutex_lock(&mutex));
    while (!turn) zero(pthread_cond_wait(&cond, &mutex));
    zero(pthread_mutex_unlock(&mutex));
    return arg;
}

static void *set_turn(void *arg) {
    zero(pthread_mutex_lock(&mutex));
    turn = 1;
    zero(pthread_cond_signal(&cond));
    zero(pthread_mutex_unlock(&mutex));
    return arg;
}

static void given_up_inside(void) {
    struct task task = {wait_long, NULL};
    join(spawn(nap, NULL));
    must(sem_init(&done, 0, 0));
    on_real_thread(&task);
    breathe();
    join(spawn(set_turn, NULL));
    must(sem_wait(&done));
    printf("turn %d\n", turn);
}

/* A handler posts the semaphore that the very post which it interrupts is about: sem_post is safe in handlers. */
static long posts, taken;
static volatile int over;

static void post_once_more(int sig) {
    (void)sig;
    __atomic_add_fetch(&posts, 1, __ATOMIC_SEQ_CST);
    must(sem_post(&items));
}

static void *post_many(void *arg) {
    struct sigevent event = {.sigev_notify = SIGEV_THREAD_ID, .sigev_signo = SIGUSR1};
    struct itimerspec often = {{.tv_nsec = 20000}, {.tv_nsec = 20000}};
    timer_t timer;
    sigset_t usr1;
    check(!sigemptyset(&usr1) && !sigaddset(&usr1, SIGUSR1));
    zero(pthread_sigmask(SIG_UNBLOCK, &usr1, NULL));
    event._sigev_un._tid = gettid();
    must(timer_create(CLOCK_MONOTONIC, &event, &timer));
    must(timer_settime(timer, 0, &often, NULL));
    for (int i = 0; i < 5 * ROUNDS; i++) {
        __atomic_add_fetch(&posts, 1, __ATOMIC_SEQ_CST);
        must(sem_post(&items));
        while (__atomic_load_n(&taken, __ATOMIC_SEQ_CST) < __atomic_load_n(&posts, __ATOMIC_SEQ_CST)) sched_yield();
    }
    must(timer_delete(timer));
    return arg;
}

static void *take_all(void *arg) {
    for (;;) {
        must(sem_wait(&items));
        if (over) return arg;
        __atomic_add_fetch(&taken, 1, __ATOMIC_SEQ_CST);
    }
}

static void posted_by_handler(void) {
    struct task task = {post_many, NULL};
    pthread_t takers[THREADS];
    struct sigaction action = {.sa_handler = post_once_more, .sa_flags = SA_RESTART};
    must(sigaction(SIGUSR1, &action, NULL));
    must(sem_init(&done, 0, 0));
    must(sem_init(&items, 0, 0));
    for (int i = 0; i < THREADS; i++) takers[i] = spawn(take_all, NULL);
    on_real_thread(&task);
    must(sem_wait(&done));
    while (__atomic_load_n(&taken, __ATOMIC_SEQ_CST) != posts) breathe();
    over = 1;
    for (int i = 0; i < THREADS; i++) must(sem_post(&items));
    for (int i = 0; i < THREADS; i++) join(takers[i]);
}

/* Green and real threads make threads, and fork in the midst of it: the child finds what they were about whole. */
static void *make_and_fork(void *arg) {
    for (int round = 0; round < 5; round++) {
        pthread_t threads[THREADS];
        int status;
        for (int i = 0; i < THREADS; i++) threads[i] = spawn(add_some, NULL);
        for (int i = 0; i < THREADS; i++) join(threads[i]);
        pid_t child = must(fork());
        if (child == 0) {
            /* Somebody else may have had it. */
            zero(pthread_mutex_init(&mutex, NULL));
            join(spawn(add_some, NULL));
            _exit(7);
        }
        check(must(waitpid(child, &status, 0)) == child && WIFEXITED(status) && WEXITSTATUS(status) == 7);
    }
    return arg;
}

static void forking(void) {
    by_both(make_and_fork);
    printf("%ld\n", count);
}

int main(int argc, char **argv) {
    struct test tests[] = {CASE(mutexes),  CASE(conditions), CASE(semaphores), CASE(rwlocks),  CASE(barriers),
                           CASE(futexes),  CASE(onces),      CASE(families),   CASE(given_up_inside), CASE(owners), CASE(posted_by_handler), CASE(forking)};
    return RUN(argc, argv, tests);
}
