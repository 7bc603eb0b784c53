/* Every call that reads or writes, on every kind of descriptor, and every way in which its wait can end. While one thread
 * waits, another gets on, and then ends the wait. */
#include "prog.h"
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <termios.h>

enum { TCP, LOCAL, RECORDS, LETTERS, UDP, PIPE, PACKETS, FIFO, KINDS };
static const char *names[] = {"tcp", "local", "records", "letters", "udp", "pipe", "packets", "fifo"};
#define STREAMS (1 << TCP | 1 << LOCAL)
#define SOCKETS (STREAMS | 1 << RECORDS | 1 << LETTERS | 1 << UDP)
#define PIPES (1 << PIPE | 1 << PACKETS | 1 << FIFO)
#define ALL (SOCKETS | PIPES)
/* Those whose receiver cannot lose a letter: they can be full. */
#define FILLED (ALL & ~(1 << UDP))

enum { LARGE = 1000000 };
static int kind, in, out, aside[2], file;
static char bytes[LARGE], room[LARGE];
static long wait_us; /* SO_RCVTIMEO and SO_SNDTIMEO */

static void fifo(int ends[2]) {
    char path[64];
    snprintf(path, sizeof path, "/tmp/every-wait-%d", getpid());
    must(mkfifo(path, 0600));
    int both = must(open(path, O_RDWR));
    ends[0] = must(open(path, O_RDONLY)), ends[1] = must(open(path, O_WRONLY));
    must(close(both)), must(unlink(path));
}

static void udp(int ends[2]) {
    for (int i = 0; i < 2; i++) ends[i] = must(socket(AF_INET, SOCK_DGRAM, 0));
    struct sockaddr_in to[2];
    for (int i = 0; i < 2; i++) {
        socklen_t size = sizeof *to;
        to[i] = (struct sockaddr_in){.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
        must(bind(ends[i], (struct sockaddr *)&to[i], size));
        must(getsockname(ends[i], (struct sockaddr *)&to[i], &size));
    }
    for (int i = 0; i < 2; i++) must(connect(ends[i], (struct sockaddr *)&to[!i], sizeof *to));
}

static void make(void) {
    int ends[2];
    switch (kind) {
    case TCP:
        tcp_pair(ends);
        /* A size that was set does not grow. */
        must(setsockopt(ends[0], SOL_SOCKET, SO_RCVBUF, &(int){50000}, sizeof(int)));
        must(setsockopt(ends[1], SOL_SOCKET, SO_SNDBUF, &(int){50000}, sizeof(int)));
        break;
    case LOCAL: must(socketpair(AF_UNIX, SOCK_STREAM, 0, ends)); break;
    case RECORDS: must(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, ends)); break;
    case LETTERS: must(socketpair(AF_UNIX, SOCK_DGRAM, 0, ends)); break;
    case UDP: udp(ends); break;
    case PIPE: must(pipe(ends)); break;
    case PACKETS: must(pipe2(ends, O_DIRECT)); break;
    default: fifo(ends);
    }
    in = ends[0], out = ends[1];
    must(pipe(aside));
    struct timeval time = {wait_us / 1000000, wait_us % 1000000};
    if (wait_us) must(setsockopt(in, SOL_SOCKET, SO_RCVTIMEO, &time, sizeof time));
    if (wait_us) must(setsockopt(out, SOL_SOCKET, SO_SNDTIMEO, &time, sizeof time));
}

static void unmake(void) {
    if (in >= 0) must(close(in));
    if (out >= 0) must(close(out));
    must(close(aside[0])), must(close(aside[1]));
}

/* What one call writes: a record, or more than fits. */
static size_t size(void) { return 1 << kind & (STREAMS | 1 << PIPE | 1 << FIFO) ? LARGE : 1000; }

/* Writes until nothing more goes. Of TCP, something may still be on its way. */
static void fill(void) {
    must(fcntl(out, F_SETFL, fcntl(out, F_GETFL) | O_NONBLOCK));
    for (int quiet = 0; quiet < (kind == TCP ? 3 : 1); quiet++) {
        while (write(out, bytes, 1000) > 0) quiet = 0;
        check(errno == EAGAIN);
        if (kind == TCP) breathe();
    }
    must(fcntl(out, F_SETFL, fcntl(out, F_GETFL) & ~O_NONBLOCK));
}

static struct iovec two[2];
static struct iovec *parts(char *from, size_t length) {
    two[0] = (struct iovec){from, length / 2}, two[1] = (struct iovec){from + length / 2, length - length / 2};
    return two;
}
static struct msghdr message(char *from, size_t length) { return (struct msghdr){.msg_iov = parts(from, length), .msg_iovlen = 2}; }

