/* A pool of libgomp's beside threads of the program: the pool's are real, and both use the same locks. */
#include "../prog.h"
#include <omp.h>
#include <semaphore.h>

enum { THREADS = 4, ROUNDS = 200 };
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t cond = PTHREAD_COND_INITIALIZER;
static sem_t sem;
static long count, turn;

static void add(void) {
    for (int i = 0; i < ROUNDS; i++) {
        zero(pthread_mutex_lock(&lock));
        count++;
        zero(pthread_cond_signal(&cond));
        zero(pthread_mutex_unlock(&lock));
        must(sem_post(&sem));
    }
}

static void *take(void *arg) {
    for (int i = 0; i < ROUNDS; i++) must(sem_wait(&sem));
    return arg;
}

static void *until_all(void *arg) {
    zero(pthread_mutex_lock(&lock));
    while (count < THREADS * ROUNDS) zero(pthread_cond_wait(&cond, &lock));
    zero(pthread_mutex_unlock(&lock));
    return arg;
}

/* The pool signals and posts, the program's threads wait. */
static void pool_wakes(void) {
    pthread_t threads[THREADS], last = spawn(until_all, NULL);
    must(sem_init(&sem, 0, 0));
    for (int i = 0; i < THREADS; i++) threads[i] = spawn(take, NULL);
    breathe();
#pragma omp parallel num_threads(THREADS)
    add();
    for (int i = 0; i < THREADS; i++) join(threads[i]);
    join(last);
    printf("count %ld\n", count);
}

/* A parallel sum inside threads of the program, each with a pool of its own. */
static void *sum_up(void *arg) {
    long sum = 0;
#pragma omp parallel for reduction(+ : sum) num_threads(3)
    for (long i = 0; i < 100000; i++) sum += i;
    usleep(100);
    return (void *)sum;
}

static void pools_in_threads(void) {
    pthread_t threads[THREADS];
    for (int i = 0; i < THREADS; i++) threads[i] = spawn(sum_up, NULL);
    for (int i = 0; i < THREADS; i++) turn += (long)join(threads[i]);
    printf("sum %ld\n", turn);
}

/* The pool makes threads while whoever entered the region waits for the pool. */
static void *add_one(void *arg) {
    zero(pthread_mutex_lock(&lock));
    count++;
    zero(pthread_mutex_unlock(&lock));
    return arg;
}

static void *region(void *arg) {
#pragma omp parallel num_threads(3)
    if (omp_get_thread_num() != 0 && usleep(50000) == 0) /* by now it waits */
        for (int i = 0; i < 10; i++) check(join(spawn(add_one, &count)) == &count);
    return arg;
}

static void pool_makes(void) {
    join(spawn(region, NULL));
    printf("count %ld\n", count);
    join(spawn(add_one, NULL));
    printf("count %ld\n", count);
}

int main(int argc, char **argv) {
    struct test tests[] = {CASE(pool_wakes), CASE(pools_in_threads), CASE(pool_makes)};
    return RUN(argc, argv, tests);
}
