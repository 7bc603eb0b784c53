/* Built with _FORTIFY_SOURCE: the calls have other names, and check their buffers. */
#define _FORTIFY_SOURCE 2
#include "prog.h"
#include <poll.h>
#include <setjmp.h>
#include <sys/select.h>

static int ends[2];
static volatile int size = 8; /* unknown to the compiler */

static void *receive(void *arg) {
    char bytes[16];
    struct pollfd set[1] = {{ends[0], POLLIN, 0}};
    struct sockaddr_un from;
    socklen_t length = sizeof from;
    fd_set reading;
    show(read(ends[0], bytes, size));
    show(recv(ends[0], bytes, size, 0));
    show(recvfrom(ends[0], bytes, size, 0, (struct sockaddr *)&from, &length));
    show(poll(set, size / 8, -1));
    show(read(ends[0], bytes, size));
    show(ppoll(set, size / 8, NULL, NULL));
    show(read(ends[0], bytes, size));
    FD_ZERO(&reading);
    FD_SET(ends[size - 8], &reading);
    show(select(ends[0] + 1, &reading, NULL, NULL, NULL));
    return arg;
}

static void waits(void) {
    must(socketpair(AF_UNIX, SOCK_DGRAM, 0, ends));
    pthread_t thread = spawn(receive, NULL);
    for (int i = 0; i < 6; i++) breathe(), send_all(ends[1], "hello", 5);
    join(thread);
}

static sigjmp_buf back;
static void jump(int number) { siglongjmp(back, number); }

static void *interrupt(void *arg) {
    breathe();
    must(kill(getpid(), SIGUSR1));
    return arg;
}

static void *read_byte(void *arg) {
    char byte;
    read_all(ends[0], &byte, 1);
    return arg;
}

static void *jump_over_mask(void *arg) {
    sigset_t set;
    sigjmp_buf here;
    sigemptyset(&set);
    sigaddset(&set, SIGUSR1);
    if (sigsetjmp(here, 1) == 0) {
        zero(pthread_sigmask(SIG_BLOCK, &set, NULL));
        siglongjmp(here, 1);
    }
    zero(pthread_sigmask(SIG_SETMASK, NULL, &set));
    printf("blocked %d\n", sigismember(&set, SIGUSR1));
    return arg;
}

/* Out of a wait by a handler: what comes then is for the next that waits. And back over a change of the mask. */
static void jumps(void) {
    must(socketpair(AF_UNIX, SOCK_STREAM, 0, ends));
    signal(SIGUSR1, jump);
    static pthread_t other;
    if (sigsetjmp(back, 1) == 0) {
        other = spawn(interrupt, NULL);
        read_byte(NULL);
        die("not reached");
    }
    join(other);
    other = spawn(read_byte, NULL);
    breathe();
    send_all(ends[1], "x", 1);
    join(other);
    join(spawn(jump_over_mask, NULL));
}

static void *overrun(void *how) {
    char bytes[4];
    switch ((intptr_t)how) {
    case 0: must(read(ends[0], bytes, size)); break;
    case 1: must(recv(ends[0], bytes, size, 0)); break;
    default: must(poll((struct pollfd *)bytes, size, 0)); break;
    }
    return bytes[0] ? how : NULL;
}

/* A buffer that is too small ends the program before the call. */
static void too_small(void) {
    must(socketpair(AF_UNIX, SOCK_DGRAM, 0, ends));
    send_all(ends[1], "hello", 5);
    join(spawn(overrun, (void *)0));
}

static void too_small_recv(void) {
    must(socketpair(AF_UNIX, SOCK_DGRAM, 0, ends));
    send_all(ends[1], "hello", 5);
    join(spawn(overrun, (void *)1));
}

static void too_small_poll(void) { join(spawn(overrun, (void *)2)); }

int main(int argc, char **argv) {
    struct test tests[] = {CASE(waits), CASE(jumps), CASE(too_small), CASE(too_small_recv), CASE(too_small_poll)};
    return RUN(argc, argv, tests);
}
