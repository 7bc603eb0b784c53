/* Descriptors that come by SCM_RIGHTS are waited at like others, whatever they are, and whatever stood at their numbers
 * before; credentials; names without a file; records. Another thread gets on meanwhile, and ends each wait. */
#include "prog.h"
#include <poll.h>
#include <stddef.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/timerfd.h>

static int ends[2];

/* Sends `count` descriptors with one byte. */
static void pass(int to, const int *fds, int count) {
    char control[CMSG_SPACE(8 * sizeof(int))] = {0}, byte = 'x';
    struct iovec part = {&byte, 1};
    struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1, .msg_control = control, .msg_controllen = CMSG_SPACE(count * sizeof(int))};
    struct cmsghdr *header = CMSG_FIRSTHDR(&message);
    *header = (struct cmsghdr){.cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS, .cmsg_len = CMSG_LEN(count * sizeof(int))};
    memcpy(CMSG_DATA(header), fds, count * sizeof(int));
    check(must(sendmsg(to, &message, 0)) == 1);
}

/* Waits for a message; how many descriptors came, in `fds`. */
static int take(int from, int *fds, int flags) {
    char control[CMSG_SPACE(8 * sizeof(int))], byte;
    struct iovec part = {&byte, 1};
    struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};
    check(must(recvmsg(from, &message, flags)) == 1);
    struct cmsghdr *header = CMSG_FIRSTHDR(&message);
    check(header && header->cmsg_type == SCM_RIGHTS);
    int count = (header->cmsg_len - CMSG_LEN(0)) / sizeof(int);
    memcpy(fds, CMSG_DATA(header), count * sizeof(int));
    return count;
}

/* One of each kind; `other` makes it ready. */
enum { TCP, LOCAL, LETTERS, PIPE, EVENT, TIMER, LISTENER, LOOP, TERMINAL, KINDS };
static struct sockaddr_in address;
static int other[KINDS];

static int make(int kind) {
    int pair[2], fd;
    switch (kind) {
    case TCP: tcp_pair(pair); break;
    case LOCAL: must(socketpair(AF_UNIX, SOCK_STREAM, 0, pair)); break;
    case LETTERS: must(socketpair(AF_UNIX, SOCK_DGRAM, 0, pair)); break;
    case PIPE: must(pipe(pair)); break;
    case EVENT: pair[0] = must(eventfd(0, EFD_SEMAPHORE)), pair[1] = must(dup(pair[0])); break;
    case TIMER: pair[0] = must(timerfd_create(CLOCK_MONOTONIC, 0)), pair[1] = must(dup(pair[0])); break;
    case LISTENER: pair[0] = listener(4, &address), pair[1] = -1; break;
    case LOOP:
        pair[0] = must(epoll_create1(0)), pair[1] = must(eventfd(0, 0));
        must(epoll_ctl(pair[0], EPOLL_CTL_ADD, pair[1], &(struct epoll_event){.events = EPOLLIN}));
        break;
    default:
        pair[1] = must(posix_openpt(O_RDWR | O_NOCTTY));
        must(grantpt(pair[1])), must(unlockpt(pair[1]));
        fd = must(open(ptsname(pair[1]), O_RDWR | O_NOCTTY));
        pair[0] = fd;
    }
    other[kind] = pair[1];
    return pair[0];
}

static void make_ready(int kind) {
    struct itimerspec soon = {.it_value.tv_nsec = 1};
    uint64_t one = 1;
    switch (kind) {
    case EVENT: case LOOP: send_all(other[kind], &one, 8); break;
    case TIMER: must(timerfd_settime(other[kind], 0, &soon, NULL)); break;
    case LISTENER: must(close(dial(&address))); break;
    default: send_all(other[kind], "hello\n", 6);
    }
}

static long wait_at(int kind, int fd) {
    char bytes[8];
    struct epoll_event event;
    if (kind == LISTENER) return accept(fd, NULL, NULL) >= 0;
    if (kind == LOOP) return epoll_wait(fd, &event, 1, -1);
    return read(fd, bytes, sizeof bytes);
}

static volatile sig_atomic_t turn;

/* Takes a descriptor of each kind in turn, and waits at it; the number is the same each time. */
static void *waits(void *arg) {
    for (int kind = 0; kind < KINDS; kind++) {
        int fd;
        check(take(ends[0], &fd, kind % 2 ? MSG_CMSG_CLOEXEC : 0) == 1);
        printf("closes at exec: %d\n", must(fcntl(fd, F_GETFD)));
        turn = kind + 1;
        long given = wait_at(kind, fd);
        printf("%d: %ld\n", kind, given);
        must(close(fd));
    }
    return arg;
}

static void kinds(void) {
    must(socketpair(AF_UNIX, SOCK_STREAM, 0, ends));
    pthread_t thread = spawn(waits, NULL);
    for (int kind = 0; kind < KINDS; kind++) {
        int fd = make(kind);
        tick();
        pass(ends[1], &fd, 1);
        must(close(fd));
        while (turn <= kind) breathe();
        tick();
        make_ready(kind);
    }
    join(thread);
}

