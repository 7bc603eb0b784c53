/* Limits: a stack that overflows, a thread too many. */
#include "prog.h"
#include <setjmp.h>
#include <sys/resource.h>

static int gate[2];

__attribute__((noinline)) static long devour(long depth) {
    volatile char room[1000];
    room[0] = depth;
    return depth < 0 ? 0 : devour(depth + 1) + room[0];
}

static void *overflow(void *arg) { return (void *)devour((intptr_t)arg); }

/* A thread runs over its stack: SIGSEGV. */
static void overflowing(void) {
    pthread_attr_t attr;
    pthread_t thread;
    zero(pthread_attr_init(&attr));
    zero(pthread_attr_setstacksize(&attr, 128 << 10));
    zero(pthread_create(&thread, &attr, overflow, NULL));
    join(thread);
}

/* A program that handles it has its own word for it. */
static sigjmp_buf out;
static void jumps_out(int sig) { siglongjmp(out, sig); }
static void *recovers(void *arg) {
    stack_t stack = {.ss_sp = malloc(64 << 10), .ss_size = 64 << 10};
    must(sigaltstack(&stack, NULL));
    for (volatile int i = 0; i < 3; i++) {
        int sig = sigsetjmp(out, 1);
        if (!sig) overflow(arg);
        printf("recovered from %d\n", sig);
        breathe();
    }
    return arg;
}
static void recovered(void) {
    struct sigaction action = {.sa_handler = jumps_out, .sa_flags = SA_ONSTACK};
    must(sigaction(SIGSEGV, &action, NULL));
    join(spawn(recovers, NULL));
}

static void *use_stack(void *arg) {
    volatile char room[200 << 10];
    for (size_t i = 0; i < sizeof room; i += 1000) room[i] = 1;
    breathe();
    for (size_t i = 0; i < sizeof room; i += 1000) check(room[i] == 1);
    return arg;
}

/* What was asked for is there, in every thread. */
static void asked_for(void) {
    enum { THREADS = 50 };
    pthread_attr_t attr;
    pthread_t threads[THREADS];
    zero(pthread_attr_init(&attr));
    tell(pthread_attr_setstacksize(&attr, 1000));
    zero(pthread_attr_setstacksize(&attr, 256 << 10));
    for (int i = 0; i < THREADS; i++) zero(pthread_create(&threads[i], &attr, use_stack, NULL));
    for (int i = 0; i < THREADS; i++) join(threads[i]);
}

static void *wait_at_gate(void *arg) {
    char byte;
    check(must(read(gate[0], &byte, 1)) == 0);
    return arg;
}

/* Where the address space ends, pthread_create says EAGAIN, and what lives goes on. */
static void too_many(void) {
    enum { MOST = 100000 };
    static pthread_t threads[MOST];
    int made = 0, error = 0;
    must(pipe(gate));
    join(spawn(use_stack, NULL)); /* whatever starts with the first thread has started */
    struct rlimit room = {3L << 30, 3L << 30};
    must(setrlimit(RLIMIT_AS, &room));
    while (made < MOST && !(error = pthread_create(&threads[made], NULL, wait_at_gate, NULL))) made++;
    printf("%s after some: %d\n", strerrorname_np(error), made > 10 && made < MOST);
    must(close(gate[1]));
    for (int i = 0; i < made; i++) join(threads[i]);
    join(spawn(use_stack, NULL)); /* there is room again */
}

int main(int argc, char **argv) {
    struct test tests[] = {CASE(overflowing), CASE(recovered), CASE(asked_for), CASE(too_many)};
    return RUN(argc, argv, tests);
}
