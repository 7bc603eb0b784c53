/* Trap: the end of a stream arrives with its data, so one edge tells of both. */
#include "prog.h"

enum { ROUNDS = 100 };

static void *drain(void *arg) {
    int fd = (intptr_t)arg;
    char buffer[64];
    long total = 0;
    for (ssize_t n; (n = must(read(fd, buffer, sizeof buffer))) > 0;) total += n;
    return (void *)total;
}

int main(void) {
    long total = 0;
    for (int i = 0; i < ROUNDS; i++) {
        int ends[2], on = 1;
        tcp_pair(ends);
        must(setsockopt(ends[0], IPPROTO_TCP, TCP_CORK, &on, sizeof on));
        pthread_t reader = spawn(drain, (void *)(intptr_t)ends[1]);
        if (i % 2) breathe();
        send_all(ends[0], "ten bytes!", 10); /* corked: leaves with the FIN */
        must(shutdown(ends[0], SHUT_WR));
        total += (intptr_t)join(reader);
        must(close(ends[0])), must(close(ends[1]));
    }
    printf("total %ld\n", total);
}