static long by_read(void) { return read(in, room, 5); }
static long by_readv(void) { return readv(in, parts(room, 5), 2); }
static long by_preadv2(void) { return preadv2(in, parts(room, 5), 2, -1, 0); }
static long by_recv(void) { return recv(in, room, 5, 0); }
static long by_recvfrom(void) { return recvfrom(in, room, 5, 0, &(struct sockaddr){0}, &(socklen_t){0}); }
static long by_recvmsg(void) { return recvmsg(in, &(struct msghdr){.msg_iov = parts(room, 5), .msg_iovlen = 2}, 0); }
static long by_waitall(void) { return recv(in, room, 5, MSG_WAITALL); }
static long by_recvmsg_waitall(void) { return recvmsg(in, &(struct msghdr){.msg_iov = parts(room, 5), .msg_iovlen = 2}, MSG_WAITALL); }
static long by_peek(void) { return recv(in, room, 5, MSG_PEEK); }
static long by_recvmmsg(void) { return recvmmsg(in, &(struct mmsghdr){message(room, 5), 0}, 1, 0, NULL); }
static long by_splice(void) {
    long n = splice(in, NULL, aside[1], NULL, 5, 0);
    int before = errno;
    if (n > 0) check(read(aside[0], room, 5) == n);
    errno = before;
    return n;
}
static long by_tee(void) {
    long n = tee(in, aside[1], 5, 0);
    int before = errno;
    if (n > 0) check(read(aside[0], room, 5) == n);
    errno = before;
    return n;
}

static long by_write(void) { return write(out, bytes, size()); }
static long by_writev(void) { return writev(out, parts(bytes, size()), 2); }
static long by_pwritev2(void) { return pwritev2(out, parts(bytes, size()), 2, -1, 0); }
static long by_send(void) { return send(out, bytes, size(), 0); }
static long by_quiet_send(void) { return send(out, bytes, size(), MSG_NOSIGNAL); }
static long by_sendto(void) { return sendto(out, bytes, size(), 0, NULL, 0); }
static long by_sendmsg(void) {
    struct msghdr whole = message(bytes, size());
    return sendmsg(out, &whole, 0);
}
static long by_sendmmsg(void) { return sendmmsg(out, &(struct mmsghdr){message(bytes, size()), 0}, 1, 0); }
static long by_sendfile(void) { return sendfile(out, file, &(off_t){0}, size()); }
static long by_splice_out(void) { return splice(aside[0], NULL, out, NULL, 1000, 0); }
static long by_vmsplice(void) { return vmsplice(out, &(struct iovec){bytes, 1000}, 1, 0); }

struct call {
    const char *name;
    long (*run)(void);
    int kinds;
};
static const struct call reads[] = {
    {"read", by_read, ALL},           {"readv", by_readv, ALL},           {"preadv2", by_preadv2, ALL},
    {"recv", by_recv, SOCKETS},       {"recvfrom", by_recvfrom, SOCKETS}, {"recvmsg", by_recvmsg, SOCKETS},
    {"waitall", by_waitall, SOCKETS}, {"recvmsg waitall", by_recvmsg_waitall, SOCKETS},
    {"peek", by_peek, SOCKETS},       {"recvmmsg", by_recvmmsg, SOCKETS}, {"splice", by_splice, STREAMS | PIPES}, {"tee", by_tee, PIPES}};
static const struct call writes[] = {
    {"write", by_write, FILLED},   {"writev", by_writev, FILLED},             {"pwritev2", by_pwritev2, FILLED},
    {"send", by_send, SOCKETS},    {"send, no signal", by_quiet_send, SOCKETS}, {"sendto", by_sendto, SOCKETS},
    {"sendmsg", by_sendmsg, SOCKETS}, {"sendmmsg", by_sendmmsg, SOCKETS},      {"sendfile", by_sendfile, 1 << LOCAL | 1 << PIPE},
    {"splice", by_splice_out, PIPES}, {"vmsplice", by_vmsplice, PIPES}};
#define COUNT(calls) (sizeof(calls) / sizeof *(calls))

/* The thread that waits. */
static const struct call *current;
static pthread_t waiter;
static volatile sig_atomic_t started, left, handled, broken;
static long given;
static int error;

static void on_signal(int sig) { (void)sig, handled++; }
static void on_pipe(int sig) { (void)sig, broken++; }

static void *wait_in(void *arg) {
    started = 1;
    given = current->run();
    error = errno;
    left = 1;
    return arg;
}

static pthread_t begin(const struct call *call) {
    current = call, started = left = handled = broken = 0;
    memset(room, 0, 5);
    waiter = spawn(wait_in, NULL);
    while (!started) usleep(100);
    breathe();
    return waiter;
}

