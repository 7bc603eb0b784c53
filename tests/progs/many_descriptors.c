/* poll and select on many descriptors, with large numbers, with one descriptor many times; and their signal masks.
 * Whatever ends a wait is done by another thread, which gets on meanwhile. */
#include "prog.h"
#include <poll.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/select.h>

enum { MANY = 10000 };
static int ends[2];

static void write_here(void) { send_all(ends[1], "x", 1); }
static void close_writer(void) { must(close(ends[1])); }

static void taken(void) {
    char byte;
    read_all(ends[0], &byte, 1);
}

/* As many as may be: the highest number that the limit allows. */
static rlim_t limit_of(rlim_t wanted) {
    struct rlimit limit;
    must(getrlimit(RLIMIT_NOFILE, &limit));
    if (limit.rlim_max < wanted) {
        struct rlimit more = {wanted, wanted};
        if (!setrlimit(RLIMIT_NOFILE, &more)) return wanted;
    }
    limit.rlim_cur = limit.rlim_max < wanted ? limit.rlim_max : wanted;
    must(setrlimit(RLIMIT_NOFILE, &limit));
    return limit.rlim_cur;
}

/* One readable descriptor among 10,000 entries: negative ones, ones not asked for anything, the same one again. */
static void polled(void) {
    static struct pollfd set[MANY];
    must(pipe(ends));
    for (int i = 0; i < MANY; i++) set[i] = (struct pollfd){i % 3 ? -i : ends[0], i % 2 ? POLLIN : 0, 0x77};
    show(poll(set, MANY, 0));
    for (int i = 0; i < MANY; i++) check(set[i].revents == 0);
    show(poll(set, MANY, 3));
    pthread_t thread = later(write_here);
    show(poll(set, MANY, -1));
    join(thread);
    for (int i = 0; i < MANY; i++) check(set[i].revents == (i % 3 == 0 && i % 2 ? POLLIN : 0));
    taken();
    thread = later(close_writer);
    show(ppoll(set, MANY, NULL, NULL));
    join(thread);
    for (int i = 0; i < MANY; i++) check(set[i].revents == (i % 3 ? 0 : POLLHUP));
}

/* 5,000 different descriptors; threads wait for the last ones. */
enum { FEWER = 5000, THREADS = 4 };
static int all[FEWER];

static void *wait_for_last(void *arg) {
    struct pollfd *set = calloc(FEWER, sizeof *set);
    check(set);
    for (int i = 0; i < FEWER; i++) set[i] = (struct pollfd){all[i], POLLIN, 0};
    for (;;) {
        check(must(poll(set, FEWER, -1)) > 0);
        if (set[FEWER - 1 - (intptr_t)arg].revents == POLLIN) break;
        poll(NULL, 0, 1);
    }
    free(set);
    return arg;
}

static void different(void) {
    pthread_t threads[THREADS];
    int last[THREADS][2];
    struct rlimit limit;
    must(getrlimit(RLIMIT_NOFILE, &limit));
    must(pipe(ends));
    for (int i = 0; i < THREADS; i++) must(pipe(last[i]));
    for (int i = 0; i < FEWER - THREADS; i++) all[i] = must(dup(ends[0]));
    for (int i = 0; i < THREADS; i++) all[FEWER - 1 - i] = last[i][0];
    for (intptr_t i = 0; i < THREADS; i++) threads[i] = spawn(wait_for_last, (void *)i);
    for (int i = THREADS; i-- > 0;) tick(), send_all(last[i][1], "x", 1);
    for (int i = 0; i < THREADS; i++) join(threads[i]);
}

/* The same descriptor for reading in one entry, for writing in another, not open in a third. */
static void again(void) {
    must(socketpair(AF_UNIX, SOCK_STREAM, 0, ends));
    struct pollfd set[6] = {{ends[0], POLLIN, 0}, {ends[0], POLLOUT, 0}, {-5, POLLIN, 0}, {ends[0], POLLIN | POLLRDHUP, 0},
                            {ends[0], POLLPRI, 0}, {ends[0], POLLIN, 0}};
    show(poll(set, 6, -1));
    for (int i = 0; i < 6; i++) printf("%d ", set[i].revents);
    set[1].fd = ~set[1].fd;
    pthread_t thread = later(close_writer);
    show(poll(set, 6, -1));
    for (int i = 0; i < 6; i++) printf("%d ", set[i].revents);
    join(thread);
    set[2].fd = 1000;
    show(poll(set, 6, -1));
    for (int i = 0; i < 6; i++) printf("%d ", set[i].revents);
    puts("");
}

/* Of each direction at once, and what half an end says. */
static void shut_there(void) { must(shutdown(ends[1], SHUT_WR)); }

static void halves(void) {
    for (int i = 0; i < 2; i++) {
        if (i) tcp_pair(ends);
        else must(socketpair(AF_UNIX, SOCK_STREAM, 0, ends));
        struct pollfd set = {ends[0], POLLRDHUP, 0};
        pthread_t thread = later(shut_there);
        show(poll(&set, 1, -1));
        printf("%d\n", set.revents);
        join(thread);
        set.events = POLLIN | POLLOUT | POLLRDHUP;
        show(poll(&set, 1, -1));
        printf("%d\n", set.revents);
        must(shutdown(ends[0], SHUT_WR));
        show(poll(&set, 1, -1));
        printf("%d\n", set.revents);
    }
}

