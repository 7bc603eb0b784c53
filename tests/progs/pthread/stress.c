/* Many threads, a bounded number of steps, invariants checked all the way. */
#include "../prog.h"
#include <sched.h>
#include <semaphore.h>

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t not_empty = PTHREAD_COND_INITIALIZER, not_full = PTHREAD_COND_INITIALIZER;
static int items[8], used;
static long sum, count;

/* A small generator of its own for each thread: the order of events may differ, the numbers do not. */
static unsigned next(unsigned *seed) { return *seed = *seed * 1103515245 + 12345, *seed >> 16; }

enum { PRODUCERS = 100, ITEMS = 100 };

static void *produce(void *arg) {
    int first = (intptr_t)arg * ITEMS;
    for (int i = 0; i < ITEMS; i++) {
        zero(pthread_mutex_lock(&lock));
        while (used == 8) zero(pthread_cond_wait(&not_full, &lock));
        check(used >= 0 && used < 8);
        items[used++] = first + i;
        zero(pthread_cond_signal(&not_empty));
        zero(pthread_mutex_unlock(&lock));
    }
    return NULL;
}

static void *consume(void *arg) {
    for (int i = 0; i < ITEMS; i++) {
        zero(pthread_mutex_lock(&lock));
        while (used == 0) zero(pthread_cond_wait(&not_empty, &lock));
        check(used > 0 && used <= 8);
        sum += items[--used], count++;
        zero(pthread_cond_signal(&not_full));
        zero(pthread_mutex_unlock(&lock));
    }
    return arg;
}

static void producers_consumers(void) {
    pthread_t threads[2 * PRODUCERS];
    for (intptr_t i = 0; i < PRODUCERS; i++)
        threads[2 * i] = spawn(produce, (void *)i), threads[2 * i + 1] = spawn(consume, NULL);
    for (int i = 0; i < 2 * PRODUCERS; i++) join(threads[i]);
    printf("count %ld sum %ld left %d\n", count, sum, used);
}

enum { READERS = 16, WRITERS = 4, ROUNDS = 200 };
static pthread_rwlock_t rwlock;
static int reading, writing;
static long written, twin;

static void *read_often(void *arg) {
    unsigned seed = (intptr_t)arg;
    for (int i = 0; i < ROUNDS; i++) {
        int how = next(&seed) % 3;
        struct timespec late = from_now(CLOCK_MONOTONIC, 60000);
        if (how == 0) zero(pthread_rwlock_rdlock(&rwlock));
        if (how == 1) zero(pthread_rwlock_clockrdlock(&rwlock, CLOCK_MONOTONIC, &late));
        if (how == 2) while (pthread_rwlock_tryrdlock(&rwlock)) sched_yield();
        __atomic_add_fetch(&reading, 1, __ATOMIC_SEQ_CST);
        check(__atomic_load_n(&writing, __ATOMIC_SEQ_CST) == 0 && written == twin);
        if (next(&seed) % 8 == 0) sched_yield();
        check(written == twin);
        __atomic_sub_fetch(&reading, 1, __ATOMIC_SEQ_CST);
        zero(pthread_rwlock_unlock(&rwlock));
    }
    return NULL;
}

static void *write_often(void *arg) {
    unsigned seed = 1000 + (intptr_t)arg;
    for (int i = 0; i < ROUNDS; i++) {
        struct timespec late = from_now(CLOCK_REALTIME, 60000);
        if (next(&seed) % 2) zero(pthread_rwlock_wrlock(&rwlock));
        else zero(pthread_rwlock_timedwrlock(&rwlock, &late));
        check(__atomic_add_fetch(&writing, 1, __ATOMIC_SEQ_CST) == 1);
        check(__atomic_load_n(&reading, __ATOMIC_SEQ_CST) == 0);
        written++;
        if (next(&seed) % 4 == 0) usleep(10);
        twin++;
        __atomic_sub_fetch(&writing, 1, __ATOMIC_SEQ_CST);
        zero(pthread_rwlock_unlock(&rwlock));
    }
    return NULL;
}

