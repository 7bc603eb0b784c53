/* Futexes by syscall(), as libstdc++, Rust and GLib use them. */
#include "prog.h"
#include <linux/futex.h>
#include <sys/syscall.h>

enum { WAITERS = 5 };
static uint32_t word, asleep;

static long futex(int op, uint32_t value, const struct timespec *timeout, uint32_t bits) {
    return syscall(SYS_futex, &word, op, value, timeout, NULL, bits);
}

static void *wait_for_one(void *op) {
    __atomic_fetch_add(&asleep, 1, __ATOMIC_SEQ_CST);
    while (__atomic_load_n(&word, __ATOMIC_SEQ_CST) == 0)
        if (futex((intptr_t)op, 0, NULL, FUTEX_BITSET_MATCH_ANY)) check(errno == EAGAIN || errno == EINTR);
    return NULL;
}

static void wake_with(int wait, int wake) {
    pthread_t threads[WAITERS];
    for (int i = 0; i < WAITERS; i++) threads[i] = spawn(wait_for_one, (void *)(intptr_t)wait);
    while (__atomic_load_n(&asleep, __ATOMIC_SEQ_CST) < WAITERS) usleep(100);
    breathe();
    __atomic_store_n(&word, 1, __ATOMIC_SEQ_CST);
    must(futex(wake, WAITERS, NULL, FUTEX_BITSET_MATCH_ANY));
    for (int i = 0; i < WAITERS; i++) join(threads[i]);
    show(futex(wake, WAITERS, NULL, FUTEX_BITSET_MATCH_ANY));
}

static void private(void) { wake_with(FUTEX_WAIT_PRIVATE, FUTEX_WAKE_PRIVATE); }
static void shared(void) { wake_with(FUTEX_WAIT, FUTEX_WAKE); }
static void bitset(void) { wake_with(FUTEX_WAIT_BITSET_PRIVATE, FUTEX_WAKE_BITSET_PRIVATE); }

static void *wait_in_vain(void *arg) {
    struct timespec little = {0, 5000000}, mono = from_now(CLOCK_MONOTONIC, 5), real = from_now(CLOCK_REALTIME, 5);
    struct timespec bad = {0, 1000000000}, past = {1, 0};
    show(futex(FUTEX_WAIT_PRIVATE, 1, NULL, 0));
    show(futex(FUTEX_WAIT_PRIVATE, 0, &little, 0));
    show(futex(FUTEX_WAIT_BITSET_PRIVATE, 0, &mono, FUTEX_BITSET_MATCH_ANY));
    show(futex(FUTEX_WAIT_BITSET_PRIVATE | FUTEX_CLOCK_REALTIME, 0, &real, FUTEX_BITSET_MATCH_ANY));
    show(futex(FUTEX_WAIT_BITSET_PRIVATE, 0, &past, FUTEX_BITSET_MATCH_ANY));
    show(futex(FUTEX_WAIT_PRIVATE, 0, &bad, 0));
    show(futex(FUTEX_WAIT_BITSET_PRIVATE, 0, NULL, 0));
    show(futex(FUTEX_WAKE_PRIVATE, 1, NULL, 0));
    return arg;
}

static void timed_out(void) { join(spawn(wait_in_vain, NULL)); }

static void *wait_quietly(void *bits) {
    __atomic_fetch_add(&asleep, 1, __ATOMIC_SEQ_CST);
    while (futex(FUTEX_WAIT_BITSET_PRIVATE, 0, NULL, (intptr_t)bits)) check(errno == EINTR);
    return NULL;
}

/* One at a time: each wake says how many it woke, and only those whose bits fit. */
static void counted(void) {
    pthread_t odd = spawn(wait_quietly, (void *)1), even = spawn(wait_quietly, (void *)2);
    while (__atomic_load_n(&asleep, __ATOMIC_SEQ_CST) < 2) usleep(100);
    show(futex(FUTEX_WAKE_BITSET_PRIVATE, 10, NULL, 4));
    while (futex(FUTEX_WAKE_BITSET_PRIVATE, 10, NULL, 2) == 0) usleep(100);
    join(even);
    puts("even woke");
    while (futex(FUTEX_WAKE_PRIVATE, 10, NULL, 0) == 0) usleep(100);
    join(odd);
    puts("odd woke");
}

/* Words with an owner. */
static uint32_t owned;
static long count;

static long own(uint32_t *at, int op, const struct timespec *timeout) { return syscall(SYS_futex, at, op, 0, timeout, NULL, 0); }

static void take(void) {
    uint32_t free = 0;
    if (!__atomic_compare_exchange_n(&owned, &free, gettid(), 0, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST)) must(own(&owned, FUTEX_LOCK_PI_PRIVATE, NULL));
    check((owned & FUTEX_TID_MASK) == (uint32_t)gettid());
}

static void give(void) {
    uint32_t mine = gettid();
    if (!__atomic_compare_exchange_n(&owned, &mine, 0, 0, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST)) must(own(&owned, FUTEX_UNLOCK_PI_PRIVATE, NULL));
}

static void *add(void *arg) {
    for (int i = 0; i < 100; i++) {
        take();
        long before = count;
        usleep(10);
        count = before + 1;
        give();
    }
    return arg;
}

