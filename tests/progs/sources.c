/* What a signal says of where it comes from: to a handler, to who waits for it, to who reads it, and who that is. */
#include "prog.h"
#include <aio.h>
#include <mqueue.h>
#include <poll.h>
#include <semaphore.h>
#include <setjmp.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/select.h>
#include <sys/signalfd.h>
#include <sys/syscall.h>
#include <sys/time.h>

static pthread_t first;
static sem_t heard;
static siginfo_t last;
static int by_first;
static int ends[2];

static void hears(int signal, siginfo_t *info, void *context) {
    int error = errno;
    check(signal == info->si_signo && context);
    last = *info;
    by_first = pthread_equal(pthread_self(), first);
    sem_post(&heard);
    errno = error;
}

static void by_kill(void) { must(kill(getpid(), SIGUSR1)); }
static void by_kill_of_group(void) { must(kill(0, SIGUSR1)); }
static void by_killpg(void) { must(killpg(getpgrp(), SIGUSR1)); }
static void by_pthread_kill(void) { zero(pthread_kill(first, SIGUSR1)); }
static void by_pthread_sigqueue(void) { zero(pthread_sigqueue(first, SIGUSR1, (union sigval){.sival_int = 11})); }
static void by_tgkill(void) { must(syscall(SYS_tgkill, getpid(), getpid(), SIGUSR1)); }
static void by_sigqueue(void) { must(sigqueue(getpid(), SIGRTMIN + 1, (union sigval){.sival_int = 12})); }
static void by_pidfd(void) {
    int self = must(syscall(SYS_pidfd_open, getpid(), 0));
    must(syscall(SYS_pidfd_send_signal, self, SIGUSR1, NULL, 0));
    must(close(self));
}
static void by_pidfd_with_info(void) {
    siginfo_t info = {.si_signo = SIGUSR1, .si_code = SI_QUEUE, .si_pid = getpid(), .si_uid = getuid()};
    info.si_value.sival_int = 13;
    int self = must(syscall(SYS_pidfd_open, getpid(), 0));
    must(syscall(SYS_pidfd_send_signal, self, SIGUSR1, &info, 0));
    must(close(self));
}
static void by_interval(void) { must(setitimer(ITIMER_REAL, &(struct itimerval){.it_value.tv_usec = 1000}, NULL)); }
static void by_timer(void) {
    static timer_t timer;
    struct sigevent event = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGRTMIN + 2, .sigev_value.sival_int = 14};
    must(timer_create(CLOCK_MONOTONIC, &event, &timer));
    must(timer_settime(timer, 0, &(struct itimerspec){.it_value.tv_nsec = 1000}, NULL));
}
static void by_message(void) {
    char name[32];
    snprintf(name, sizeof name, "/sources-%d", getpid());
    struct mq_attr attributes = {.mq_maxmsg = 1, .mq_msgsize = 1};
    mqd_t queue = must(mq_open(name, O_RDWR | O_CREAT, 0600, &attributes));
    must(mq_unlink(name));
    struct sigevent event = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGUSR1, .sigev_value.sival_int = 15};
    must(mq_notify(queue, &event));
    must(mq_send(queue, "x", 1, 0));
    must(mq_close(queue));
}
static void by_aio(void) {
    static char byte;
    static struct aiocb block;
    block = (struct aiocb){.aio_fildes = must(open("/dev/zero", O_RDONLY)), .aio_buf = &byte, .aio_nbytes = 1};
    block.aio_sigevent.sigev_notify = SIGEV_SIGNAL;
    block.aio_sigevent.sigev_signo = SIGRTMIN + 3;
    block.aio_sigevent.sigev_value.sival_int = 16;
    must(aio_read(&block));
}
static void by_child(void) {
    if (!must(fork())) _exit(17);
}
static void by_data(void) {
    must(fcntl(ends[0], F_SETOWN, getpid()));
    must(fcntl(ends[0], F_SETSIG, SIGRTMIN + 4));
    must(fcntl(ends[0], F_SETFL, O_ASYNC));
    send_all(ends[1], "x", 1);
}

