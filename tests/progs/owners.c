/* Descriptors that a signal tells of: which thread hears it, and what it says. */
#include "prog.h"
#include <poll.h>
#include <semaphore.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>

enum { THREADS = 6, ROUNDS = 5 };
static int pairs[THREADS][2];
static pthread_t owners[THREADS];
static sem_t heard[THREADS];
static volatile int right, wrong;

static int mine(void) {
    for (int i = 0; i < THREADS; i++)
        if (pthread_equal(owners[i], pthread_self())) return i;
    return -1;
}

static void own(int fd, int named) {
    struct f_owner_ex owner = {F_OWNER_TID, gettid()};
    must(fcntl(fd, F_SETOWN_EX, &owner));
    must(fcntl(fd, F_SETSIG, named));
    must(fcntl(fd, F_SETFL, O_RDWR | O_ASYNC));
}

/* Without F_SETSIG the signal says nothing more; with it, of which descriptor it speaks. */
static void told(int number, siginfo_t *info, void *context) {
    (void)context;
    int i = mine(), as_it_should = i >= 0;
    if (number == SIGIO) as_it_should &= info->si_code == SI_KERNEL && !info->si_band && !info->si_pid;
    else as_it_should &= info->si_code == POLL_IN && info->si_fd == pairs[i][0] && (info->si_band & POLLIN) != 0;
    if (as_it_should) right++;
    else wrong++;
    if (i >= 0) sem_post(&heard[i]);
}

static int number;
static sem_t done;
static void *hears(void *arg) {
    int i = (intptr_t)arg;
    own(pairs[i][0], number == SIGIO ? 0 : number);
    for (int round = 0; round < ROUNDS; round++) {
        char byte;
        must(sem_post(&done));
        while (sem_wait(&heard[i])) check(errno == EINTR);
        read_all(pairs[i][0], &byte, 1);
    }
    return arg;
}
static void *waits(void *arg) {
    int i = (intptr_t)arg;
    siginfo_t info;
    sigset_t set;
    sigemptyset(&set), sigaddset(&set, number);
    own(pairs[i][0], number);
    for (int round = 0; round < ROUNDS; round++) {
        char byte;
        must(sem_post(&done));
        check(must(sigwaitinfo(&set, &info)) == number);
        if (info.si_fd == pairs[i][0] && info.si_code == POLL_IN) right++;
        else wrong++;
        read_all(pairs[i][0], &byte, 1);
    }
    return arg;
}

/* The last one first, in each round. */
static void with(void *(*run)(void *), int signal) {
    number = signal, right = wrong = 0;
    must(sem_init(&done, 0, 0));
    for (int i = 0; i < THREADS; i++) {
        must(socketpair(AF_UNIX, SOCK_STREAM, 0, pairs[i]));
        must(sem_init(&heard[i], 0, 0));
    }
    for (intptr_t i = 0; i < THREADS; i++) owners[i] = spawn(run, (void *)i);
    for (int round = 0; round < ROUNDS; round++) {
        for (int i = 0; i < THREADS; i++) must(sem_wait(&done));
        for (int i = THREADS; i-- > 0;) send_all(pairs[i][1], "x", 1);
    }
    for (int i = 0; i < THREADS; i++) join(owners[i]);
    for (int i = 0; i < THREADS; i++) must(close(pairs[i][0])), must(close(pairs[i][1]));
    printf("%d right, %d wrong\n", right, wrong);
}
static void handled(void) {
    struct sigaction action = {.sa_sigaction = told, .sa_flags = SA_SIGINFO};
    must(sigaction(SIGIO, &action, NULL)), must(sigaction(SIGRTMIN + 2, &action, NULL));
    with(hears, SIGIO);
    with(hears, SIGRTMIN + 2);
}
static void waited_for(void) {
    sigset_t set;
    sigemptyset(&set), sigaddset(&set, SIGRTMIN + 3);
    zero(pthread_sigmask(SIG_BLOCK, &set, NULL));
    with(waits, SIGRTMIN + 3);
}

/* Who the owner is said to be. */
static void says(const char *when, int fd, pid_t self) {
    struct f_owner_ex owner = {-1, -1};
    int of_ioctl = 0, of_socket = 0;
    must(fcntl(fd, F_GETOWN_EX, &owner)), must(ioctl(fd, FIOGETOWN, &of_ioctl)), must(ioctl(fd, SIOCGPGRP, &of_socket));
    pid_t said[] = {owner.pid, fcntl(fd, F_GETOWN), syscall(SYS_fcntl, fd, F_GETOWN), of_ioctl, of_socket};
    printf("%s: kind %d", when, owner.type);
    for (int i = 0; i < 5; i++)
        printf(" %s", said[i] == 0 ? "nobody" : said[i] == self ? "thread" : said[i] == getpid() ? "process" : said[i] == -getpgrp() ? "group" : "another");
    printf(", signal %d\n", fcntl(fd, F_GETSIG));
}
static void *changes(void *arg) {
    int fd = *(int *)arg, self = gettid(), process = getpid();
    struct f_owner_ex owner = {F_OWNER_TID, self};
    says("at first", fd, self);
    show(fcntl(fd, F_SETOWN_EX, &owner)), says("F_OWNER_TID", fd, self);
    show(fcntl(fd, F_SETSIG, SIGIO)), says("F_SETSIG", fd, self);
    show(fcntl(fd, F_SETSIG, SIGUSR1)), says("F_SETSIG", fd, self);
    show(fcntl(fd, F_SETSIG, 0)), says("F_SETSIG", fd, self);
    show(fcntl(fd, F_SETSIG, 100)), says("F_SETSIG", fd, self);
    show(fcntl(fd, F_SETOWN, self)), says("F_SETOWN", fd, self);
    show(syscall(SYS_fcntl, fd, F_SETOWN_EX, &owner)), says("by number", fd, self);
    show(ioctl(fd, FIOSETOWN, &self)), says("FIOSETOWN", fd, self);
    show(fcntl(fd, F_SETOWN_EX, &owner)), show(ioctl(fd, SIOCSPGRP, &process)), says("SIOCSPGRP", fd, self);
    owner.pid = process;
    show(fcntl(fd, F_SETOWN_EX, &owner)), says("main", fd, self);
    owner.type = F_OWNER_PID;
    show(fcntl(fd, F_SETOWN_EX, &owner)), says("F_OWNER_PID", fd, self);
    show(fcntl(fd, F_SETOWN, -getpgrp()));
    printf("group %d\n", fcntl(fd, F_GETOWN) == -getpgrp());
    owner.type = F_OWNER_TID, owner.pid = 0x3ffffff0;
    show(fcntl(fd, F_SETOWN_EX, &owner));
    owner.pid = 0;
    show(fcntl(fd, F_SETOWN_EX, &owner)), says("0", fd, self);
    owner.pid = self;
    show(fcntl(100, F_SETOWN_EX, &owner));
    show(fcntl(fd, F_SETOWN_EX, &owner));
    return arg;
}
/* An owner that has ended is nobody, and its signals are nobody's. */
static void changed(void) {
    int pair[2];
    must(socketpair(AF_UNIX, SOCK_STREAM, 0, pair));
    join(spawn(changes, &pair[0]));
    says("ended", pair[0], -1);
    must(fcntl(pair[0], F_SETFL, O_RDWR | O_ASYNC));
    send_all(pair[1], "x", 1);
    breathe();
}

int main(int argc, char **argv) {
    struct test tests[] = {CASE(handled), CASE(waited_for), CASE(changed)};
    return RUN(argc, argv, tests);
}
