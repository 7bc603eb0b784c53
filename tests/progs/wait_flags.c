/* The rarer flags of the calls that wait for children, and whose children they are. */
#include "prog.h"
#include <stdatomic.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>

#pragma GCC diagnostic ignored "-Wnonnull"
static int gate[2];
static atomic_int ticks;

/* A child that ends with `code` when a byte comes. */
static void lives(int code) {
    char byte;
    while (read(gate[0], &byte, 1) != 1) check(errno == EINTR);
    _exit(code);
}
static pid_t child(int code) {
    fflush(stdout);
    pid_t pid = must(fork());
    if (!pid) lives(code);
    return pid;
}
/* One that says at its end another signal than SIGCHLD, or none. */
static pid_t clone_child(int code, int signal) {
    fflush(stdout);
    pid_t pid = must((int)syscall(SYS_clone, signal, NULL, NULL, NULL, NULL));
    if (!pid) lives(code);
    return pid;
}
static void *ticker(void *arg) {
    for (int i = 0; i < 10; i++) usleep(300), ticks++;
    if (arg) must(kill((intptr_t)arg >> 8, (intptr_t)arg & 255));
    else must(write(gate[1], "x", 1));
    return NULL;
}
static pthread_t ticking(void) {
    ticks = 0;
    return spawn(ticker, NULL);
}
static pthread_t ticking_signal(pid_t pid, int signal) {
    ticks = 0;
    return spawn(ticker, (void *)(((intptr_t)pid << 8) | signal));
}
static void told(const char *what, int given, const siginfo_t *info, pid_t pid) {
    if (given) printf("%s: %s\n", what, strerrorname_np(errno));
    else if (!info->si_pid) printf("%s: none, signal %d\n", what, info->si_signo);
    else printf("%s: its %d, signal %d, code %d, status %d, uid %d\n", what, info->si_pid == pid, info->si_signo, info->si_code,
                info->si_status, info->si_uid == getuid());
}
#define ask(type, id, options) ({ siginfo_t info_ = {0}; info_.si_pid = 77; told(#type " " #options, waitid(type, id, &info_, options), &info_, pid); })

/* Looks alone: nothing yet, stopped, continued, ended; each once, or as often as wanted with WNOWAIT. */
static void *looks(void *arg) {
    pid_t pid = child(5);
    int status, fd = must((int)syscall(SYS_pidfd_open, pid, 0));
    ask(P_PID, pid, WEXITED | WNOHANG), ask(P_PIDFD, fd, WEXITED | WSTOPPED | WCONTINUED | WNOHANG);
    ask(P_ALL, 0, WEXITED | WNOHANG | WNOWAIT);
    pthread_t other = ticking_signal(pid, SIGSTOP);
    ask(P_PIDFD, fd, WSTOPPED | WNOWAIT), printf("%d\n", ticks), join(other);
    ask(P_PID, pid, WSTOPPED | WNOWAIT), ask(P_PID, pid, WEXITED | WNOHANG), ask(P_PID, pid, WCONTINUED | WNOHANG);
    ask(P_PGID, getpgrp(), WSTOPPED), ask(P_PID, pid, WSTOPPED | WNOHANG);
    other = ticking_signal(pid, SIGCONT);
    ask(P_ALL, 0, WCONTINUED | WNOWAIT), printf("%d\n", ticks), join(other);
    show(waitpid(pid, &status, WCONTINUED | WNOHANG) == pid), printf("%x %d\n", status, WIFCONTINUED(status));
    show(waitpid(pid, &status, WCONTINUED | WUNTRACED | WNOHANG));
    other = ticking_signal(pid, SIGSTOP);
    check(must(wait3(&status, WUNTRACED, NULL)) == pid), printf("%x %d\n", status, ticks), join(other);
    other = ticking_signal(pid, SIGCONT);
    check(must(wait4(pid, &status, WCONTINUED, NULL)) == pid), printf("%x %d\n", status, ticks), join(other);
    other = ticking();
    ask(P_PID, pid, WEXITED | WNOWAIT), printf("%d\n", ticks), join(other);
    ask(P_PIDFD, fd, WEXITED | WNOWAIT), ask(P_ALL, 0, WEXITED | WNOWAIT | WNOHANG), ask(P_PID, pid, WSTOPPED | WNOHANG);
    show(waitid(P_PID, pid, NULL, WEXITED));
    ask(P_PIDFD, fd, WEXITED), ask(P_PID, pid, WEXITED | WNOHANG);
    must(close(fd));
    ask(P_PID, pid, 0), ask(P_PID, -1, WEXITED), ask(P_PGID, -5, WEXITED), ask(P_PID, 0, WEXITED), ask(P_PIDFD, -1, WEXITED);
    show(waitpid(pid, &status, __WALL)), show(waitpid(pid, &status, WNOWAIT)), show(waitid(P_ALL, 0, NULL, WNOHANG));
    pid = child(6), other = ticking();
    check(must(waitpid(pid, NULL, 0)) == pid), join(other);
    pid = child(6), other = ticking();
    check(must(wait(NULL)) == pid), join(other);
    return arg;
}
static void looking(void) {
    must(pipe2(gate, O_CLOEXEC));
    join(spawn(looks, NULL));
    looks(NULL);
}

