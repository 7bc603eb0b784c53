/* MSG_PEEK, MSG_WAITALL, MSG_DONTWAIT, MSG_TRUNC, zero-length reads: as native, from a thread that waits. */
#include "prog.h"
#include <semaphore.h>

static int ends[2], datagrams[2];
static char buffer[256];
static sem_t looked;

static void *peeking(void *arg) {
    show(recv(ends[1], buffer, 3, MSG_PEEK));
    show(recv(ends[1], buffer, sizeof buffer, MSG_PEEK));
    printf("%.5s\n", buffer);
    show(recv(ends[1], buffer, sizeof buffer, 0));
    show(recv(ends[1], buffer, sizeof buffer, MSG_PEEK | MSG_DONTWAIT));
    show(recv(ends[1], buffer, sizeof buffer, MSG_DONTWAIT));
    must(sem_post(&looked));
    show(recv(ends[1], buffer, sizeof buffer, MSG_PEEK)); /* waits for the end */
    show(recv(ends[1], buffer, sizeof buffer, MSG_PEEK));
    return arg;
}

static void peek(void) {
    pthread_t reader = spawn(peeking, NULL);
    breathe();
    send_all(ends[0], "hello", 5);
    must(sem_wait(&looked));
    breathe();
    must(shutdown(ends[0], SHUT_WR));
    join(reader);
}

static void *wanting_all(void *arg) {
    show(recv(ends[1], buffer, 100, MSG_WAITALL));
    show(recv(ends[1], buffer, 100, MSG_WAITALL | MSG_PEEK));
    show(recv(ends[1], buffer, 100, MSG_WAITALL)); /* cut short by the end */
    show(recv(ends[1], buffer, 100, MSG_WAITALL));
    return arg;
}

static void waitall(void) {
    pthread_t reader = spawn(wanting_all, NULL);
    for (int i = 0; i < 10; i++) breathe(), send_all(ends[0], "ten bytes!", 10);
    for (int i = 0; i < 5; i++) breathe(), send_all(ends[0], "ten bytes!", 10);
    breathe();
    must(shutdown(ends[0], SHUT_WR));
    join(reader);
}

static void *receiving(void *arg) {
    struct iovec parts[2] = {{buffer, 2}, {buffer + 2, 2}};
    struct msghdr message = {.msg_iov = parts, .msg_iovlen = 2};
    show(recv(datagrams[1], buffer, 3, 0));
    show(recv(datagrams[1], buffer, 3, MSG_TRUNC));
    show(recvmsg(datagrams[1], &message, 0));
    printf("truncated %d\n", !!(message.msg_flags & MSG_TRUNC));
    show(recv(datagrams[1], buffer, 0, 0)); /* an empty read takes the datagram */
    show(recv(datagrams[1], buffer, sizeof buffer, MSG_WAITALL));
    show(recv(datagrams[1], buffer, sizeof buffer, 0)); /* an empty datagram */
    show(recv(datagrams[1], buffer, sizeof buffer, MSG_DONTWAIT));
    return arg;
}

static void datagram(void) {
    pthread_t reader = spawn(receiving, NULL);
    breathe();
    for (int i = 0; i < 5; i++) send_all(datagrams[0], "hello", 5);
    check(must(send(datagrams[0], "", 0, 0)) == 0);
    breathe();
    join(reader);
}

static void *reading_nothing(void *arg) {
    show(read(ends[1], buffer, 0));
    show(recv(ends[1], buffer, 0, 0));
    return arg;
}

/* A stream gives an empty recv at once only when it has something: it waits as native. */
static void empty(void) {
    send_all(ends[0], "x", 1);
    join(spawn(reading_nothing, NULL));
    show(read(ends[1], buffer, sizeof buffer));
}

int main(int argc, char **argv) {
    must(sem_init(&looked, 0, 0));
    tcp_pair(ends);
    must(socketpair(AF_UNIX, SOCK_DGRAM, 0, datagrams));
    struct test tests[] = {CASE(peek), CASE(waitall), CASE(datagram), CASE(empty)};
    return RUN(argc, argv, tests);
}
