/* Scheduling parameters, affinity, processor clocks and attributes, by thread. */
#include "../prog.h"
#include <limits.h>
#include <sched.h>
#include <sys/resource.h>
#include <sys/syscall.h>

static int gate[2];

static void *through_gate(void *arg) {
    char byte;
    check(must(read(gate[0], &byte, 1)) == 1);
    return arg;
}

static void say_policy(pthread_t thread) {
    int policy;
    struct sched_param parameters;
    zero(pthread_getschedparam(thread, &policy, &parameters));
    printf("policy %d priority %d\n", policy, parameters.sched_priority);
}

static void *say_own(void *arg) {
    struct sched_param parameters;
    must(sched_getparam(gettid(), &parameters));
    printf("sched_getscheduler %d priority %d\n", must(sched_getscheduler(gettid())), parameters.sched_priority);
    return arg;
}

/* pthread_setschedparam, pthread_getschedparam: kept by thread, and refused as the kernel does. */
static void pthread_setschedparam_(void) {
    pthread_t thread = spawn(through_gate, NULL);
    say_policy(thread);
    tell(pthread_setschedparam(thread, SCHED_BATCH, &(struct sched_param){0}));
    say_policy(thread);
    say_policy(pthread_self());
    tell(pthread_setschedparam(thread, SCHED_OTHER, &(struct sched_param){5}));
    tell(pthread_setschedparam(thread, 99, &(struct sched_param){0}));
    tell(pthread_setschedparam(thread, SCHED_FIFO, &(struct sched_param){1000}));
    tell(pthread_setschedprio(thread, 7));
    say_policy(thread);
    send_all(gate[1], "x", 1);
    join(thread);
}

static void *set_own(void *arg) {
    say_own(NULL);
    show(sched_setscheduler(0, SCHED_BATCH, &(struct sched_param){0}));
    say_own(NULL);
    show(sched_setparam(gettid(), &(struct sched_param){0}));
    show(sched_setparam(0, &(struct sched_param){3}));
    join(spawn(say_own, NULL)); /* inherited */
    return arg;
}

/* sched_setscheduler and kin: 0 and the own tid are the calling thread. */
static void sched_setscheduler_(void) {
    join(spawn(set_own, NULL));
    say_own(NULL);
}

/* pthread_attr_setschedpolicy with PTHREAD_EXPLICIT_SCHED */
static void explicit_scheduling(void) {
    pthread_attr_t attr;
    pthread_t thread;
    zero(pthread_attr_init(&attr));
    zero(pthread_attr_setinheritsched(&attr, PTHREAD_EXPLICIT_SCHED));
    zero(pthread_attr_setschedpolicy(&attr, SCHED_RR));
    zero(pthread_attr_setschedparam(&attr, &(struct sched_param){3}));
    int made = pthread_create(&thread, &attr, say_own, NULL);
    if (made == 0) join(thread);
    printf("%d\n", made); /* only for the privileged */
}

static int count(pthread_t thread) {
    cpu_set_t set;
    memset(&set, 0xff, sizeof set);
    zero(pthread_getaffinity_np(thread, sizeof set, &set));
    return CPU_COUNT(&set);
}

static void *affinity_of_own(void *arg) {
    cpu_set_t set;
    CPU_ZERO(&set);
    check(must(sched_getaffinity(0, sizeof set, &set)) == 0);
    printf("own %d\n", CPU_COUNT(&set));
    return arg;
}

static void *narrow(void *one) {
    show(sched_setaffinity(gettid(), sizeof(cpu_set_t), one));
    affinity_of_own(NULL);
    join(spawn(affinity_of_own, NULL)); /* inherited */
    pid_t child = must(fork());
    if (child == 0) affinity_of_own(NULL), fflush(stdout), _exit(0);
    must(waitpid(child, NULL, 0));
    return NULL;
}

