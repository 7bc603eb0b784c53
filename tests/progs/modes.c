/* What a program says about a descriptor holds, also where threads have waited before. */
#include "prog.h"
#include <sys/eventfd.h>
#include <sys/ioctl.h>

static int ends[2];
static char byte;

static void *read_here(void *arg) {
    show(read(*(int *)arg, &byte, 1));
    return arg;
}

/* A thread waits here, and is served: whatever is remembered of the descriptor is remembered now. */
static void wait_once(void) {
    pthread_t reader = spawn(read_here, &ends[0]);
    breathe();
    send_all(ends[1], "x", 1);
    join(reader);
}

static void by_fcntl(int fd, int on) { must(fcntl(fd, F_SETFL, on ? O_NONBLOCK : 0)); }
static void by_ioctl(int fd, int on) { must(ioctl(fd, FIONBIO, &on)); }

static void back_and_forth(void (*set)(int fd, int on)) {
    int copy = must(dup(ends[0]));
    wait_once();
    set(ends[0], 1);
    join(spawn(read_here, &ends[0]));
    join(spawn(read_here, &copy));
    set(copy, 0);
    wait_once();
    set(copy, 1); /* by the other name */
    join(spawn(read_here, &ends[0]));
    set(copy, 0);
    wait_once();
    must(close(copy)), must(close(ends[0])), must(close(ends[1]));
}

static void nonblocking(void) {
    for (int i = 0; i < 2; i++) {
        void (*set)(int, int) = i ? by_ioctl : by_fcntl;
        must(pipe(ends)), back_and_forth(set);
        must(socketpair(AF_UNIX, SOCK_STREAM, 0, ends)), back_and_forth(set);
        tcp_pair(ends), back_and_forth(set);
    }
}

static void *wait_all(void *arg) {
    for (int i = 0; i < 5; i++) show(read(((int *)arg)[i], &(uint64_t){0}, sizeof(uint64_t)));
    return arg;
}

/* Made non-blocking, they never wait. */
static void born(void) {
    struct sockaddr_in address;
    int fds[5], pair[2], server = listener(1, &address);
    must(pipe2(pair, O_NONBLOCK));
    fds[0] = pair[0];
    must(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair));
    fds[1] = pair[0];
    fds[2] = must(eventfd(0, EFD_NONBLOCK));
    must(close(dial(&address)));
    int client = dial(&address);
    must(close(must(accept(server, NULL, NULL))));
    fds[3] = must(accept4(server, NULL, NULL, SOCK_NONBLOCK));
    fds[4] = must(socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK, 0));
    pthread_t other = spawn(read_here, (must(pipe(ends)), &ends[0]));
    join(spawn(wait_all, fds));
    send_all(ends[1], "x", 1);
    join(other), must(close(client));
}

static void set_timeout(long microseconds) {
    must(setsockopt(ends[0], SOL_SOCKET, SO_RCVTIMEO, &(struct timeval){0, microseconds}, sizeof(struct timeval)));
}

/* A timeout set after a wait, and taken away after another. */
static void timeouts(void) {
    tcp_pair(ends);
    wait_once();
    set_timeout(5000);
    join(spawn(read_here, &ends[0]));
    set_timeout(0);
    wait_once();
}

static void *write_until_full(void *arg) {
    static char bytes[1 << 16];
    while (send(ends[0], bytes, sizeof bytes, MSG_NOSIGNAL) > 0) continue;
    printf("%s\n", strerrorname_np(errno));
    return arg;
}

/* shutdown ends the waits of others. */
static void shut(void) {
    tcp_pair(ends);
    pthread_t reader = spawn(read_here, &ends[0]), writer = spawn(write_until_full, NULL);
    breathe();
    must(shutdown(ends[0], SHUT_RD));
    join(reader);
    must(shutdown(ends[0], SHUT_WR));
    join(writer);
}

int main(int argc, char **argv) {
    struct test tests[] = {CASE(nonblocking), CASE(born), CASE(timeouts), CASE(shut)};
    return RUN(argc, argv, tests);
}
