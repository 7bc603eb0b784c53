/* Every way to sleep gives way to the others, and never ends early. */
#include "prog.h"
#include <threads.h>

static volatile int flag;

static void *raise_flag(void *arg) {
    flag = 1;
    return arg;
}

/* This wait is not over before it begins, however busy the machine is. */
static void *raise_flag_later(void *arg) {
    breathe();
    return raise_flag(arg);
}

/* main sleeps again and again: it sees the flag only if the thread has its turn meanwhile. */
static void give_way(void (*nap)(long nanoseconds)) {
    struct timespec before, after;
    must(clock_gettime(CLOCK_MONOTONIC, &before));
    nap(3000000);
    must(clock_gettime(CLOCK_MONOTONIC, &after));
    check((after.tv_sec - before.tv_sec) * 1000000000 + after.tv_nsec - before.tv_nsec >= 3000000);
    pthread_t thread = spawn(raise_flag, NULL);
    while (!flag) nap(0);
    flag = 0;
    join(thread);
    thread = spawn(raise_flag_later, NULL);
    while (!flag) nap(1000);
    join(thread);
}

static void by_usleep(long nanoseconds) { must(usleep(nanoseconds / 1000)); }
static void by_nanosleep(long nanoseconds) { must(nanosleep(&(struct timespec){0, nanoseconds}, NULL)); }
static void by_thrd_sleep(long nanoseconds) { check(thrd_sleep(&(struct timespec){0, nanoseconds}, NULL) == 0); }

static void by_clock(clockid_t clock, int flags, long nanoseconds) {
    struct timespec time = {0, nanoseconds};
    if (flags) {
        must(clock_gettime(clock, &time));
        time.tv_nsec += nanoseconds;
        if (time.tv_nsec >= 1000000000) time.tv_sec++, time.tv_nsec -= 1000000000;
    }
    zero(clock_nanosleep(clock, flags, &time, NULL));
}
static void by_monotonic(long nanoseconds) { by_clock(CLOCK_MONOTONIC, 0, nanoseconds); }
static void by_deadline(long nanoseconds) { by_clock(CLOCK_MONOTONIC, TIMER_ABSTIME, nanoseconds); }
static void by_real_deadline(long nanoseconds) { by_clock(CLOCK_REALTIME, TIMER_ABSTIME, nanoseconds); }

static void micro(void) { give_way(by_usleep); }
static void nano(void) { give_way(by_nanosleep); }
static void c11(void) { give_way(by_thrd_sleep); }
static void relative(void) { give_way(by_monotonic); }
static void deadline(void) { give_way(by_deadline); }
static void real_deadline(void) { give_way(by_real_deadline); }

static void seconds(void) {
    pthread_t thread = spawn(raise_flag_later, NULL);
    while (!flag) check(sleep(0) == 0);
    join(thread);
}

static void *wrong_times(void *arg) {
    struct timespec bad = {0, 1000000000}, negative = {-1, 0}, past = {1, 0};
    show(nanosleep(&bad, NULL));
    show(nanosleep(&negative, NULL));
    tell(clock_nanosleep(CLOCK_MONOTONIC, 0, &bad, NULL));
    tell(clock_nanosleep(CLOCK_THREAD_CPUTIME_ID, 0, &past, NULL));
    tell(clock_nanosleep(12345, 0, &past, NULL));
    tell(clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &past, NULL));
    tell(clock_nanosleep(CLOCK_REALTIME, TIMER_ABSTIME, &past, NULL));
    return arg;
}

static void wrong(void) { join(spawn(wrong_times, NULL)); }

int main(int argc, char **argv) {
    struct test tests[] = {CASE(micro),    CASE(nano),          CASE(c11),     CASE(relative),
                           CASE(deadline), CASE(real_deadline), CASE(seconds), CASE(wrong)};
    return RUN(argc, argv, tests);
}
