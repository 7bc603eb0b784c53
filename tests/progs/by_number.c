/* Waits by syscall(), in the kernel's forms. What ends each is done by another thread of the program: it gets on meanwhile. */
#include "prog.h"
#include <linux/futex.h>
#include <linux/sched.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/ipc.h>
#include <sys/msg.h>
#include <sys/resource.h>
#include <sys/select.h>
#include <sys/sem.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>

enum { SETS = 8 };

/* Lets the other one come to its wait, by going on itself. */
/* Main answers each byte that it is asked for, after a while. */
static int ends[2], asks[2];
static char byte;

static void ask(void) { send_all(asks[1], "?", 1); }

static void answer_all(void *(*run)(void *), void *arg) {
    char asked;
    tcp_pair(ends);
    must(pipe(asks));
    pthread_t thread = spawn(run, arg);
    for (read_all(asks[0], &asked, 1); asked == '?'; read_all(asks[0], &asked, 1)) tick(), send_all(ends[1], "x", 1);
    join(thread);
}

static void *done(void) {
    send_all(asks[1], ".", 1);
    return NULL;
}

static void *reads(void *arg) {
    (void)arg;
    struct iovec part = {&byte, 1};
    struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1};
    struct mmsghdr several = {message, 0};
    ask(), show(syscall(SYS_read, ends[0], &byte, 1));
    ask(), show(syscall(SYS_readv, ends[0], &part, 1));
    ask(), show(syscall(SYS_recvfrom, ends[0], &byte, 1, 0, NULL, NULL));
    ask(), show(syscall(SYS_recvmsg, ends[0], &message, 0));
    ask(), show(syscall(SYS_recvmmsg, ends[0], &several, 1, 0, NULL));
    show(syscall(SYS_recvfrom, ends[0], &byte, 1, MSG_DONTWAIT, NULL, NULL));
    show(syscall(SYS_read, 9999, &byte, 1));
    return done();
}

static void reading(void) { answer_all(reads, NULL); }

/* More than the buffers hold, and a reader that comes later. */
enum { MUCH = 8 << 20 };
static char much[MUCH];

static void *writes(void *arg) {
    (void)arg;
    struct iovec part = {much, MUCH};
    struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1};
    show(syscall(SYS_write, ends[0], much, MUCH));
    show(syscall(SYS_writev, ends[0], &part, 1));
    show(syscall(SYS_sendto, ends[0], much, MUCH, 0, NULL, 0));
    show(syscall(SYS_sendmsg, ends[0], &message, 0));
    return NULL;
}

static void writing(void) {
    static char taken[MUCH];
    tcp_pair(ends);
    pthread_t thread = spawn(writes, NULL);
    for (int i = 0; i < 4; i++) tick(), read_all(ends[1], taken, MUCH);
    join(thread);
}

static int server;
static struct sockaddr_in place;

static void *accepts(void *arg) {
    show(must(syscall(SYS_accept, server, NULL, NULL)) > 0);
    int fd = must(syscall(SYS_accept4, server, NULL, NULL, SOCK_CLOEXEC));
    show(fcntl(fd, F_GETFD));
    show(syscall(SYS_read, fd, &byte, 1));
    show(syscall(SYS_shutdown, fd, SHUT_RDWR));
    show(syscall(SYS_close, fd));
    return arg;
}

static void connecting(void) {
    server = listener(4, &place);
    pthread_t thread = spawn(accepts, NULL);
    for (int i = 0; i < 2; i++) {
        tick();
        ends[0] = must(syscall(SYS_socket, AF_INET, SOCK_STREAM, 0));
        must(syscall(SYS_connect, ends[0], &place, sizeof place));
    }
    tick();
    must(syscall(SYS_sendto, ends[0], "x", 1, 0, NULL, 0));
    join(thread);
}

static int readable(void) { return must(syscall(SYS_recvfrom, ends[0], &byte, 1, MSG_DONTWAIT, NULL, NULL)) == 1; }

