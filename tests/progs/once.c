/* pthread_once: an initialiser that waits, one that leaves by pthread_exit, and one within another. */
#include "prog.h"

enum { THREADS = 8 };
static pthread_once_t once = PTHREAD_ONCE_INIT, inner = PTHREAD_ONCE_INIT;
static int runs, pipe_ends[2];

static void wait_for_byte(void) {
    char byte;
    check(must(read(pipe_ends[0], &byte, 1)) == 1);
    runs++;
}

static void *initialise(void *arg) {
    zero(pthread_once(&once, wait_for_byte));
    check(runs == 1);
    return arg;
}

/* All wait for the one that waits in the initialiser. */
static void parking(void) {
    must(pipe(pipe_ends));
    pthread_t threads[THREADS];
    for (int i = 0; i < THREADS; i++) threads[i] = spawn(initialise, NULL);
    breathe();
    printf("runs %d\n", __atomic_load_n(&runs, __ATOMIC_SEQ_CST));
    send_all(pipe_ends[1], "x", 1);
    for (int i = 0; i < THREADS; i++) join(threads[i]);
    printf("runs %d\n", runs);
}

static void first_leaves(void) {
    breathe();
    if (runs++ == 0) pthread_exit("left");
}

static void *try_once(void *arg) {
    zero(pthread_once(&once, first_leaves));
    return arg;
}

/* An initialiser that did not come to its end is run again by the next. */
static void leaving(void) {
    pthread_t one = spawn(try_once, "returned"), two = spawn(try_once, "returned");
    const char *ends[] = {join(one), join(two)};
    int left = !strcmp(ends[0], "left") + !strcmp(ends[1], "left");
    printf("runs %d left %d\n", runs, left);
}

static void inside(void) { puts("inner"); }
static void outside(void) {
    zero(pthread_once(&inner, inside));
    puts("outer");
}

static void *nest(void *arg) {
    zero(pthread_once(&once, outside));
    zero(pthread_once(&inner, inside));
    return arg;
}

static void nested(void) { join(spawn(nest, NULL)), join(spawn(nest, NULL)); }

int main(int argc, char **argv) {
    struct test tests[] = {CASE(parking), CASE(leaving), CASE(nested)};
    return RUN(argc, argv, tests);
}
