/* Calls rows before any library's constructor has run, and after main has returned. */
#include "prog.h"
#include <poll.h>
#include <sched.h>

static void rows(const char *when) {
    int ends[2];
    char byte;
    struct timespec nap = {0, 1000};
    must(pipe(ends));
    struct pollfd ready = {ends[0], POLLIN, 0};
    errno = 77;
    check(write(ends[1], "x", 1) == 1 && poll(&ready, 1, -1) == 1 && read(ends[0], &byte, 1) == 1);
    check(sched_yield() == 0 && nanosleep(&nap, NULL) == 0 && close(ends[1]) == 0 && close(ends[0]) == 0);
    check(errno == 77 && byte == 'x');
    check(close(ends[0]) == -1 && errno == EBADF);
    dprintf(1, "%s: as ever\n", when);
}

static void before(int argc, char **argv, char **envp) {
    (void)argc, (void)argv, (void)envp;
    rows("preinit");
}
__attribute__((section(".preinit_array"), used)) static void (*const preinit)(int, char **, char **) = before;

static void at_exit(void) { rows("atexit"); }
__attribute__((destructor)) static void end(void) { rows("destructor"); }

int main(void) {
    atexit(at_exit);
    rows("main");
    return 3;
}
