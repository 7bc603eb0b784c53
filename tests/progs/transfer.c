/* From descriptor to descriptor, vectors with flags, eventfds. What ends a wait is done by another thread, which gets on
 * meanwhile. */
#include "prog.h"
#include <sys/eventfd.h>
#include <sys/sendfile.h>
#include <sys/uio.h>

enum { SIZE = 3 << 20, PIPE = 65536 };
static char bytes[SIZE], seen[SIZE];
static int ends[2], pair[2], file;

static void fill(void) {
    for (int i = 0; i < SIZE; i++) bytes[i] = i * 31 + (i >> 8);
}

/* The bytes in a file without a name. */
static int filed(void) {
    char path[] = "/tmp/transfer-XXXXXX";
    int fd = must(mkstemp(path));
    must(unlink(path));
    fill();
    send_all(fd, bytes, SIZE);
    return fd;
}

static void *reads_all(void *arg) {
    for (int i = 0; i < 5; i++) breathe();
    read_all(*(int *)arg, seen, SIZE);
    return NULL;
}

static void *reads_some(void *arg) {
    for (int i = 0; i < 5; i++) breathe();
    read_all(*(int *)arg, seen, PIPE);
    return NULL;
}

static void *writes_five(void *arg) {
    for (int i = 0; i < 5; i++) breathe();
    send_all(*(int *)arg, "hello", 5);
    return NULL;
}

static void unix_pair(int fds[2]) { must(socketpair(AF_UNIX, SOCK_STREAM, 0, fds)); }
static void new_pipe(int fds[2]) { must(pipe(fds)); }

static void full(int fds[2]) {
    must(pipe(fds));
    check(must(fcntl(fds[1], F_SETPIPE_SZ, PIPE)) == PIPE);
    send_all(fds[1], bytes, PIPE);
}

static void same(size_t size) { printf("the same: %d\n", !memcmp(bytes, seen, size)); }

/* sendfile */
static void send_whole(void (*make)(int *), int with_offset) {
    off_t from = 0;
    file = filed();
    make(ends);
    must(lseek(file, 0, SEEK_SET));
    pthread_t reader = spawn(reads_all, &ends[0]);
    show(sendfile(ends[1], file, with_offset ? &from : NULL, SIZE));
    join(reader);
    same(SIZE);
    printf("at %ld, %ld\n", (long)must(lseek(file, 0, SEEK_CUR)), (long)from);
    show(sendfile(ends[1], file, with_offset ? &from : NULL, 10));
    show(fcntl(ends[1], F_GETFL) & O_NONBLOCK);
}

static void sendfile_tcp(void) { send_whole(tcp_pair, 0); }
static void sendfile_unix(void) { send_whole(unix_pair, 1); }

/* Into a pipe goes what fits. */
static void sendfile_pipe(void) {
    file = filed();
    full(ends);
    must(lseek(file, 0, SEEK_SET));
    pthread_t reader = spawn(reads_some, &ends[0]);
    ssize_t n = must(sendfile(ends[1], file, NULL, SIZE));
    join(reader);
    same(PIPE);
    printf("some went: %d\n", n > 0 && n <= PIPE);
    read_all(ends[0], seen, n);
    same(n);
}