static const struct source {
    const char *name;
    int signal;
    void (*send)(void);
} sources[] = {
    {"kill", 0, by_kill},           {"kill 0", 0, by_kill_of_group},       {"killpg", 0, by_killpg},
    {"pthread_kill", 0, by_pthread_kill}, {"pthread_sigqueue", 0, by_pthread_sigqueue}, {"tgkill", 0, by_tgkill},
    {"sigqueue", 1, by_sigqueue},   {"pidfd", 0, by_pidfd},                {"pidfd with info", 0, by_pidfd_with_info},
    {"setitimer", SIGALRM, by_interval}, {"timer", 2, by_timer},           {"message", 0, by_message},
    {"aio", 3, by_aio},             {"child", SIGCHLD, by_child},          {"data", 4, by_data},
};
enum { SOURCES = sizeof sources / sizeof *sources };
static int signal_of(int i) {
    int signal = sources[i].signal;
    return !signal ? SIGUSR1 : signal < 5 ? SIGRTMIN + signal : signal;
}

static void says(int i, const siginfo_t *info) {
    printf("%s: code %d", sources[i].name, info->si_code);
    if (info->si_signo == SIGCHLD) {
        int status;
        check(must(wait(&status)) == info->si_pid);
        printf(", its child, status %d %d, uid %d\n", info->si_status, WEXITSTATUS(status), info->si_uid == getuid());
    } else if (info->si_code == POLL_IN) {
        printf(", its descriptor %d, band %lx\n", info->si_fd == ends[0], info->si_band);
        must(fcntl(ends[0], F_SETFL, 0));
        read_all(ends[0], &(char){0}, 1);
    } else if (info->si_code == SI_TIMER) {
        printf(", overrun %d, value %d\n", info->si_overrun, info->si_value.sival_int);
    } else if (info->si_code == SI_KERNEL) {
        printf(", pid %d\n", info->si_pid);
    } else {
        printf(", itself %d, uid %d", info->si_pid == getpid(), info->si_uid == getuid());
        printf(", value %d\n", info->si_code < 0 && info->si_code != SI_TKILL ? info->si_value.sival_int : 0);
    }
}

/* In a process group of its own. */
static void begin(void) {
    first = pthread_self();
    must(setpgid(0, 0));
    must(sem_init(&heard, 0, 0));
    must(socketpair(AF_UNIX, SOCK_STREAM, 0, ends));
    struct sigaction action = {.sa_sigaction = hears, .sa_flags = SA_SIGINFO | SA_RESTART};
    for (int i = 0; i < SOURCES; i++) must(sigaction(signal_of(i), &action, NULL));
}

static sigset_t all_of_them(void) {
    sigset_t set;
    sigemptyset(&set);
    for (int i = 0; i < SOURCES; i++) sigaddset(&set, signal_of(i));
    return set;
}

static void to_a_handler(void) {
    begin();
    for (int i = 0; i < SOURCES; i++) {
        pthread_t sender = later(sources[i].send);
        while (sem_wait(&heard)) check(errno == EINTR);
        siginfo_t info = last;
        says(i, &info);
        /* A timer's may go to whoever runs, a child's to who made it. */
        if (sources[i].send != by_timer && sources[i].send != by_child) printf("in the first %d\n", by_first);
        join(sender);
    }
}

static void to_who_waits(void) {
    begin();
    sigset_t set = all_of_them();
    zero(pthread_sigmask(SIG_BLOCK, &set, NULL));
    for (int i = 0; i < SOURCES; i++) {
        pthread_t sender = later(sources[i].send);
        siginfo_t info;
        check(must(sigwaitinfo(&set, &info)) == signal_of(i));
        says(i, &info);
        join(sender);
    }
}

/* Waits until there is something to read, in each way in turn. */
static void wait_for(int fd, int way) {
    fd_set set;
    struct epoll_event event = {.events = EPOLLIN};
    switch (way % 4) {
    case 0: check(must(poll(&(struct pollfd){fd, POLLIN, 0}, 1, -1)) == 1); break;
    case 1:
        FD_ZERO(&set);
        FD_SET(fd, &set);
        check(must(select(fd + 1, &set, NULL, NULL, NULL)) == 1);
        break;
    case 2: {
        int all = must(epoll_create1(0));
        must(epoll_ctl(all, EPOLL_CTL_ADD, fd, &event));
        check(must(epoll_wait(all, &event, 1, -1)) == 1);
        must(close(all));
        break;
    }
    default: break;
    }
}

