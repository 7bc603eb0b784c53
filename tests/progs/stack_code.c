/* A function within a function, whose address is taken: GCC puts code on the stack. */
#include "prog.h"

static int twice(int (*function)(int), int value) { return function(function(value)); }

static void *nests(void *arg) {
    int step = (int)(intptr_t)arg;
    int add(int value) {
        usleep(100);
        return value + step;
    }
    printf("%d\n", twice(add, 1));
    return arg;
}

static void called(void) {
    for (intptr_t step = 1; step < 4; step++) join(spawn(nests, (void *)step));
}

int main(int argc, char **argv) {
    struct test tests[] = {CASE(called)};
    return RUN(argc, argv, tests);
}
