/* A signal of the process's that a thread waits for is that thread's, if the kernel would ask it first: main, and for SIGCHLD
 * who made the child. Whatever the other threads do with it, which do not block it. */
#include "prog.h"

#include <poll.h>
#include <sys/signalfd.h>
#include <sys/wait.h>

static int never[2];
static volatile int handled;
static void count(int sig) { (void)sig, handled++; }

static void *reads(void *arg) {
    char byte;
    show(read(never[0], &byte, 1));
    return arg;
}

static pid_t parent;
static void signals_main(void) { must(kill(parent, SIGUSR2)); }
static void child_signals_main(void) {
    pid_t child = must(fork());
    if (!child) {
        signals_main();
        _exit(0);
    }
    check(must(waitpid(child, NULL, 0)) == child);
}

static void in_main(void (*by)(void)) {
    sigset_t set;
    siginfo_t info;
    struct timespec long_time = {20, 0};
    int sig;
    parent = getpid();
    must(pipe(never));
    pthread_t reader = spawn(reads, NULL);
    sigemptyset(&set), sigaddset(&set, SIGUSR2);
    breathe();
    zero(pthread_sigmask(SIG_BLOCK, &set, NULL));
    pthread_t one = later(by);
    zero(sigwait(&set, &sig));
    printf("sigwait %d\n", sig);
    join(one);
    one = later(by);
    show(sigwaitinfo(&set, &info));
    join(one);
    one = later(by);
    show(sigtimedwait(&set, &info, &long_time));
    printf("%d by %s, handled %d\n", info.si_code, info.si_pid == parent ? "us" : "another", handled);
    join(one);
    send_all(never[1], "x", 1);
    join(reader);
}

/* By default it would end the process. */
static void by_thread(void) { in_main(signals_main); }
static void by_child(void) { in_main(child_signals_main); }
static void handler(void) {
    must(signal(SIGUSR2, count) == SIG_ERR ? -1 : 0);
    in_main(signals_main);
}
static void ignored(void) {
    must(signal(SIGUSR2, SIG_IGN) == SIG_ERR ? -1 : 0);
    in_main(signals_main);
}

/* The usual wait for a child with a limit, in a thread; the others let SIGCHLD through, which by default nobody hears. */
static void *makes(void *arg) {
    sigset_t set;
    siginfo_t info;
    struct timespec long_time = {20, 0};
    sigemptyset(&set), sigaddset(&set, SIGCHLD);
    zero(pthread_sigmask(SIG_BLOCK, &set, NULL));
    for (int i = 0; i < 3; i++) {
        pid_t child = must(fork());
        if (!child) {
            usleep(2000);
            _exit(i);
        }
        show(sigtimedwait(&set, &info, &long_time));
        check(info.si_pid == child && waitpid(child, NULL, WNOHANG) == child);
    }
    return arg;
}
static void maker(void) {
    must(pipe(never));
    pthread_t reader = spawn(reads, NULL), thread = spawn(makes, NULL);
    join(thread);
    send_all(never[1], "x", 1);
    join(reader);
}

/* What waits for a thread goes when it is ignored from then on. */
static void *drops(void *arg) {
    sigset_t set, waiting;
    sigemptyset(&set), sigaddset(&set, SIGUSR1);
    zero(pthread_sigmask(SIG_BLOCK, &set, NULL));
    int fd = must(signalfd(-1, &set, SFD_NONBLOCK));
    struct pollfd ready = {fd, POLLIN, 0};
    must(signal(SIGUSR1, count) == SIG_ERR ? -1 : 0);
    zero(pthread_kill(pthread_self(), SIGUSR1));
    must(sigpending(&waiting));
    printf("waits %d\n", sigismember(&waiting, SIGUSR1));
    show(poll(&ready, 1, 0));
    must(signal(SIGUSR1, SIG_IGN) == SIG_ERR ? -1 : 0);
    must(sigpending(&waiting));
    printf("waits %d\n", sigismember(&waiting, SIGUSR1));
    show(poll(&ready, 1, 0));
    must(signal(SIGUSR1, count) == SIG_ERR ? -1 : 0);
    zero(pthread_sigmask(SIG_UNBLOCK, &set, NULL));
    printf("handled %d\n", handled);
    return arg;
}
static void dropped(void) { join(spawn(drops, NULL)); }