static void to_who_reads(void) {
    begin();
    sigset_t set = all_of_them();
    zero(pthread_sigmask(SIG_BLOCK, &set, NULL));
    int fd = must(signalfd(-1, &set, 0));
    for (int i = 0; i < 4 * SOURCES; i++) {
        int which = i % SOURCES;
        pthread_t sender = later(sources[which].send);
        wait_for(fd, i + i / SOURCES);
        struct signalfd_siginfo one;
        check(must(read(fd, &one, sizeof one)) == sizeof one && (int)one.ssi_signo == signal_of(which));
        siginfo_t info = {.si_signo = one.ssi_signo, .si_code = one.ssi_code};
        if (info.si_signo == SIGCHLD) {
            info.si_pid = one.ssi_pid, info.si_uid = one.ssi_uid, info.si_status = one.ssi_status;
        } else if (info.si_code == POLL_IN) {
            info.si_fd = one.ssi_fd, info.si_band = one.ssi_band;
        } else if (info.si_code == SI_TIMER) {
            info.si_overrun = one.ssi_overrun, info.si_value.sival_int = one.ssi_int;
        } else {
            info.si_pid = one.ssi_pid, info.si_uid = one.ssi_uid, info.si_value.sival_int = one.ssi_int;
        }
        says(which, &info);
        join(sender);
    }
}

/* What a thread does to itself, it hears itself. */
static sigjmp_buf back;
static void goes_back(int signal, siginfo_t *info, void *context) { hears(signal, info, context), siglongjmp(back, signal); }
static char *nowhere;

static void *to_itself(void *arg) {
    static const int faults[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP, SIGPIPE, SIGUSR1, SIGABRT};
    struct sigaction action = {.sa_sigaction = goes_back, .sa_flags = SA_SIGINFO};
    for (size_t i = 0; i < sizeof faults / sizeof *faults; i++) must(sigaction(faults[i], &action, NULL));
    FILE *empty = tmpfile();
    check(empty);
    char *page = mmap(NULL, 4096, PROT_READ, MAP_SHARED, fileno(empty), 0);
    check(page != MAP_FAILED);
    volatile int zero = 0;
    for (volatile size_t i = 0; i < sizeof faults / sizeof *faults; i++) {
        breathe();
        int got = sigsetjmp(back, 1);
        if (!got) {
            switch (faults[i]) {
            case SIGSEGV: *(volatile char *)(nowhere + 5) = 1; break;
            case SIGBUS: got = *(volatile char *)page; break;
            case SIGFPE: zero = 7 / zero; break;
            case SIGILL: __asm__ volatile("ud2"); break;
            case SIGTRAP: __asm__ volatile("int3"); break;
            case SIGPIPE: {
                int broken[2];
                must(pipe(broken)), must(close(broken[0]));
                got = write(broken[1], "x", 1);
                break;
            }
            case SIGUSR1: must(raise(SIGUSR1)); break;
            default: abort();
            }
            die("no signal");
        }
        check(got == faults[i] && !by_first);
        printf("%d: code %d", got, last.si_code);
        if (got == SIGSEGV) printf(", at %d", last.si_addr == nowhere + 5);
        if (got == SIGBUS) printf(", at %d", last.si_addr == page);
        if (got >= SIGUSR1 && got != SIGSEGV) printf(", itself %d", last.si_pid == getpid());
        printf("\n");
    }
    return arg;
}

static void own(void) {
    first = pthread_self();
    must(sem_init(&heard, 0, 0));
    join(spawn(to_itself, NULL));
}

int main(int argc, char **argv) {
    struct test tests[] = {CASE(to_a_handler), CASE(to_who_waits), CASE(to_who_reads), CASE(own)};
    return RUN(argc, argv, tests);
}