static void mix(int kind) {
    pthread_rwlockattr_t attr;
    pthread_t threads[READERS + WRITERS];
    zero(pthread_rwlockattr_init(&attr));
    zero(pthread_rwlockattr_setkind_np(&attr, kind));
    zero(pthread_rwlock_init(&rwlock, &attr));
    for (intptr_t i = 0; i < READERS; i++) threads[i] = spawn(read_often, (void *)i);
    for (intptr_t i = 0; i < WRITERS; i++) threads[READERS + i] = spawn(write_often, (void *)i);
    for (int i = 0; i < READERS + WRITERS; i++) join(threads[i]);
    zero(pthread_rwlock_destroy(&rwlock));
    printf("written %ld %ld\n", written, twin);
}

static void readers_writers(void) { mix(PTHREAD_RWLOCK_PREFER_READER_NP); }
static void writers_first(void) { mix(PTHREAD_RWLOCK_PREFER_WRITER_NONRECURSIVE_NP); }

enum { PHILOSOPHERS = 11, MEALS = 200 };
static pthread_mutex_t forks[PHILOSOPHERS];
static int holder[PHILOSOPHERS], meals[PHILOSOPHERS];

static void *dine(void *arg) {
    int me = (intptr_t)arg, left = me, right = (me + 1) % PHILOSOPHERS;
    int first = left < right ? left : right, second = left + right - first;
    unsigned seed = me;
    while (meals[me] < MEALS) {
        zero(pthread_mutex_lock(&forks[first]));
        if (next(&seed) % 4 == 0) sched_yield();
        struct timespec soon = from_now(CLOCK_REALTIME, 60000);
        if (next(&seed) % 2) zero(pthread_mutex_lock(&forks[second]));
        else if (next(&seed) % 2) zero(pthread_mutex_timedlock(&forks[second], &soon));
        else if (pthread_mutex_trylock(&forks[second])) {
            zero(pthread_mutex_unlock(&forks[first]));
            sched_yield();
            continue;
        }
        check(!holder[left] && !holder[right]);
        holder[left] = holder[right] = me + 1;
        if (next(&seed) % 8 == 0) usleep(1);
        check(holder[left] == me + 1 && holder[right] == me + 1);
        holder[left] = holder[right] = 0;
        meals[me]++;
        zero(pthread_mutex_unlock(&forks[second]));
        zero(pthread_mutex_unlock(&forks[first]));
    }
    return NULL;
}

static void philosophers(void) {
    pthread_t threads[PHILOSOPHERS];
    int all = 0;
    for (int i = 0; i < PHILOSOPHERS; i++) zero(pthread_mutex_init(&forks[i], NULL));
    for (intptr_t i = 0; i < PHILOSOPHERS; i++) threads[i] = spawn(dine, (void *)i);
    for (int i = 0; i < PHILOSOPHERS; i++) join(threads[i]), all += meals[i];
    printf("meals %d\n", all);
}

enum { PARTIES = 20, BARRIERS = 200 };
static pthread_barrier_t barrier;
static int arrived[PARTIES], serials;

static void *meet(void *arg) {
    int me = (intptr_t)arg;
    for (int round = 1; round <= BARRIERS; round++) {
        arrived[me] = round;
        int how = pthread_barrier_wait(&barrier);
        check(how == 0 || how == PTHREAD_BARRIER_SERIAL_THREAD);
        for (int i = 0; i < PARTIES; i++) check(arrived[i] == round || arrived[i] == round + 1);
        if (how) __atomic_add_fetch(&serials, 1, __ATOMIC_SEQ_CST);
    }
    return NULL;
}

static void barriers(void) {
    pthread_t threads[PARTIES];
    zero(pthread_barrier_init(&barrier, NULL, PARTIES));
    for (intptr_t i = 0; i < PARTIES; i++) threads[i] = spawn(meet, (void *)i);
    for (int i = 0; i < PARTIES; i++) join(threads[i]);
    zero(pthread_barrier_destroy(&barrier));
    printf("serials %d\n", serials);
}

enum { STORM = 1000 };
static sem_t begun;
static int cleanups, gate[2];