static void *wrong_sendfile(void *arg) {
    off_t negative = -1, beyond = SIZE + 5, zero = 0;
    file = filed();
    tcp_pair(ends), new_pipe(pair);
    int directory = must(open("/tmp", O_RDONLY));
    show(sendfile(-1, file, NULL, 10));
    show(sendfile(ends[1], -1, NULL, 10));
    show(sendfile(ends[1], pair[0], NULL, 10));
    show(sendfile(pair[1], pair[0], NULL, 10));
    show(sendfile(ends[1], ends[0], NULL, 10));
    show(sendfile(ends[1], directory, NULL, 10));
    show(sendfile(ends[1], file, &negative, 10));
    show(sendfile(ends[1], file, &beyond, 10));
    show(sendfile(ends[1], file, &zero, -5));
    show(sendfile(ends[1], file, NULL, 0));
    show(sendfile(pair[1], file, &zero, 4096));
    must(fcntl(pair[1], F_SETFL, O_NONBLOCK));
    while (sendfile(pair[1], file, (zero = 0, &zero), PIPE) > 0) continue;
    printf("%s\n", strerrorname_np(errno));
    must(fcntl(ends[1], F_SETFL, O_NONBLOCK));
    ssize_t n = 0, all = 0;
    zero = 0;
    for (int i = 0; i < 50 && (n = sendfile(ends[1], file, &zero, SIZE)) >= 0; i++, zero = 0) all += n;
    printf("%s after some: %d\n", n < 0 ? strerrorname_np(errno) : "no end", all > 0);
    signal(SIGPIPE, SIG_IGN);
    unix_pair(ends);
    must(close(ends[0]));
    show(sendfile(ends[1], file, (zero = 0, &zero), 10));
    return arg;
}

static void sendfile_wrong(void) { join(spawn(wrong_sendfile, NULL)); }

/* splice */
static void splice_from(void (*make)(int *)) {
    make(ends), new_pipe(pair);
    pthread_t writer = spawn(writes_five, &ends[0]);
    show(splice(ends[1], NULL, pair[1], NULL, 100, 0));
    join(writer);
    read_all(pair[0], seen, 5);
    printf("%.5s\n", seen);
    must(shutdown(ends[0], SHUT_WR));
    show(splice(ends[1], NULL, pair[1], NULL, 100, 0));
}

static void splice_tcp(void) { splice_from(tcp_pair); }
static void splice_unix(void) { splice_from(unix_pair); }

static void *feeds(void *arg) {
    fill();
    send_all(pair[1], bytes, SIZE);
    must(close(pair[1]));
    return arg;
}

/* A pipe's content, all of it, to a socket that is read late. */
static void splice_to(void (*make)(int *)) {
    make(ends), new_pipe(pair);
    pthread_t feeder = spawn(feeds, NULL), reader = spawn(reads_all, &ends[0]);
    size_t all = 0;
    for (ssize_t n; (n = must(splice(pair[0], NULL, ends[1], NULL, SIZE, SPLICE_F_MORE)));) all += n;
    printf("%zu\n", all);
    join(feeder), join(reader);
    same(SIZE);
}

static void splice_to_tcp(void) { splice_to(tcp_pair); }
static void splice_to_unix(void) { splice_to(unix_pair); }

static void splice_pipes(void) {
    int more[2];
    new_pipe(ends), new_pipe(pair), full(more);
    pthread_t writer = spawn(writes_five, &ends[1]);
    show(splice(ends[0], NULL, pair[1], NULL, 100, 0));
    join(writer);
    pthread_t reader = spawn(reads_some, &more[0]);
    show(splice(pair[0], NULL, more[1], NULL, 100, 0));
    join(reader);
    read_all(more[0], seen, 5);
    printf("%.5s\n", seen);
    must(close(pair[1]));
    show(splice(pair[0], NULL, more[1], NULL, 100, 0));
}

static void splice_file(void) {
    loff_t at = 1 << 20, to = 10;
    file = filed();
    full(ends);
    pthread_t reader = spawn(reads_some, &ends[0]);
    ssize_t n = must(splice(file, &at, ends[1], NULL, 1000, 0));
    join(reader);
    printf("%d %d\n", n > 0, at == (1 << 20) + n);
    read_all(ends[0], seen, n);
    printf("%d\n", !memcmp(seen, bytes + (1 << 20), n));
    pthread_t writer = spawn(writes_five, &ends[1]);
    show(splice(ends[0], NULL, file, &to, 1000, 0));
    join(writer);
    check(must(pread(file, seen, 5, 10)) == 5);
    printf("%.5s %ld\n", seen, (long)to);
}