/* Sets of more than 1024 numbers, as the kernel takes them: glibc's select does not look at the size. */
static void in_large_set(int highest) {
    size_t size = (highest / 64 + 1) * 8;
    fd_set *reading = calloc(1, size), *writing = calloc(1, size);
    check(reading && writing);
    int low = ends[0], high = must(dup2(ends[0], highest)), writer = must(dup2(ends[1], highest - 1));
#define BIT(set, fd) (((unsigned long *)(set))[(fd) / 64] >> (fd) % 64 & 1)
#define SET(set, fd) (((unsigned long *)(set))[(fd) / 64] |= 1ul << (fd) % 64)
    SET(reading, low), SET(reading, high), SET(writing, writer);
    show(select(highest + 1, reading, writing, NULL, NULL));
    printf("%ld %ld %ld\n", BIT(reading, low), BIT(reading, high), BIT(writing, writer));
    SET(reading, low), SET(reading, high);
    struct timeval little = {0, 2000};
    show(select(highest + 1, reading, NULL, NULL, &little));
    printf("%ld %ld\n", BIT(reading, low), BIT(reading, high));
    SET(reading, low), SET(reading, high);
    pthread_t thread = later(write_here);
    show(select(highest + 1, reading, NULL, NULL, NULL));
    join(thread);
    printf("%ld %ld\n", BIT(reading, low), BIT(reading, high));
    SET(reading, high);
    show(pselect(highest, reading, NULL, NULL, NULL, NULL)); /* the highest is left out */
    printf("%ld %ld\n", BIT(reading, low), BIT(reading, high));
    taken();
    must(close(high));
    SET(reading, high);
    show(select(highest + 1, reading, NULL, NULL, NULL));
    must(close(writer));
    free(reading), free(writing);
}

static void selected(void) {
    must(pipe(ends));
    int highest = (int)limit_of(4000) - 200;
    in_large_set(1024);
    in_large_set(2047);
    in_large_set(highest);
}

/* Beyond 65536, where the limit can be raised. */
static void beyond(void) {
    rlim_t limit = limit_of(70000);
    must(pipe(ends));
    in_large_set(limit >= 70000 ? 65535 : (int)limit - 300);
    in_large_set(limit >= 70000 ? 65536 : (int)limit - 299);
    in_large_set(limit >= 70000 ? 66000 : (int)limit - 200);
}

/* Masks: what is pending and let in ends the wait, and nothing else does. */
static volatile sig_atomic_t handled;
static void handler(int sig) { (void)sig, handled++; }
static pthread_t waiter;
static void signal_it(void) { zero(pthread_kill(waiter, SIGUSR1)); }

static void *masks_of(void *arg) {
    sigset_t blocked, none, usual;
    sigemptyset(&none), sigemptyset(&blocked), sigaddset(&blocked, SIGUSR1);
    struct timespec little = {0, 3000000}, now = {0, 0};
    struct pollfd one = {ends[0], POLLIN, 0};
    fd_set set;
    waiter = pthread_self();
    zero(pthread_sigmask(SIG_BLOCK, &blocked, NULL));
#define ON(call) ({ FD_ZERO(&set); FD_SET(ends[0], &set); show(call); printf("handled %d, %d\n", handled, FD_ISSET(ends[0], &set)); })
    signal_it();
    show(poll(&one, 1, 3));
    show(ppoll(&one, 1, &little, NULL));
    show(ppoll(&one, 1, &little, &blocked));
    show(ppoll(&one, 1, NULL, &none));
    signal_it();
    show(ppoll(&one, 1, &now, &none));
    signal_it();
    ON(pselect(ends[0] + 1, &set, NULL, NULL, &little, NULL));
    ON(pselect(ends[0] + 1, &set, NULL, NULL, &little, &blocked));
    ON(pselect(ends[0] + 1, &set, NULL, NULL, NULL, &none));
    signal_it();
    ON(pselect(ends[0] + 1, &set, NULL, NULL, &now, &none));
    ON(pselect(ends[0] + 1, &set, NULL, NULL, &now, &none));
    pthread_t thread = later(signal_it);
    ON(pselect(ends[0] + 1, &set, NULL, NULL, NULL, &none));
    join(thread);
    thread = later(signal_it);
    show(ppoll(&one, 1, NULL, &none));
    join(thread);
    signal_it(), write_here();
    show(ppoll(&one, 1, NULL, &none)); /* both: what is ready counts */
    ON(pselect(ends[0] + 1, &set, NULL, NULL, NULL, &none));
    zero(pthread_sigmask(SIG_SETMASK, &none, &usual));
    printf("handled %d, blocked as before: %d\n", handled, sigismember(&usual, SIGUSR1));
    return arg;
}

static void masks(void) {
    struct sigaction action = {.sa_handler = handler, .sa_flags = SA_RESTART};
    must(sigaction(SIGUSR1, &action, NULL));
    must(pipe(ends));
    join(spawn(masks_of, NULL));
}

int main(int argc, char **argv) {
    struct test tests[] = {CASE(polled),   CASE(different), CASE(again), CASE(halves),
                           CASE(selected), CASE(beyond),    CASE(masks)};
    return RUN(argc, argv, tests);
}