static void owners(void) {
    pthread_t threads[WAITERS];
    for (int i = 0; i < WAITERS; i++) threads[i] = spawn(add, NULL);
    for (int i = 0; i < WAITERS; i++) join(threads[i]);
    printf("%ld, then %u\n", count, owned);
}

static void *refused(void *arg) {
    struct timespec real = from_now(CLOCK_REALTIME, 5), mono = from_now(CLOCK_MONOTONIC, 5), past = {1, 0};
    show(own(&owned, FUTEX_TRYLOCK_PI_PRIVATE, NULL));
    show(own(&owned, FUTEX_UNLOCK_PI_PRIVATE, NULL));
    show(own(&owned, FUTEX_LOCK_PI_PRIVATE, &real));
    show(own(&owned, FUTEX_LOCK_PI2_PRIVATE, &mono));
    show(own(&owned, FUTEX_LOCK_PI_PRIVATE, &past));
    __atomic_store_n(&asleep, 1, __ATOMIC_SEQ_CST);
    show(own(&owned, FUTEX_LOCK_PI2_PRIVATE, NULL));
    show(own(&owned, FUTEX_LOCK_PI_PRIVATE, NULL));
    show(own(&owned, FUTEX_TRYLOCK_PI_PRIVATE, NULL));
    show(own(&owned, FUTEX_UNLOCK_PI_PRIVATE, NULL));
    show(own(&owned, FUTEX_UNLOCK_PI_PRIVATE, NULL));
    show(own(&owned, FUTEX_TRYLOCK_PI_PRIVATE, NULL));
    show(own(&owned, FUTEX_UNLOCK_PI_PRIVATE, NULL));
    return arg;
}

static void owned_by_another(void) {
    take();
    pthread_t thread = spawn(refused, NULL);
    while (!__atomic_load_n(&asleep, __ATOMIC_SEQ_CST)) usleep(100);
    breathe();
    give();
    join(thread);
}

/* A condition whose waiters come back with the lock. */
static void *wait_with_lock(void *arg) {
    take();
    while (!word) {
        __atomic_fetch_add(&asleep, 1, __ATOMIC_SEQ_CST);
        give();
        if (syscall(SYS_futex, &word, FUTEX_WAIT_REQUEUE_PI_PRIVATE, 0, NULL, &owned, 0)) check(errno == EAGAIN), take();
        check((owned & FUTEX_TID_MASK) == (uint32_t)gettid());
    }
    count++;
    give();
    return arg;
}

static void *give_up(void *arg) {
    struct timespec soon = from_now(CLOCK_MONOTONIC, 5);
    uint32_t zero = 0;
    show(syscall(SYS_futex, &zero, FUTEX_WAIT_REQUEUE_PI_PRIVATE, 1, NULL, &owned, 0));
    show(syscall(SYS_futex, &zero, FUTEX_WAIT_REQUEUE_PI_PRIVATE, 0, &soon, &owned, 0));
    show(syscall(SYS_futex, &zero, FUTEX_CMP_REQUEUE_PI_PRIVATE, 1, (void *)1, &owned, 1));
    show(syscall(SYS_futex, &zero, FUTEX_CMP_REQUEUE_PI_PRIVATE, 2, (void *)1, &owned, 0));
    return arg;
}

static void requeued(void) {
    pthread_t threads[WAITERS];
    for (int i = 0; i < WAITERS; i++) threads[i] = spawn(wait_with_lock, NULL);
    while (__atomic_load_n(&asleep, __ATOMIC_SEQ_CST) < WAITERS) usleep(100);
    breathe();
    take();
    word = 1;
    must(syscall(SYS_futex, &word, FUTEX_CMP_REQUEUE_PI_PRIVATE, 1, (void *)(WAITERS - 1L), &owned, 1));
    give();
    for (int i = 0; i < WAITERS; i++) join(threads[i]);
    printf("%ld, then %u\n", count, owned);
    join(spawn(give_up, NULL));
}

/* Several words at once. */
static uint32_t words[3];

static void *wait_for_any(void *arg) {
    struct futex_waitv several[3];
    struct timespec past = {0, 0};
    for (int i = 0; i < 3; i++) several[i] = (struct futex_waitv){.uaddr = (uintptr_t)&words[i], .flags = FUTEX_32 | FUTEX_PRIVATE_FLAG};
    show(syscall(SYS_futex_waitv, several, 3, 0, &past, CLOCK_MONOTONIC));
    show(syscall(SYS_futex_waitv, several, 3, 1, NULL, 0));
    __atomic_store_n(&asleep, 1, __ATOMIC_SEQ_CST);
    show(syscall(SYS_futex_waitv, several, 3, 0, NULL, 0));
    several[2].val = 77;
    show(syscall(SYS_futex_waitv, several, 3, 0, NULL, 0));
    return arg;
}

static void any_of_three(void) {
    pthread_t thread = spawn(wait_for_any, NULL);
    while (!__atomic_load_n(&asleep, __ATOMIC_SEQ_CST)) usleep(100);
    while (syscall(SYS_futex, &words[1], FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0) == 0) breathe();
    join(thread);
}

int main(int argc, char **argv) {
    struct test tests[] = {CASE(private), CASE(shared), CASE(bitset), CASE(timed_out), CASE(counted), CASE(owners), CASE(owned_by_another),
                           CASE(requeued), CASE(any_of_three)};
    return RUN(argc, argv, tests);
}