static void *polls(void *arg) {
    (void)arg;
    struct pollfd one = {.fd = ends[0], .events = POLLIN};
    struct timespec minute = {60, 0}, little = {0, 5000000};
    sigset_t none;
    sigemptyset(&none);
    ask(), show(syscall(SYS_poll, &one, 1, 60000)), check(readable());
    ask(), show(syscall(SYS_ppoll, &one, 1, NULL, &none, SETS)), check(readable());
    ask(), show(syscall(SYS_ppoll, &one, 1, &minute, NULL, 0)), check(readable());
    check(minute.tv_sec > 30 && minute.tv_sec < 60);
    show(syscall(SYS_ppoll, &one, 1, &little, NULL, 0));
    check(!little.tv_sec && !little.tv_nsec);
    show(syscall(SYS_ppoll, &one, 1, NULL, &none, 4));
    show(syscall(SYS_poll, &one, 1, 1));
    return done();
}

static void polling(void) { answer_all(polls, NULL); }

static void *selects(void *arg) {
    (void)arg;
    struct timespec minute = {60, 0}, little = {0, 5000000};
    struct timeval second = {60, 0};
    sigset_t none;
    fd_set set;
    struct { const sigset_t *set; size_t size; } mask = {&none, SETS}, wrong = {&none, 4};
    sigemptyset(&none);
    FD_ZERO(&set);
    FD_SET(ends[0], &set);
    ask(), show(syscall(SYS_select, ends[0] + 1, &set, NULL, NULL, &second)), check(readable());
    check(second.tv_sec > 30 && second.tv_sec < 60);
    ask(), show(syscall(SYS_pselect6, ends[0] + 1, &set, NULL, NULL, NULL, &mask)), check(readable());
    ask(), show(syscall(SYS_pselect6, ends[0] + 1, &set, NULL, NULL, &minute, NULL)), check(readable());
    check(minute.tv_sec > 30 && minute.tv_sec < 60);
    show(syscall(SYS_pselect6, ends[0] + 1, &set, NULL, NULL, &little, &mask));
    check(!little.tv_sec && !little.tv_nsec && !FD_ISSET(ends[0], &set));
    show(syscall(SYS_pselect6, 0, NULL, NULL, NULL, NULL, &wrong));
    return done();
}

static void selecting(void) { answer_all(selects, NULL); }

static void *epolls(void *arg) {
    (void)arg;
    struct epoll_event event = {.events = EPOLLIN};
    struct timespec minute = {60, 0}, little = {0, 5000000};
    sigset_t none;
    sigemptyset(&none);
    int fd = must(syscall(SYS_epoll_create1, EPOLL_CLOEXEC));
    must(epoll_ctl(fd, EPOLL_CTL_ADD, ends[0], &event));
    ask(), show(syscall(SYS_epoll_wait, fd, &event, 1, -1)), check(readable());
    ask(), show(syscall(SYS_epoll_pwait, fd, &event, 1, 60000, &none, SETS)), check(readable());
    ask(), show(syscall(SYS_epoll_pwait2, fd, &event, 1, &minute, &none, SETS)), check(readable());
    ask(), show(syscall(SYS_epoll_pwait2, fd, &event, 1, NULL, NULL, 0)), check(readable());
    show(syscall(SYS_epoll_pwait2, fd, &event, 1, &little, NULL, 0));
    show(syscall(SYS_epoll_pwait, fd, &event, 1, 1, &none, 4));
    show(syscall(SYS_epoll_wait, fd, &event, 0, 1));
    return done();
}

static void epolling(void) { answer_all(epolls, NULL); }

/* Sleepers do not keep a ticker from its turns. A busy machine may give it few while the first one sleeps: so they sleep again,
 * and do nothing else, until it has had all. */
static volatile int ticks;

static void *ticker(void *arg) {
    for (ticks = 0; ticks < 20; ticks++) sched_yield();
    return arg;
}

