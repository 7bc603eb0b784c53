/* Trap: a read stops short at urgent data, and what follows brings no edge of its own. */
#include "prog.h"
#include <poll.h>
#include <sys/ioctl.h>

static void *collect(void *arg) {
    int fd = (intptr_t)arg;
    char buffer[64], got[64] = "";
    for (ssize_t n; (n = must(read(fd, buffer, sizeof buffer))) > 0;) strncat(got, buffer, n);
    return strdup(got);
}

/* A plain reader does not see the urgent byte and gets all others. */
static void plain(void) {
    for (int i = 0; i < 50; i++) {
        int ends[2];
        tcp_pair(ends);
        pthread_t reader = spawn(collect, (void *)(intptr_t)ends[1]);
        if (i % 2) breathe();
        check(must(send(ends[0], "abcX", 4, MSG_OOB)) == 4);
        send_all(ends[0], "ef", 2);
        must(shutdown(ends[0], SHUT_WR));
        char *got = join(reader);
        if (i == 0 || strcmp(got, "abcef")) puts(got);
        free(got);
        must(close(ends[0])), must(close(ends[1]));
    }
}

static void *with_mark(void *arg) {
    int fd = (intptr_t)arg, mark;
    struct pollfd urgent = {fd, POLLPRI, 0};
    char buffer[64];
    show(poll(&urgent, 1, -1));
    printf("revents %d\n", urgent.revents == POLLPRI);
    show(read(fd, buffer, sizeof buffer));
    must(ioctl(fd, SIOCATMARK, &mark));
    show(mark);
    show(recv(fd, buffer, sizeof buffer, MSG_OOB));
    show(buffer[0] == 'X');
    show(recv(fd, buffer, sizeof buffer, MSG_OOB));
    read_all(fd, buffer, 2);
    show(read(fd, buffer + 2, sizeof buffer - 2));
    printf("%.2s\n", buffer);
    return NULL;
}

/* POLLPRI, the mark, and the byte by MSG_OOB. */
static void marked(void) {
    int ends[2];
    tcp_pair(ends);
    pthread_t reader = spawn(with_mark, (void *)(intptr_t)ends[1]);
    breathe();
    check(must(send(ends[0], "abcX", 4, MSG_OOB)) == 4);
    breathe();
    send_all(ends[0], "ef", 2);
    must(shutdown(ends[0], SHUT_WR));
    join(reader);
}

int main(int argc, char **argv) {
    struct test tests[] = {CASE(plain), CASE(marked)};
    return RUN(argc, argv, tests);
}
