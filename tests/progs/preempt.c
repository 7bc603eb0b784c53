/* Threads that compute and never call: written for preemption. */
#include "real.h"
#include <poll.h>

static volatile int flag = 1;
static int gate[2];

static void *clear(void *arg) {
    flag = 0;
    return arg;
}

static void *clear_after_sleep(void *arg) {
    usleep(1000);
    return clear(arg);
}

static void *clear_after_read(void *arg) {
    char byte;
    check(must(read(gate[0], &byte, 1)) == 1);
    return clear(arg);
}

static void spin(void) {
    while (flag) continue;
}

static void *spinning(void *arg) {
    spin();
    return arg;
}

static void spin_until(void *(*other)(void *)) {
    pthread_t thread = spawn(other, NULL);
    spin();
    join(thread);
}

/* main spins until a thread that can run has run. */
static void runnable(void) { spin_until(clear); }

/* Until a timer fires. */
static void timer(void) { spin_until(clear_after_sleep); }

/* Until a byte that is there already has been read. */
static void pipe_ready(void) {
    send_all(gate[1], "x", 1);
    spin_until(clear_after_read);
}

/* A thread spins, main ends it. */
static void by_main(void) {
    pthread_t thread = spawn(spinning, NULL);
    usleep(1000);
    clear(NULL);
    join(thread);
}

/* Two spin; a ticker that sleeps ten times ends them. */
static void *ticking(void *arg) {
    for (int i = 0; i < 10; i++) usleep(1000);
    return clear(arg);
}

static void computing(void) {
    pthread_t one = spawn(spinning, NULL), two = spawn(spinning, NULL);
    spin_until(ticking);
    join(one), join(two);
}

/* Floating point and flags survive being preempted anywhere. */
static volatile long summed;

static void *sum(void *arg) {
    double seed = (intptr_t)arg, x = seed;
    for (long i = 0; i < 30000000; i++) x = x * 0.999999 + seed * 1e-6;
    summed++;
    return (void *)(intptr_t)(x == seed || (x - seed < 1e-6 && seed - x < 1e-6));
}

static void registers(void) {
    pthread_t threads[4];
    for (intptr_t i = 0; i < 4; i++) threads[i] = spawn(sum, (void *)(i + 1));
    while (summed < 4) continue;
    for (int i = 0; i < 4; i++) printf("right %d\n", (int)(intptr_t)join(threads[i]));
}

/* As redis hands I/O to its threads: each side spins on a counter of the other's. */
enum { WORKERS = 3, JOBS = 5 };
static volatile int pending[WORKERS], jobs;

static void *work(void *arg) {
    volatile int *mine = &pending[(intptr_t)arg];
    for (int i = 0; i < JOBS; i++) {
        while (*mine == 0) continue;
        __atomic_fetch_add(&jobs, 1, __ATOMIC_SEQ_CST);
        *mine = 0;
    }
    return arg;
}

static void handing(void) {
    pthread_t threads[WORKERS];
    for (intptr_t i = 0; i < WORKERS; i++) threads[i] = spawn(work, (void *)i);
    for (int job = 0; job < JOBS; job++) {
        for (int i = 0; i < WORKERS; i++) pending[i] = 1;
        for (int i = 0; i < WORKERS; i++)
            while (pending[i]) continue;
    }
    for (int i = 0; i < WORKERS; i++) join(threads[i]);
    printf("jobs %d\n", jobs);
}

/* Spins that count and give up: what a program does where nobody preempts it. */
static void starving(void) {
    pthread_t thread = spawn(clear, NULL);
    for (long i = 0; i < 300000000 && flag; i++) continue;
    puts(flag ? "starved" : "served");
    join(thread);
}

/* Looks at many descriptors take long, and whoever spins beside them is cut often: no call may end for that. */
enum { LOOKERS = 4, LOOKS = 100, MANY = 1000 };
static int lookers = LOOKERS;

static void *look(void *arg) {
    struct pollfd all[MANY];
    struct timespec soon = {.tv_nsec = 1000000};
    sigset_t none;
    check(!sigemptyset(&none));
    for (int i = 0; i < MANY; i++) all[i] = (struct pollfd){gate[0], POLLIN, 0};
    for (int i = 0; i < LOOKS; i++) {
        if (arg) check(must(poll(all, MANY, 1)) == 0);
        else check(must(ppoll(all, MANY, &soon, &none)) == 0);
    }
    if (__atomic_sub_fetch(&lookers, 1, __ATOMIC_SEQ_CST) == 0) flag = 0;
    return arg;
}

static void looking(void) {
    pthread_t threads[LOOKERS];
    for (intptr_t i = 0; i < LOOKERS; i++) threads[i] = spawn(look, (void *)(i % 2));
    while (flag) continue;
    for (int i = 0; i < LOOKERS; i++) join(threads[i]);
}

/* Computes for some while, with no one there who could want the processor. */
static void compute_alone(void) {
    join(spawn(clear, NULL));
    struct timespec now, end = from_now(CLOCK_MONOTONIC, 400);
    do must(clock_gettime(CLOCK_MONOTONIC, &now));
    while (now.tv_sec < end.tv_sec || (now.tv_sec == end.tv_sec && now.tv_nsec < end.tv_nsec));
    flag = 1;
}

/* Then there is someone. */
static void alone_at_first(void) {
    compute_alone();
    spin_until(clear);
}

/* A real thread makes one and joins it, while main is the only green one. */
static void *make_and_join(void *arg) {
    join(spawn(clear, NULL));
    return arg;
}

static void for_a_real_thread(void) {
    struct task task = {make_and_join, NULL};
    must(sem_init(&done, 0, 0));
    compute_alone();
    on_real_thread(&task);
    spin();
    must(sem_wait(&done));
}

/* Waits by a call in each round: needs no preemption. */
static void cooperative(void) {
    pthread_t thread = spawn(clear_after_sleep, NULL);
    while (flag) usleep(100);
    join(thread);
}

/* A thread of a runtime that keeps its own stacks: there is no room for a signal's frame, and every handler says so. */
static void ignore(int signal) { (void)signal; }

static void *on_narrow_stack(void *arg) {
    static char alternate[65536], heap[65536];
    stack_t stack = {.ss_sp = alternate, .ss_size = sizeof alternate};
    must(sigaltstack(&stack, NULL));
    memset(heap, 0xa5, sizeof heap);
    void *top = heap + sizeof heap - 64;
    unsigned long rounds = 100000000;
    __asm__ volatile("xchg %%rsp, %0\n1: dec %1\njnz 1b\nxchg %%rsp, %0" : "+r"(top), "+r"(rounds)::"cc", "memory");
    for (size_t i = 0; i < sizeof heap; i++) check(heap[i] == (char)0xa5);
    puts("the heap is whole");
    return arg;
}

static void narrow(void) {
    struct sigaction action = {.sa_handler = ignore, .sa_flags = SA_ONSTACK};
    must(sigaction(SIGCHLD, &action, NULL));
    pthread_t other = spawn(on_narrow_stack, NULL);
    while (pthread_tryjoin_np(other, NULL)) sched_yield();
}

int main(int argc, char **argv) {
    must(pipe(gate));
    struct test tests[] = {CASE(runnable),  CASE(timer),     CASE(pipe_ready), CASE(by_main),
                           CASE(computing), CASE(handing), CASE(registers), CASE(starving), CASE(cooperative), CASE(looking),
                           CASE(alone_at_first), CASE(for_a_real_thread), CASE(narrow)};
    return RUN(argc, argv, tests);
}
