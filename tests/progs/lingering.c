/* A close that waits for what is still to be sent, and a send that connects. Another thread gets on meanwhile, and ends
 * the wait. */
#include "prog.h"
#include <sys/uio.h>

static int ends[2];
static char bytes[1 << 16];
static size_t sent;

static void linger(int fd, int on, int seconds) {
    struct linger how = {on, seconds};
    must(setsockopt(fd, SOL_SOCKET, SO_LINGER, &how, sizeof how));
}

/* More than the receiver takes without reading. */
static void stuff(int fd) {
    ssize_t n;
    sent = 0;
    must(fcntl(fd, F_SETFL, O_NONBLOCK));
    while ((n = write(fd, bytes, sizeof bytes)) > 0) sent += n;
    must(fcntl(fd, F_SETFL, 0));
}

static void *read_to_end(void *arg) {
    size_t all = 0;
    for (int i = 0; i < 5; i++) breathe();
    for (ssize_t n; (n = must(read(ends[0], bytes, sizeof bytes)));) all += n;
    printf("all came: %d\n", all == sent);
    return arg;
}

static void *close_it(void *arg) {
    show(close(*(int *)arg));
    return arg;
}

static void by_close(int fd) {
    pthread_t reader = spawn(read_to_end, NULL);
    int error = close(fd);
    join(reader);
    printf("closed %d\n", error);
    must(close(ends[0]));
}

static void closes(void) {
    struct sockaddr_in address;
    tcp_pair(ends);
    linger(ends[1], 1, 60);
    stuff(ends[1]);
    by_close(ends[1]);

    int server = listener(1, &address); /* an accepted socket has it from the listener */
    linger(server, 1, 60);
    ends[0] = dial(&address), ends[1] = must(accept(server, NULL, NULL));
    stuff(ends[1]);
    by_close(ends[1]);

    tcp_pair(ends); /* by another name */
    int copy = must(dup(ends[1]));
    linger(copy, 1, 60);
    must(close(copy));
    stuff(ends[1]);
    by_close(ends[1]);

    tcp_pair(ends); /* a stream's */
    linger(ends[1], 1, 60);
    stuff(ends[1]);
    FILE *stream = fdopen(ends[1], "w");
    pthread_t reader = spawn(read_to_end, NULL);
    int error = fclose(stream);
    join(reader);
    printf("closed %d\n", error);

    tcp_pair(ends); /* nothing left to send */
    linger(ends[1], 1, 60);
    show(close(ends[1]));
}

/* By what takes its number, and by a range. */
static void replaced(void) {
    for (int i = 0; i < 3; i++) {
        tcp_pair(ends);
        linger(ends[1], 1, 60);
        stuff(ends[1]);
        pthread_t reader = spawn(read_to_end, NULL);
        int done = i == 0 ? dup2(0, ends[1]) : i == 1 ? dup3(0, ends[1], O_CLOEXEC) : close_range(ends[1], ends[1], 0);
        join(reader);
        printf("done %d\n", i < 2 ? done == ends[1] : done);
        must(close(ends[0]));
    }
}

/* Nothing is sent any more. */
static void resets(void) {
    tcp_pair(ends);
    linger(ends[1], 1, 0);
    must(write(ends[1], "x", 1));
    join(spawn(close_it, &ends[1]));
    show(read(ends[0], bytes, 1));
}

static void handler(int sig) { (void)sig; }

/* A signal ends the wait. */
static void interrupted(void) {
    struct sigaction action = {.sa_handler = handler};
    must(sigaction(SIGUSR1, &action, NULL));
    tcp_pair(ends);
    linger(ends[1], 1, 3600);
    stuff(ends[1]);
    pthread_t thread = spawn(close_it, &ends[1]);
    while (pthread_tryjoin_np(thread, NULL)) breathe(), pthread_kill(thread, SIGUSR1);
}

/* MSG_FASTOPEN */
static struct sockaddr_in address;
static int server;
static ssize_t taken[3];

static void *take(void *arg) {
    for (int i = 0; i < 5; i++) breathe();
    for (intptr_t i = 0; i < (intptr_t)arg; i++) {
        int fd = must(accept(server, NULL, NULL));
        ssize_t n, all = 0;
        while ((n = must(read(fd, bytes, sizeof bytes)))) all += n;
        taken[i] = all;
        must(close(fd));
    }
    return NULL;
}

static void all_taken(pthread_t taker) {
    join(taker);
    printf("%zd %zd %zd\n", taken[0], taken[1], taken[2]);
}

static void opens(void) {
    static char more[1 << 20];
    server = listener(4, &address);
    pthread_t taker = spawn(take, (void *)3);
    int fds[3];
    for (int i = 0; i < 3; i++) fds[i] = must(socket(AF_INET, SOCK_STREAM, 0));
    show(sendto(fds[0], "hello", 5, MSG_FASTOPEN, (struct sockaddr *)&address, sizeof address));
    show(close(fds[0]));
    show(sendto(fds[1], more, sizeof more, MSG_FASTOPEN, (struct sockaddr *)&address, sizeof address));
    show(close(fds[1]));
    struct iovec part = {more, sizeof more};
    struct msghdr message = {.msg_name = &address, .msg_namelen = sizeof address, .msg_iov = &part, .msg_iovlen = 1};
    show(sendmsg(fds[2], &message, MSG_FASTOPEN));
    show(sendto(fds[2], "hello", 5, MSG_FASTOPEN, (struct sockaddr *)&address, sizeof address));
    show(close(fds[2]));
    all_taken(taker);
    int fd = must(socket(AF_INET, SOCK_STREAM, 0));
    must(close(server));
    show(sendto(fd, "hello", 5, MSG_FASTOPEN, (struct sockaddr *)&address, sizeof address));
    show(fcntl(fd, F_GETFL) & O_NONBLOCK);
}

/* The listener has no room: the connection waits. */
static void opens_late(void) {
    server = listener(0, &address);
    must(close(dial(&address)));
    pthread_t taker = spawn(take, (void *)2);
    int fd = must(socket(AF_INET, SOCK_STREAM, 0));
    show(sendto(fd, "hello", 5, MSG_FASTOPEN, (struct sockaddr *)&address, sizeof address));
    show(close(fd));
    all_taken(taker);
}

int main(int argc, char **argv) {
    struct test tests[] = {CASE(closes), CASE(replaced), CASE(resets), CASE(interrupted), CASE(opens), CASE(opens_late)};
    return RUN(argc, argv, tests);
}
