/* No number is free: accept, socket and kin say EMFILE, nothing is lost, and all goes on after a close. Every connection that
 * had to wait is served. */
#include "prog.h"
#include <poll.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/resource.h>

static struct sockaddr_in address;
static int server, ends[2];

/* All numbers below the limit are taken. */
static int last;
static void fill(void) {
    struct rlimit limit = {100, 100};
    must(getrlimit(RLIMIT_NOFILE, &limit));
    limit.rlim_cur = 100;
    must(setrlimit(RLIMIT_NOFILE, &limit));
    for (int fd; (fd = dup(0)) >= 0;) last = fd;
    printf("%s at %d\n", strerrorname_np(errno), last);
}

static void *accept_one(void *arg) {
    show(accept(server, NULL, NULL));
    return arg;
}

static volatile sig_atomic_t failed;

/* As a server does: it waits a little and tries again. */
static void *accept_stubbornly(void *arg) {
    char byte;
    int fd;
    while ((fd = accept4(server, NULL, NULL, SOCK_CLOEXEC)) < 0) check(errno == EMFILE), failed = 1, usleep(500);
    read_all(fd, &byte, 1);
    printf("got %c on %d\n", byte, fd);
    must(close(fd));
    return arg;
}

static void *nothing(void *arg) { return arg; }

static void accepts(void) {
    join(spawn(nothing, NULL));
    server = listener(8, &address);
    int clients[2] = {must(socket(AF_INET, SOCK_STREAM, 0)), must(socket(AF_INET, SOCK_STREAM, 0))};
    fill();
    must(connect(clients[0], (struct sockaddr *)&address, sizeof address));
    send_all(clients[0], "a", 1);
    show(accept(server, NULL, NULL));
    show(accept4(server, NULL, NULL, SOCK_NONBLOCK));
    struct pollfd one = {server, POLLIN, 0};
    show(poll(&one, 1, -1));
    pthread_t thread = spawn(accept_stubbornly, NULL);
    while (!failed) breathe();
    must(close(last));
    join(thread);
    must(dup2(0, last)); /* full again; one waits from before */
    thread = spawn(accept_one, NULL);
    breathe();
    must(connect(clients[1], (struct sockaddr *)&address, sizeof address));
    join(thread);
    send_all(clients[1], "b", 1);
    must(close(last));
    join(spawn(accept_stubbornly, NULL));
}

/* Whatever else makes a number. */
static void *make(void *arg) {
    int pair[2] = {-7, -7};
    show(socket(AF_INET, SOCK_STREAM, 0));
    show(pipe(pair)), show(pipe2(pair, O_CLOEXEC)), show(socketpair(AF_UNIX, SOCK_STREAM, 0, pair));
    show(dup(0)), show(fcntl(0, F_DUPFD, 0)), show(fcntl(0, F_DUPFD_CLOEXEC, 50)), show(dup2(0, 100)), show(dup2(0, 99));
    show(eventfd(0, 0)), show(epoll_create1(0)), show(open("/dev/null", O_RDONLY));
    printf("%d %d\n", pair[0], pair[1]);
    check(!fopen("/dev/null", "r"));
    printf("%s\n", strerrorname_np(errno));
    return arg;
}

static void makes(void) {
    join(spawn(nothing, NULL));
    fill();
    join(spawn(make, NULL));
    must(close(last)); /* one is free, and that is not enough for a pair */
    int pair[2];
    show(pipe(pair)), show(socketpair(AF_UNIX, SOCK_STREAM, 0, pair));
    show(socket(AF_INET, SOCK_STREAM, 0) == last);
}

/* A descriptor that is passed while no number is free is lost, and the message says so. */
static void *receive(void *arg) {
    char byte, control[CMSG_SPACE(sizeof(int))];
    struct iovec part = {&byte, 1};
    struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};
    show(recvmsg(ends[0], &message, 0));
    printf("cut %d, control %zu\n", (message.msg_flags & MSG_CTRUNC) != 0, (size_t)message.msg_controllen);
    return arg;
}

static void passes(void) {
    char control[CMSG_SPACE(sizeof(int))] = {0}, byte = 'x';
    struct iovec part = {&byte, 1};
    struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};
    struct cmsghdr *header = CMSG_FIRSTHDR(&message);
    *header = (struct cmsghdr){.cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS, .cmsg_len = CMSG_LEN(sizeof(int))};
    memcpy(CMSG_DATA(header), &(int){0}, sizeof(int));
    must(socketpair(AF_UNIX, SOCK_STREAM, 0, ends));
    join(spawn(nothing, NULL));
    fill();
    pthread_t thread = spawn(receive, NULL);
    breathe();
    must(sendmsg(ends[1], &message, 0));
    join(thread);
}

int main(int argc, char **argv) {
    struct test tests[] = {CASE(accepts), CASE(makes), CASE(passes)};
    return RUN(argc, argv, tests);
}
