/* poll, select and epoll_wait from several threads. A ticker shows that no wait holds the others up: it is the ticker
 * that makes the event, after many ticks. */
#include "prog.h"
#include <poll.h>
#include <sys/epoll.h>
#include <sys/select.h>

enum { THREADS = 4, TICKS = 20 };
static int pipes[THREADS][2];

static void *ticking(void *arg) {
    for (int i = 0; i < TICKS; i++) usleep(500);
    for (int i = 0; i < THREADS; i++) send_all(pipes[i][1], "x", 1);
    return arg;
}

static void with_ticker(void *(*waiting)(void *)) {
    pthread_t threads[THREADS];
    for (int i = 0; i < THREADS; i++) must(pipe(pipes[i]));
    for (intptr_t i = 0; i < THREADS; i++) threads[i] = spawn(waiting, (void *)i);
    pthread_t ticker = spawn(ticking, NULL);
    for (int i = 0; i < THREADS; i++) printf("%s\n", (char *)join(threads[i]));
    join(ticker);
}

static void *poll_all(void *arg) {
    int own = (intptr_t)arg;
    struct pollfd set[THREADS + 1] = {{-1, POLLIN, 0}};
    for (int i = 0; i < THREADS; i++) set[i + 1] = (struct pollfd){pipes[i][0], POLLIN, 0};
    set[own + 1].events = 0; /* waits for the others' only */
    int given;
    do given = own % 2 ? poll(set, THREADS + 1, -1) : ppoll(set, THREADS + 1, NULL, NULL);
    while (given > 0 && set[(own + 1) % THREADS + 1].revents != POLLIN);
    return "polled";
}

static void *poll_timeout(void *arg) {
    struct pollfd set = {pipes[(intptr_t)arg][0], POLLIN, 0};
    struct timespec little = {0, 1500000};
    check(poll(&set, 1, 0) == 0);
    check(poll(&set, 1, 3) == 0);
    check(ppoll(&set, 1, &little, NULL) == 0);
    check(poll(NULL, 0, 3) == 0);
    check(poll(&set, 1, 60000) == 1);
    return "polled in time";
}

/* A number that is not open, out of the way of those that others get. */
static int closed(void *arg) {
    int fd = must(dup2(pipes[0][0], 500 + (intptr_t)arg));
    must(close(fd));
    return fd;
}

static void *poll_states(void *arg) {
    int gone[2], full[2];
    must(pipe(gone)), must(pipe(full));
    struct pollfd set[2] = {{gone[0], POLLIN, 0}, {full[1], POLLOUT, 0}};
    check(poll(set, 2, -1) == 1 && set[1].revents == POLLOUT);
    set[1].fd = -1;
    must(close(gone[1]));
    check(poll(set, 2, -1) == 1 && set[0].revents == POLLHUP && set[1].revents == 0);
    must(close(full[0]));
    set[1].fd = full[1];
    check(poll(set + 1, 1, -1) == 1 && set[1].revents == (POLLOUT | POLLERR));
    must(close(gone[0])), must(close(full[1]));
    set[0].fd = closed(arg);
    check(poll(set, 1, -1) == 1 && set[0].revents == POLLNVAL);
    return poll_all(arg);
}

static void *select_all(void *arg) {
    int own = (intptr_t)arg, next = pipes[(own + 1) % THREADS][0];
    fd_set reading, except;
    do {
        FD_ZERO(&reading);
        FD_ZERO(&except);
        for (int i = 0; i < THREADS; i++) FD_SET(pipes[i][0], i == own ? &except : &reading);
        check((own % 2 ? select(FD_SETSIZE, &reading, NULL, &except, NULL)
                       : pselect(FD_SETSIZE, &reading, NULL, &except, NULL, NULL)) > 0);
    } while (!FD_ISSET(next, &reading));
    check(!FD_ISSET(pipes[own][0], &reading) && !FD_ISSET(pipes[own][0], &except));
    return "selected";
}

