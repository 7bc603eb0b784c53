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

int main(int argc, char **argv) {
    struct test tests[] = {CASE(private), CASE(shared), CASE(bitset), CASE(timed_out), CASE(counted)};
    return RUN(argc, argv, tests);
}
