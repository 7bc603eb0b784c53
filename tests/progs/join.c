/* Joining, in every form. */
#include "prog.h"

enum { THREADS = 50 };
static int gate[2];

static void *through_gate(void *arg) {
    char byte;
    check(must(read(gate[0], &byte, 1)) == 1);
    return arg;
}

static void open_gate(int threads) {
    for (int i = 0; i < threads; i++) send_all(gate[1], "x", 1);
}

/* Results come back, whether the thread ended before or after the join began. */
static void results(void) {
    pthread_t threads[THREADS];
    for (intptr_t i = 0; i < THREADS; i++) threads[i] = spawn(through_gate, (void *)i);
    open_gate(THREADS / 2);
    breathe();
    open_gate(THREADS - THREADS / 2);
    long sum = 0;
    for (int i = THREADS - 1; i >= 0; i--) sum += (intptr_t)join(threads[i]);
    printf("sum %ld\n", sum);
}

static void *open_later(void *arg) {
    breathe();
    open_gate(1);
    return arg;
}

/* tryjoin says EBUSY until the end; timed joins time out; then they succeed. */
static void timed(void) {
    struct timespec past = {1, 0};
    pthread_t threads[3];
    threads[0] = spawn(through_gate, "ended");
    struct timespec real = from_now(CLOCK_REALTIME, 5), mono = from_now(CLOCK_MONOTONIC, 5);
    void *result = "none";
    tell(pthread_tryjoin_np(threads[0], &result));
    tell(pthread_timedjoin_np(threads[0], &result, &real));
    tell(pthread_timedjoin_np(threads[0], &result, &past));
    tell(pthread_clockjoin_np(threads[0], &result, CLOCK_MONOTONIC, &mono));
    puts(result);
    spawn(open_later, NULL);
    real = from_now(CLOCK_REALTIME, 60000), mono = from_now(CLOCK_MONOTONIC, 60000);
    tell(pthread_timedjoin_np(threads[0], &result, &real));
    puts(result);
    result = "none";
    threads[1] = spawn(through_gate, "ended");
    spawn(open_later, NULL);
    tell(pthread_clockjoin_np(threads[1], &result, CLOCK_MONOTONIC, &mono));
    puts(result);
    threads[2] = spawn(through_gate, "ended");
    spawn(open_later, NULL);
    while (pthread_tryjoin_np(threads[2], &result) == EBUSY) usleep(100);
    puts(result);
}

/* A detached one cannot be joined, nor can oneself. */
static void *join_self(void *arg) {
    tell(pthread_join(pthread_self(), NULL));
    return arg;
}

static void wrong(void) {
    pthread_attr_t attr;
    zero(pthread_attr_init(&attr));
    zero(pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED));
    pthread_t detached, later = spawn(through_gate, NULL);
    zero(pthread_create(&detached, &attr, through_gate, NULL));
    tell(pthread_join(detached, NULL));
    tell(pthread_detach(detached));
    tell(pthread_detach(later));
    tell(pthread_join(later, NULL));
    join(spawn(join_self, NULL));
    open_gate(2);
}

/* No time at all: glibc waits on. */
static void *naps(void *arg) {
    usleep(3000);
    return arg;
}
static void wrong_times(void) {
    struct timespec times[] = {{0, 1000000000}, {1, -1}};
    for (int i = 0; i < 2; i++) {
        tell(pthread_timedjoin_np(spawn(naps, NULL), NULL, &times[i]));
        tell(pthread_clockjoin_np(spawn(naps, NULL), NULL, CLOCK_MONOTONIC, &times[i]));
    }
    pthread_t thread = spawn(naps, NULL);
    tell(pthread_clockjoin_np(thread, NULL, CLOCK_BOOTTIME, &times[0]));
    join(thread);
}

static void *join_other(void *arg) { return join((pthread_t)arg); }

/* A chain: each waits for the one before it. */
static void chain(void) {
    pthread_t thread = spawn(through_gate, "first");
    for (int i = 0; i < THREADS; i++) thread = spawn(join_other, (void *)thread);
    breathe();
    open_gate(1);
    puts(join(thread));
}

static void *detach_self(void *arg) {
    zero(pthread_detach(pthread_self()));
    send_all(gate[1], "x", 1);
    return arg;
}

static void detached(void) {
    char byte;
    for (int i = 0; i < THREADS; i++) spawn(detach_self, NULL);
    for (int i = 0; i < THREADS; i++) check(must(read(gate[0], &byte, 1)) == 1);
}

/* The attributes a running thread reports are those it was made with. */
static void *own_attributes(void *arg) {
    pthread_attr_t attr;
    size_t size, guard;
    void *base;
    int state;
    zero(pthread_getattr_np(pthread_self(), &attr));
    zero(pthread_attr_getstack(&attr, &base, &size));
    zero(pthread_attr_getguardsize(&attr, &guard));
    zero(pthread_attr_getdetachstate(&attr, &state));
    char *here = (char *)&attr;
    printf("on its stack %d, size %zu, guard %zu, joinable %d\n", here > (char *)base && here < (char *)base + size,
           size, guard, state == PTHREAD_CREATE_JOINABLE);
    zero(pthread_attr_destroy(&attr));
    return arg;
}

static void attributes(void) {
    pthread_attr_t attr;
    pthread_t thread;
    join(spawn(own_attributes, NULL));
    zero(pthread_attr_init(&attr));
    zero(pthread_attr_setstacksize(&attr, 256 << 10));
    zero(pthread_create(&thread, &attr, own_attributes, NULL));
    join(thread);
    static char stack[256 << 10] __attribute__((aligned(4096)));
    zero(pthread_attr_setstack(&attr, stack, sizeof stack));
    zero(pthread_create(&thread, &attr, own_attributes, NULL));
    join(thread);
    zero(pthread_attr_destroy(&attr));
}

static void *show_name(void *arg) {
    char name[16];
    zero(pthread_getname_np(pthread_self(), name, sizeof name));
    puts(name);
    return arg;
}

static void names(void) {
    pthread_t thread = spawn(through_gate, NULL);
    char name[16];
    zero(pthread_setname_np(thread, "worker"));
    tell(pthread_setname_np(thread, "sixteen letters!"));
    zero(pthread_getname_np(thread, name, sizeof name));
    puts(name);
    tell(pthread_getname_np(thread, name, 3));
    join(spawn(show_name, NULL));
    show_name(NULL);
    open_gate(1);
    join(thread);
}

static void *end_soon(void *arg) {
    breathe();
    return arg;
}

/* A loop of tries does not keep the thread from its end. */
static void try_loop(void) {
    pthread_t thread = spawn(end_soon, "ended");
    void *result = NULL;
    while (pthread_tryjoin_np(thread, &result) == EBUSY) continue;
    puts(result);
}

int main(int argc, char **argv) {
    must(pipe(gate));
    struct test tests[] = {CASE(results), CASE(timed),      CASE(wrong), CASE(wrong_times), CASE(chain),
                           CASE(detached), CASE(attributes), CASE(names), CASE(try_loop)};
    return RUN(argc, argv, tests);
}
