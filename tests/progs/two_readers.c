/* Trap: one edge, several who wait. */
#include "prog.h"
#include <sys/eventfd.h>

enum { READERS = 6 };

static void *read_byte(void *arg) {
    char byte;
    read_all((intptr_t)arg, &byte, 1);
    return NULL;
}

static void *read_event(void *arg) {
    uint64_t one;
    read_all((intptr_t)arg, &one, sizeof one);
    check(one == 1);
    return NULL;
}

/* All wait; then as many units come at once as there are readers. */
static void rounds(const char *what, int from, int to, const void *units, size_t size, void *(*reading)(void *)) {
    for (int round = 0; round < 20; round++) {
        pthread_t threads[READERS];
        for (int i = 0; i < READERS; i++) threads[i] = spawn(reading, (void *)(intptr_t)from);
        breathe();
        send_all(to, units, size);
        for (int i = 0; i < READERS; i++) join(threads[i]);
    }
    printf("%s: all served\n", what);
}

int main(void) {
    int ends[2];
    uint64_t six = READERS;
    must(pipe(ends));
    rounds("pipe", ends[0], ends[1], "123456", READERS, read_byte);
    must(socketpair(AF_UNIX, SOCK_STREAM, 0, ends));
    rounds("unix", ends[0], ends[1], "123456", READERS, read_byte);
    tcp_pair(ends);
    rounds("tcp", ends[0], ends[1], "123456", READERS, read_byte);
    int event = must(eventfd(0, EFD_SEMAPHORE));
    rounds("eventfd", event, event, &six, sizeof six, read_event);
}