#define TICKING(call) ({ ticks = 0; pthread_t ticker_ = spawn(ticker, NULL); show(call); \
    for (int more_ = 0; ticks < 20 && more_ < 50; more_++) call; check(ticks == 20); join(ticker_); })

static void *sleeps(void *arg) {
    struct timespec some = {0, 30000000}, wrong = {0, -1}, end;
    TICKING(syscall(SYS_nanosleep, &some, NULL));
    TICKING(syscall(SYS_clock_nanosleep, CLOCK_REALTIME, 0, &some, NULL));
    TICKING((end = from_now(CLOCK_MONOTONIC, 30), syscall(SYS_clock_nanosleep, CLOCK_MONOTONIC, TIMER_ABSTIME, &end, NULL)));
    show(syscall(SYS_nanosleep, &wrong, NULL));
    show(syscall(SYS_clock_nanosleep, 12345, 0, &some, NULL));
    return arg;
}

static void sleeping(void) { join(spawn(sleeps, NULL)); }

/* Children, made in each way that leaves them a memory of their own. */
static int tells[2];

static pid_t forked(int how) {
    struct clone_args flags = {.exit_signal = SIGCHLD};
    pid_t child = how == 0   ? syscall(SYS_fork)
                  : how == 1 ? syscall(SYS_clone, SIGCHLD, NULL, NULL, NULL, NULL)
                  : how == 2 ? syscall(SYS_clone3, &flags, sizeof flags)
                             : fork();
    if (must(child)) return child;
    /* A process of its own, with a thread of its own. */
    struct timespec little = {0, 1000000};
    char told;
    read_all(tells[0], &told, 1);
    pthread_t thread = spawn(ticker, NULL);
    syscall(SYS_nanosleep, &little, NULL);
    join(thread);
    _exit(40 + how);
}

static void *awaits(void *arg) {
    int status;
    siginfo_t info;
    struct rusage usage = {};
    for (int how = 0; how < 3; how++) {
        pid_t child = forked(how);
        ask();
        check(must(syscall(SYS_wait4, how ? child : -1, &status, 0, &usage)) == child);
        printf("%d\n", WEXITSTATUS(status));
    }
    pid_t child = forked(3);
    ask();
    show(syscall(SYS_waitid, P_PID, child, &info, WEXITED | WNOWAIT, &usage));
    check(usage.ru_maxrss > 0);
    show(syscall(SYS_waitid, P_PID, child, &info, WEXITED, NULL));
    show(info.si_status);
    show(syscall(SYS_wait4, -1, &status, 0, NULL));
    return done();
}

static void children(void) {
    char asked;
    must(pipe(asks));
    must(pipe(tells));
    pthread_t thread = spawn(awaits, NULL);
    for (read_all(asks[0], &asked, 1); asked == '?'; read_all(asks[0], &asked, 1)) tick(), send_all(tells[1], "x", 1);
    join(thread);
}

/* Waits that no descriptor's edge ends. */
static char path[64];
static int set, queue, held;

static void *file_waits(void *arg) {
    struct sembuf one = {0, -1, 0};
    struct timespec minute = {60, 0};
    struct { long kind; char text[8]; } message;
    int fd = must(syscall(SYS_openat, AT_FDCWD, path, O_RDWR, 0)), fifo;
    ask(), show(syscall(SYS_flock, fd, LOCK_EX));
    ask(), show(syscall(SYS_semop, set, &one, 1));
    ask(), show(syscall(SYS_semtimedop, set, &one, 1, &minute));
    ask(), show(syscall(SYS_msgrcv, queue, &message, sizeof message.text, 0, 0));
    ask(), fifo = must(syscall(SYS_open, path + 1, O_RDONLY, 0)), check(fifo > 0);
    show(syscall(SYS_read, fifo, &byte, 1));
    return arg;
}

