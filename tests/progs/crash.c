/* A thread crashes three calls deep, while others wait. */
#include "prog.h"

static int ends[2];
static void *waits(void *arg) {
    char byte;
    read_all(ends[0], &byte, 1);
    return arg;
}
__attribute__((noinline)) static int inner(volatile int *place) { return *place + 1; }
__attribute__((noinline)) static int middle(volatile int *place) { return inner(place) + 1; }
__attribute__((noinline)) static void *outer(void *arg) { return (void *)(intptr_t)(middle(arg) + 1); }

int main(int argc, char **argv) {
    must(pipe(ends));
    for (int i = 0; i < 3; i++) spawn(waits, NULL);
    breathe();
    if (argc > 1 && !strcmp(argv[1], "main")) outer(NULL);
    join(spawn(outer, NULL));
}