/* Children of clone that end without SIGCHLD are for __WCLONE and __WALL. */
static void *clones(void *arg) {
    int status;
    for (int signal = 0; signal <= SIGURG; signal += SIGURG) {
        pid_t pid = clone_child(3, signal);
        show(waitpid(pid, &status, WNOHANG)), show(wait(&status)), show(waitpid(pid, &status, __WALL | WNOHANG));
        show(waitpid(pid, &status, __WCLONE | WNOHANG));
        pthread_t other = ticking();
        check(must(waitpid(pid, &status, __WALL)) == pid), printf("%x %d\n", status, ticks), join(other);
        pid = clone_child(4, signal), other = ticking();
        check(must(waitpid(-1, &status, __WCLONE)) == pid), printf("%x %d\n", status, ticks), join(other);
        pid = clone_child(5, signal), other = ticking();
        ask(P_PID, pid, WEXITED | __WALL), printf("%d\n", ticks), join(other);
        pid = child(6);
        show(waitpid(pid, &status, __WCLONE)), show(waitpid(-1, &status, __WCLONE | WNOHANG));
        other = ticking();
        check(must(waitpid(-1, &status, __WALL)) == pid), printf("%x %d\n", status, ticks), join(other);
    }
    return arg;
}
static void cloned(void) {
    must(pipe2(gate, O_CLOEXEC));
    join(spawn(clones, NULL));
    clones(NULL);
}

/* __WNOTHREAD: for one's own children. */
static void *waits_for_own(void *arg) {
    int status;
    pid_t pid = child(2);
    show(waitpid(pid, &status, __WNOTHREAD | WNOHANG));
    pthread_t other = ticking();
    check(must(waitpid(-1, &status, __WNOTHREAD)) == pid), printf("%x %d\n", status, ticks), join(other);
    pid = child(3), other = ticking();
    ask(P_PID, pid, WEXITED | __WNOTHREAD), printf("%d\n", ticks), join(other);
    show(waitpid(-1, &status, __WNOTHREAD));
    return arg;
}
static void own(void) {
    must(pipe2(gate, O_CLOEXEC));
    join(spawn(waits_for_own, NULL));
    waits_for_own(NULL);
}

/* A tracer hears of each stop of its child. */
static void *traces(void *arg) {
    int status;
    fflush(stdout);
    pid_t pid = must(fork());
    if (!pid) must(ptrace(PTRACE_TRACEME, 0, NULL, NULL)), raise(SIGUSR1), raise(SIGUSR2), _exit(4);
    check(must(waitpid(pid, &status, __WALL)) == pid), printf("stopped %d by %d\n", WIFSTOPPED(status), WSTOPSIG(status));
    must(ptrace(PTRACE_CONT, pid, NULL, 0));
    check(must(waitpid(-1, &status, 0)) == pid), printf("stopped %d by %d\n", WIFSTOPPED(status), WSTOPSIG(status));
    must(ptrace(PTRACE_CONT, pid, NULL, 0));
    check(must(waitpid(pid, &status, WUNTRACED)) == pid), printf("%x\n", status);
    return arg;
}
static void traced(void) {
    spawn(ticker, (void *)(intptr_t)(getpid() << 8));
    join(spawn(traces, NULL));
}

/* An orphan's children come to who is there for them. */
static void grandchild(void) {
    int status, ends[2];
    pid_t grandchild;
    must(pipe2(gate, O_CLOEXEC)), must(pipe(ends));
    must((int)syscall(SYS_prctl, 36 /* PR_SET_CHILD_SUBREAPER */, 1, 0, 0, 0));
    pid_t pid = must(fork());
    if (!pid) grandchild = child(9), must(write(ends[1], &grandchild, sizeof grandchild)), _exit(8);
    read_all(ends[0], &grandchild, sizeof grandchild);
    check(must(waitpid(pid, &status, 0)) == pid), printf("%x\n", status);
    pthread_t other = ticking();
    check(must(wait(&status)) == grandchild), printf("%x %d\n", status, ticks), join(other);
}

int main(int argc, char **argv) {
    struct test tests[] = {CASE(looking), CASE(cloned), CASE(own), CASE(traced), CASE(grandchild)};
    return RUN(argc, argv, tests);
}