/* pthread_setaffinity_np, sched_setaffinity */
static void pthread_setaffinity_np_(void) {
    cpu_set_t one, none;
    CPU_ZERO(&none);
    must(sched_getaffinity(0, sizeof one, &one));
    int all = CPU_COUNT(&one), first = 0;
    while (!CPU_ISSET(first, &one)) first++;
    CPU_ZERO(&one);
    CPU_SET(first, &one);
    pthread_t thread = spawn(through_gate, NULL);
    printf("all %d\n", count(thread) == all);
    tell(pthread_setaffinity_np(thread, sizeof one, &one));
    tell(pthread_setaffinity_np(thread, sizeof none, &none));
    tell(pthread_getaffinity_np(thread, 1, &none));
    printf("one %d, main all %d\n", count(thread), count(pthread_self()) == all);
    join(spawn(narrow, &one));
    printf("main all %d\n", count(pthread_self()) == all);
    pthread_attr_t attr;
    zero(pthread_attr_init(&attr));
    zero(pthread_attr_setaffinity_np(&attr, sizeof one, &one));
    pthread_t other;
    zero(pthread_create(&other, &attr, affinity_of_own, NULL));
    join(other);
    zero(pthread_getattr_np(thread, &attr));
    zero(pthread_attr_getaffinity_np(&attr, sizeof one, &one));
    printf("in its attributes %d\n", CPU_COUNT(&one));
    send_all(gate[1], "x", 1);
    join(thread);
}

static double used(clockid_t clock) {
    struct timespec t;
    must(clock_gettime(clock, &t));
    return t.tv_sec + t.tv_nsec / 1e9;
}

static void *compute(void *arg) {
    double start = used(CLOCK_THREAD_CPUTIME_ID);
    while (used(CLOCK_THREAD_CPUTIME_ID) < start + 0.03) continue;
    return through_gate(arg);
}

/* pthread_getcpuclockid: a thread that computed, and one that waited meanwhile. */
static void pthread_getcpuclockid_(void) {
    clockid_t clocks[2], main_clock;
    zero(pthread_getcpuclockid(pthread_self(), &main_clock));
    pthread_t threads[2] = {spawn(through_gate, NULL), spawn(compute, NULL)};
    for (int i = 0; i < 2; i++) zero(pthread_getcpuclockid(threads[i], &clocks[i]));
    double waited = used(clocks[0]), own = used(main_clock);
    while (used(clocks[1]) < 0.03) usleep(1000);
    printf("waited %d, main %d\n", used(clocks[0]) - waited < 0.02, used(main_clock) - own < 0.02);
    send_all(gate[1], "xx", 2);
    for (int i = 0; i < 2; i++) join(threads[i]);
}

static void pthread_setconcurrency_(void) {
    tell(pthread_setconcurrency(3));
    tell(pthread_setconcurrency(-1));
    printf("%d\n", pthread_getconcurrency());
    join(spawn(say_own, NULL));
}

static void *use_stack(void *size) {
    size_t most = (size_t)size;
    volatile char room[most];
    for (size_t i = 0; i < most; i += 512) room[i] = 1;
    usleep(100);
    return (void *)(intptr_t)room[0];
}

/* PTHREAD_STACK_MIN is enough for a thread that uses little, and less is refused. */
static void stack_min(void) {
    pthread_attr_t attr;
    pthread_t thread;
    zero(pthread_attr_init(&attr));
    tell(pthread_attr_setstacksize(&attr, PTHREAD_STACK_MIN - 1));
    zero(pthread_attr_setstacksize(&attr, PTHREAD_STACK_MIN));
    zero(pthread_create(&thread, &attr, use_stack, (void *)1024));
    printf("%ld\n", (long)join(thread));
}

/* The default of pthread_setattr_default_np. */
static void *own_size(void *arg) {
    pthread_attr_t attr;
    size_t size, guard;
    zero(pthread_getattr_np(pthread_self(), &attr));
    zero(pthread_attr_getstacksize(&attr, &size));
    zero(pthread_attr_getguardsize(&attr, &guard));
    usleep(100);
    printf("size %zu guard %zu\n", size, guard);
    return arg;
}

