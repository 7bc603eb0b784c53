/* load PID PORT CONNECTIONS REQUESTS: an echo client with one request outstanding per connection, every answer checked.
 * After the warm-up it prints "ready" and waits for a line on stdin, so that a tracer can be attached. Then it runs the
 * requests, prints what one cost (CPU of the server process PID and elapsed time, in nanoseconds), and keeps its
 * connections until stdin ends.
 */
#include "bench.h"
#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>

struct connection {
    int fd;
    unsigned sent;
    size_t got;
    char answer[MESSAGE];
};

static void message(char *into, int fd, unsigned sequence)
{
    for (int i = 0; i < MESSAGE; i += 8)
        memcpy(into + i, (unsigned[2]){(unsigned)fd * 2654435761u + (unsigned)i, sequence}, 8);
}

static void ask(struct connection *c)
{
    char request[MESSAGE];
    message(request, c->fd, ++c->sent);
    check(send(c->fd, request, MESSAGE, 0) == MESSAGE, "send");
    c->got = 0;
}

/* Takes what has come; true when the answer is whole. */
static int answered(struct connection *c)
{
    char expected[MESSAGE];
    ssize_t got = recv(c->fd, c->answer + c->got, MESSAGE - c->got, MSG_DONTWAIT);
    if (got < 0 && errno == EAGAIN)
        return 0;
    check(got > 0, "the server closed a connection");
    c->got += (size_t)got;
    if (c->got < MESSAGE)
        return 0;
    message(expected, c->fd, c->sent);
    if (memcmp(expected, c->answer, MESSAGE) != 0) {
        fprintf(stderr, "bench: a wrong answer\n");
        exit(1);
    }
    return 1;
}

/* Every connection keeps one request outstanding until `requests` have been answered. */
static void run(int loop, struct connection *connections, long count, long requests)
{
    struct epoll_event events[1024];
    long asked = 0, done = 0;
    for (; asked < count && asked < requests; asked++)
        ask(&connections[asked]);
    while (done < requests) {
        int ready = epoll_wait(loop, events, 1024, 10000);
        check(ready > 0 || (ready < 0 && errno == EINTR), "no answer for ten seconds");
        for (int i = 0; i < ready; i++) {
            struct connection *c = events[i].data.ptr;
            if (!answered(c))
                continue;
            done++;
            if (asked < requests) {
                asked++;
                ask(c);
            }
        }
    }
}

int main(int argc, char **argv)
{
    if (argc != 5) {
        fprintf(stderr, "usage: load PID PORT CONNECTIONS REQUESTS\n");
        return 2;
    }
    pid_t server = (pid_t)number(argv[1]);
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_port = htons((uint16_t)number(argv[2])),
                                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    long count = number(argv[3]), requests = number(argv[4]);
    struct rlimit files;
    check(getrlimit(RLIMIT_NOFILE, &files) == 0, "getrlimit");
    files.rlim_cur = files.rlim_max;
    check(setrlimit(RLIMIT_NOFILE, &files) == 0, "setrlimit");

    struct connection *connections = calloc((size_t)count, sizeof *connections);
    int loop = epoll_create1(EPOLL_CLOEXEC);
    check(connections != NULL && loop >= 0, "epoll_create1");
    for (long i = 0; i < count; i++) {
        struct connection *c = &connections[i];
        struct epoll_event interest = {.events = EPOLLIN, .data.ptr = c};
        int one = 1;
        c->fd = socket(AF_INET, SOCK_STREAM, 0);
        check(c->fd >= 0, "socket");
        check(connect(c->fd, (struct sockaddr *)&address, sizeof address) == 0, "connect");
        check(setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one) == 0, "TCP_NODELAY");
        check(epoll_ctl(loop, EPOLL_CTL_ADD, c->fd, &interest) == 0, "epoll_ctl");
    }
    run(loop, connections, count, 5 * count);

    clockid_t cpu;
    errno = clock_getcpuclockid(server, &cpu);
    check(errno == 0, "clock_getcpuclockid");
    puts("ready");
    fflush(stdout);
    check(getchar() != EOF, "stdin");
    uint64_t cpu_start = now_ns(cpu), start = now_ns(CLOCK_MONOTONIC);
    run(loop, connections, count, requests);
    uint64_t elapsed = now_ns(CLOCK_MONOTONIC) - start, used = now_ns(cpu) - cpu_start;
    printf("%.0f %.0f\n", (double)used / (double)requests, (double)elapsed / (double)requests);
    fflush(stdout);
    while (getchar() != EOF)
        ;
    return 0;
}
