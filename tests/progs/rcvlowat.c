/* SO_RCVLOWAT: a read waits for so many bytes, or for the end. */
#include "prog.h"
#include <poll.h>

static void *read_some(void *arg) {
    char buffer[256];
    return (void *)must(read((intptr_t)arg, buffer, sizeof buffer));
}

static void *poll_then_read(void *arg) {
    struct pollfd one = {(intptr_t)arg, POLLIN, 0};
    check(must(poll(&one, 1, -1)) == 1);
    return read_some(arg);
}

static void lowat(int fd, int bytes) { must(setsockopt(fd, SOL_SOCKET, SO_RCVLOWAT, &bytes, sizeof bytes)); }

static void rounds(const char *what, int ends[2], void *(*reading)(void *)) {
    char bytes[100] = "";
    lowat(ends[1], 100);
    pthread_t reader = spawn(reading, (void *)(intptr_t)ends[1]);
    breathe(), send_all(ends[0], bytes, 60);
    breathe(), send_all(ends[0], bytes, 100); /* by itself enough: TCP does not count what a read has taken already */
    printf("%s: at least 100: %d\n", what, (intptr_t)join(reader) >= 100);
    reader = spawn(reading, (void *)(intptr_t)ends[1]);
    breathe(), send_all(ends[0], bytes, 30);
    breathe(), must(shutdown(ends[0], SHUT_WR));
    printf("%s: at the end: %ld\n", what, (long)(intptr_t)join(reader));
    printf("%s: after it: %ld\n", what, (long)(intptr_t)join(spawn(reading, (void *)(intptr_t)ends[1])));
}

int main(void) {
    int ends[2];
    tcp_pair(ends);
    rounds("tcp", ends, read_some);
    tcp_pair(ends);
    rounds("tcp by poll", ends, poll_then_read);
    must(socketpair(AF_UNIX, SOCK_STREAM, 0, ends));
    rounds("unix", ends, read_some);
}
