/* C11 threads (ISO 9899:2011, 7.26). */
#include "../prog.h"
#include <threads.h>

static mtx_t lock;
static cnd_t cond;
static once_flag flag = ONCE_FLAG_INIT;
static tss_t key;
static int gate[2], turn, destroyed;

static void start(thrd_t *thread, thrd_start_t run, void *arg) { check(thrd_create(thread, run, arg) == thrd_success); }

static void through_gate(void) {
    char byte;
    check(must(read(gate[0], &byte, 1)) == 1);
}

static int give(void *arg) {
    through_gate();
    return (int)(intptr_t)arg;
}

/* 7.26.5.6: join gives the int, negative ones too. 7.26.5.5: so does exit. */
static int leave(void *arg) {
    through_gate();
    thrd_exit((int)(intptr_t)arg);
}

static void thrd_join_(void) {
    thrd_t threads[2];
    int result;
    start(&threads[0], give, (void *)-7L);
    start(&threads[1], leave, (void *)42L);
    send_all(gate[1], "xx", 2);
    for (int i = 0; i < 2; i++) {
        show(thrd_join(threads[i], &result));
        printf("%d\n", result);
    }
}

/* 7.26.5.3: a detached one cannot be joined. */
static void thrd_detach_(void) {
    thrd_t thread;
    start(&thread, give, NULL);
    show(thrd_detach(thread));
    show(thrd_join(thread, NULL));
    breathe();
    send_all(gate[1], "x", 1);
}

static int itself(void *arg) {
    *(thrd_t *)arg = thrd_current();
    return thrd_equal(thrd_current(), *(thrd_t *)arg);
}

/* 7.26.5.2, 7.26.5.4 */
static void thrd_current_(void) {
    thrd_t thread, said;
    int equal;
    start(&thread, itself, &said);
    check(thrd_join(thread, &equal) == thrd_success);
    printf("itself %d, as created %d, main %d\n", equal, thrd_equal(thread, said) != 0,
           thrd_equal(said, thrd_current()) != 0);
}

/* 7.26.5.8: two that yield take turns, without any other call. */
static volatile int spins[2];
static int spin(void *arg) {
    int me = (intptr_t)arg;
    for (int i = 0; i < 1000; i++) {
        spins[me]++;
        while (spins[!me] < spins[me] - 1) thrd_yield();
    }
    return 0;
}

static void thrd_yield_(void) {
    thrd_t threads[2];
    for (intptr_t i = 0; i < 2; i++) start(&threads[i], spin, (void *)i);
    for (int i = 0; i < 2; i++) check(thrd_join(threads[i], NULL) == thrd_success);
    printf("%d %d\n", spins[0], spins[1]);
}

static int add(void *arg) {
    for (int i = 0; i < 100; i++) {
        check(mtx_lock(&lock) == thrd_success);
        int before = turn;
        if (i % 10 == 0) thrd_sleep(&(struct timespec){0, 1000}, NULL);
        turn = before + 1;
        check(mtx_unlock(&lock) == thrd_success);
    }
    return 0;
}

/* 7.26.4.3, 7.26.4.6: exclusion, over a wait as well. */
static void mtx_lock_(void) {
    thrd_t threads[4];
    check(mtx_init(&lock, mtx_plain) == thrd_success);
    for (int i = 0; i < 4; i++) start(&threads[i], add, NULL);
    for (int i = 0; i < 4; i++) check(thrd_join(threads[i], NULL) == thrd_success);
    printf("%d\n", turn);
}

static int try_locks(void *arg) {
    struct timespec soon = from_now(CLOCK_REALTIME, 5);
    show(mtx_trylock(&lock));
    show(mtx_timedlock(&lock, &soon));
    send_all(gate[1], "x", 1);
    soon = from_now(CLOCK_REALTIME, 60000);
    show(mtx_timedlock(&lock, &soon));
    show(mtx_trylock(&lock));
    show(mtx_unlock(&lock));
    show(mtx_unlock(&lock));
    return 0;
}

/* 7.26.4.4, 7.26.4.5, on a recursive one that is held by another thread. */
static void mtx_timedlock_(void) {
    thrd_t thread;
    check(mtx_init(&lock, mtx_timed | mtx_recursive) == thrd_success);
    check(mtx_lock(&lock) == thrd_success);
    start(&thread, try_locks, NULL);
    through_gate();
    check(mtx_unlock(&lock) == thrd_success);
    check(thrd_join(thread, NULL) == thrd_success);
    mtx_destroy(&lock);
}

static int insist(void *arg) {
    while (mtx_trylock(&lock) != thrd_success) continue;
    return (arg == NULL) + mtx_unlock(&lock);
}

