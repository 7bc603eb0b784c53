/* Descriptors of eventlet_* are green in every call, whatever is patched: the other end is a thread of the same hub, and
 * nothing here would go on if a call kept the hub. */
#include "capi.h"

#include <poll.h>
#include <spawn.h>
#include <sys/epoll.h>
#include <sys/select.h>
#include <sys/sendfile.h>
#include <sys/syscall.h>
#include <sys/uio.h>

static int door, near, far, tube[2];
static char address[32], block[1 << 16];

static void opens(void) {
    struct sockaddr_in name;
    socklen_t length = sizeof name;
    door = must(eventlet_listen("127.0.0.1:0", NULL));
    must(getsockname(door, (struct sockaddr *)&name, &length));
    snprintf(address, sizeof address, "127.0.0.1:%d", ntohs(name.sin_port));
    near = must(eventlet_connect(address, NULL)), far = must(accept(door, NULL, NULL));
    must(pipe(tube));
}
static void closes(void) { close(door), close(near), close(far), close(tube[0]), close(tube[1]); }

static void *says(void *arg) {
    eventlet_sleep(0);
    return N(write((int)(intptr_t)arg, "x", 1));
}

/* Each takes the one byte that comes. */
#define VECTOR {.iov_base = block, .iov_len = 9}
#define MESSAGE {.msg_iov = &(struct iovec)VECTOR, .msg_iovlen = 1}
#define READS(name, call) static long name(int fd) { return call; }
READS(by_read, read(fd, block, 9))
READS(by_readv, readv(fd, &(struct iovec)VECTOR, 1))
READS(by_preadv2, preadv2(fd, &(struct iovec)VECTOR, 1, -1, 0))
READS(by_recv, recv(fd, block, 9, 0))
READS(by_recvfrom, recvfrom(fd, block, 9, 0, NULL, NULL))
READS(by_recvmsg, recvmsg(fd, &(struct msghdr)MESSAGE, 0))
READS(by_recvmmsg, recvmmsg(fd, &(struct mmsghdr){.msg_hdr = MESSAGE}, 1, 0, NULL))
READS(by_number, syscall(SYS_read, fd, block, 9))
READS(by_vector_number, syscall(SYS_readv, fd, &(struct iovec)VECTOR, 1))
READS(by_splice, splice(fd, NULL, tube[1], NULL, 9, 0) == 1 ? read(tube[0], block, 9) : -1)
READS(by_splice_number, syscall(SYS_splice, fd, NULL, tube[1], NULL, 9, 0) == 1 ? read(tube[0], block, 9) : -1)
READS(after_poll, poll(&(struct pollfd){fd, POLLIN, 0}, 1, -1) == 1 ? by_read(fd) : -1)
READS(after_ppoll, ppoll(&(struct pollfd){fd, POLLIN, 0}, 1, NULL, NULL) == 1 ? by_read(fd) : -1)
READS(after_poll_of_two, poll((struct pollfd[]){{tube[0], POLLIN, 0}, {fd, POLLIN, 0}}, 2, -1) == 1 ? by_read(fd) : -1)
static long after_select(int fd) {
    fd_set set;
    FD_ZERO(&set);
    FD_SET(fd, &set);
    return select(fd + 1, &set, NULL, NULL, NULL) == 1 ? by_read(fd) : -1;
}
static long after_pselect(int fd) {
    fd_set set;
    FD_ZERO(&set);
    FD_SET(fd, &set);
    FD_SET(tube[0], &set);
    return pselect(1024, &set, NULL, NULL, NULL, NULL) == 1 ? by_read(fd) : -1;
}
static long after_epoll(int fd, int (*waits)(int, struct epoll_event *)) {
    struct epoll_event event = {.events = EPOLLIN};
    int inner = must(epoll_create1(0)), outer = must(epoll_create1(0));
    must(epoll_ctl(inner, EPOLL_CTL_ADD, fd, &event));
    must(epoll_ctl(outer, EPOLL_CTL_ADD, inner, &event));
    check(waits(outer, &event) == 1 && waits(inner, &event) == 1);
    close(inner), close(outer);
    return by_read(fd);
}
static int waits(int fd, struct epoll_event *event) { return epoll_wait(fd, event, 1, -1); }
static int pwaits(int fd, struct epoll_event *event) { return epoll_pwait(fd, event, 1, -1, NULL); }
static int pwaits2(int fd, struct epoll_event *event) { return epoll_pwait2(fd, event, 1, NULL, NULL); }
READS(after_epoll_wait, after_epoll(fd, waits))
READS(after_epoll_pwait, after_epoll(fd, pwaits))
READS(after_epoll_pwait2, after_epoll(fd, pwaits2))
/* Duplicates. */
static long from(int other) {
    long got = by_read(other);
    close(other);
    return got;
}
READS(from_dup, from(must(dup(fd))))
READS(from_dup2, from(must(dup2(fd, 90))))
READS(from_dup3, from(must(dup3(fd, 90, O_CLOEXEC))))
READS(from_fcntl, from(must(fcntl(fd, F_DUPFD, 90))))
static long from_stream(int fd) {
    FILE *stream = fdopen(dup(fd), "r");
    long got = fgetc(stream) == 'x' ? 1 : -1;
    fclose(stream);
    return got;
}

