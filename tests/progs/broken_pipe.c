/* Writing where nobody reads: EPIPE, and one SIGPIPE as the kernel gives it. */
#include "prog.h"

static int ends[2], signals;
static char bytes[1 << 20];

static void count(int signal) { signals += signal == SIGPIPE; }
static void counting(void) { signal(SIGPIPE, count); }

static void *into_closed(void *arg) {
    counting();
    must(close(ends[0]));
    show(write(ends[1], "x", 1));
    show(send(ends[1], "x", 1, MSG_NOSIGNAL));
    show(write(ends[1], "", 0));
    return arg;
}

static void *into_closed_pipe(void *arg) {
    counting();
    must(close(ends[0]));
    show(write(ends[1], "x", 1));
    show(write(ends[1], "", 0));
    return arg;
}

static void closed_socket(void) {
    must(socketpair(AF_UNIX, SOCK_STREAM, 0, ends));
    join(spawn(into_closed, NULL));
    printf("signals %d\n", signals);
}

static void closed_pipe(void) {
    must(pipe(ends));
    join(spawn(into_closed_pipe, NULL));
    printf("signals %d\n", signals);
}

static void *until_closed(void *arg) {
    ssize_t n = write(ends[1], bytes, sizeof bytes);
    printf("some went: %d\n", n > 0 && n < (ssize_t)sizeof bytes);
    show(write(ends[1], bytes, sizeof bytes));
    return arg;
}

/* The reader goes while the writer waits, some bytes in. */
static void closed_while_waiting(void) {
    counting();
    pthread_t writer = spawn(until_closed, NULL);
    breathe();
    read_all(ends[0], bytes, 10);
    breathe();
    must(close(ends[0]));
    join(writer);
    printf("signals %d\n", signals);
}

static void pipe_closes(void) { must(pipe(ends)), closed_while_waiting(); }
static void unix_closes(void) { must(socketpair(AF_UNIX, SOCK_STREAM, 0, ends)), closed_while_waiting(); }

static void *killed_by_it(void *arg) {
    must(close(ends[0]));
    show(write(ends[1], "x", 1));
    return arg;
}

/* Its default is to end the process. */
static void kills(void) {
    must(pipe(ends));
    join(spawn(killed_by_it, NULL));
}

int main(int argc, char **argv) {
    struct test tests[] = {CASE(closed_socket), CASE(closed_pipe), CASE(pipe_closes), CASE(unix_closes), CASE(kills)};
    return RUN(argc, argv, tests);
}
