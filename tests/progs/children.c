/* Waiting for children in every form, by threads that give way meanwhile. */
#include "prog.h"
#include <setjmp.h>
#include <stdatomic.h>
#include <sys/resource.h>
#include <sys/syscall.h>

static atomic_int ticks, heard;
static int gate[2];

/* A child that ends with `code` when a byte comes. */
static pid_t child(int code) {
    fflush(stdout);
    pid_t pid = must(fork());
    if (!pid) {
        char byte;
        while (read(gate[0], &byte, 1) != 1) check(errno == EINTR);
        _exit(code);
    }
    return pid;
}
static void release(int count) {
    while (count--) must(write(gate[1], "x", 1));
}
/* Lets `count` children end after a while in which it must have had its turns. */
static void *ticker(void *count) {
    for (int i = 0; i < 10; i++) usleep(300), ticks++;
    release((intptr_t)count);
    return NULL;
}
static pthread_t ticking(int count) {
    ticks = 0;
    return spawn(ticker, (void *)(intptr_t)count);
}
static void begin(void) { must(pipe2(gate, O_CLOEXEC)); }

static void any(void) {
    int status;
    struct rusage usage;
    siginfo_t info;
    begin();
    pid_t pid = child(1);
    pthread_t other = ticking(1);
    check(must(wait(&status)) == pid), printf("wait %x %d\n", status, ticks), join(other);
    pid = child(2), other = ticking(1);
    check(must(waitpid(-1, &status, 0)) == pid), printf("waitpid %x %d\n", status, ticks), join(other);
    pid = child(3), other = ticking(1);
    check(must(wait3(&status, 0, &usage)) == pid && usage.ru_maxrss), printf("wait3 %x %d\n", status, ticks), join(other);
    pid = child(4), other = ticking(1);
    check(must(wait4(-1, &status, 0, &usage)) == pid && usage.ru_maxrss), printf("wait4 %x %d\n", status, ticks), join(other);
    pid = child(5), other = ticking(1);
    must(waitid(P_ALL, 0, &info, WEXITED | WNOWAIT));
    check(info.si_pid == pid), printf("waitid %d %d %d\n", info.si_status, info.si_code == CLD_EXITED, ticks), join(other);
    must(waitid(P_ALL, 0, &info, WEXITED));
    check(info.si_pid == pid && info.si_status == 5);
    show(wait(&status)), show(waitpid(-1, &status, 0)), show(waitid(P_ALL, 0, &info, WEXITED));
    show(waitpid(-1, &status, WNOHANG)), show(waitpid(0, &status, 0)), show(waitpid(-12345678, &status, 0));
    show(waitid(P_ALL, 0, &info, 0)), show(waitid(77, 0, &info, WEXITED)), show(waitpid(-1, &status, 0x1000000));
}

static void groups(void) {
    int status;
    siginfo_t info;
    begin();
    pid_t mine = child(1), other = child(2);
    must(setpgid(other, other));
    pthread_t thread = ticking(2);
    check(must(waitpid(-other, &status, 0)) == other), printf("%x %d\n", status, ticks);
    check(must(waitpid(0, &status, 0)) == mine), printf("%x\n", status), join(thread);
    mine = child(3), other = child(4);
    must(setpgid(other, other));
    thread = ticking(2);
    must(waitid(P_PGID, other, &info, WEXITED)), check(info.si_pid == other), printf("%d %d\n", info.si_status, ticks);
    must(waitid(P_PGID, 0, &info, WEXITED)), check(info.si_pid == mine), printf("%d\n", info.si_status), join(thread);
}

static void *stops(void *pid) {
    for (int i = 0; i < 10; i++) usleep(300), ticks++;
    must(kill((intptr_t)pid, SIGSTOP));
    return NULL;
}
static void *continues(void *pid) {
    for (int i = 0; i < 10; i++) usleep(300), ticks++;
    must(kill((intptr_t)pid, SIGCONT));
    return NULL;
}
static void stopped(void) {
    int status;
    siginfo_t info;
    begin();
    for (int by_any = 0; by_any < 2; by_any++) {
        pid_t pid = child(6), whom = by_any ? -1 : pid;
        ticks = 0;
        pthread_t thread = spawn(stops, (void *)(intptr_t)pid);
        check(must(waitpid(whom, &status, WUNTRACED)) == pid);
        printf("stopped %d by %d, %d\n", WIFSTOPPED(status), WSTOPSIG(status), ticks), join(thread);
        show(waitpid(whom, &status, WUNTRACED | WNOHANG));
        ticks = 0;
        thread = spawn(continues, (void *)(intptr_t)pid);
        check(must(waitpid(whom, &status, WCONTINUED)) == pid);
        printf("continued %d, %d\n", WIFCONTINUED(status), ticks), join(thread);
        ticks = 0;
        thread = spawn(stops, (void *)(intptr_t)pid);
        must(waitid(by_any ? P_ALL : P_PID, by_any ? 0 : pid, &info, WSTOPPED));
        printf("%d %d %d\n", info.si_pid == pid, info.si_code == CLD_STOPPED, info.si_status), join(thread);
        must(kill(pid, SIGKILL));
        check(must(waitpid(whom, &status, 0)) == pid), printf("killed by %d\n", WTERMSIG(status));
    }
}

