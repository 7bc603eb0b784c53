/* main leaves by pthread_exit (or cancellation); the process goes on until its last thread has ended. */
#include "prog.h"
#include <threads.h>

static pthread_t first;
static pthread_key_t key;

static void cleanup(void *what) { dprintf(1, "cleanup %s\n", (char *)what); }
static void destroy(void *what) { dprintf(1, "key %s\n", (char *)what); }
static void at_exit(void) { dprintf(1, "atexit\n"); }

static void *outlives(void *arg) {
    (void)arg;
    void *value;
    breathe();
    zero(pthread_join(first, &value));
    dprintf(1, "main left with %ld\n", (long)value);
    breathe();
    dprintf(1, "the last one\n");
    return NULL;
}

static void *cancels(void *arg) {
    zero(pthread_cancel(first));
    return outlives(arg);
}

static void prepare(void) {
    first = pthread_self();
    atexit(at_exit);
    zero(pthread_key_create(&key, destroy));
    zero(pthread_setspecific(key, "of main"));
}

static void alone(void) {
    pthread_cleanup_push(cleanup, "of main");
    pthread_exit((void *)7);
    pthread_cleanup_pop(0);
}

static void before_others(void) {
    spawn(outlives, NULL);
    pthread_cleanup_push(cleanup, "of main");
    pthread_exit((void *)7);
    pthread_cleanup_pop(0);
}

static void thrd(void) {
    spawn(outlives, NULL);
    thrd_exit(9);
}

static void cancelled(void) {
    pthread_cleanup_push(cleanup, "of main");
    spawn(cancels, NULL);
    for (;;) pause();
    pthread_cleanup_pop(0);
}

static const struct test tests[] = {CASE(alone), CASE(before_others), CASE(thrd), CASE(cancelled)};

int main(int argc, char **argv) {
    prepare();
    return RUN(argc, argv, tests);
}
