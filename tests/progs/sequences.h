/* The calls of sequences.c: what each does in its worker. What is where stands in the conductor's model, sequences.c. */
#include "prog.h"
#include <poll.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/select.h>
#include <sys/uio.h>

enum { WORDS = 12, ROOM = 200000, FREE = 450, EVENTS = 8 };

/* One line of the sequence, and what it gave. `number` and `fd`: each word as a number, and as the descriptor in that slot. */
struct call {
    char text[96], store[96];
    char *word[WORDS];
    long number[WORDS];
    int fd[WORDS], words;
    const struct verb *verb;
    size_t size;
    long given;
    int error, fresh[2];
    char data[200];
    char *bytes;
};

/* What the conductor must know of a verb. Reads, writes: of the first slot. */
enum { READS = 1, WRITES = 2, LOOKS = 4, WAITS = 8, ENDS = 16, SETS = 32, SIZED = 64 };

struct verb {
    const char *name;
    long (*run)(struct call *);
    int traits;
};

static bool says(const struct call *c, int word, char letter) {
    return word < c->words && strchr(c->word[word], letter);
}

static int flags_of(const struct call *c, int word) {
    return (says(c, word, 'd') ? MSG_DONTWAIT : 0) | (says(c, word, 'p') ? MSG_PEEK : 0) | (says(c, word, 'w') ? MSG_WAITALL : 0) |
           (says(c, word, 't') ? MSG_TRUNC : 0) | (says(c, word, 's') ? MSG_NOSIGNAL : 0) | (says(c, word, 'o') ? MSG_OOB : 0);
}

/* Adds to what the call tells beside its result. */
__attribute__((format(printf, 2, 3))) static void add(struct call *c, const char *format, ...) {
    size_t used = strlen(c->data);
    va_list rest;
    va_start(rest, format);
    vsnprintf(c->data + used, sizeof c->data - used, format, rest);
    va_end(rest);
}

/* Runs of equal letters. */
static long came(struct call *c, long count) {
    for (long i = 0, end; i < count && i < ROOM; i = end) {
        for (end = i; end < count && end < ROOM && c->bytes[end] == c->bytes[i];) end++;
        add(c, " %c*%ld", c->bytes[i], end - i);
    }
    return count;
}

/* The call's bytes in three parts, the middle one empty. */
static struct iovec *parts(struct call *c, struct iovec *parts) {
    size_t half = c->size / 2;
    parts[0] = (struct iovec){c->bytes, half};
    parts[1] = (struct iovec){c->bytes, 0};
    parts[2] = (struct iovec){c->bytes + half, c->size - half};
    return parts;
}

static void fill(struct call *c) { memset(c->bytes, c->word[3][0], c->size); }

static long call_read(struct call *c) { return came(c, read(c->fd[1], c->bytes, c->size)); }

static long call_readv(struct call *c) {
    struct iovec vector[3];
    return came(c, readv(c->fd[1], parts(c, vector), 3));
}

static long call_recv(struct call *c) { return came(c, recv(c->fd[1], c->bytes, c->size, flags_of(c, 3))); }

static long call_recvmsg(struct call *c) {
    union {
        char bytes[CMSG_SPACE(sizeof(int))];
        struct cmsghdr align;
    } control;
    struct iovec vector[3];
    struct msghdr message = {.msg_iov = parts(c, vector), .msg_iovlen = 3, .msg_control = &control,
                             .msg_controllen = sizeof control};
    long count = came(c, recvmsg(c->fd[1], &message, flags_of(c, 3)));
    if (count < 0) return count;
    if (message.msg_flags & MSG_TRUNC) add(c, " truncated");
    if (message.msg_flags & MSG_CTRUNC) add(c, " control truncated");
    if (message.msg_flags & MSG_EOR) add(c, " record");
    struct cmsghdr *header = CMSG_FIRSTHDR(&message);
    if (header && header->cmsg_type == SCM_RIGHTS) memcpy(c->fresh, CMSG_DATA(header), sizeof(int)), add(c, " with a descriptor");
    return count;
}