/* Each child is reaped once, whoever waits for whom. */
static atomic_int sum, gone;
static void *reaps_any(void *arg) {
    for (int status;;) {
        pid_t pid = wait(&status);
        if (pid < 0) return check(errno == ECHILD), arg;
        sum += WEXITSTATUS(status); gone++;
    }
}
static void *reaps_own(void *arg) {
    for (int i = 0, status; i < 5; i++) {
        pid_t pid = child(1);
        pid_t got = waitpid(pid, &status, 0);
        check(got == pid || (got < 0 && errno == ECHILD));
        if (got > 0) { sum += WEXITSTATUS(status); gone++; }
    }
    return arg;
}
static void many(void) {
    enum { KIDS = 24 };
    pthread_t threads[5], own;
    begin();
    for (int i = 0; i < KIDS; i++) child(i);
    for (int i = 0; i < 5; i++) threads[i] = spawn(reaps_any, NULL);
    breathe();
    for (int i = 0; i < KIDS; i++) {
        release(1);
        if (i % 5 == 0) usleep(500);
    }
    for (int i = 0; i < 5; i++) join(threads[i]);
    printf("%d children, %d\n", gone, sum);
    pid_t kept = child(9);
    gone = 0; sum = 0; own = spawn(reaps_own, NULL);
    for (int i = 0; i < 5; i++) threads[i] = spawn(reaps_any, NULL);
    release(6);
    join(own);
    for (int i = 0; i < 5; i++) join(threads[i]);
    printf("%d children, %d, %d\n", gone, sum, kill(kept, 0));
}

/* What SIGCHLD's action says. */
static void hears(int signal, siginfo_t *info, void *context) {
    int status, saved = errno;
    (void)context, check(signal == SIGCHLD && info->si_pid > 0);
    while (waitpid(-1, &status, WNOHANG) > 0) heard += WEXITSTATUS(status);
    errno = saved;
}
static void action(void *handler, int flags) {
    struct sigaction action = {.sa_handler = handler, .sa_flags = flags};
    must(sigaction(SIGCHLD, &action, NULL));
}
static void actions(void) {
    int status;
    begin();
    for (int way = 0; way < 2; way++) {
        if (way) action(SIG_DFL, SA_NOCLDWAIT);
        else action(SIG_IGN, 0);
        pid_t pid = child(1);
        child(2);
        pthread_t other = ticking(2);
        show(wait(&status)), printf("%d\n", ticks), join(other);
        show(waitpid(pid, &status, 0));
        pid = child(3), other = ticking(1);
        check(waitpid(pid, &status, 0) == -1), printf("%s %d\n", strerrorname_np(errno), ticks), join(other);
    }
    action(hears, SA_SIGINFO | SA_RESTART);
    for (int i = 0; i < 4; i++) child(1 << i);
    pthread_t other = ticking(4);
    while (heard != 15) usleep(1000);
    printf("heard %d\n", heard), join(other);
    action(hears, SA_SIGINFO | SA_RESTART | SA_NOCLDSTOP);
    heard = 0;
    pid_t pid = child(7);
    must(kill(pid, SIGSTOP)), check(must(waitpid(pid, &status, WUNTRACED)) == pid);
    must(kill(pid, SIGCONT)), check(must(waitpid(pid, &status, WCONTINUED)) == pid);
    printf("no stop is heard of %d\n", heard);
    release(1);
    while (!heard) usleep(1000);
    printf("heard %d\n", heard);
}

/* Other ends of a wait for any child. */
static sigjmp_buf back;
static void alarmed(int signal) { ticks += signal != 0; }
static void jump(int signal) { siglongjmp(back, signal); }
static void handle(void (*handler)(int), int flags) {
    struct sigaction action = {.sa_handler = handler, .sa_flags = flags};
    must(sigaction(SIGALRM, &action, NULL));
}
static void *waits(void *arg) {
    int status;
    wait(&status);
    return arg;
}
static void interrupted(void) {
    int status;
    siginfo_t info;
    begin();
    pid_t pid = child(8);
    handle(alarmed, 0), ualarm(3000, 3000);
    show(wait(&status)), show(waitpid(-1, &status, WUNTRACED)), show(waitpid(pid, &status, WUNTRACED));
    show(waitid(P_ALL, 0, &info, WEXITED)), show(waitpid(pid, &status, 0));
    ualarm(0, 0), handle(jump, 0);
    for (volatile int i = 0; i < 3; i++)
        if (!sigsetjmp(back, 1)) ualarm(3000, 0), wait(&status), puts("no");
    pthread_t thread = spawn(waits, NULL);
    breathe();
    zero(pthread_cancel(thread));
    printf("cancelled %d\n", join(thread) == PTHREAD_CANCELED);
    handle(alarmed, SA_RESTART), ualarm(3000, 3000);
    thread = ticking(1);
    check(must(wait(&status)) == pid), printf("%x %d\n", status, ticks > 0), join(thread);
    ualarm(0, 0);
}

static void descriptors(void) {
    siginfo_t info;
    begin();
    pid_t pid = child(9);
    int fd = must((int)syscall(SYS_pidfd_open, pid, 0));
    pthread_t other = ticking(1);
    must(waitid(P_PIDFD, fd, &info, WEXITED));
    printf("%d %d %d\n", info.si_pid == pid, info.si_status, ticks), join(other);
    show(waitid(P_PIDFD, fd, &info, WEXITED));
    must(close(fd));
    pid = child(10);
    fd = must((int)syscall(SYS_pidfd_open, pid, 0));
    must(fcntl(fd, F_SETFL, O_NONBLOCK));
    show(waitid(P_PIDFD, fd, &info, WEXITED));
    release(1);
    while (waitid(P_PIDFD, fd, &info, WEXITED)) check(errno == EAGAIN), usleep(1000);
    printf("%d\n", info.si_status);
    show(waitid(P_PIDFD, 999, &info, WEXITED));
}

int main(int argc, char **argv) {
    struct test tests[] = {CASE(any),     CASE(groups),      CASE(stopped),    CASE(many),
                           CASE(actions), CASE(interrupted), CASE(descriptors)};
    return RUN(argc, argv, tests);
}