static void files(void) {
    struct sembuf post = {0, 1, 0};
    struct { long kind; char text[8]; } message = {7, "seven"};
    char asked;
    must(chdir("/tmp"));
    snprintf(path, sizeof path, "b-by-number-%d", getpid());
    held = must(syscall(SYS_open, path, O_RDWR | O_CREAT, 0600));
    must(mkfifo(path + 1, 0600));
    must(flock(held, LOCK_EX));
    set = must(semget(IPC_PRIVATE, 1, 0600));
    queue = must(msgget(IPC_PRIVATE, 0600));
    must(pipe(asks));
    pthread_t thread = spawn(file_waits, NULL);
    read_all(asks[0], &asked, 1), tick(), must(syscall(SYS_flock, held, LOCK_UN));
    read_all(asks[0], &asked, 1), tick(), must(semop(set, &post, 1));
    read_all(asks[0], &asked, 1), tick(), must(semop(set, &post, 1));
    read_all(asks[0], &asked, 1), tick(), must(syscall(SYS_msgsnd, queue, &message, 6, 0));
    read_all(asks[0], &asked, 1), tick();
    int fifo = must(open(path + 1, O_WRONLY));
    send_all(fifo, "x", 1);
    join(thread);
    must(semctl(set, 0, IPC_RMID));
    must(msgctl(queue, IPC_RMID, NULL));
    must(unlink(path)), must(unlink(path + 1));
}

/* Modes that are set by number are known where somebody waits. */
static void *modes_of(void *arg) {
    int yes = 1, fd = must(syscall(SYS_dup, ends[0]));
    ask(), show(syscall(SYS_read, fd, &byte, 1));
    show(syscall(SYS_fcntl, ends[0], F_SETFL, O_RDWR | O_NONBLOCK));
    show(read(fd, &byte, 1));
    show(syscall(SYS_fcntl, fd, F_SETFL, O_RDWR));
    ask(), show(read(fd, &byte, 1));
    show(syscall(SYS_ioctl, fd, FIONBIO, &yes));
    show(read(fd, &byte, 1));
    yes = 0;
    show(syscall(SYS_ioctl, fd, FIONBIO, &yes));
    struct timeval little = {0, 5000};
    show(syscall(SYS_setsockopt, fd, SOL_SOCKET, SO_RCVTIMEO, &little, sizeof little));
    show(read(ends[0], &byte, 1));
    int other = must(syscall(SYS_fcntl, fd, F_DUPFD_CLOEXEC, 100));
    show(syscall(SYS_dup2, fd, other) == other);
    show(syscall(SYS_dup3, fd, other, O_CLOEXEC) == other);
    show(syscall(SYS_close, other));
    show(syscall(SYS_close, other));
    show(syscall(SYS_close_range, 100, 200, 0));
    done();
    return arg;
}

static void modes(void) { answer_all(modes_of, NULL); }

/* What the kernel knows as sigaction. */
struct kernel_action {
    void (*handler)(int);
    unsigned long flags;
    void (*restorer)(void);
    unsigned long mask;
};
__asm__(".text\nby_number_restorer: mov $15, %eax\nsyscall\n");
extern void by_number_restorer(void);
static pthread_t waiter;
static volatile sig_atomic_t came, by_whom;

static void handler(int sig) { came = sig, by_whom = pthread_equal(pthread_self(), waiter); }

static volatile pid_t waiting;