static long call_write(struct call *c) { return fill(c), write(c->fd[1], c->bytes, c->size); }

static long call_writev(struct call *c) {
    struct iovec vector[3];
    return fill(c), writev(c->fd[1], parts(c, vector), 3);
}

static long call_send(struct call *c) { return fill(c), send(c->fd[1], c->bytes, c->size, flags_of(c, 4)); }

static long call_sendmsg(struct call *c) {
    struct iovec vector[3];
    struct msghdr message = {.msg_iov = parts(c, vector), .msg_iovlen = 3};
    return fill(c), sendmsg(c->fd[1], &message, flags_of(c, 4));
}

/* One byte with a descriptor; the conductor has put there what is in that slot. */
static long call_pass(struct call *c) {
    union {
        char bytes[CMSG_SPACE(sizeof(int))];
        struct cmsghdr align;
    } control = {{0}};
    struct iovec one = {c->bytes, 1};
    struct msghdr message = {.msg_iov = &one, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof control};
    struct cmsghdr *header = CMSG_FIRSTHDR(&message);
    *header = (struct cmsghdr){CMSG_LEN(sizeof(int)), SOL_SOCKET, SCM_RIGHTS};
    memcpy(CMSG_DATA(header), &c->fd[2], sizeof(int));
    return sendmsg(c->fd[1], &message, 0);
}

static long call_count(struct call *c) {
    uint64_t number = strtoull(c->word[2], NULL, 10);
    return write(c->fd[1], &number, sizeof number);
}

static long call_counted(struct call *c) {
    uint64_t number = 0;
    long count = read(c->fd[1], &number, sizeof number);
    if (count > 0) add(c, " counted %llu", (unsigned long long)number);
    return count;
}

static long call_pair(struct call *c) {
    const char *kind = c->word[3];
    int *ends = c->fresh;
    if (!strcmp(kind, "pipe")) return pipe(ends);
    if (!strcmp(kind, "tcp")) {
        tcp_pair(ends);
        int on = 1;
        for (int i = 0; i < 2; i++) must(setsockopt(ends[i], IPPROTO_TCP, TCP_NODELAY, &on, sizeof on));
        return 0;
    }
    int type = !strcmp(kind, "stream") ? SOCK_STREAM : !strcmp(kind, "dgram") ? SOCK_DGRAM : SOCK_SEQPACKET;
    return socketpair(AF_UNIX, type, 0, ends);
}

static long call_event(struct call *c) {
    return c->fresh[0] = eventfd(c->number[2], says(c, 3, 's') ? EFD_SEMAPHORE : 0);
}

static long call_epoll(struct call *c) { return c->fresh[0] = epoll_create1(EPOLL_CLOEXEC); }

static long call_socket(struct call *c) {
    c->fresh[0] = socket(says(c, 2, 'u') ? AF_UNIX : AF_INET, SOCK_STREAM, 0);
    int on = 1;
    if (!says(c, 2, 'u')) must(setsockopt(c->fresh[0], IPPROTO_TCP, TCP_NODELAY, &on, sizeof on));
    return c->fresh[0];
}

/* At an address that the kernel chooses. */
static long call_listen(struct call *c) {
    struct sockaddr_storage address;
    socklen_t size = sizeof address;
    memset(&address, 0, sizeof address);
    if (getsockname(c->fd[1], (struct sockaddr *)&address, &size)) return -1;
    if (address.ss_family == AF_INET) ((struct sockaddr_in *)&address)->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (bind(c->fd[1], (struct sockaddr *)&address, size)) return -1;
    return listen(c->fd[1], address.ss_family == AF_INET ? 64 : c->number[2]);
}

static long call_connect(struct call *c) {
    struct sockaddr_storage address;
    socklen_t size = sizeof address;
    memset(&address, 0, sizeof address);
    if (getsockname(c->fd[2], (struct sockaddr *)&address, &size)) return -1;
    return connect(c->fd[1], (struct sockaddr *)&address, size);
}

static long call_accept(struct call *c) {
    return c->fresh[0] = accept4(c->fd[1], NULL, NULL, says(c, 2, 'n') ? SOCK_NONBLOCK : 0);
}

