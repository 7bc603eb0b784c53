/* Every kind of call on every kind of stream at once, in sizes that a seed draws: each byte is checked, and each end. */
#include "prog.h"
#include <poll.h>
#include <sys/select.h>
#include <sys/uio.h>

enum { TCP, LOCAL, PIPE, KINDS };
enum { PAIRS = 60, TOTAL = 300000, ROOM = 70000, LARGE = 200000 };

struct pair {
    int kind, id, from, to;
    unsigned reader, writer;
};

static unsigned draw(unsigned *seed) {
    *seed = *seed * 1103515245u + 12345u;
    return *seed >> 8 & 0xffff;
}

static unsigned char at(int id, size_t place) { return (unsigned char)(place * 31 ^ place >> 8 ^ (unsigned)id); }

static ssize_t vector(ssize_t (*call)(int, const struct iovec *, int), int fd, unsigned char *bytes, size_t size) {
    struct iovec parts[40];
    size_t each = size / 40;
    for (int i = 0; i < 40; i++) parts[i] = (struct iovec){bytes + i * each, i < 39 ? each : size - 39 * each};
    return call(fd, parts, 40);
}

static ssize_t message(ssize_t (*call)(int, struct msghdr *, int), int fd, unsigned char *bytes, size_t size) {
    struct iovec whole = {bytes, size};
    struct msghdr message = {.msg_iov = &whole, .msg_iovlen = 1};
    return call(fd, &message, 0);
}

static ssize_t send_message(int fd, struct msghdr *message, int flags) { return sendmsg(fd, message, flags); }

static void polled(int fd, short events) {
    struct pollfd one = {fd, events, 0};
    check(must(poll(&one, 1, -1)) == 1);
}

static void selected(int fd) {
    fd_set set;
    FD_ZERO(&set);
    FD_SET(fd, &set);
    struct timeval time = {60, 0};
    check(must(select(fd + 1, &set, NULL, NULL, &time)) == 1);
}

static void *reader(void *arg) {
    struct pair *p = arg;
    unsigned char *bytes = malloc(ROOM);
    check(bytes);
    for (size_t done = 0; done < TOTAL;) {
        size_t size = 1 + draw(&p->reader) % (draw(&p->reader) % 4 ? 5000 : ROOM - 1), left = TOTAL - done;
        int peeks = 0;
        ssize_t got;
        switch (draw(&p->reader) % (p->kind == PIPE ? 4 : 8)) {
        case 0: got = must(read(p->from, bytes, size)); break;
        case 1: got = must(vector(readv, p->from, bytes, size)); break;
        case 2: polled(p->from, POLLIN), got = must(read(p->from, bytes, size)); break;
        case 3: selected(p->from), got = must(read(p->from, bytes, size)); break;
        case 4: got = must(recv(p->from, bytes, size, 0)); break;
        case 5: got = must(message(recvmsg, p->from, bytes, size)); break;
        case 6:
            size = size < left ? size : left;
            got = must(recv(p->from, bytes, size, MSG_WAITALL));
            check((size_t)got == size);
            break;
        default: got = must(recv(p->from, bytes, size, MSG_PEEK)), peeks = 1;
        }
        check(got > 0);
        for (size_t i = 0; i < (size_t)got; i++) check(bytes[i] == at(p->id, done + i));
        done += peeks ? 0 : got;
    }
    check(must(read(p->from, bytes, 1)) == 0);
    must(close(p->from));
    free(bytes);
    return NULL;
}

static void *writer(void *arg) {
    struct pair *p = arg;
    unsigned char *bytes = malloc(LARGE);
    check(bytes);
    for (size_t done = 0; done < TOTAL;) {
        size_t size = 1 + draw(&p->writer) % (draw(&p->writer) % 4 ? 3000 : 60000), left = TOTAL - done;
        if (draw(&p->writer) % 40 == 0) size = LARGE;
        if (size > left) size = left;
        for (size_t i = 0; i < size; i++) bytes[i] = at(p->id, done + i);
        ssize_t put;
        switch (draw(&p->writer) % (p->kind == PIPE ? 3 : 5)) {
        case 0: put = must(write(p->to, bytes, size)); break;
        case 1: put = must(vector(writev, p->to, bytes, size)); break;
        case 2: polled(p->to, POLLOUT), put = must(write(p->to, bytes, size)); break;
        case 3: put = must(send(p->to, bytes, size, 0)); break;
        default: put = must(message(send_message, p->to, bytes, size));
        }
        check((size_t)put == size);
        done += size;
        if (draw(&p->writer) % 50 == 0) usleep(draw(&p->writer) % 300);
    }
    must(close(p->to));
    free(bytes);
    return NULL;
}

int main(int argc, char **argv) {
    static struct pair pairs[PAIRS];
    static pthread_t threads[PAIRS][2];
    unsigned seed = argc > 1 ? (unsigned)atoi(argv[1]) : 1;
    for (int i = 0; i < PAIRS; i++) {
        int ends[2];
        if (i % KINDS == TCP) tcp_pair(ends);
        if (i % KINDS == LOCAL) must(socketpair(AF_UNIX, SOCK_STREAM, 0, ends));
        if (i % KINDS == PIPE) must(pipe(ends));
        pairs[i] = (struct pair){i % KINDS, i, ends[0], ends[1], seed * 7 + i, seed * 13 + i};
        threads[i][0] = spawn(reader, &pairs[i]);
        threads[i][1] = spawn(writer, &pairs[i]);
    }
    for (int i = 0; i < PAIRS; i++) join(threads[i][0]), join(threads[i][1]);
    puts("all as written");
    return 0;
}