static long (*const readers[])(int) = {
    by_read, by_readv, by_preadv2, by_recv, by_recvfrom, by_recvmsg, by_recvmmsg, by_number, by_vector_number, by_splice,
    by_splice_number, after_poll, after_ppoll, after_poll_of_two, after_select, after_pselect, after_epoll_wait, after_epoll_pwait,
    after_epoll_pwait2, from_dup, from_dup2, from_dup3, from_fcntl, from_stream};

static void all_read(void) {
    for (size_t i = 0; i < sizeof readers / sizeof *readers; i++) {
        eventlet_thread *writer = eventlet_spawn(says, N(far));
        errno = 0;
        if (readers[i](near) != 1) fprintf(stderr, "reader %zu\n", i), die("it reads");
        check(ended(writer) == 0);
    }
}

static void reads(void) {
    opens();
    all_read();
    closes();
}

/* Each writes something to a socket that has no room. */
#define FULL {.iov_base = block, .iov_len = sizeof block}
#define FULL_MESSAGE {.msg_iov = &(struct iovec)FULL, .msg_iovlen = 1}
READS(to_write, write(fd, block, sizeof block))
READS(to_writev, writev(fd, &(struct iovec)FULL, 1))
READS(to_pwritev2, pwritev2(fd, &(struct iovec)FULL, 1, -1, 0))
READS(to_send, send(fd, block, sizeof block, 0))
READS(to_sendto, sendto(fd, block, sizeof block, 0, NULL, 0))
READS(to_sendmsg, sendmsg(fd, &(struct msghdr)FULL_MESSAGE, 0))
READS(to_number, syscall(SYS_write, fd, block, sizeof block))
READS(to_printf, dprintf(fd, "%05000d", 7))
static long to_sendmmsg(int fd) {
    struct mmsghdr message = {.msg_hdr = FULL_MESSAGE};
    return sendmmsg(fd, &message, 1, 0) == 1 ? (long)message.msg_len : -1;
}
static long to_sendfile(int fd) {
    int file = must(open("/proc/self/exe", O_RDONLY));
    long sent = sendfile(fd, file, NULL, 5000);
    close(file);
    return sent;
}
static long to_splice(int fd) {
    check(write(tube[1], block, 5000) == 5000);
    return splice(tube[0], NULL, fd, NULL, 5000, 0);
}
static long to_stream(int fd) {
    FILE *stream = fdopen(dup(fd), "w");
    long sent = fwrite(block, 1, 5000, stream);
    check(fclose(stream) == 0);
    return sent;
}

static long (*const writers[])(int) = {to_write, to_writev, to_pwritev2, to_send, to_sendto, to_sendmsg, to_number, to_printf, to_sendmmsg, to_sendfile, to_splice, to_stream};

static void *drains(void *arg) {
    long got, all = 0;
    eventlet_sleep(0);
    while ((got = recv((int)(intptr_t)arg, block, sizeof block, 0)) > 0) all += got;
    check(got == 0);
    return N(all);
}

static void all_write(void) {
    for (size_t i = 0; i < sizeof writers / sizeof *writers; i++) {
        int one = must(eventlet_connect(address, NULL)), other = must(accept(door, NULL, NULL));
        long sent, all = 0;
        while ((sent = send(one, block, sizeof block, MSG_DONTWAIT)) > 0) all += sent;
        void *drained;
        eventlet_thread *reader = eventlet_spawn(drains, N(other));
        errno = 0;
        sent = writers[i](one);
        if (sent <= 0) fprintf(stderr, "writer %zu\n", i), die("it writes");
        must(shutdown(one, SHUT_WR));
        check(eventlet_wait(reader, &drained) == 0 && drained == N(all + sent));
        eventlet_release(reader);
        close(one), close(other);
    }
}