static long call_dup(struct call *c) { return c->fresh[0] = dup(c->fd[1]); }
static long call_dupfd(struct call *c) { return c->fresh[0] = fcntl(c->fd[1], F_DUPFD_CLOEXEC, 30); }
static long call_dup2(struct call *c) { return dup2(c->fd[1], c->fd[2]); }
static long call_dup3(struct call *c) { return dup3(c->fd[1], c->fd[2], O_CLOEXEC); }
static long call_close(struct call *c) { return close(c->fd[1]); }
static long call_shutdown(struct call *c) { return shutdown(c->fd[1], c->number[2]); }

static long call_nonblock(struct call *c) {
    int flags = fcntl(c->fd[1], F_GETFL);
    if (flags < 0) return -1;
    return fcntl(c->fd[1], F_SETFL, c->number[2] ? flags | O_NONBLOCK : flags & ~O_NONBLOCK);
}

static long call_fionbio(struct call *c) {
    int on = c->number[2];
    return ioctl(c->fd[1], FIONBIO, &on);
}

static long timeout(struct call *c, int option) {
    struct timeval time = {0, c->number[2] * 1000};
    return setsockopt(c->fd[1], SOL_SOCKET, option, &time, sizeof time);
}

static long call_rcvtimeo(struct call *c) { return timeout(c, SO_RCVTIMEO); }
static long call_sndtimeo(struct call *c) { return timeout(c, SO_SNDTIMEO); }

static long call_sndbuf(struct call *c) {
    int size = c->number[2];
    return setsockopt(c->fd[1], SOL_SOCKET, SO_SNDBUF, &size, sizeof size);
}

static long call_fionread(struct call *c) {
    int count = -1;
    long given = ioctl(c->fd[1], FIONREAD, &count);
    if (!given) add(c, " %d", count);
    return given;
}

static long call_error(struct call *c) {
    int error = -1;
    socklen_t size = sizeof error;
    long given = getsockopt(c->fd[1], SOL_SOCKET, SO_ERROR, &error, &size);
    if (!given) add(c, " %s", error ? strerrorname_np(error) : "none");
    return given;
}

static const struct {
    char letter;
    short bit;
} EVENT_LETTERS[] = {{'i', POLLIN}, {'o', POLLOUT}, {'p', POLLPRI}, {'r', POLLRDHUP}, {'e', POLLERR}, {'h', POLLHUP}, {'n', POLLNVAL}};

static void add_events(struct call *c, int slot, unsigned events) {
    add(c, " %d:", slot);
    for (size_t i = 0; i < sizeof EVENT_LETTERS / sizeof *EVENT_LETTERS; i++)
        if (events & EVENT_LETTERS[i].bit) add(c, "%c", EVENT_LETTERS[i].letter);
}

static unsigned events_of(const struct call *c, int word) {
    unsigned events = 0;
    for (size_t i = 0; i < sizeof EVENT_LETTERS / sizeof *EVENT_LETTERS; i++)
        if (says(c, word, EVENT_LETTERS[i].letter)) events |= EVENT_LETTERS[i].bit;
    return events;
}

/* poll TIMEOUT SLOT EVENTS ... */
static long call_poll(struct call *c) {
    struct pollfd set[WORDS];
    int count = 0;
    for (int i = 2; i + 1 < c->words; i += 2) set[count++] = (struct pollfd){c->fd[i], events_of(c, i + 1), 0};
    long given = poll(set, count, c->number[1]);
    for (int i = 0; i < count && given > 0; i++) add_events(c, c->number[2 + 2 * i], set[i].revents);
    return given;
}

static long call_ppoll(struct call *c) {
    struct pollfd set[WORDS];
    struct timespec time = {0, c->number[1] * 1000000};
    sigset_t mask;
    sigemptyset(&mask);
    int count = 0;
    for (int i = 2; i + 1 < c->words; i += 2) set[count++] = (struct pollfd){c->fd[i], events_of(c, i + 1), 0};
    long given = ppoll(set, count, c->number[1] < 0 ? NULL : &time, &mask);
    for (int i = 0; i < count && given > 0; i++) add_events(c, c->number[2 + 2 * i], set[i].revents);
    return given;
}

