/* What the kernel refuses: pointers that lead nowhere, sizes, counts, numbers that are not open or something else. Each
 * descriptor has something to read, and room: no call waits. */
#include "prog.h"
#pragma GCC diagnostic ignored "-Wnonnull"
#pragma GCC diagnostic ignored "-Wstringop-overflow"
#pragma GCC diagnostic ignored "-Wstringop-overread"
#pragma GCC diagnostic ignored "-Wrestrict"
#include <limits.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/select.h>
#include <sys/sendfile.h>
#include <sys/signalfd.h>
#include <sys/timerfd.h>
#include <sys/uio.h>

enum { TCP, LOCAL, RECORDS, LETTERS, UDP, PIPE, EVENT, TERMINAL, FILED, KINDS };
static const char *names[] = {"tcp", "local", "records", "letters", "udp", "pipe", "event", "terminal", "file"};
static char room[4096], *nowhere, *edge; /* edge: the last 8 bytes before nowhere */
static int in, out;
static struct sockaddr_in here;

static void udp_pair(void) {
    socklen_t size = sizeof here;
    here = (struct sockaddr_in){.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    in = must(socket(AF_INET, SOCK_DGRAM, 0)), out = must(socket(AF_INET, SOCK_DGRAM, 0));
    must(bind(in, (struct sockaddr *)&here, size));
    must(getsockname(in, (struct sockaddr *)&here, &size));
    must(connect(out, (struct sockaddr *)&here, size));
}

/* Descriptors of a kind with 64 bytes (an eventfd: a number) to read. */
static void make(int kind) {
    int ends[2];
    char path[] = "/tmp/wrong-XXXXXX";
    switch (kind) {
    case TCP: tcp_pair(ends), in = ends[0], out = ends[1]; break;
    case LOCAL: must(socketpair(AF_UNIX, SOCK_STREAM, 0, ends)), in = ends[0], out = ends[1]; break;
    case RECORDS: must(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, ends)), in = ends[0], out = ends[1]; break;
    case LETTERS: must(socketpair(AF_UNIX, SOCK_DGRAM, 0, ends)), in = ends[0], out = ends[1]; break;
    case UDP: udp_pair(); break;
    case PIPE: must(pipe(ends)), in = ends[0], out = ends[1]; break;
    case EVENT: in = must(eventfd(7, 0)), out = must(dup(in)); return;
    case TERMINAL:
        out = must(posix_openpt(O_RDWR | O_NOCTTY));
        must(grantpt(out)), must(unlockpt(out));
        in = must(open(ptsname(out), O_RDWR | O_NOCTTY));
        break;
    default:
        out = must(mkstemp(path));
        in = must(open(path, O_RDONLY));
        must(unlink(path));
    }
    memset(room, '\n', 64);
    send_all(out, room, 64);
}

static void done(void) { must(close(in)), must(close(out)); }

/* A call on fresh descriptors of every kind. */
#define EACH(call) do { \
    printf("%s:", #call); \
    for (int kind = 0; kind < KINDS; kind++) { \
        make(kind); \
        long given = (call); \
        printf(" %s ", names[kind]); \
        given == -1 ? fputs(strerrorname_np(errno), stdout) : printf("%ld", given); \
        done(); \
    } \
    puts(""); \
} while (0)

