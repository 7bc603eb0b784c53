/* Waits in a library that is loaded by now: LIBRARY is its path. */
#include "prog.h"
#include <dlfcn.h>

static const char *path;
static int ends[2];

static void *waits(void *name) {
    void *library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (!library) fprintf(stderr, "%s\n", dlerror()), exit(1);
    int (*wait_for)(int) = (int (*)(int))dlsym(library, name);
    check(wait_for);
    printf("%s: %c\n", (char *)name, wait_for(ends[0]));
    return NULL;
}

static void waited(char *name) {
    must(pipe(ends));
    pthread_t thread = spawn(waits, name);
    for (int i = 0; i < 3; i++) breathe();
    send_all(ends[1], "x", 1);
    join(thread);
}

static void linked(void) { waited("wait_linked"); }

static void by_handle(void) { waited("wait_by_handle"); }

static void both(void) { linked(), by_handle(), linked(); }

int main(int argc, char **argv) {
    struct test tests[] = {CASE(linked), CASE(by_handle), CASE(both)};
    path = getenv("LIBRARY");
    return RUN(argc, argv, tests);
}