static void writes(void) {
    opens();
    all_write();
    closes();
}

static void *connects(void *arg) {
    eventlet_sleep(0);
    return N(must(eventlet_connect(arg, NULL)));
}
READS(by_accept, accept(fd, NULL, NULL))
READS(by_accept4, accept4(fd, NULL, NULL, SOCK_CLOEXEC))
READS(by_accept_number, syscall(SYS_accept, fd, NULL, NULL))

static void all_accept(void) {
    static long (*const accepts[])(int) = {by_accept, by_accept4, by_accept_number};
    for (size_t i = 0; i < sizeof accepts / sizeof *accepts; i++) {
        void *client;
        eventlet_thread *thread = eventlet_spawn(connects, address);
        int server = must(accepts[i](door));
        check(eventlet_wait(thread, &client) == 0);
        eventlet_release(thread);
        thread = eventlet_spawn(says, client);
        check(by_read(server) == 1 && ended(thread) == 0);
        close(server), close((int)(intptr_t)client);
    }
}

static void accepts(void) {
    opens();
    all_accept();
    closes();
}

/* All of it in a fork child. */
static void all(void) { all_read(), all_write(), all_accept(); }

static void child(void (*does)(void)) {
    int status;
    pid_t child = must(fork());
    if (!child) does(), _exit(0);
    check(must(waitpid(child, &status, 0)) == child && status == 0);
}
static void grandchild(void) { child(all); }
static void *forks(void *does) {
    child((void (*)(void))does);
    return NULL;
}
static void inherited(void) {
    opens();
    child(all);
    child(grandchild);
    check(ended(eventlet_spawn(forks, (void *)all)) == 0);
    all();
    closes();
}

/* What it does before anything of Eventlet's. */
static void duplicates(void) {
    int other = dup(near), third = dup2(near, 91), fourth = fcntl(near, F_DUPFD, 92);
    close(near);
    for (int fd = near = other; fd; fd = fd == other ? third : fd == third ? fourth : 0) {
        eventlet_thread *writer = eventlet_spawn(says, N(far));
        check(by_read(fd) == 1 && ended(writer) == 0);
    }
    all();
}
static void runs_program(void) {
    posix_spawn_file_actions_t actions;
    zero(posix_spawn_file_actions_init(&actions));
    zero(posix_spawn_file_actions_addclose(&actions, door));
    zero(posix_spawn_file_actions_adddup2(&actions, 0, near));
    pid_t pid;
    zero(posix_spawn(&pid, "/bin/true", &actions, NULL, (char *[]){"true", NULL}, (char *[]){NULL}));
    must(waitpid(pid, NULL, 0));
    all();
}

/* A number that it closes is an ordinary one, whoever has it next. */
static void is_ordinary(int fd) {
    eventlet_thread *writer = eventlet_spawn(says, N(tube[1]));
    if (!eventlet_patched()) {
        struct pollfd never = {fd, POLLIN, 0};
        check(poll(&never, 1, 30) == 0 && !eventlet_dead(writer));
        check(ended(writer) == 0 && by_read(fd) == 1);
    } else {
        check(by_read(fd) == 1 && ended(writer) == 0);
    }
}
static void is_taken(void) { check(fcntl(tube[0], F_DUPFD, near) == near), is_ordinary(near); }
static void by_close(void) { must(close(near)), is_taken(); }
static void by_range(void) { must(close_range(near, near, 0)), is_taken(); }
static void by_fclose(void) { zero(fclose(fdopen(near, "r"))), is_taken(); }
static void by_dup2(void) { must(dup2(tube[0], near)), is_ordinary(near); }
static void by_dup3(void) { must(dup3(tube[0], near, O_CLOEXEC)), is_ordinary(near); }

static void given_up(void) {
    static void (*const ways[])(void) = {duplicates, runs_program, by_close, by_range, by_fclose, by_dup2, by_dup3};
    opens();
    for (size_t i = 0; i < sizeof ways / sizeof *ways; i++) child(ways[i]);
    all();
    closes();
}

int main(int argc, char **argv) {
    struct test tests[] = {CASE(reads), CASE(writes), CASE(accepts), CASE(inherited), CASE(given_up)};
    return RUN(argc, argv, tests);
}
