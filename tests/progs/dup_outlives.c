/* Trap: a dup keeps a description, and its events, alive after close, while the number is used again. */
#include "prog.h"

static void *read_byte(void *arg) {
    char byte;
    read_all((intptr_t)arg, &byte, 1);
    return (void *)(intptr_t)byte;
}

/* The byte that a thread reads from `fd`, sent on `peer` once it waits. */
static void ferry(const char *what, int fd, int peer, char byte) {
    pthread_t reader = spawn(read_byte, (void *)(intptr_t)fd);
    breathe();
    send_all(peer, &byte, 1);
    printf("%s: %c\n", what, (char)(intptr_t)join(reader));
}

int main(void) {
    int old[2], new[2];
    tcp_pair(old);
    ferry("first", old[1], old[0], 'a');
    int copy = must(dup(old[1])), number = old[1];
    must(close(old[1]));
    ferry("copy", copy, old[0], 'b');

    must(socketpair(AF_UNIX, SOCK_STREAM, 0, new));
    check(new[0] == number);
    pthread_t reader = spawn(read_byte, (void *)(intptr_t)new[0]);
    breathe();
    send_all(old[0], "c", 1); /* an event of the old description, none of the number's new one */
    breathe();
    send_all(new[1], "d", 1);
    printf("new: %c\n", (char)(intptr_t)join(reader));
    ferry("copy, which has c", copy, old[0], 'e');

    /* Over an open number: the old description goes, the new one is waited for. */
    int pipe_ends[2];
    must(pipe(pipe_ends));
    must(dup2(pipe_ends[0], copy));
    ferry("dup2", copy, pipe_ends[1], 'f');
    must(dup3(new[0], copy, O_CLOEXEC));
    ferry("dup3", copy, new[1], 'g');
    int high = must(fcntl(copy, F_DUPFD, 100));
    must(close(copy)), must(close(new[0]));
    ferry("F_DUPFD", high, new[1], 'h');
    must(close(new[1]));
    char byte;
    show(read(high, &byte, 1));
}
