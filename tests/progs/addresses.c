/* Datagrams with their addresses, and sockets where there is nothing to poll. */
#include "prog.h"
#include <stddef.h>

static struct sockaddr_in here, there;
static int receiver, sender;

static int bound(struct sockaddr_in *address) {
    socklen_t size = sizeof *address;
    int fd = must(socket(AF_INET, SOCK_DGRAM, 0));
    *address = (struct sockaddr_in){.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    must(bind(fd, (struct sockaddr *)address, size));
    must(getsockname(fd, (struct sockaddr *)address, &size));
    return fd;
}

static void *receive(void *arg) {
    char bytes[64];
    struct sockaddr_in from = {0};
    socklen_t size = sizeof from;
    show(recvfrom(receiver, bytes, sizeof bytes, 0, (struct sockaddr *)&from, &size));
    printf("from the sender %d, length %d\n", from.sin_port == there.sin_port, size == sizeof from);
    from.sin_port = 0;
    struct iovec part = {bytes, sizeof bytes};
    struct msghdr message = {.msg_name = &from, .msg_namelen = sizeof from, .msg_iov = &part, .msg_iovlen = 1};
    show(recvmsg(receiver, &message, 0));
    printf("from the sender %d\n", from.sin_port == there.sin_port);
    show(sendto(receiver, "answer", 6, 0, (struct sockaddr *)&from, sizeof from));
    return arg;
}

static void udp(void) {
    char bytes[64];
    receiver = bound(&here), sender = bound(&there);
    pthread_t thread = spawn(receive, NULL);
    breathe();
    check(must(sendto(sender, "hello", 5, 0, (struct sockaddr *)&here, sizeof here)) == 5);
    breathe();
    struct iovec part = {"again!", 6};
    struct msghdr message = {.msg_name = &here, .msg_namelen = sizeof here, .msg_iov = &part, .msg_iovlen = 1};
    check(must(sendmsg(sender, &message, 0)) == 6);
    check(must(recv(sender, bytes, sizeof bytes, 0)) == 6);
    join(thread);
}

static struct sockaddr_un name;
static socklen_t name_size;

/* A socket with an abstract name of the kernel's choice. */
static int named(int kind) {
    int fd = must(socket(AF_UNIX, kind, 0));
    name = (struct sockaddr_un){.sun_family = AF_UNIX};
    name_size = sizeof name;
    must(bind(fd, (struct sockaddr *)&name, sizeof(sa_family_t)));
    must(getsockname(fd, (struct sockaddr *)&name, &name_size));
    return fd;
}

enum { MANY = 1000 };

static void *send_many(void *arg) {
    int fd = must(socket(AF_UNIX, SOCK_DGRAM, 0));
    for (int i = 0; i < MANY; i++) check(must(sendto(fd, &i, sizeof i, 0, (struct sockaddr *)&name, name_size)) == sizeof i);
    return arg;
}

/* More than the receiver's queue holds: sendto waits, though the sender is always writable. */
static void crowded_datagrams(void) {
    int fd = named(SOCK_DGRAM), number;
    pthread_t thread = spawn(send_many, NULL);
    breathe();
    for (int i = 0; i < MANY; i++) {
        check(must(read(fd, &number, sizeof number)) == sizeof number && number == i);
        if (i % 100 == 0) breathe();
    }
    join(thread);
    puts("all came");
}

static void *connect_and_wait(void *arg) {
    char byte;
    int fd = must(socket(AF_UNIX, SOCK_STREAM, 0));
    must(connect(fd, (struct sockaddr *)&name, name_size));
    read_all(fd, &byte, 1);
    must(close(fd));
    return arg;
}

/* More than the backlog holds: connect waits. */
static void crowded_listener(void) {
    enum { CLIENTS = 6 };
    int server = named(SOCK_STREAM);
    pthread_t threads[CLIENTS];
    must(listen(server, 0));
    for (int i = 0; i < CLIENTS; i++) threads[i] = spawn(connect_and_wait, NULL);
    for (int i = 0; i < CLIENTS; i++) {
        breathe();
        int fd = must(accept(server, NULL, NULL));
        send_all(fd, "x", 1);
        must(close(fd));
    }
    for (int i = 0; i < CLIENTS; i++) join(threads[i]);
    puts("all served");
}

int main(int argc, char **argv) {
    struct test tests[] = {CASE(udp), CASE(crowded_datagrams), CASE(crowded_listener)};
    return RUN(argc, argv, tests);
}