static void pthread_setattr_default_np_(void) {
    pthread_attr_t attr;
    zero(pthread_attr_init(&attr));
    zero(pthread_attr_setstacksize(&attr, 1 << 20));
    zero(pthread_attr_setguardsize(&attr, 16384));
    zero(pthread_setattr_default_np(&attr));
    join(spawn(own_size, NULL));
}

static volatile pid_t tid;
static int told[2];

static void say_nice(const char *whose, pid_t of) { printf("%s %d, by number %ld\n", whose, getpriority(PRIO_PROCESS, of), syscall(SYS_getpriority, PRIO_PROCESS, of)); }

static void *say_own_nice(void *arg) {
    say_nice("inherited", 0);
    return arg;
}

static void *nicer(void *arg) {
    tid = gettid();
    say_nice("first", 0);
    show(nice(3));
    show(setpriority(PRIO_PROCESS, tid, 7));
    say_nice("own", tid);
    show(setpriority(PRIO_PROCESS, 0, 100));
    say_nice("own", 0);
    join(spawn(say_own_nice, NULL));
    show(getrlimit(RLIMIT_NICE, &(struct rlimit){}));
    show(setpriority(PRIO_PROCESS, 0, 10)); /* only for the privileged */
    show(nice(-1));
    say_nice("own", 0);
    send_all(told[1], "x", 1);
    return through_gate(arg);
}

/* getpriority, setpriority, nice: a nice value is a thread's. */
static void nice_(void) {
    char byte;
    must(pipe(told));
    pthread_t thread = spawn(nicer, NULL);
    read_all(told[0], &byte, 1);
    say_nice("main's", 0);
    say_nice("the other's", tid);
    show(setpriority(PRIO_PROCESS, tid, 19));
    say_nice("the other's", tid);
    show(getpriority(PRIO_PROCESS, tid + 100000000));
    show(setpriority(77, tid, 1));
    fflush(stdout);
    if (must(fork()) == 0) say_nice("the child's", 0), fflush(stdout), _exit(0);
    wait(NULL);
    send_all(gate[1], "x", 1);
    join(thread);
}

static void *burn(void *arg) {
    struct rusage usage;
    do must(getrusage(RUSAGE_THREAD, &usage));
    while (usage.ru_utime.tv_sec * 1000000 + usage.ru_utime.tv_usec + usage.ru_stime.tv_usec < (intptr_t)arg);
    return arg;
}

static void *rest(void *arg) {
    struct rusage usage;
    must(syscall(SYS_getrusage, RUSAGE_THREAD, &usage));
    join(spawn(burn, (void *)100000));
    must(getrusage(RUSAGE_THREAD, &usage));
    check(usage.ru_utime.tv_sec == 0 && usage.ru_utime.tv_usec + usage.ru_stime.tv_usec < 90000);
    return arg;
}

/* getrusage(RUSAGE_THREAD): each has used its own time. */
static void getrusage_(void) {
    join(spawn(rest, NULL));
    show(getrusage(77, &(struct rusage){}));
}

static void *say_interval(void *arg) {
    struct timespec time = {-1, -1};
    show(sched_rr_get_interval(gettid(), &time));
    check(time.tv_sec == 0 && time.tv_nsec >= 0);
    show(sched_rr_get_interval(-1, &time));
    return arg;
}

static void sched_rr_get_interval_(void) { join(spawn(say_interval, NULL)); }

int main(int argc, char **argv) {
    must(pipe(gate));
    struct test tests[] = {CASE(pthread_setschedparam_), CASE(sched_setscheduler_),     CASE(explicit_scheduling),
                           CASE(pthread_setaffinity_np_), CASE(pthread_getcpuclockid_), CASE(pthread_setconcurrency_),
                           CASE(stack_min),              CASE(pthread_setattr_default_np_), CASE(nice_),
                           CASE(getrusage_),             CASE(sched_rr_get_interval_)};
    return RUN(argc, argv, tests);
}