static void *not_waiting(void *arg) {
    int other[2], tcp[2], crowded[2];
    new_pipe(pair), full(other), unix_pair(ends), tcp_pair(tcp), full(crowded);
    show(splice(pair[0], NULL, other[1], NULL, 10, SPLICE_F_NONBLOCK));
    show(splice(pair[0], NULL, ends[1], NULL, 10, SPLICE_F_NONBLOCK));
    show(splice(ends[0], NULL, pair[1], NULL, 10, SPLICE_F_NONBLOCK));
    send_all(tcp[0], "x", 1);
    show(splice(tcp[1], NULL, other[1], NULL, 10, SPLICE_F_NONBLOCK));
    show(splice(crowded[0], NULL, other[1], NULL, 10, SPLICE_F_NONBLOCK));
    show(tee(pair[0], other[1], 10, SPLICE_F_NONBLOCK));
    show(tee(crowded[0], other[1], 10, SPLICE_F_NONBLOCK));
    struct iovec part = {seen, 10};
    show(vmsplice(other[1], &part, 1, SPLICE_F_NONBLOCK));
    show(vmsplice(pair[0], &part, 1, SPLICE_F_NONBLOCK));
    must(fcntl(pair[0], F_SETFL, O_NONBLOCK));
    show(splice(pair[0], NULL, ends[1], NULL, 10, 0));
    show(tee(pair[0], crowded[1], 10, 0));
    must(fcntl(ends[0], F_SETFL, O_NONBLOCK));
    show(splice(ends[0], NULL, pair[1], NULL, 10, 0));
    show(splice(ends[0], NULL, ends[1], NULL, 10, 0));
    must(fcntl(ends[0], F_SETFL, 0));
    show(splice(ends[0], NULL, ends[1], NULL, 10, 0));
    show(splice(ends[0], &(loff_t){0}, pair[1], NULL, 10, 0));
    show(splice(ends[0], NULL, pair[1], &(loff_t){0}, 10, 0));
    show(splice(-1, NULL, pair[1], NULL, 10, 0));
    show(splice(pair[0], NULL, -1, NULL, 10, 0));
    show(splice(crowded[0], NULL, ends[1], NULL, 0, 0));
    show(splice(crowded[0], &(loff_t){0}, ends[1], NULL, 1, 0));
    show(tee(ends[0], pair[1], 10, 0));
    show(vmsplice(ends[0], &part, 1, 0));
    show(vmsplice(-1, &part, 1, 0));
    must(close(ends[0]));
    signal(SIGPIPE, SIG_IGN);
    show(splice(crowded[0], NULL, ends[1], NULL, 10, 0));
    return arg;
}

static void nowait(void) { join(spawn(not_waiting, NULL)); }

/* tee takes nothing. */
static void teed(void) {
    int more[2];
    new_pipe(ends), new_pipe(pair), full(more);
    pthread_t writer = spawn(writes_five, &ends[1]);
    show(tee(ends[0], pair[1], 100, 0));
    join(writer);
    read_all(ends[0], seen, 5);
    printf("%.5s\n", seen);
    pthread_t reader = spawn(reads_some, &more[0]);
    show(tee(pair[0], more[1], 100, 0));
    join(reader);
    read_all(more[0], seen, 5);
    printf("%.5s\n", seen);
}

static void vmspliced(void) {
    struct iovec parts[2] = {{"some", 4}, {" thing", 6}}, into = {seen, 100};
    full(ends), new_pipe(pair);
    pthread_t reader = spawn(reads_some, &ends[0]);
    show(vmsplice(ends[1], parts, 2, 0));
    join(reader);
    read_all(ends[0], seen, 10);
    printf("%.10s\n", seen);
    pthread_t writer = spawn(writes_five, &pair[1]);
    show(vmsplice(pair[0], &into, 1, 0));
    join(writer);
    printf("%.5s\n", seen);
}

