/* Mistakes of a program's own, for memcheck and the sanitizers to find. */
#include "capi.h"

static void *volatile sink;

static void *outside(void *arg) {
    char *block = malloc(10);
    sink = block;
    ((char *)sink)[10] = 1;
    free(block);
    return arg;
}

static void *undefined(void *arg) {
    volatile int *word = malloc(sizeof *word);
    if (*word) sink = NULL;
    free((void *)word);
    return arg;
}

static void *beside(void *arg) {
    char local[10] = {0};
    char *volatile end = local + sizeof local;
    *end = 1;
    return arg;
}

static void *too_large(void *arg) {
    volatile int most = 0x7fffffff;
    most++;
    return arg;
}

static void in_thread(void *(*fn)(void *)) { check(ended(eventlet_spawn(fn, NULL)) == 0); }
static void heap(void) { in_thread(outside); }
static void stack(void) { in_thread(beside); }
static void number(void) { in_thread(too_large); }
static void value(void) { in_thread(undefined); }

/* A handle after its end, and one that nobody ends. */
static void released(void) {
    eventlet_thread *thread = eventlet_spawn(same, NULL);
    check(ended(thread) == 0);
    eventlet_dead(thread);
}

static void forgotten(void) {
    /* Of the last one something may still stand in a register. */
    for (int i = 0; i < 10; i++) sink = eventlet_event_new();
    sink = NULL;
}

int main(int argc, char **argv) {
    struct test tests[] = {CASE(heap), CASE(stack), CASE(number), CASE(value), CASE(released), CASE(forgotten)};
    return RUN(argc, argv, tests);
}
