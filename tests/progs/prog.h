/* What the programs here share: they stop at the first surprise, choose a case by name, and talk over loopback.
 * No result may depend on how long anything takes: breathe() makes it likely that others wait by now, no more. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/types.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define die(what) (fflush(stdout), fprintf(stderr, "%s:%d: %s: %s\n", __FILE__, __LINE__, what, strerror(errno)), exit(1))
/* A truth the program relies on. */
#define check(truth) ((truth) ? (void)0 : (void)die(#truth))
/* A call that gives -1 when it fails. */
#define must(call) ({ __typeof__(call) result_ = (call); if (result_ == (__typeof__(result_))-1) die(#call); result_; })
/* A call of the pthread kind, which gives the error. */
#define zero(call) ({ int error_ = (call); if (error_) { errno = error_; die(#call); } })
/* Does it, prints what it gave and, if that is -1, errno. */
#define show(call) ({ long given_ = (call); int errno_ = errno; \
    given_ == -1 ? printf("%s: -1 %s\n", #call, strerrorname_np(errno_)) : printf("%s: %ld\n", #call, given_); given_; })
/* The same for a call of the pthread kind. */
#define tell(call) ({ int told_ = (call); printf("%s: %s\n", #call, told_ ? strerrorname_np(told_) : "0"); told_; })

static inline pthread_t spawn(void *(*run)(void *), void *arg) {
    pthread_t thread;
    zero(pthread_create(&thread, NULL, run, arg));
    return thread;
}

static inline void *join(pthread_t thread) {
    void *result;
    zero(pthread_join(thread, &result));
    return result;
}

/* Lets the others get on. */
static inline void breathe(void) { usleep(2000); }

/* Gets on for a while: whoever keeps the hub meanwhile is late. */
static inline void tick(void) {
    for (int i = 0; i < 5; i++) breathe();
}

static inline void *tick_and_do(void *it) {
    tick();
    ((void (*)(void))it)();
    return NULL;
}

/* A thread that gets on for a while, then does it. */
static inline pthread_t later(void (*it)(void)) { return spawn(tick_and_do, (void *)it); }

/* A time `milliseconds` from now on a clock. */
static inline struct timespec from_now(clockid_t clock, long milliseconds) {
    struct timespec t;
    must(clock_gettime(clock, &t));
    t.tv_sec += milliseconds / 1000;
    t.tv_nsec += milliseconds % 1000 * 1000000;
    if (t.tv_nsec >= 1000000000) t.tv_sec++, t.tv_nsec -= 1000000000;
    return t;
}

/* The call, with alarms until it is over: one that comes before the wait leaves it another. */
#define ALARMED(call) ({ ualarm(2000, 2000); __typeof__(call) given_ = (call); int error_ = errno; ualarm(0, 0); errno = error_; given_; })

/* Whether `rest` is what a sleep of `seconds` can have left that was interrupted, and begun at `start` or later: no less, by
 * what has passed since, and less than all. */
static inline int left_over(clockid_t clock, time_t seconds, const struct timespec *start, const struct timespec *rest) {
    struct timespec now = from_now(clock, 0);
    int64_t passed = (int64_t)(now.tv_sec - start->tv_sec) * 1000000000 + now.tv_nsec - start->tv_nsec;
    int64_t left = (int64_t)rest->tv_sec * 1000000000 + rest->tv_nsec, all = (int64_t)seconds * 1000000000;
    return left < all && left + passed >= all;
}

/* A TCP listener on a free loopback port. */
static inline int listener(int backlog, struct sockaddr_in *address) {
    int fd = must(socket(AF_INET, SOCK_STREAM, 0));
    socklen_t size = sizeof *address;
    memset(address, 0, size);
    address->sin_family = AF_INET;
    address->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    must(bind(fd, (struct sockaddr *)address, size));
    must(listen(fd, backlog));
    must(getsockname(fd, (struct sockaddr *)address, &size));
    return fd;
}

static inline int dial(const struct sockaddr_in *address) {
    int fd = must(socket(AF_INET, SOCK_STREAM, 0));
    must(connect(fd, (const struct sockaddr *)address, sizeof *address));
    return fd;
}

/* Two ends of a TCP connection. */
static inline void tcp_pair(int ends[2]) {
    struct sockaddr_in address;
    int server = listener(1, &address);
    ends[0] = dial(&address);
    ends[1] = must(accept(server, NULL, NULL));
    must(close(server));
}

static inline void send_all(int fd, const void *bytes, size_t size) { check(must(write(fd, bytes, size)) == (ssize_t)size); }

/* Reads exactly `size` bytes, in as many reads as it takes. */
static inline void read_all(int fd, void *bytes, size_t size) {
    for (size_t done = 0; done < size;) {
        ssize_t n = must(read(fd, (char *)bytes + done, size - done));
        check(n > 0);
        done += n;
    }
}

struct test {
    const char *name;
    void (*run)(void);
};
#define CASE(function) {#function, function}

/* Runs the cases that the arguments name. */
static inline int run_case(int argc, char **argv, const struct test *tests, size_t count) {
    for (int name = 1; name < argc; name++) {
        size_t i = 0;
        while (i < count && strcmp(tests[i].name, argv[name])) i++;
        if (i == count) argc = 0;
        else tests[i].run(), printf("%s done\n", argv[name]);
    }
    if (argc > 1) return 0;
    fprintf(stderr, "usage: %s CASE...\n", argv[0]);
    return 2;
}
#define RUN(argc, argv, tests) run_case(argc, argv, tests, sizeof(tests) / sizeof *(tests))