static void places(void) {
    long size = sysconf(_SC_PAGESIZE);
    char *two = mmap(NULL, 2 * size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    check(two != MAP_FAILED);
    nowhere = two + size, edge = nowhere - 8;
    must(mprotect(nowhere, size, PROT_NONE));
    memset(edge, 0, 8);
}

static void *nothing(void *arg) { return arg; }

/* The calls are made by a green thread. */
static void (*calls)(void);

static void *call(void *arg) { calls(); return arg; }

static void by_thread(void (*own)(void)) {
    calls = own;
    places();
    join(spawn(nothing, NULL));
    join(spawn(call, NULL));
}

static void buffer_calls(void) {
    EACH(read(in, nowhere, 10));
    EACH(read(in, (void *)1, 10));
    EACH(read(in, NULL, 10));
    EACH(read(in, nowhere, 0));
    EACH(read(in, room, 0));
    EACH(read(in, edge, 100));
    EACH(read(in, room, SSIZE_MAX));
    EACH(read(in, room, SIZE_MAX));
    EACH(write(out, nowhere, 10));
    EACH(write(out, (void *)1, 10));
    EACH(write(out, nowhere, 0));
    EACH(write(out, edge, 100));
    EACH(write(out, room, SIZE_MAX));
    EACH(read(out + 500, room, 1));
    EACH(read(-1, room, 1));
    EACH(read(INT_MAX, room, 1));
    EACH(write(out + 500, room, 1));
    EACH(write(-1, room, 1));
    EACH(write(INT_MIN, room, 1));
    EACH(recv(in, nowhere, 10, 0));
    EACH(recv(in, nowhere, 10, MSG_PEEK));
    EACH(recv(in, nowhere, 10, MSG_WAITALL));
    EACH(recv(in, nowhere, 0, MSG_PEEK));
    EACH(recv(in, edge, 100, 0));
    EACH(recv(in, edge, 64, MSG_WAITALL));
    EACH(recv(in, room, SSIZE_MAX, 0));
    EACH(recv(in, room, 10, 1 << 30));
    EACH(recv(-1, room, 10, 0));
    EACH(send(out, nowhere, 10, 0));
    EACH(send(out, nowhere, 0, 0));
    EACH(send(out, edge, 100, 0));
    EACH(send(out, room, 10, MSG_OOB | MSG_DONTWAIT));
    EACH(send(-1, room, 10, 0));
}

static struct iovec vector(void *base, size_t size) { return (struct iovec){base, size}; }

static void vector_calls(void) {
    static struct iovec many[1025], parts[3], huge[2], bad[2];
    for (int i = 0; i < 1025; i++) many[i] = vector(room + i % 64, i < 64);
    parts[0] = vector(room, 8), parts[1] = vector(nowhere, 8), parts[2] = vector(room, 8);
    huge[0] = vector(room, 8), huge[1] = vector(room, (size_t)SSIZE_MAX + 1);
    bad[0] = vector(room, 0), bad[1] = vector(room, 0);
    EACH(readv(in, (void *)nowhere, 1));
    EACH(readv(in, (void *)nowhere, 1024));
    EACH(readv(in, NULL, 1));
    EACH(readv(in, (void *)nowhere, 0));
    EACH(readv(in, many, 0));
    EACH(readv(in, many, -1));
    EACH(readv(in, many, 1024));
    EACH(readv(in, many, 1025));
    EACH(readv(in, parts, 3));
    EACH(readv(in, parts + 1, 2));
    EACH(readv(in, huge, 2));
    EACH(readv(in, bad, 2));
    EACH(readv(-1, parts, 3));
    EACH(writev(out, (void *)nowhere, 1));
    EACH(writev(out, NULL, 1));
    EACH(writev(out, (void *)nowhere, 0));
    EACH(writev(out, many, 0));
    EACH(writev(out, many, -1));
    EACH(writev(out, many, 1024));
    EACH(writev(out, many, 1025));
    EACH(writev(out, parts, 3));
    EACH(writev(out, parts + 1, 2));
    EACH(writev(out, huge, 2));
    EACH(writev(out, bad, 2));
    EACH(writev(-1, parts, 3));
    EACH(preadv2(in, (void *)nowhere, 1, -1, 0));
    EACH(preadv2(in, parts, 1, -1, 1 << 20));
    EACH(preadv2(in, parts, 1, 0, 0));
    EACH(pwritev2(out, (void *)nowhere, 1, -1, 0));
    EACH(pwritev2(out, parts, 1, -1, 1 << 20));
    EACH(preadv(in, parts, 1, 0));
    EACH(pread(in, nowhere, 10, 0));
    EACH(pread(in, room, 10, -1));
    EACH(pwrite(out, nowhere, 10, 0));
    EACH(vmsplice(out, (void *)nowhere, 1, 0));
    EACH(vmsplice(out, parts, 0, 0));
}

static struct msghdr message(struct iovec *parts, size_t count) { return (struct msghdr){.msg_iov = parts, .msg_iovlen = count}; }

static void message_calls(void) {
    static struct iovec many[1025], parts[2];
    for (int i = 0; i < 1025; i++) many[i] = vector(room, i < 64);
    parts[0] = vector(room, 8), parts[1] = vector(nowhere, 8);
    struct msghdr lost = message((void *)nowhere, 1), whole = message(parts, 1), half = message(parts, 2);
    struct msghdr crowd = message(many, 1025), full = message(many, 1024), named = whole, told = whole, none = message(NULL, 0);
    named.msg_name = nowhere, named.msg_namelen = 16;
    told.msg_control = nowhere, told.msg_controllen = 64;
    EACH(recvmsg(in, (void *)nowhere, 0));
    EACH(recvmsg(in, NULL, 0));
    EACH(recvmsg(in, &lost, 0));
    EACH(recvmsg(in, &lost, MSG_WAITALL));
    EACH(recvmsg(in, &lost, MSG_PEEK));
    EACH(recvmsg(in, &half, 0));
    EACH(recvmsg(in, &half, MSG_WAITALL));
    EACH(recvmsg(in, &crowd, 0));
    EACH(recvmsg(in, &full, 0));
    EACH(recvmsg(in, &none, 0));
    EACH(recvmsg(in, &named, 0));
    named.msg_namelen = -1;
    EACH(recvmsg(in, &named, 0));
    EACH(recvmsg(-1, &whole, 0));
    named.msg_namelen = 16;
    EACH(sendmsg(out, (void *)nowhere, 0));
    EACH(sendmsg(out, NULL, 0));
    EACH(sendmsg(out, &lost, 0));
    EACH(sendmsg(out, &half, 0));
    EACH(sendmsg(out, &crowd, 0));
    EACH(sendmsg(out, &full, 0));
    EACH(sendmsg(out, &none, 0));
    EACH(sendmsg(out, &named, 0));
    EACH(sendmsg(out, &told, 0));
    EACH(sendmsg(-1, &whole, 0));
    struct mmsghdr batch[2] = {{whole, 0}, {lost, 0}};
    EACH(sendmmsg(out, (void *)nowhere, 2, 0));
    EACH(sendmmsg(out, batch, 2, 0));
    EACH(sendmmsg(out, batch + 1, 1, 0));
    EACH(sendmmsg(out, batch, 0, 0));
    EACH(recvmmsg(in, (void *)nowhere, 2, MSG_DONTWAIT, NULL));
    EACH(recvmmsg(in, batch, 2, MSG_DONTWAIT, NULL));
    EACH(recvmmsg(in, batch + 1, 1, MSG_DONTWAIT, NULL));
    EACH(recvmmsg(in, batch, 0, MSG_DONTWAIT, NULL));
    struct timespec wrong = {0, -1};
    EACH(recvmmsg(in, batch, 1, 0, &wrong));
    socklen_t size = 16;
    EACH(recvfrom(in, room, 10, 0, (void *)nowhere, &size));
    EACH(recvfrom(in, room, 10, 0, (void *)room, (void *)nowhere));
    size = -1;
    EACH(recvfrom(in, room, 10, 0, (void *)room, &size));
    EACH(sendto(out, room, 10, 0, (void *)nowhere, 16));
    EACH(sendto(out, room, 10, 0, (void *)room, 4096));
    EACH(sendto(out, room, 10, 0, (void *)room, 1));
    EACH(sendto(out, room, 10, 0, (void *)&here, sizeof here));
}

static void pointless_sets(void) {
    struct pollfd closed = {700, POLLIN, 0};
    struct timespec wrong = {0, 1000000000}, none = {0, 0};
    struct timeval before = {-1, 0};
    sigset_t *mask = (void *)nowhere;
    EACH(poll((void *)nowhere, 1, -1));
    EACH(poll((void *)nowhere, 1, 0));
    EACH(poll((void *)nowhere, 2, -1));
    EACH(poll((void *)1, 1, 1));
    EACH(poll((void *)edge, 2, -1));
    EACH(poll(NULL, 1, 5));
    EACH(poll((void *)nowhere, 0, 0));
    EACH(poll(NULL, 0, 1));
    EACH(poll(&closed, 1, -1));
    EACH(poll(&closed, UINT_MAX, -1));
    EACH(ppoll(&closed, 1, &wrong, NULL));
    EACH(ppoll(&closed, 1, &none, mask));
    EACH(ppoll((void *)nowhere, 1, NULL, NULL));
    EACH(ppoll(NULL, 0, &none, mask));
    EACH(select(1, (void *)nowhere, NULL, NULL, NULL));
    EACH(select(1, NULL, (void *)1, NULL, NULL));
    EACH(select(2000, NULL, NULL, (void *)nowhere, NULL));
    EACH(select(0, (void *)nowhere, NULL, NULL, &(struct timeval){0, 0}));
    EACH(select(-1, NULL, NULL, NULL, NULL));
    EACH(select(0, NULL, NULL, NULL, &before));
    EACH(pselect(0, NULL, NULL, NULL, &none, mask));
    EACH(pselect(0, NULL, NULL, NULL, &wrong, NULL));
    EACH(pselect(1, (void *)nowhere, NULL, NULL, &none, NULL));
}

static void pointless_epoll(void) {
    int epoll = must(epoll_create1(0));
    struct epoll_event event = {.events = EPOLLIN};
    struct timespec wrong = {-1, 0}, none = {0, 0};
    sigset_t *mask = (void *)nowhere;
#define IN(call) do { make(LOCAL); must(epoll_ctl(epoll, EPOLL_CTL_ADD, in, &event)); show(call); done(); } while (0)
    IN(epoll_wait(epoll, (void *)nowhere, 1, -1));
    IN(epoll_wait(epoll, (void *)nowhere, 1, 0));
    IN(epoll_wait(epoll, NULL, 1, -1));
    IN(epoll_wait(epoll, &event, 0, -1));
    IN(epoll_wait(epoll, &event, -1, -1));
    IN(epoll_wait(epoll, &event, INT_MAX, -1));
    IN(epoll_wait(epoll, (void *)edge, INT_MAX / 20, -1));
    IN(epoll_wait(in, &event, 1, -1));
    IN(epoll_wait(-1, &event, 1, -1));
    IN(epoll_wait(INT_MAX, &event, 1, -1));
    IN(epoll_pwait(epoll, &event, 1, -1, mask));
    IN(epoll_pwait(epoll, (void *)nowhere, 1, -1, NULL));
    IN(epoll_pwait2(epoll, &event, 1, &wrong, NULL));
    IN(epoll_pwait2(epoll, &event, 1, (void *)nowhere, NULL));
    IN(epoll_pwait2(epoll, &event, 1, &none, mask));
    IN(epoll_ctl(epoll, EPOLL_CTL_ADD, in, &event));
    IN(epoll_ctl(epoll, EPOLL_CTL_MOD, in, (void *)nowhere));
    IN(epoll_ctl(epoll, EPOLL_CTL_MOD, out, &event));
    IN(epoll_ctl(epoll, EPOLL_CTL_DEL, out, NULL));
    IN(epoll_ctl(epoll, EPOLL_CTL_ADD, epoll, &event));
    IN(epoll_ctl(in, EPOLL_CTL_ADD, out, &event));
    IN(epoll_ctl(-1, EPOLL_CTL_ADD, out, &event));
    IN(epoll_ctl(epoll, EPOLL_CTL_ADD, -1, &event));
    IN(epoll_ctl(epoll, 77, in, &event));
    show(epoll_create1(77)), show(epoll_create(0)), show(epoll_create(-1));
    make(FILED);
    show(epoll_ctl(epoll, EPOLL_CTL_ADD, in, &event));
    done();
}

/* accept, connect and kin on what is no listener, or with addresses that lead nowhere. */
static void arrivals(void) {
    struct sockaddr_in address, peer;
    socklen_t size = sizeof peer, little = 2, none = 0, negative = -1;
    int server = listener(64, &address), clients[16];
    EACH(accept(in, NULL, NULL));
    EACH(listen(in, 1));
    EACH(connect(out, (void *)nowhere, 16));
    EACH(connect(out, (void *)&address, 0));
    EACH(connect(out, (void *)&address, 4096));
    EACH(connect(out, (void *)&address, 1));
    EACH(shutdown(out, 77));
    EACH(shutdown(out, SHUT_RDWR));
    EACH(getpeername(out, (void *)nowhere, &size));
    for (int i = 0; i < 16; i++) clients[i] = dial(&address);
    show(accept(server, (void *)nowhere, &size));
    show(accept(server, (void *)&peer, (void *)nowhere));
    show(accept(server, (void *)&peer, &negative));
    show(accept4(server, NULL, NULL, 1 << 30));
    show(accept4(server, NULL, NULL, SOCK_NONBLOCK) > 0);
    show(accept(server, (void *)&peer, &none) > 0);
    printf("%u\n", none);
    memset(&peer, 0xee, sizeof peer);
    show(accept(server, (void *)&peer, &little) > 0);
    printf("%u %d %x\n", little, peer.sin_family, peer.sin_port);
    little = sizeof peer;
    show(accept4(server, (void *)&peer, &little, SOCK_CLOEXEC) > 0);
    printf("%u\n", little);
    show(accept(-1, NULL, NULL)), show(accept(INT_MAX, NULL, NULL)), show(accept4(900, NULL, NULL, 0));
    show(connect(-1, (void *)&address, size)), show(connect(INT_MAX, (void *)&address, size));
    show(connect(clients[0], (void *)&address, size));
    address.sin_family = 4711;
    int fresh = must(socket(AF_INET, SOCK_STREAM, 0));
    show(connect(fresh, (void *)&address, size));
    show(recv(fresh, room, 1, 0)), show(read(fresh, room, 1));
    signal(SIGPIPE, SIG_IGN);
    show(send(fresh, room, 1, 0)), show(write(fresh, room, 1));
    show(shutdown(fresh, SHUT_RD));
    show(socket(AF_INET, 77, 0)), show(socket(4711, SOCK_STREAM, 0)), show(socket(AF_INET, SOCK_STREAM, 4711));
    show(socketpair(AF_UNIX, SOCK_STREAM, 0, (void *)nowhere)), show(socketpair(AF_INET, SOCK_STREAM, 0, clients));
    show(pipe((void *)nowhere)), show(pipe2(clients, 1 << 30)), show(eventfd(0, 1 << 30)), show(eventfd(0, -1));
    show(timerfd_create(77, 0)), show(signalfd(-1, (void *)nowhere, 0));
    show(setsockopt(server, SOL_SOCKET, SO_RCVTIMEO, nowhere, 16)), show(setsockopt(server, SOL_SOCKET, SO_RCVTIMEO, &size, 1));
}

static void numbers(void) {
    EACH(dup(-1));
    EACH(dup2(in, -1));
    EACH(dup2(in, INT_MAX));
    EACH(dup2(-1, in));
    EACH(dup2(in, in) == in);
    EACH(dup2(900, 900));
    EACH(dup3(in, in, 0));
    EACH(dup3(in, 900, 1 << 30));
    EACH(close(900));
    EACH(close(-1));
    EACH(close(INT_MAX));
    EACH(close_range(10, 5, 0));
    EACH(close_range(900, 950, 1 << 30));
    EACH(close_range(900, 950, 0));
    EACH(fcntl(900, F_GETFL));
    EACH(fcntl(in, F_DUPFD, -1));
    EACH(fcntl(in, F_DUPFD, INT_MAX));
    EACH(fcntl(in, 4711));
    EACH(sendfile(out, -1, NULL, 10));
    EACH(sendfile(-1, in, NULL, 10));
    EACH(sendfile(out, in, (void *)nowhere, 10));
    EACH(splice(in, (void *)nowhere, out, NULL, 10, SPLICE_F_NONBLOCK));
    EACH(splice(-1, NULL, out, NULL, 10, 0));
    EACH(splice(in, NULL, -1, NULL, 10, 0));
    EACH(tee(in, -1, 10, 0));
    EACH(tee(in, in, 10, 0));
}

static void buffers(void) { by_thread(buffer_calls); }
static void vectors(void) { by_thread(vector_calls); }
static void messages(void) { by_thread(message_calls); }
static void polled(void) { by_thread(pointless_sets); }
static void epolled(void) { by_thread(pointless_epoll); }
static void connected(void) { by_thread(arrivals); }
static void numbered(void) { by_thread(numbers); }

int main(int argc, char **argv) {
    struct test tests[] = {CASE(buffers), CASE(vectors), CASE(messages), CASE(polled), CASE(epolled), CASE(connected), CASE(numbered)};
    return RUN(argc, argv, tests);
}