/* 7.26.4.5: trying again and again. */
static void mtx_trylock_(void) {
    thrd_t thread;
    check(mtx_init(&lock, mtx_plain) == thrd_success);
    check(mtx_lock(&lock) == thrd_success);
    start(&thread, insist, NULL);
    breathe();
    check(mtx_unlock(&lock) == thrd_success);
    check(thrd_join(thread, NULL) == thrd_success);
}

static int pass(void *arg) {
    int me = (intptr_t)arg;
    for (int i = 0; i < 100; i++) {
        check(mtx_lock(&lock) == thrd_success);
        while (turn != me) check(cnd_wait(&cond, &lock) == thrd_success);
        turn = !me;
        check(cnd_signal(&cond) == thrd_success);
        check(mtx_unlock(&lock) == thrd_success);
    }
    return 0;
}

/* 7.26.3.6, 7.26.3.4 */
static void cnd_wait_(void) {
    thrd_t threads[2];
    check(mtx_init(&lock, mtx_plain) == thrd_success && cnd_init(&cond) == thrd_success);
    for (intptr_t i = 0; i < 2; i++) start(&threads[i], pass, (void *)i);
    for (int i = 0; i < 2; i++) check(thrd_join(threads[i], NULL) == thrd_success);
    printf("%d\n", turn);
}

static int wait_long(void *arg) {
    struct timespec late = from_now(CLOCK_REALTIME, 60000);
    check(mtx_lock(&lock) == thrd_success);
    send_all(gate[1], "x", 1);
    int how = cnd_timedwait(&cond, &lock, &late);
    check(mtx_unlock(&lock) == thrd_success);
    return how;
}

/* 7.26.3.5: in vain, and woken by 7.26.3.1. */
static void cnd_timedwait_(void) {
    thrd_t threads[3];
    check(mtx_init(&lock, mtx_plain) == thrd_success && cnd_init(&cond) == thrd_success);
    check(mtx_lock(&lock) == thrd_success);
    struct timespec soon = from_now(CLOCK_REALTIME, 5);
    show(cnd_timedwait(&cond, &lock, &soon));
    check(mtx_unlock(&lock) == thrd_success);
    for (int i = 0; i < 3; i++) start(&threads[i], wait_long, NULL);
    for (int i = 0; i < 3; i++) through_gate();
    check(mtx_lock(&lock) == thrd_success);
    show(cnd_broadcast(&cond));
    check(mtx_unlock(&lock) == thrd_success);
    for (int i = 0; i < 3; i++) {
        int how;
        check(thrd_join(threads[i], &how) == thrd_success);
        printf("%d\n", how);
    }
}

static void initialise(void) {
    thrd_sleep(&(struct timespec){0, 2000000}, NULL);
    turn++;
}

static int once(void *arg) {
    call_once(&flag, initialise);
    return turn;
}

/* 7.26.2.1: all wait for the one that runs it, though it sleeps. */
static void call_once_(void) {
    thrd_t threads[5];
    int sum = 0, seen;
    for (int i = 0; i < 5; i++) start(&threads[i], once, NULL);
    for (int i = 0; i < 5; i++) check(thrd_join(threads[i], &seen) == thrd_success), sum += seen;
    printf("ran %d, seen by %d\n", turn, sum);
}

static void destroy(void *value) {
    thrd_yield();
    destroyed += *(int *)value;
}

static int set(void *arg) {
    check(tss_set(key, arg) == thrd_success);
    through_gate();
    return tss_get(key) == arg;
}

/* 7.26.6 */
static void tss_set_(void) {
    thrd_t threads[3];
    int values[3] = {1, 2, 4}, own;
    check(tss_create(&key, destroy) == thrd_success);
    for (int i = 0; i < 3; i++) start(&threads[i], set, &values[i]);
    send_all(gate[1], "xxx", 3);
    for (int i = 0; i < 3; i++) check(thrd_join(threads[i], &own) == thrd_success && own);
    printf("destroyed %d, here %d\n", destroyed, tss_get(key) != NULL);
}

int main(int argc, char **argv) {
    must(pipe(gate));
    struct test tests[] = {CASE(thrd_join_),     CASE(thrd_detach_), CASE(thrd_current_),  CASE(thrd_yield_),
                           CASE(mtx_lock_),      CASE(mtx_timedlock_), CASE(mtx_trylock_),
                           CASE(cnd_wait_),      CASE(cnd_timedwait_), CASE(call_once_),   CASE(tss_set_)};
    return RUN(argc, argv, tests);
}