static void cleaned(void *arg) { __atomic_add_fetch(&cleanups, 1, __ATOMIC_SEQ_CST); }
static void unlock(void *arg) { zero(pthread_mutex_unlock(arg)); }

static void *until_cancelled(void *arg) {
    pthread_cleanup_push(cleaned, NULL);
    int how = (intptr_t)arg % 5;
    if (how != 4) must(sem_post(&begun));
    if (how == 0) sleep(60);
    if (how == 1) for (;;) read(gate[0], &(char){0}, 1);
    if (how == 2) {
        zero(pthread_mutex_lock(&lock));
        pthread_cleanup_push(unlock, &lock);
        for (;;) pthread_cond_wait(&not_empty, &lock);
        pthread_cleanup_pop(0);
    }
    for (;;) pthread_testcancel(), sched_yield();
    pthread_cleanup_pop(0);
    return arg;
}

/* Threads in every wait, cancelled by two others and joined by main. */
static pthread_t storm[STORM];
static sem_t born, doomed;

static void *cancel_each(void *arg) {
    for (intptr_t i = (intptr_t)arg; i < STORM; i += 2) zero(pthread_cancel(storm[i]));
    return NULL;
}

static void cancel_storm(void) {
    must(pipe(gate)), must(sem_init(&begun, 0, 0));
    for (int round = 0; round < 2; round++) {
        for (intptr_t i = 0; i < STORM; i++) storm[i] = spawn(until_cancelled, (void *)i);
        if (round) for (int i = 0; i < STORM / 5 * 4; i++) must(sem_wait(&begun));
        pthread_t others[2] = {spawn(cancel_each, (void *)0), spawn(cancel_each, (void *)1)};
        for (int i = 0; i < 2; i++) join(others[i]);
        for (int i = 0; i < STORM; i++) check(join(storm[i]) == PTHREAD_CANCELED);
        while (sem_trywait(&begun) == 0) continue;
    }
    zero(pthread_mutex_trylock(&lock));
    printf("cleanups %d\n", cleanups);
}

static void *bear(void *arg) {
    must(sem_wait(&born));
    must(sem_post(&doomed));
    return arg;
}

/* Threads that make threads, detached and joined, none of which outlives the count. */
static void *breed(void *depth) {
    pthread_attr_t attr;
    pthread_t child, twin;
    zero(pthread_attr_init(&attr));
    zero(pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED));
    zero(pthread_create(&twin, &attr, bear, NULL));
    must(sem_post(&born));
    if (depth == 0) return (void *)1;
    child = spawn(breed, (char *)depth - 1);
    twin = spawn(breed, (char *)depth - 1);
    intptr_t all = (intptr_t)join(child) + (intptr_t)join(twin);
    return (void *)(all + 1);
}

static void create_storm(void) {
    must(sem_init(&born, 0, 0)), must(sem_init(&doomed, 0, 0));
    long all = (intptr_t)join(spawn(breed, (void *)9));
    for (int i = 0; i < all; i++) must(sem_wait(&doomed));
    printf("bred %ld\n", all);
}

enum { RACES = 400 };
static sem_t sem, taken;
static volatile int over, posts, timeouts;

static void *post_soon(void *arg) {
    unsigned seed = 7;
    for (int i = 0; i < RACES; i++) {
        struct timespec pause = {0, 200000 + next(&seed) % 400 * 1000};
        nanosleep(&pause, NULL);
        must(sem_post(&sem));
        must(sem_wait(&taken));
    }
    return arg;
}

/* The deadline and the post race: either way no time-out is early and no post is lost. */
static void timed_races(void) {
    must(sem_init(&sem, 0, 0)), must(sem_init(&taken, 0, 0));
    pthread_t poster = spawn(post_soon, NULL);
    int got = 0;
    while (got < RACES) {
        struct timespec end = from_now(CLOCK_MONOTONIC, 0), now;
        end.tv_nsec += 400000;
        if (end.tv_nsec >= 1000000000) end.tv_sec++, end.tv_nsec -= 1000000000;
        if (sem_clockwait(&sem, CLOCK_MONOTONIC, &end) == 0) {
            got++;
            must(sem_post(&taken));
            continue;
        }
        check(errno == ETIMEDOUT);
        must(clock_gettime(CLOCK_MONOTONIC, &now));
        check(now.tv_sec > end.tv_sec || (now.tv_sec == end.tv_sec && now.tv_nsec >= end.tv_nsec));
        timeouts++;
    }
    join(poster);
    check(timeouts > 0);
    printf("got %d\n", got);
}