/* preadv2, pwritev2 */
static void vectors_on(void (*make)(int *)) {
    struct iovec part = {seen, 100}, whole = {bytes, SIZE};
    make(ends);
    pthread_t writer = spawn(writes_five, &ends[1]);
    show(preadv2(ends[0], &part, 1, -1, 0));
    join(writer);
    writer = spawn(writes_five, &ends[1]);
    show(preadv2(ends[0], &part, 1, -1, RWF_HIPRI));
    join(writer);
    show(preadv2(ends[0], &part, 1, -1, RWF_NOWAIT));
    show(preadv2(ends[0], &part, 1, 5, 0));
    show(preadv2(ends[0], &part, 1, -1, 0x40000000));
    fill();
    pthread_t reader = spawn(reads_all, &ends[0]);
    show(pwritev2(ends[1], &whole, 1, -1, RWF_DSYNC));
    join(reader);
    same(SIZE);
    show(pwritev2(ends[1], &part, 1, 5, 0));
}

static void vectors(void) {
    struct iovec part = {seen, 100};
    vectors_on(new_pipe);
    vectors_on(unix_pair);
    file = filed();
    show(pwritev2(file, &part, 1, 0, RWF_APPEND));
    show(preadv2(file, &part, 1, SIZE + 50, 0));
    show(lseek(file, 0, SEEK_CUR));
}

/* eventfds */
static int event;

static void *reads_event(void *arg) {
    eventfd_t value;
    for (int i = 0; i < 5; i++) breathe();
    must(eventfd_read(event, &value));
    check(value == 5);
    return arg;
}

static void *writes_event(void *arg) {
    for (int i = 0; i < 5; i++) breathe();
    must(eventfd_write(event, 7));
    return arg;
}

static void events(void) {
    eventfd_t value, much = ~1ULL - 4;
    event = must(eventfd(0, 0));
    pthread_t writer = spawn(writes_event, NULL);
    show(eventfd_read(event, &value));
    join(writer);
    printf("%d\n", (int)value);
    for (int i = 0; i < 3; i++) { /* one more would fit, so many do not */
        must(eventfd_write(event, 5));
        pthread_t reader = spawn(reads_event, NULL);
        if (i == 0) show(eventfd_write(event, much));
        if (i == 1) show(write(event, &much, sizeof much));
        if (i == 2) show(writev(event, &(struct iovec){&much, sizeof much}, 1));
        join(reader);
        show(eventfd_read(event, &value));
    }
    show(eventfd_write(event, ~0ULL));
    show(write(event, &much, 4));
    show(fcntl(event, F_GETFL) & O_NONBLOCK);
    must(fcntl(event, F_SETFL, O_NONBLOCK));
    must(eventfd_write(event, 5));
    show(eventfd_write(event, much));
    must(eventfd_read(event, &value));
    show(eventfd_read(event, &value));
}

/* A child looks on: the mode of what it shares never changes. */
static void watched(void) {
    int stop[2], flags[3];
    file = filed();
    full(pair), tcp_pair(ends), event = must(eventfd(5, 0)), must(pipe(stop));
    join(spawn(writes_five, &stop[1]));
    read_all(stop[0], seen, 5);
    pid_t child = must(fork());
    if (!child) {
        char byte;
        int seen_nonblock = 0;
        must(fcntl(stop[0], F_SETFL, O_NONBLOCK));
        do {
            flags[0] = must(fcntl(pair[1], F_GETFL)), flags[1] = must(fcntl(ends[1], F_GETFL));
            flags[2] = must(fcntl(event, F_GETFL));
            seen_nonblock |= (flags[0] | flags[1] | flags[2]) & O_NONBLOCK;
        } while (read(stop[0], &byte, 1) < 0);
        _exit(seen_nonblock ? 1 : 0);
    }
    must(lseek(file, 0, SEEK_SET));
    pthread_t reader = spawn(reads_all, &ends[0]);
    show(sendfile(ends[1], file, NULL, SIZE));
    join(reader);
    same(SIZE);
    pthread_t drain = spawn(reads_some, &pair[0]);
    printf("%d\n", must(splice(file, &(loff_t){0}, pair[1], NULL, 100, 0)) > 0);
    join(drain);
    reader = spawn(reads_event, NULL);
    show(eventfd_write(event, ~1ULL - 4));
    join(reader);
    send_all(stop[1], "x", 1);
    int status;
    must(waitpid(child, &status, 0));
    printf("child %d\n", status);
}

