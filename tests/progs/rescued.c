/* Waits that no row stands before: system calls that the program makes by itself, and libc's own for aio and gai. What
 * each waits for comes from another thread. */
#include "prog.h"
#include <aio.h>
#include <linux/futex.h>
#include <netdb.h>
#include <poll.h>
#include <sys/syscall.h>

static int ends[2];

/* Not libc's: its result is the kernel's. */
static long raw(long number, long a, long b, long c, long d, long e, long f) {
    long answer = number;
    register long r10 __asm__("r10") = d;
    register long r8 __asm__("r8") = e;
    register long r9 __asm__("r9") = f;
    __asm__ volatile("syscall" : "+a"(answer) : "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9) : "rcx", "r11", "memory");
    return answer;
}

static void *feed(void *words) {
    breathe();
    send_all(ends[1], words, strlen(words));
    return NULL;
}

static void reading(void) {
    char bytes[8] = "";
    must(pipe(ends));
    pthread_t thread = spawn(feed, "first");
    errno = 42;
    printf("%ld %s\n", raw(SYS_read, ends[0], (long)bytes, 7, 0, 0, 0), bytes);
    check(errno == 42);
    join(thread);
    must(close(ends[0]));
    printf("%ld\n", raw(SYS_read, ends[0], (long)bytes, 7, 0, 0, 0));
}

static void polling(void) {
    must(socketpair(AF_UNIX, SOCK_DGRAM, 0, ends));
    struct pollfd fds[2] = {{.fd = ends[0], .events = POLLIN}, {.fd = -1}};
    pthread_t thread = spawn(feed, "x");
    printf("%ld %d\n", raw(SYS_poll, (long)fds, 2, 10000, 0, 0, 0), fds[0].revents);
    join(thread);
    char bytes[8];
    printf("%ld\n", raw(SYS_recvfrom, ends[0], (long)bytes, 8, 0, 0, 0));
    printf("%ld %ld\n", raw(SYS_poll, (long)fds, 1, 30, 0, 0, 0), raw(SYS_poll, 0, 0, 20, 0, 0, 0));
}

static _Atomic int word;

static void *change(void *arg) {
    breathe();
    word = 1;
    raw(SYS_futex, (long)&word, FUTEX_WAKE_PRIVATE, 1, 0, 0, 0);
    return NULL;
}

static void futexes(void) {
    pthread_t thread = spawn(change, NULL);
    while (word == 0) raw(SYS_futex, (long)&word, FUTEX_WAIT_PRIVATE, 0, 0, 0, 0);
    join(thread);
    struct timespec shortly = {.tv_nsec = 30000000};
    printf("%ld\n", raw(SYS_futex, (long)&word, FUTEX_WAIT_PRIVATE, 1, (long)&shortly, 0, 0));
    printf("%ld\n", raw(SYS_futex, (long)&word, FUTEX_WAIT_PRIVATE, 2, 0, 0, 0));
}

static void child(void) {
    must(pipe(ends));
    pid_t pid = must(fork());
    if (pid == 0) {
        char byte;
        _exit(read(ends[0], &byte, 1) == 1 ? 7 : 8);
    }
    pthread_t thread = spawn(feed, "!");
    int status = 0;
    check(raw(SYS_wait4, pid, (long)&status, 0, 0, 0, 0) == pid);
    printf("%d\n", WEXITSTATUS(status));
    join(thread);
}

/* A thread of libc's own reads; who waits for it is none. */
static void aio(void) {
    must(pipe(ends));
    char bytes[8] = "";
    struct aiocb block = {.aio_fildes = ends[0], .aio_buf = bytes, .aio_nbytes = 4};
    const struct aiocb *list[1] = {&block};
    must(aio_read(&block));
    struct timespec shortly = {.tv_nsec = 30000000};
    printf("%d %s\n", aio_suspend(list, 1, &shortly), strerrorname_np(errno));
    pthread_t thread = spawn(feed, "four");
    while (aio_suspend(list, 1, NULL)) {}
    printf("%zd %s\n", aio_return(&block), bytes);
    join(thread);
}

static void gai(void) {
    struct gaicb request = {.ar_name = "127.0.0.1", .ar_service = "80"};
    struct gaicb *list[1] = {&request};
    join(spawn((void *(*)(void *))pthread_self, NULL));
    check(getaddrinfo_a(GAI_NOWAIT, list, 1, NULL) == 0);
    while (gai_error(&request) == EAI_INPROGRESS) gai_suspend((const struct gaicb *const *)list, 1, NULL);
    printf("%d\n", gai_error(&request));
    breathe();
}

int main(int argc, char **argv) {
    struct test tests[] = {CASE(reading), CASE(polling), CASE(futexes), CASE(child), CASE(aio), CASE(gai)};
    return RUN(argc, argv, tests);
}