static void *select_timeout(void *arg) {
    int fd = pipes[(intptr_t)arg][0];
    fd_set set;
    FD_ZERO(&set);
    FD_SET(fd, &set);
    struct timeval little = {0, 2500}, none = {0, 0}, long_time = {60, 0};
    struct timespec fine = {0, 1500000};
    check(select(fd + 1, &set, NULL, NULL, &little) == 0 && !FD_ISSET(fd, &set));
    check(little.tv_sec == 0 && little.tv_usec == 0); /* Linux tells what is left */
    check(select(0, NULL, NULL, NULL, &none) == 0);
    check(pselect(0, NULL, NULL, NULL, &fine, NULL) == 0);
    FD_SET(fd, &set);
    check(select(fd + 1, &set, NULL, NULL, &long_time) == 1 && FD_ISSET(fd, &set));
    check(long_time.tv_sec < 60);
    return "selected in time";
}

static void *select_bad(void *arg) {
    int fd = closed(arg);
    fd_set set;
    FD_ZERO(&set);
    FD_SET(fd, &set);
    check(select(fd + 1, &set, NULL, NULL, NULL) == -1 && errno == EBADF);
    return select_all(arg);
}

static int instance(uint32_t events, int *fds, int count) {
    int epoll = must(epoll_create1(0));
    for (int i = 0; i < count; i++) {
        struct epoll_event event = {.events = events, .data.u32 = i};
        must(epoll_ctl(epoll, EPOLL_CTL_ADD, fds[i], &event));
    }
    return epoll;
}

static int wait_in_turn(int turn, int epoll, struct epoll_event *event) {
    switch (turn % 3) {
    case 0: return epoll_wait(epoll, event, 1, -1);
    case 1: return epoll_pwait(epoll, event, 1, -1, NULL);
    default: return epoll_pwait2(epoll, event, 1, NULL, NULL);
    }
}

/* An instance of its own: level, edge and one-shot keep their meaning. */
static void *epoll_own(void *arg) {
    int fd = pipes[(intptr_t)arg][0];
    int level = instance(EPOLLIN, &fd, 1), edge = instance(EPOLLIN | EPOLLET, &fd, 1);
    int once = instance(EPOLLIN | EPOLLONESHOT, &fd, 1);
    struct epoll_event event;
    check(epoll_wait(level, &event, 1, 0) == 0);
    check(epoll_wait(level, &event, 1, 3) == 0);
    for (int i = 0; i < 6; i++) check(wait_in_turn(i + (intptr_t)arg, level, &event) == 1 && event.events == EPOLLIN);
    check(epoll_wait(edge, &event, 1, -1) == 1 && epoll_wait(edge, &event, 1, 3) == 0);
    check(epoll_pwait(once, &event, 1, -1, NULL) == 1 && epoll_wait(once, &event, 1, 3) == 0);
    check(epoll_wait(level, &event, 0, 0) == -1 && errno == EINVAL);
    must(close(level)), must(close(edge)), must(close(once));
    return "epoll";
}

static int shared_epoll;

/* Several wait on one instance: each takes one of the events. */
static void *epoll_share(void *arg) {
    struct epoll_event event;
    char byte;
    check(epoll_wait(shared_epoll, &event, 1, -1) == 1);
    read_all(pipes[event.data.u32][0], &byte, 1);
    return "one event";
}

static void poll_any(void) { with_ticker(poll_all); }
static void poll_time(void) { with_ticker(poll_timeout); }
static void poll_state(void) { with_ticker(poll_states); }
static void select_any(void) { with_ticker(select_all); }
static void select_time(void) { with_ticker(select_timeout); }
static void select_closed(void) { with_ticker(select_bad); }
static void epoll_modes(void) { with_ticker(epoll_own); }

static void epoll_shared(void) {
    pthread_t threads[THREADS];
    int fds[THREADS];
    for (int i = 0; i < THREADS; i++) must(pipe(pipes[i])), fds[i] = pipes[i][0];
    shared_epoll = instance(EPOLLIN | EPOLLONESHOT, fds, THREADS);
    for (intptr_t i = 0; i < THREADS; i++) threads[i] = spawn(epoll_share, (void *)i);
    pthread_t ticker = spawn(ticking, NULL);
    for (int i = 0; i < THREADS; i++) printf("%s\n", (char *)join(threads[i]));
    join(ticker);
}

int main(int argc, char **argv) {
    struct test tests[] = {CASE(poll_any),      CASE(poll_time),   CASE(poll_state),  CASE(select_any),
                           CASE(select_time), CASE(select_closed), CASE(epoll_modes), CASE(epoll_shared)};
    return RUN(argc, argv, tests);
}