static void *signal_waits(void *arg) {
    uint64_t usr1 = 1 << (SIGUSR1 - 1), usr2 = 1 << (SIGUSR2 - 1), both = usr1 | usr2, none = 0, seen = 0;
    siginfo_t info;
    struct timespec little = {0, 2000000};
    waiter = pthread_self();
    show(syscall(SYS_rt_sigprocmask, SIG_BLOCK, &both, NULL, SETS));
    show(syscall(SYS_rt_sigprocmask, SIG_BLOCK, NULL, &seen, SETS));
    printf("%x\n", (unsigned)(seen & both));
    show(syscall(SYS_rt_sigprocmask, SIG_BLOCK, &both, NULL, 4));
    show(syscall(SYS_rt_sigtimedwait, &both, &info, &little, SETS));
    waiting = syscall(SYS_gettid);
    ask(), show(syscall(SYS_rt_sigtimedwait, &usr2, &info, NULL, SETS));
    printf("code %d, from here %d\n", info.si_code, info.si_pid == getpid());
    ask(), show(syscall(SYS_rt_sigtimedwait, &usr2, &info, NULL, SETS));
    printf("code %d, value %d\n", info.si_code, info.si_value.sival_int);
    ask(), show(syscall(SYS_rt_sigsuspend, &usr2, SETS));
    printf("handler %d, here %d\n", came, by_whom);
    came = 0;
    must(syscall(SYS_tkill, waiting, SIGUSR1));
    show(syscall(SYS_rt_sigpending, &seen, SETS));
    printf("pending %x, came %d\n", (unsigned)(seen & both), came);
    show(syscall(SYS_rt_sigprocmask, SIG_SETMASK, &none, NULL, SETS));
    printf("handler %d, here %d\n", came, by_whom);
    ask(), show(syscall(SYS_pause));
    struct timespec minute = {60, 0};
    ask(), show(syscall(SYS_nanosleep, &minute, &minute));
    check(minute.tv_sec > 30 && minute.tv_sec < 60);
    done();
    return arg;
}

static void *actions(void *arg) {
    struct kernel_action action = {handler, 0x04000000, by_number_restorer, 1 << (SIGTERM - 1)}, old = {};
    show(syscall(SYS_rt_sigaction, SIGUSR1, &action, &old, SETS));
    show(old.handler == SIG_DFL);
    show(syscall(SYS_rt_sigaction, SIGUSR1, NULL, &old, SETS));
    show(!memcmp(&action, &old, sizeof old));
    show(syscall(SYS_rt_sigaction, SIGKILL, &action, NULL, SETS));
    show(syscall(SYS_rt_sigaction, SIGUSR1, NULL, &old, 4));
    return arg;
}

static void signals(void) {
    siginfo_t info = {.si_signo = SIGUSR2, .si_code = SI_QUEUE, .si_value.sival_int = 55};
    char asked;
    join(spawn(actions, NULL));
    must(pipe(asks));
    pthread_t thread = spawn(signal_waits, NULL);
    read_all(asks[0], &asked, 1), tick(), must(syscall(SYS_tgkill, getpid(), waiting, SIGUSR2));
    read_all(asks[0], &asked, 1), tick(), must(syscall(SYS_rt_tgsigqueueinfo, getpid(), waiting, SIGUSR2, &info));
    for (int i = 0; i < 3; i++) read_all(asks[0], &asked, 1), tick(), must(syscall(SYS_tkill, waiting, SIGUSR1));
    join(thread);
    errno = 0;
    show(syscall(SYS_tkill, 0, 0));
    show(syscall(SYS_kill, getpid(), SIGUSR1));
    show(came);
}

/* No cancellation point, whatever it calls. */
static void *deaf(void *arg) {
    ask(), show(syscall(SYS_read, ends[0], &byte, 1));
    ask(), show(syscall(SYS_read, ends[0], &byte, 1));
    ask();
    read(ends[0], &byte, 1);
    puts("not reached");
    return arg;
}

static void uncancelled(void) {
    char asked;
    tcp_pair(ends);
    must(pipe(asks));
    pthread_t thread = spawn(deaf, NULL);
    read_all(asks[0], &asked, 1), tick();
    zero(pthread_cancel(thread));
    tick(), send_all(ends[1], "xx", 2);
    void *result;
    zero(pthread_join(thread, &result));
    show(result == PTHREAD_CANCELED);
}

int main(int argc, char **argv) {
    struct test tests[] = {CASE(reading), CASE(writing),  CASE(connecting), CASE(polling), CASE(selecting), CASE(epolling),   CASE(sleeping),
                           CASE(children), CASE(files),      CASE(modes),   CASE(signals),   CASE(uncancelled)};
    return RUN(argc, argv, tests);
}