/* Many at once, over records, and an end that lives in a message alone. */
static void *take_many(void *arg) {
    int fds[8];
    char byte;
    printf("%d came\n", take(ends[0], fds, 0));
    for (int i = 0; i < 4; i++) show(read(fds[i], &byte, 1));
    return arg;
}

static void many(void) {
    int pairs[4][2], fds[4];
    must(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, ends));
    pthread_t thread = spawn(take_many, NULL);
    for (int i = 0; i < 4; i++) {
        if (i % 2) must(pipe(pairs[i]));
        else must(socketpair(AF_UNIX, SOCK_STREAM, 0, pairs[i]));
        fds[i] = pairs[i][0];
    }
    tick();
    pass(ends[1], fds, 4);
    for (int i = 0; i < 4; i++) must(close(fds[i]));
    for (int i = 0; i < 3; i++) tick(), send_all(pairs[i][1], "x", 1);
    tick();
    must(close(pairs[3][1]));
    join(thread);
}

static void *nothing(void *arg) { return arg; }

/* A parent hands each connection to a child that waits for it, as servers do. */
static void to_child(void) {
    int status;
    char byte;
    must(socketpair(AF_UNIX, SOCK_STREAM, 0, ends));
    join(spawn(nothing, NULL));
    pid_t child = must(fork());
    if (!child) {
        int fd;
        check(take(ends[0], &fd, 0) == 1);
        read_all(fd, &byte, 1);
        send_all(fd, &byte, 1);
        _exit(0);
    }
    int server = listener(4, &address), client = dial(&address), fd = must(accept(server, NULL, NULL));
    pass(ends[1], &fd, 1);
    must(close(fd));
    tick();
    send_all(client, "c", 1);
    read_all(client, &byte, 1);
    must(waitpid(child, &status, 0));
    printf("%c %d\n", byte, status);
}

/* Credentials come with each message. */
static void *take_credentials(void *arg) {
    char control[CMSG_SPACE(sizeof(struct ucred))], byte;
    struct iovec part = {&byte, 1};
    struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};
    show(recvmsg(ends[0], &message, MSG_WAITALL));
    struct cmsghdr *header = CMSG_FIRSTHDR(&message);
    check(header && header->cmsg_type == SCM_CREDENTIALS);
    struct ucred *from = (struct ucred *)CMSG_DATA(header);
    printf("from here: %d %d\n", from->pid == getpid(), from->uid == getuid());
    return arg;
}

static void credentials(void) {
    must(socketpair(AF_UNIX, SOCK_STREAM, 0, ends));
    must(setsockopt(ends[0], SOL_SOCKET, SO_PASSCRED, &(int){1}, sizeof(int)));
    pthread_t thread = spawn(take_credentials, NULL);
    tick();
    send_all(ends[1], "x", 1);
    join(thread);
}

/* Names without a file: connected from several threads; records keep their boundaries, and their ends. */
static int server;
static struct sockaddr_un name;
static socklen_t length;

static void *call(void *arg) {
    int fd = must(socket(AF_UNIX, SOCK_SEQPACKET, 0));
    char bytes[64];
    must(connect(fd, (struct sockaddr *)&name, length));
    for (int i = 1; i <= 3; i++) check(must(send(fd, "record", i, 0)) == i);
    struct msghdr message = {.msg_iov = &(struct iovec){bytes, 4}, .msg_iovlen = 1};
    check(must(recvmsg(fd, &message, 0)) == 4);
    check(message.msg_flags & MSG_TRUNC); /* the rest of the record is lost */
    check(must(recv(fd, bytes, sizeof bytes, MSG_PEEK | MSG_TRUNC)) == 9);
    check(must(recv(fd, bytes, 2, MSG_TRUNC)) == 9);
    check(must(read(fd, bytes, sizeof bytes)) == 0);
    must(close(fd));
    return arg;
}

static void records(void) {
    pthread_t threads[4];
    char bytes[64];
    server = must(socket(AF_UNIX, SOCK_SEQPACKET, 0));
    name.sun_family = AF_UNIX;
    length = offsetof(struct sockaddr_un, sun_path) + 1 + snprintf(name.sun_path + 1, 100, "passed-%d", getpid());
    must(bind(server, (struct sockaddr *)&name, length));
    must(listen(server, 1));
    for (int i = 0; i < 4; i++) threads[i] = spawn(call, NULL);
    for (int i = 0; i < 4; i++) {
        tick();
        int fd = must(accept(server, NULL, NULL));
        for (int size = 1; size <= 3; size++) check(must(read(fd, bytes, sizeof bytes)) == size);
        tick();
        check(must(send(fd, "cut short", 9, 0)) == 9 && must(write(fd, "cut again", 9)) == 9);
        must(close(fd));
    }
    for (int i = 0; i < 4; i++) join(threads[i]);
}

int main(int argc, char **argv) {
    struct test tests[] = {CASE(kinds), CASE(many), CASE(to_child), CASE(credentials), CASE(records)};
    return RUN(argc, argv, tests);
}