/* What ends a wait from outside. */
static volatile sig_atomic_t waits, left;
static void handler(int sig) { (void)sig; }

static ssize_t by_sendfile(void) { return sendfile(ends[1], file, &(off_t){0}, SIZE); }
static ssize_t by_splice(void) { return splice(pair[0], NULL, ends[1], NULL, 10, 0); }
static ssize_t by_tee(void) { return tee(pair[0], ends[1], 10, 0); }
static ssize_t by_vmsplice(void) { return vmsplice(pair[0], &(struct iovec){seen, 10}, 1, 0); }
static ssize_t by_preadv2(void) { return preadv2(pair[0], &(struct iovec){seen, 10}, 1, -1, 0); }
static ssize_t by_eventfd(void) { return eventfd_read(event, (eventfd_t *)seen); }
static ssize_t (*const calls[])(void) = {by_sendfile, by_splice, by_tee, by_vmsplice, by_preadv2, by_eventfd};

static void *wait_in(void *arg) {
    waits = 1;
    ssize_t n = calls[(intptr_t)arg]();
    printf("%td: %s\n", (intptr_t)arg, n < 0 ? strerrorname_np(errno) : "some");
    left = 1;
    return NULL;
}

static void nothing_to_do(void) {
    file = filed();
    full(ends), new_pipe(pair), event = must(eventfd(0, 0));
}

static void interrupted(void) {
    struct sigaction action = {.sa_handler = handler};
    must(sigaction(SIGUSR1, &action, NULL));
    for (intptr_t i = 0; i < 6; i++) {
        nothing_to_do();
        waits = left = 0;
        pthread_t thread = spawn(wait_in, (void *)i);
        while (!waits) breathe();
        while (!left) zero(pthread_kill(thread, SIGUSR1)), breathe();
        join(thread);
    }
}

static void cancelled(void) {
    for (intptr_t i = 1; i < 6; i++) { /* sendfile is no cancellation point */
        nothing_to_do();
        pthread_t thread = spawn(wait_in, (void *)i);
        breathe();
        zero(pthread_cancel(thread));
        printf("%td cancelled: %d\n", i, join(thread) == PTHREAD_CANCELED);
    }
    nothing_to_do();
    pthread_t thread = spawn(wait_in, (void *)0), reader;
    breathe();
    zero(pthread_cancel(thread));
    reader = spawn(reads_some, &ends[0]);
    join(reader);
    printf("cancelled later: %d\n", join(thread) == PTHREAD_CANCELED);
}

/* SO_SNDTIMEO, SO_RCVTIMEO */
static void *in_time(void *arg) {
    struct timeval little = {0, 20000};
    file = filed();
    tcp_pair(ends), new_pipe(pair);
    must(setsockopt(ends[1], SOL_SOCKET, SO_SNDTIMEO, &little, sizeof little));
    must(setsockopt(ends[1], SOL_SOCKET, SO_RCVTIMEO, &little, sizeof little));
    show(splice(ends[1], NULL, pair[1], NULL, 10, 0));
    while (sendfile(ends[1], file, &(off_t){0}, SIZE) > 0) continue;
    printf("%s\n", strerrorname_np(errno));
    return arg;
}

static void timeouts(void) { join(spawn(in_time, NULL)); }

int main(int argc, char **argv) {
    struct test tests[] = {CASE(sendfile_tcp),  CASE(sendfile_unix), CASE(sendfile_pipe), CASE(sendfile_wrong), CASE(splice_tcp),
                           CASE(splice_unix),   CASE(splice_to_tcp), CASE(splice_to_unix), CASE(splice_pipes),  CASE(splice_file),
                           CASE(nowait),        CASE(teed),          CASE(vmspliced),     CASE(vectors),        CASE(events),
                           CASE(watched),       CASE(interrupted),   CASE(cancelled),     CASE(timeouts)};
    return RUN(argc, argv, tests);
}