/* A thread that a handler ends leaves nothing behind for the next ones. */
static void leaves(int sig) { pthread_exit((void *)(intptr_t)sig); }
static void *pauses(void *arg) {
    for (;;) pause();
    return arg;
}
static void *computes(void *arg) {
    for (volatile long i = 0;; i++) {}
    return arg;
}
static void *reads_once(void *arg) {
    char byte;
    long count = read(never[0], &byte, 1);
    return (void)arg, (void *)(intptr_t)(count < 0 ? errno : 0);
}
static void left(void) {
    struct sigaction counts = {.sa_handler = count};
    sigset_t now;
    must(pipe(never));
    for (int round = 0; round < 4; round++) {
        must(signal(SIGUSR1, leaves) == SIG_ERR ? -1 : 0);
        pthread_t thread = spawn(round % 2 ? computes : pauses, NULL);
        tick();
        zero(pthread_kill(thread, SIGUSR1));
        printf("%d\n", join(thread) == (void *)(intptr_t)SIGUSR1);
        must(sigaction(SIGUSR1, &counts, NULL));
        handled = 0;
        thread = spawn(reads_once, NULL);
        tick();
        zero(pthread_kill(thread, SIGUSR1));
        printf("%d\n", join(thread) == (void *)(intptr_t)EINTR);
        printf("handled %d\n", handled);
        must(raise(SIGUSR1)), must(kill(getpid(), SIGUSR1));
        zero(pthread_sigmask(SIG_SETMASK, NULL, &now));
        printf("handled %d, blocked %d\n", handled, sigismember(&now, SIGUSR1));
    }
}

/* While main waits for all signals, threads have their own, and so have children that they make. */
static volatile int own;
static void owns(int sig) { own += sig == SIGUSR1 ? 1 : sig == SIGHUP ? 10 : 100; }
static void *others(void *arg) {
    sigset_t set, now;
    int status;
    sigemptyset(&set), sigaddset(&set, SIGUSR1), sigaddset(&set, SIGHUP);
    must(signal(SIGUSR1, owns) == SIG_ERR ? -1 : 0), must(signal(SIGHUP, owns) == SIG_ERR ? -1 : 0);
    zero(pthread_sigmask(SIG_UNBLOCK, &set, NULL));
    must(raise(SIGUSR1));
    zero(pthread_kill(pthread_self(), SIGHUP));
    printf("own %d\n", own);
    zero(pthread_sigmask(SIG_BLOCK, NULL, &now));
    printf("blocked %d %d %d\n", sigismember(&now, SIGUSR1), sigismember(&now, SIGHUP), sigismember(&now, SIGTERM));
    pid_t child = must(fork());
    if (!child) {
        sigemptyset(&set);
        zero(pthread_sigmask(SIG_SETMASK, &set, NULL));
        spawn(pauses, NULL);
        breathe();
        kill(getpid(), SIGTERM);
        usleep(500000);
        _exit(1);
    }
    check(must(waitpid(child, &status, 0)) == child);
    printf("ended by %d\n", WTERMSIG(status));
    must(kill(parent, SIGUSR2));
    return arg;
}
static void while_main_waits(void) {
    sigset_t all;
    int sig;
    parent = getpid();
    sigfillset(&all);
    zero(pthread_sigmask(SIG_BLOCK, &all, NULL));
    pthread_t thread = spawn(others, NULL);
    do zero(sigwait(&all, &sig));
    while (sig == SIGCHLD);
    printf("main %d\n", sig);
    join(thread);
}

int main(int argc, char **argv) {
    struct test tests[] = {CASE(by_thread), CASE(by_child), CASE(handler), CASE(ignored), CASE(maker), CASE(dropped), CASE(left), CASE(while_main_waits)};
    return RUN(argc, argv, tests);
}
