/* A blocking write delivers everything, however slowly it is read. */
#include "prog.h"
#include <sys/uio.h>

enum { SIZE = 8 << 20 };
static char bytes[SIZE];
static int ends[2];

static char at(size_t i) { return i * 31 + i / 4093; }

static void *read_slowly(void *arg) {
    static char part[60000];
    size_t total = 0;
    for (ssize_t n; (n = must(read(ends[1], part, sizeof part))) > 0; total += n) {
        for (ssize_t i = 0; i < n; i++) check(part[i] == at(total + i));
        if ((total + n) / (1 << 20) != total / (1 << 20)) breathe();
    }
    printf("read %zu\n", total);
    return arg;
}

static void deliver(ssize_t (*writing)(void)) {
    pthread_t reader = spawn(read_slowly, NULL);
    printf("written %zd\n", must(writing()));
    must(close(ends[0]));
    join(reader);
}

static ssize_t by_write(void) { return write(ends[0], bytes, SIZE); }
static ssize_t by_send(void) { return send(ends[0], bytes, SIZE, 0); }
static ssize_t by_writev(void) {
    static struct iovec parts[100];
    for (int i = 0; i < 100; i++) parts[i] = (struct iovec){bytes + i * (SIZE / 100), SIZE / 100};
    parts[99].iov_len = SIZE - 99 * (SIZE / 100);
    return writev(ends[0], parts, 100);
}
static ssize_t by_sendmsg(void) {
    struct iovec parts[2] = {{bytes, 5}, {bytes + 5, SIZE - 5}};
    struct msghdr message = {.msg_iov = parts, .msg_iovlen = 2};
    return sendmsg(ends[0], &message, 0);
}

static void tcp_write(void) { tcp_pair(ends), deliver(by_write); }
static void tcp_send(void) { tcp_pair(ends), deliver(by_send); }
static void tcp_writev(void) { tcp_pair(ends), deliver(by_writev); }
static void tcp_sendmsg(void) { tcp_pair(ends), deliver(by_sendmsg); }
static void unix_write(void) { must(socketpair(AF_UNIX, SOCK_STREAM, 0, ends)), deliver(by_write); }
static void pipe_pair(void) {
    int pair[2];
    must(pipe(pair));
    ends[0] = pair[1], ends[1] = pair[0];
}
static void pipe_write(void) { pipe_pair(), deliver(by_write); }
static void pipe_writev(void) { pipe_pair(), deliver(by_writev); }

static void *write_records(void *letter) {
    char record[4000];
    memset(record, (intptr_t)letter, sizeof record);
    for (int i = 0; i < 100; i++) send_all(ends[0], record, sizeof record);
    return NULL;
}

/* Writes of up to PIPE_BUF bytes into a full pipe do not mix. */
static void atomic(void) {
    pthread_t writers[4];
    char record[4000];
    pipe_pair();
    for (intptr_t i = 0; i < 4; i++) writers[i] = spawn(write_records, (void *)('a' + i));
    for (int i = 0; i < 400; i++) {
        read_all(ends[1], record, sizeof record);
        for (size_t j = 1; j < sizeof record; j++) check(record[j] == record[0]);
    }
    for (int i = 0; i < 4; i++) join(writers[i]);
}

int main(int argc, char **argv) {
    for (size_t i = 0; i < SIZE; i++) bytes[i] = at(i);
    struct test tests[] = {CASE(tcp_write),  CASE(tcp_send),   CASE(tcp_writev),  CASE(tcp_sendmsg),
                           CASE(unix_write), CASE(pipe_write), CASE(pipe_writev), CASE(atomic)};
    return RUN(argc, argv, tests);
}
