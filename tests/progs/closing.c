/* Descriptors that end while a thread waits there, and a library whose own descriptors must not end with them.
 * The cases named wakes_* differ from the bare run on purpose: there such a wait goes on for ever. */
#include "prog.h"
#include <mqueue.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/select.h>
#include <sys/resource.h>
#include <sys/syscall.h>

static int ends[2];
static char buffer[64];

static void *reader(void *arg) {
    show(read(ends[1], buffer, sizeof buffer));
    return arg;
}

static pthread_t waiting_reader(void) {
    must(socketpair(AF_UNIX, SOCK_STREAM, 0, ends));
    pthread_t thread = spawn(reader, NULL);
    breathe();
    return thread;
}

static void wakes_by_close(void) {
    pthread_t thread = waiting_reader();
    must(close(ends[1]));
    join(thread);
}

/* The number has a new life before the waiter runs. */
static void wakes_reused(void) {
    pthread_t thread = waiting_reader();
    int old = ends[1], fresh[2];
    must(close(old));
    must(pipe(fresh));
    check(fresh[0] == old);
    must(write(fresh[1], "not for you", 11));
    join(thread);
    show(read(fresh[0], buffer, sizeof buffer));
}

static void wakes_by_dup2(void) {
    pthread_t thread = waiting_reader();
    must(dup2(0, ends[1]));
    join(thread);
}

static void wakes_by_fclose(void) {
    pthread_t thread = waiting_reader();
    FILE *stream = fdopen(ends[1], "r+");
    check(stream);
    must(fclose(stream));
    join(thread);
}

static void wakes_by_range(void) {
    pthread_t thread = waiting_reader();
    must(close_range(ends[1], ends[1], 0));
    join(thread);
}

static void wakes_by_closefrom(void) {
    pthread_t thread = waiting_reader();
    closefrom(ends[1]);
    join(thread);
}

static void in_handler(int number) {
    (void)number;
    must(close(ends[1]));
}

static void wakes_by_handler(void) {
    pthread_t thread = waiting_reader();
    check(signal(SIGUSR1, in_handler) != SIG_ERR);
    must(raise(SIGUSR1));
    join(thread);
}

static void foreign_close(union sigval value) { must(close(value.sival_int)); }

/* glibc calls back on a kernel thread of its own. */
static void wakes_by_foreign(void) {
    pthread_t thread = waiting_reader();
    struct sigevent event = {.sigev_notify = SIGEV_THREAD, .sigev_notify_function = foreign_close};
    event.sigev_value.sival_int = ends[1];
    timer_t timer;
    must(timer_create(CLOCK_MONOTONIC, &event, &timer));
    struct itimerspec soon = {.it_value.tv_nsec = 1000000};
    must(timer_settime(timer, 0, &soon, NULL));
    join(thread);
}

static void *poller(void *arg) {
    struct pollfd one = {ends[1], POLLIN, 0};
    show(poll(&one, 1, -1));
    printf("invalid: %d\n", (one.revents & POLLNVAL) != 0);
    return arg;
}

static void wakes_poll(void) {
    must(socketpair(AF_UNIX, SOCK_STREAM, 0, ends));
    pthread_t thread = spawn(poller, NULL);
    breathe();
    must(close(ends[1]));
    join(thread);
}

static void wakes_by_mq_close(void) {
    char name[64];
    snprintf(name, sizeof name, "/closing-%d", getpid());
    ends[1] = must(mq_open(name, O_RDWR | O_CREAT | O_EXCL, 0600, NULL));
    must(mq_unlink(name));
    pthread_t thread = spawn(poller, NULL);
    breathe();
    must(mq_close(ends[1]));
    join(thread);
}

/* Threads can wait after the program has closed all that it does not know. */
static void *echo(void *arg) {
    int *pair = arg;
    for (int i = 0; i < 10; i++) {
        read_all(pair[0], buffer, 5);
        send_all(pair[0], buffer, 5);
    }
    return arg;
}

static void still_works(void) {
    int pair[2];
    must(socketpair(AF_UNIX, SOCK_STREAM, 0, pair));
    pthread_t thread = spawn(echo, pair);
    for (int i = 0; i < 10; i++) {
        char answer[5];
        breathe();
        send_all(pair[1], "hello", 5);
        read_all(pair[1], answer, 5);
        check(!memcmp(answer, "hello", 5));
    }
    join(thread);
}

static void *nothing(void *arg) { return arg; }

static void all_closed(void) {
    join(spawn(nothing, NULL));
    still_works();
    must(close_range(3, ~0U, 0));
    still_works();
    closefrom(3);
    still_works();
    struct rlimit limit;
    must(getrlimit(RLIMIT_NOFILE, &limit));
    for (rlim_t fd = 3; fd < limit.rlim_cur; fd++) close(fd);
    still_works();
}

/* select(getdtablesize(), ...) with an ordinary fd_set: the kernel stops at the numbers in use. */
static void large_select(void) {
    join(spawn(nothing, NULL));
    struct { fd_set set; unsigned char beyond[8192]; } room;
    memset(&room, 0xee, sizeof room);
    FD_ZERO(&room.set);
    must(pipe(ends));
    FD_SET(ends[0], &room.set);
    struct timeval time = {0, 1000};
    show(select(getdtablesize(), &room.set, NULL, NULL, &time));
    must(write(ends[1], "x", 1));
    FD_SET(ends[0], &room.set);
    show(select(getdtablesize(), &room.set, NULL, NULL, NULL));
    for (size_t i = 0; i < sizeof room.beyond; i++) check(room.beyond[i] == 0xee);
}

/* Descriptors as many as allowed: every number is still served. */
static void *answer(void *arg) {
    int fd = (int)(intptr_t)arg;
    char byte;
    read_all(fd, &byte, 1);
    send_all(fd, &byte, 1);
    return NULL;
}

static void high_numbers(void) {
    join(spawn(nothing, NULL));
    struct rlimit limit;
    must(getrlimit(RLIMIT_NOFILE, &limit));
    must(socketpair(AF_UNIX, SOCK_STREAM, 0, ends));
    int high = must(fcntl(ends[1], F_DUPFD, (int)limit.rlim_cur / 2));
    must(close(ends[1]));
    pthread_t thread = spawn(answer, (void *)(intptr_t)high);
    breathe();
    send_all(ends[0], "a", 1);
    read_all(ends[0], buffer, 1);
    join(thread);
}

int main(int argc, char **argv) {
    struct test tests[] = {CASE(wakes_by_close),  CASE(wakes_reused),    CASE(wakes_by_dup2),    CASE(wakes_by_fclose),
                           CASE(wakes_by_range), CASE(wakes_by_closefrom),  CASE(wakes_by_handler), CASE(wakes_by_foreign), CASE(wakes_poll), CASE(wakes_by_mq_close),
                           CASE(all_closed),      CASE(large_select),    CASE(high_numbers)};
    return RUN(argc, argv, tests);
}
