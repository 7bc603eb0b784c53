/* SO_RCVTIMEO and SO_SNDTIMEO bound one call, and do not make the descriptor non-blocking. */
#include "prog.h"

static void set(int fd, int option, long microseconds) {
    struct timeval limit = {microseconds / 1000000, microseconds % 1000000}, given = {0, 0};
    socklen_t size = sizeof given;
    must(setsockopt(fd, SOL_SOCKET, option, &limit, sizeof limit));
    must(getsockopt(fd, SOL_SOCKET, option, &given, &size));
    printf("%ld.%06ld\n", (long)given.tv_sec, (long)given.tv_usec);
}

static void *receiving(void *arg) {
    int ends[2];
    char buffer[64];
    tcp_pair(ends);
    set(ends[1], SO_RCVTIMEO, 20000);
    struct iovec part = {buffer, sizeof buffer};
    struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1};
    show(read(ends[1], buffer, sizeof buffer));
    show(recv(ends[1], buffer, sizeof buffer, MSG_WAITALL));
    show(recvmsg(ends[1], &message, 0));
    send_all(ends[0], "here", 4);
    show(recv(ends[1], buffer, sizeof buffer, MSG_WAITALL)); /* what there is, when the time is over */
    show(read(ends[1], buffer, sizeof buffer));
    set(ends[1], SO_RCVTIMEO, 0);
    return (void *)(intptr_t)ends[0];
}

static void *accepting(void *arg) {
    struct sockaddr_in address;
    int server = listener(4, &address);
    set(server, SO_RCVTIMEO, 20000);
    show(accept(server, NULL, NULL));
    int client = dial(&address);
    printf("accepted %d\n", accept(server, NULL, NULL) >= 0);
    must(close(client));
    return arg;
}

static void *sending(void *arg) {
    int ends[2];
    static char bytes[1 << 20];
    must(socketpair(AF_UNIX, SOCK_STREAM, 0, ends));
    set(ends[0], SO_SNDTIMEO, 20000);
    ssize_t n = must(write(ends[0], bytes, sizeof bytes));
    printf("some went: %d\n", n > 0 && n < (ssize_t)sizeof bytes);
    show(send(ends[0], bytes, sizeof bytes, 0));
    while (n > 0) n -= must(read(ends[1], bytes, n));
    show(send(ends[0], bytes, 5, 0));
    return arg;
}

static void *write_later(void *fd) {
    breathe();
    send_all((intptr_t)fd, "x", 1);
    return NULL;
}

/* A dup shares the timeout, by whichever number it is set, and where the other has waited before. */
static void *sharing(void *arg) {
    int ends[2];
    char byte;
    must(socketpair(AF_UNIX, SOCK_STREAM, 0, ends));
    int copy = must(dup(ends[0]));
    set(copy, SO_RCVTIMEO, 20000);
    show(read(ends[0], &byte, 1));
    set(copy, SO_RCVTIMEO, 0);
    pthread_t writer = spawn(write_later, (void *)(intptr_t)ends[1]);
    show(read(copy, &byte, 1));
    join(writer);
    set(ends[0], SO_RCVTIMEO, 20000);
    show(read(copy, &byte, 1));
    return arg;
}

static void receive(void) { join(spawn(receiving, NULL)); }
static void acceptor(void) { join(spawn(accepting, NULL)); }
static void sender(void) { join(spawn(sending, NULL)); }
static void shared(void) { join(spawn(sharing, NULL)); }

int main(int argc, char **argv) {
    struct test tests[] = {CASE(receive), CASE(acceptor), CASE(sender), CASE(shared)};
    return RUN(argc, argv, tests);
}
