/* dlclose of a library in which a thread waits: it is gone under the thread, unless a destructor of the thread needs it. */
#include "prog.h"
#include <dlfcn.h>
#include <sys/resource.h>

int main(int argc, char **argv) {
    int ends[2], pinned = argc > 2 && !strcmp(argv[1], "pinned");
    must(setrlimit(RLIMIT_CORE, &(struct rlimit){0, 0}));
    must(pipe(ends));
    void *library = dlopen(argv[2], RTLD_NOW | RTLD_LOCAL);
    if (!library) fprintf(stderr, "%s\n", dlerror()), exit(1);
    void *(*wait_here)(void *) = (void *(*)(void *))dlsym(library, "wait_here");
    int given[2] = {ends[0], pinned};
    pthread_t thread = spawn(wait_here, given);
    for (int i = 0; i < 5; i++) breathe();
    show(dlclose(library));
    fflush(stdout);
    send_all(ends[1], "x", 1);
    check(join(thread) == given);
    void *still = dlopen(argv[2], RTLD_NOW | RTLD_NOLOAD);
    printf("still there: %d\n", still != NULL);
    return 0;
}