/* `reads`: whether it is one that reads. How much of a large write went, is chance. */
static void ended(pthread_t thread, int reading) {
    join(thread);
    printf("%s %s: ", names[kind], current->name);
    if (given < 0) printf("%s", strerrorname_np(error));
    else if (reading || given <= 1000 || given == (long)size()) printf("%ld", given);
    else printf("a part");
    if (reading && given > 0) printf(" %.5s", room);
    if (broken) printf(", SIGPIPE %d", broken);
    puts("");
}

/* Runs each call of a list on each kind that it and `kinds` know, until `end` has ended its wait. */
static void each(const struct call *calls, size_t count, int kinds, void (*end)(void), int reading) {
    struct sigaction action = {.sa_handler = on_pipe};
    must(sigaction(SIGPIPE, &action, NULL));
    for (kind = 0; kind < KINDS; kind++)
        for (size_t i = 0; i < count; i++) {
            if (!(calls[i].kinds & kinds & 1 << kind)) continue;
            make();
            if (!reading) fill(), send_all(aside[1], bytes, 1000);
            pthread_t thread = begin(&calls[i]);
            end();
            ended(thread, reading);
            unmake();
        }
}
#define READS(kinds, end) each(reads, COUNT(reads), kinds, end, 1)
#define WRITES(kinds, end) each(writes, COUNT(writes), (kinds) & FILLED, end, 0)

/* What is asked for; half of it first, where that is not enough. */
static void fulfil(void) {
    int halves = 1 << kind & STREAMS && strstr(current->name, "waitall");
    if (halves) send_all(out, "he", 2), breathe(), check(!left);
    send_all(out, "hello" + 2 * halves, 5 - 2 * halves);
}

static void drain(void) {
    while (!left) {
        struct pollfd one = {in, POLLIN, 0};
        if (poll(&one, 1, 1) > 0) must(read(in, room, sizeof room));
    }
}

/* Signals until it has left. */
static void disturb(void) {
    while (!left) zero(pthread_kill(waiter, SIGUSR1)), breathe();
}

/* Signals, and then what it waits for. */
static void pester(void) {
    while (handled < 3) zero(pthread_kill(waiter, SIGUSR1)), breathe();
    check(!left);
}
static void pester_and_fulfil(void) { pester(), fulfil(); }
static void pester_and_drain(void) { pester(), drain(); }

static void nothing(void) {}

static void close_out(void) { must(close(out)), out = -1; }
static void close_in(void) { must(close(in)), in = -1; }
static void shut_out(void) { must(shutdown(out, SHUT_WR)); }
static void shut_in(void) { shutdown(in, SHUT_RD); }
static void reset(int fd) {
    struct linger at_once = {1, 0};
    must(setsockopt(fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once));
}
static void reset_out(void) { reset(out), close_out(); }
static void reset_in(void) { reset(in), close_in(); }

static void handle(int flags) {
    struct sigaction action = {.sa_handler = on_signal, .sa_flags = flags};
    must(sigaction(SIGUSR1, &action, NULL));
}

static void fulfilled(void) { READS(ALL, fulfil); }
static void drained(void) { WRITES(ALL, drain); }
static void closed(void) {
    READS(STREAMS | 1 << RECORDS | PIPES, close_out);
    WRITES(1 << LOCAL | 1 << RECORDS | PIPES, close_in);
}
/* That an end of AF_UNIX was shut down tells no edge: a few calls are enough. */
static void shut(void) {
    READS(STREAMS | 1 << RECORDS, shut_out);
    READS(SOCKETS, shut_in);
    WRITES(1 << TCP, shut_out);
    each(writes, 1, 1 << LOCAL | 1 << RECORDS, shut_out, 0);
    each(writes, 2, 1 << LOCAL | 1 << RECORDS, shut_in, 0);
}
static void resets(void) {
    READS(1 << TCP, reset_out);
    WRITES(1 << TCP, reset_in);
}
static void interrupted(void) {
    handle(0);
    READS(ALL, disturb);
    WRITES(ALL, disturb);
}
static void restarted(void) {
    handle(SA_RESTART);
    READS(ALL, pester_and_fulfil);
    WRITES(ALL, pester_and_drain);
}
/* A time is the socket's own; nothing restarts then. */
static void timed(void) {
    handle(SA_RESTART);
    wait_us = 5000;
    READS(SOCKETS, nothing);
    WRITES(SOCKETS, nothing);
    wait_us = 60000000;
    READS(SOCKETS, disturb);
    WRITES(SOCKETS, disturb);
}

int main(int argc, char **argv) {
    char path[] = "/tmp/every-wait-XXXXXX";
    file = must(mkstemp(path));
    must(unlink(path));
    send_all(file, bytes, sizeof bytes);
    struct test tests[] = {CASE(fulfilled), CASE(drained), CASE(closed), CASE(shut), CASE(resets), CASE(interrupted), CASE(restarted), CASE(timed)};
    return RUN(argc, argv, tests);
}
