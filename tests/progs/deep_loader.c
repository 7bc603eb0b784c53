/* The loader's lock is held over a wait: argv[1] waits in its constructor. */
#include "prog.h"
#include <dlfcn.h>
#include <link.h>

static int ends[2];
static int finding;

static void *load(void *path) {
    void *library = dlopen(path, RTLD_NOW);
    if (!library) die(dlerror());
    return dlsym(library, "value_of_library");
}

/* Needs the lock in three ways. */
static void *find(void *arg) {
    finding++;
    void *libm = dlopen("libm.so.6", RTLD_NOW);
    if (!libm) die(dlerror());
    check(dlsym(libm, "cos"));
    Dl_info info;
    check(dladdr(find, &info));
    check(dlclose(libm) == 0);
    return arg;
}

int main(int argc, char **argv) {
    char text[16];
    must(pipe(ends));
    snprintf(text, sizeof text, "%d", ends[0]);
    must(setenv("DEEP_FD", text, 1));
    pthread_t loader = spawn(load, argv[1]);
    breathe();
    pthread_t finders[3];
    for (int i = 0; i < 3; i++) finders[i] = spawn(find, NULL);
    while (finding < 3) breathe();
    breathe();
    send_all(ends[1], "v", 1);
    for (int i = 0; i < 3; i++) join(finders[i]);
    printf("%c\n", *(int *)join(loader));
    return 0;
}