/* select TIMEOUT SLOT EVENTS ... */
static long call_select(struct call *c) {
    static const unsigned KINDS[3] = {POLLIN, POLLOUT, POLLPRI};
    fd_set sets[3];
    for (int k = 0; k < 3; k++) FD_ZERO(&sets[k]);
    for (int i = 2; i + 1 < c->words; i += 2)
        for (int k = 0; k < 3; k++)
            if (events_of(c, i + 1) & KINDS[k]) FD_SET(c->fd[i], &sets[k]);
    struct timeval time = {0, c->number[1] * 1000};
    long given = select(FREE + 1, &sets[0], &sets[1], &sets[2], c->number[1] < 0 ? NULL : &time);
    for (int i = 2; i + 1 < c->words && given > 0; i += 2) {
        unsigned events = 0;
        for (int k = 0; k < 3; k++)
            if (FD_ISSET(c->fd[i], &sets[k])) events |= KINDS[k];
        add_events(c, c->number[i], events);
    }
    return given;
}

/* ctl SLOT add|mod|del SLOT EVENTS; with t edge-triggered, with 1 for one event. */
static long call_ctl(struct call *c) {
    static const int OPERATIONS[] = {['a'] = EPOLL_CTL_ADD, ['m'] = EPOLL_CTL_MOD, ['d'] = EPOLL_CTL_DEL};
    struct epoll_event event = {.events = events_of(c, 4), .data.u32 = c->number[3]};
    if (says(c, 4, 't')) event.events |= EPOLLET;
    if (says(c, 4, '1')) event.events |= EPOLLONESHOT;
    return epoll_ctl(c->fd[1], OPERATIONS[(int)c->word[2][0]], c->fd[3], &event);
}

/* wait SLOT TIMEOUT */
static long call_wait(struct call *c) {
    struct epoll_event events[EVENTS];
    long given = epoll_wait(c->fd[1], events, EVENTS, c->number[2]);
    for (unsigned slot = 0; slot < 100; slot++)
        for (int i = 0; i < given; i++)
            if (events[i].data.u32 == slot) add_events(c, slot, events[i].events);
    return given;
}

static const struct verb VERBS[] = {
    {"read", call_read, READS | SIZED},
    {"readv", call_readv, READS | SIZED},
    {"recv", call_recv, READS | SIZED},
    {"recvmsg", call_recvmsg, READS | SIZED},
    {"write", call_write, WRITES | SIZED},
    {"writev", call_writev, WRITES | SIZED},
    {"send", call_send, WRITES | SIZED},
    {"sendmsg", call_sendmsg, WRITES | SIZED},
    {"pass", call_pass, WRITES},
    {"count", call_count, WRITES},
    {"counted", call_counted, READS},
    {"pair", call_pair, 0},
    {"event", call_event, 0},
    {"epoll", call_epoll, 0},
    {"socket", call_socket, 0},
    {"listen", call_listen, SETS},
    {"connect", call_connect, WRITES},
    {"accept", call_accept, READS},
    {"dup", call_dup, 0},
    {"dupfd", call_dupfd, 0},
    {"dup2", call_dup2, ENDS},
    {"dup3", call_dup3, ENDS},
    {"close", call_close, ENDS},
    {"shutdown", call_shutdown, 0},
    {"nonblock", call_nonblock, SETS},
    {"fionbio", call_fionbio, SETS},
    {"rcvtimeo", call_rcvtimeo, SETS},
    {"sndtimeo", call_sndtimeo, SETS},
    {"sndbuf", call_sndbuf, SETS},
    {"fionread", call_fionread, 0},
    {"error", call_error, 0},
    {"poll", call_poll, LOOKS},
    {"ppoll", call_ppoll, LOOKS},
    {"select", call_select, LOOKS},
    {"ctl", call_ctl, 0},
    {"wait", call_wait, WAITS},
};