static int tokens;
static void *wait_or_not(void *arg) {
    unsigned seed = (intptr_t)arg;
    int mine = 0;
    while (!over) {
        struct timespec end = from_now(CLOCK_MONOTONIC, 0), now;
        end.tv_nsec += next(&seed) % 500 * 1000;
        if (end.tv_nsec >= 1000000000) end.tv_sec++, end.tv_nsec -= 1000000000;
        zero(pthread_mutex_lock(&lock));
        while (!tokens && !over) {
            int how = pthread_cond_clockwait(&not_empty, &lock, CLOCK_MONOTONIC, &end);
            if (how == 0) continue;
            check(how == ETIMEDOUT);
            must(clock_gettime(CLOCK_MONOTONIC, &now));
            check(now.tv_sec > end.tv_sec || (now.tv_sec == end.tv_sec && now.tv_nsec >= end.tv_nsec));
            break;
        }
        if (tokens) tokens--, mine++;
        if (!tokens) zero(pthread_cond_signal(&not_full));
        zero(pthread_mutex_unlock(&lock));
    }
    return (void *)(intptr_t)mine;
}

/* The same with a condition variable: each token is taken once, and handed out only when the last was taken. */
static void cond_races(void) {
    pthread_t threads[8];
    long all = 0;
    for (intptr_t i = 0; i < 8; i++) threads[i] = spawn(wait_or_not, (void *)i);
    for (int i = 0; i < RACES; i++) {
        zero(pthread_mutex_lock(&lock));
        while (tokens) zero(pthread_cond_wait(&not_full, &lock));
        tokens = 1 + i % 3;
        zero(pthread_cond_broadcast(&not_empty));
        zero(pthread_mutex_unlock(&lock));
    }
    zero(pthread_mutex_lock(&lock));
    while (tokens) zero(pthread_cond_wait(&not_full, &lock));
    over = 1;
    zero(pthread_cond_broadcast(&not_empty));
    zero(pthread_mutex_unlock(&lock));
    for (int i = 0; i < 8; i++) all += (intptr_t)join(threads[i]);
    printf("taken %ld\n", all);
}

enum { TICKS = 200 };
static void post_it(union sigval value) { must(sem_post(value.sival_ptr)); }

/* Semaphores posted from real threads: those of SIGEV_THREAD timers. */
static void real_posts(void) {
    timer_t timers[4];
    must(sem_init(&sem, 0, 0)), must(sem_init(&taken, 0, 0));
    must(sem_init(&born, 0, 0)), must(sem_init(&doomed, 0, 0));
    pthread_t waiter = spawn(bear, NULL);
    struct sigevent event = {.sigev_notify = SIGEV_THREAD, .sigev_notify_function = post_it, .sigev_value.sival_ptr = &sem};
    for (int i = 0; i < 4; i++) {
        must(timer_create(CLOCK_MONOTONIC, &event, &timers[i]));
        must(timer_settime(timers[i], 0, &(struct itimerspec){{0, 1000000}, {0, 500000}}, NULL));
    }
    for (int i = 0; i < TICKS; i++) must(sem_wait(&sem));
    for (int i = 0; i < 4; i++) must(timer_delete(timers[i]));
    must(sem_post(&born));
    join(waiter);
    puts("all came");
}

int main(int argc, char **argv) {
    struct test tests[] = {CASE(producers_consumers), CASE(readers_writers), CASE(writers_first), CASE(philosophers),
                           CASE(barriers),            CASE(cancel_storm),    CASE(create_storm),  CASE(timed_races),
                           CASE(cond_races),          CASE(real_posts)};
    return RUN(argc, argv, tests);
}
