/* Read-write locks: many readers or one writer. */
#include "prog.h"

enum { READERS = 6, WRITERS = 3, ROUNDS = 100 };
static pthread_rwlock_t lock = PTHREAD_RWLOCK_INITIALIZER;
static int value, twin, readers, most, arrived[2], gates[2];

static void *reading(void *arg) {
    for (int i = 0; i < ROUNDS; i++) {
        zero(pthread_rwlock_rdlock(&lock));
        int seen = value;
        if (i % 20 == 0) usleep(1);
        check(value == seen && twin == seen);
        zero(pthread_rwlock_unlock(&lock));
    }
    return arg;
}

static void *writing(void *arg) {
    for (int i = 0; i < ROUNDS; i++) {
        zero(pthread_rwlock_wrlock(&lock));
        value++;
        if (i % 20 == 0) usleep(1);
        twin++;
        zero(pthread_rwlock_unlock(&lock));
    }
    return arg;
}

static void contended(void) {
    pthread_t threads[READERS + WRITERS];
    for (int i = 0; i < READERS + WRITERS; i++) threads[i] = spawn(i < READERS ? reading : writing, NULL);
    for (int i = 0; i < READERS + WRITERS; i++) join(threads[i]);
    printf("value %d twin %d\n", value, twin);
}

/* Holds it until the gate opens. */
static void *hold_read(void *arg) {
    char byte;
    zero(pthread_rwlock_rdlock(&lock));
    int now = __atomic_add_fetch(&readers, 1, __ATOMIC_SEQ_CST);
    if (now > most) most = now;
    send_all(arrived[1], "x", 1);
    read_all(gates[0], &byte, 1);
    zero(pthread_rwlock_unlock(&lock));
    return arg;
}

static void *hold_write(void *arg) {
    char byte;
    zero(pthread_rwlock_wrlock(&lock));
    send_all(arrived[1], "x", 1);
    read_all(gates[0], &byte, 1);
    zero(pthread_rwlock_unlock(&lock));
    return arg;
}

/* All readers are inside at once. */
static void together(void) {
    pthread_t threads[READERS];
    char byte;
    for (int i = 0; i < READERS; i++) threads[i] = spawn(hold_read, NULL);
    for (int i = 0; i < READERS; i++) read_all(arrived[0], &byte, 1);
    tell(pthread_rwlock_trywrlock(&lock));
    tell(pthread_rwlock_tryrdlock(&lock));
    tell(pthread_rwlock_unlock(&lock));
    for (int i = 0; i < READERS; i++) send_all(gates[1], "x", 1);
    for (int i = 0; i < READERS; i++) join(threads[i]);
    printf("readers at once %d\n", most);
}

static void *in_vain(void *arg) {
    struct timespec real = from_now(CLOCK_REALTIME, 5), mono = from_now(CLOCK_MONOTONIC, 5), bad = {0, -1};
    tell(pthread_rwlock_tryrdlock(&lock));
    tell(pthread_rwlock_trywrlock(&lock));
    tell(pthread_rwlock_timedrdlock(&lock, &real));
    tell(pthread_rwlock_timedwrlock(&lock, &real));
    tell(pthread_rwlock_clockrdlock(&lock, CLOCK_MONOTONIC, &mono));
    tell(pthread_rwlock_clockwrlock(&lock, CLOCK_MONOTONIC, &mono));
    tell(pthread_rwlock_timedrdlock(&lock, &bad));
    return arg;
}

static void timed_out(void) {
    char byte;
    pthread_t writer = spawn(hold_write, NULL);
    read_all(arrived[0], &byte, 1);
    join(spawn(in_vain, NULL));
    send_all(gates[1], "x", 1);
    join(writer);
}

static void *in_time(void *how) {
    struct timespec real = from_now(CLOCK_REALTIME, 60000), mono = from_now(CLOCK_MONOTONIC, 60000);
    switch ((intptr_t)how) {
    case 0: zero(pthread_rwlock_timedrdlock(&lock, &real)); break;
    case 1: zero(pthread_rwlock_timedwrlock(&lock, &real)); break;
    case 2: zero(pthread_rwlock_clockrdlock(&lock, CLOCK_MONOTONIC, &mono)); break;
    case 3: zero(pthread_rwlock_clockwrlock(&lock, CLOCK_REALTIME, &real)); break;
    case 4: zero(pthread_rwlock_rdlock(&lock)); break;
    case 5: zero(pthread_rwlock_wrlock(&lock)); break;
    }
    zero(pthread_rwlock_unlock(&lock));
    return how;
}

/* All get it when it comes free. */
static void freed(void) {
    char byte;
    pthread_t writer = spawn(hold_write, NULL), threads[6];
    read_all(arrived[0], &byte, 1);
    for (intptr_t i = 0; i < 6; i++) threads[i] = spawn(in_time, (void *)i);
    breathe();
    send_all(gates[1], "x", 1);
    for (int i = 0; i < 6; i++) join(threads[i]);
    join(writer);
}

/* Tries until it comes free, without a wait. */
static void *insist_write(void *arg) {
    while (pthread_rwlock_trywrlock(&lock)) continue;
    zero(pthread_rwlock_unlock(&lock));
    return arg;
}

static void *insist_read(void *arg) {
    while (pthread_rwlock_tryrdlock(&lock)) continue;
    zero(pthread_rwlock_unlock(&lock));
    return arg;
}

static void insisted(void *(*insist)(void *)) {
    char byte;
    pthread_t writer = spawn(hold_write, NULL);
    read_all(arrived[0], &byte, 1);
    pthread_t other = spawn(insist, NULL);
    breathe();
    send_all(gates[1], "x", 1);
    join(other), join(writer);
}

static void try_write(void) { insisted(insist_write); }
static void try_read(void) { insisted(insist_read); }

int main(int argc, char **argv) {
    must(pipe(arrived)), must(pipe(gates));
    struct test tests[] = {CASE(contended), CASE(together), CASE(timed_out), CASE(freed), CASE(try_write), CASE(try_read)};
    return RUN(argc, argv, tests);
}
