/* A library that knows nothing of green threads, made green by itself: ten calls of it wait at a time, while the program's
 * own calls stay as they are.
 *
 *     import ./libclient.so 127.0.0.1:8000
 *
 * The library's one function, `long ask(const char *host, int port, int number)`, connects, asks and blocks for the answer. */
#include <dlfcn.h>
#include <eventlet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static long (*ask)(const char *host, int port, int number);
static char host[256];
static int port;

static void *asks(void *number) { return (void *)ask(host, port, (int)(size_t)number); }

int main(int argc, char **argv) {
    if (argc != 3 || sscanf(argv[2], "%255[^:]:%d", host, &port) != 2)
        return fprintf(stderr, "usage: import LIBRARY HOST:PORT\n"), 2;
    void *library = eventlet_import_patched(argv[1], RTLD_NOW, EVENTLET_ALL);
    if (!library) return fprintf(stderr, "%s\n", dlerror()), 1;
    *(void **)&ask = dlsym(library, "ask");
    eventlet_pile *pile = eventlet_pile_new(10);
    for (size_t number = 0; number < 10; number++) eventlet_pile_spawn(pile, asks, (void *)number);
    void *answer;
    while (eventlet_pile_next(pile, &answer) == 1) printf("%ld\n", (long)answer);
    eventlet_pile_delete(pile);
    return dlclose(library);
}
