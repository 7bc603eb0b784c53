/* Sleeps on every clock there is, what is left of them, and thousands of timers. */
#include "prog.h"
#include <poll.h>
#include <stdatomic.h>
#include <sys/epoll.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/timerfd.h>

static atomic_int handled, turns, over;
static void handler(int signal) { handled += signal != 0; }
static void handle(int signal, int flags) {
    struct sigaction action = {.sa_handler = handler, .sa_flags = flags};
    must(sigaction(signal, &action, NULL));
}
static void block(int how, int signal) {
    sigset_t set;
    sigemptyset(&set), sigaddset(&set, signal);
    zero(pthread_sigmask(how, &set, NULL));
}
/* Has a turn while others sleep. */
static void *turns_up(void *arg) {
    while (!over) usleep(300), turns++;
    return arg;
}
static pthread_t beside(void) {
    block(SIG_BLOCK, SIGALRM);
    pthread_t thread = spawn(turns_up, NULL);
    block(SIG_UNBLOCK, SIGALRM);
    breathe();
    return thread;
}

static const struct {
    const char *name;
    clockid_t clock;
} clocks[] = {{"realtime", CLOCK_REALTIME},   {"monotonic", CLOCK_MONOTONIC},
              {"boottime", CLOCK_BOOTTIME},   {"tai", CLOCK_TAI},
              {"raw", CLOCK_MONOTONIC_RAW},   {"coarse", CLOCK_MONOTONIC_COARSE},
              {"real coarse", CLOCK_REALTIME_COARSE}, {"real alarm", CLOCK_REALTIME_ALARM},
              {"boot alarm", CLOCK_BOOTTIME_ALARM},   {"thread", CLOCK_THREAD_CPUTIME_ID},
              {"12", 12},                     {"-1", -1}};
enum { CLOCKS = sizeof clocks / sizeof *clocks };

static int passed(clockid_t clock, const struct timespec *since, long nanoseconds) {
    struct timespec now;
    must(clock_gettime(clock, &now));
    return (now.tv_sec - since->tv_sec) * 1000000000 + now.tv_nsec - since->tv_nsec >= nanoseconds;
}
/* Relative and absolute, until another has had a turn meanwhile. An error is told, and none of the sleeps is short. */
static void *naps(void *arg) {
    for (int i = 0; i < CLOCKS; i++) {
        clockid_t clock = clocks[i].clock;
        struct timespec nap = {0, 5000000}, now = {0}, end = {1, 0}, past = {1, 0}, bad = {0, 1000000000};
        int before = turns, known = !clock_gettime(clock, &now), error;
        do {
            if (known) now = from_now(clock, 0);
            error = clock_nanosleep(clock, 0, &nap, NULL);
        } while (!error && turns == before);
        printf("%s: %s", clocks[i].name, error ? strerrorname_np(error) : "slept");
        if (!error) printf(" %d", passed(clock, &now, nap.tv_nsec));
        before = turns;
        do {
            if (known) end = from_now(clock, 5);
            error = clock_nanosleep(clock, TIMER_ABSTIME, &end, NULL);
        } while (!error && turns == before);
        printf(", until %s", error ? strerrorname_np(error) : "then");
        if (!error) printf(" %d", passed(clock, &end, 0));
        error = clock_nanosleep(clock, TIMER_ABSTIME, &past, NULL), printf(", past %d", error);
        /* A kernel without the device for an alarm clock tells of the time first. */
        if (clock < CLOCK_REALTIME_ALARM || clock > CLOCK_BOOTTIME_ALARM)
            error = clock_nanosleep(clock, 0, &bad, NULL), printf(", bad %d", error);
        error = clock_nanosleep(clock, 76, &(struct timespec){0, 1}, NULL), printf(", flags %d\n", error);
    }
    return arg;
}
static void each(void) {
    pthread_t other = beside();
    join(spawn(naps, NULL));
    naps(NULL);
    over = 1;
    join(other);
}

/* What is left after EINTR, by each clock that can be waited for; nothing is said of an absolute one's. */
static void *rests(void *arg) {
    handle(SIGALRM, arg ? SA_RESTART : 0);
    for (int i = 0; i < CLOCKS; i++) {
        struct timespec nap = {50, 0}, rest = {7, 7}, end;
        if (clock_nanosleep(clocks[i].clock, 0, &(struct timespec){0, 1}, NULL)) continue;
        struct timespec start = from_now(clocks[i].clock, 0);
        int error = ALARMED(clock_nanosleep(clocks[i].clock, 0, &nap, &rest));
        printf("%s: %s %d", clocks[i].name, strerrorname_np(error), left_over(clocks[i].clock, 50, &start, &rest));
        end = from_now(clocks[i].clock, 50000), rest = (struct timespec){7, 7};
        error = ALARMED(clock_nanosleep(clocks[i].clock, TIMER_ABSTIME, &end, &rest));
        printf(" %s %d", strerrorname_np(error), rest.tv_sec == 7 && rest.tv_nsec == 7);
        error = ALARMED(clock_nanosleep(clocks[i].clock, 0, &nap, NULL));
        printf(" %s\n", strerrorname_np(error));
    }
    return arg;
}
static void left(void) {
    pthread_t other = beside();
    rests(NULL), rests("restart");
    over = 1;
    join(other);
}

/* The process's own processor clock advances while another thread computes. */
static void *computes(void *arg) {
    for (volatile long i = 0; !over; i++) {}
    return arg;
}
static void processor(void) {
    pthread_t other = spawn(computes, NULL);
    clockid_t own;
    struct timespec nap = {0, 20000000}, rest = {0};
    zero(clock_getcpuclockid(0, &own));
    tell(clock_nanosleep(CLOCK_PROCESS_CPUTIME_ID, 0, &nap, NULL));
    tell(clock_nanosleep(own, 0, &nap, NULL));
    struct timespec end = from_now(CLOCK_PROCESS_CPUTIME_ID, 20);
    tell(clock_nanosleep(CLOCK_PROCESS_CPUTIME_ID, TIMER_ABSTIME, &end, NULL));
    printf("not before %d\n", passed(CLOCK_PROCESS_CPUTIME_ID, &end, 0));
    handle(SIGUSR1, 0);
    pid_t self = getpid(), pid = must(fork());
    if (!pid) usleep(20000), must(kill(self, SIGUSR1)), _exit(0);
    nap.tv_sec = 500;
    tell(clock_nanosleep(CLOCK_PROCESS_CPUTIME_ID, 0, &nap, &rest));
    printf("left %d\n", rest.tv_sec >= 400);
    must(waitpid(pid, NULL, 0));
    over = 1;
    join(other);
}

/* 2000 timers that signal, and 2000 descriptors: each tells once. */
enum { TIMERS = 2000 };
static atomic_int expired[TIMERS], in_all, foreign;
static void expires(int signal, siginfo_t *info, void *context) {
    foreign += info->si_code != SI_TIMER || context == NULL || signal != SIGRTMIN + 5;
    expired[info->si_value.sival_int]++;
    in_all++;
}
static void thousands(void) {
    static timer_t timers[TIMERS];
    static int fds[TIMERS];
    struct sigaction action = {.sa_sigaction = expires, .sa_flags = SA_SIGINFO | SA_RESTART};
    struct sigevent event = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGRTMIN + 5};
    struct itimerspec once = {0};
    int twice = 0;
    must(sigaction(SIGRTMIN + 5, &action, NULL));
    pthread_t other = beside();
    for (int i = 0; i < TIMERS; i++) {
        event.sigev_value.sival_int = i;
        must(timer_create(i % 2 ? CLOCK_MONOTONIC : CLOCK_REALTIME, &event, &timers[i]));
        once.it_value.tv_nsec = 1 + i % 50 * 1000000;
        must(timer_settime(timers[i], 0, &once, NULL));
    }
    while (in_all < TIMERS) usleep(500);
    for (int i = 0; i < TIMERS; i++) twice += expired[i] != 1, must(timer_delete(timers[i]));
    printf("timers: more than once %d, otherwise %d\n", twice, foreign);
    int set = must(epoll_create1(EPOLL_CLOEXEC)), seen = 0;
    for (int i = 0; i < TIMERS / 4; i++) {
        fds[i] = must(timerfd_create(i % 2 ? CLOCK_MONOTONIC : CLOCK_BOOTTIME, TFD_CLOEXEC));
        once.it_value.tv_nsec = 1 + i % 50 * 1000000;
        must(timerfd_settime(fds[i], 0, &once, NULL));
        must(epoll_ctl(set, EPOLL_CTL_ADD, fds[i], &(struct epoll_event){.events = EPOLLIN, .data.u32 = i}));
    }
    while (seen < TIMERS / 4) {
        struct epoll_event events[64];
        int count = must(epoll_wait(set, events, 64, -1));
        for (int i = 0; i < count; i++) {
            uint64_t times;
            check(must(read(fds[events[i].data.u32], &times, 8)) == 8 && times == 1), seen++;
        }
    }
    printf("descriptors: %d\n", seen);
    over = 1;
    join(other);
}

/* Expirations that nobody took are counted; timers of SIGEV_THREAD come again and again until they are deleted. */
static atomic_int notified, wrong;
static void notify(union sigval value) {
    wrong += value.sival_int != 9;
    notified++;
}
static void overruns(void) {
    timer_t timer;
    struct sigevent event = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGRTMIN + 6, .sigev_value.sival_int = 3};
    struct itimerspec often = {{0, 1000000}, {0, 1000000}};
    siginfo_t info;
    sigset_t set;
    sigemptyset(&set), sigaddset(&set, SIGRTMIN + 6);
    zero(pthread_sigmask(SIG_BLOCK, &set, NULL));
    pthread_t other = beside();
    must(timer_create(CLOCK_MONOTONIC, &event, &timer));
    must(timer_settime(timer, 0, &often, NULL));
    usleep(30000);
    check(must(sigwaitinfo(&set, &info)) == SIGRTMIN + 6);
    printf("code %d, value %d, overrun %d as told %d\n", info.si_code == SI_TIMER, info.si_int, info.si_overrun >= 10,
           timer_getoverrun(timer) == info.si_overrun);
    must(timer_delete(timer));
    show(timer_delete(timer));
    pthread_attr_t attributes;
    zero(pthread_attr_init(&attributes)), zero(pthread_attr_setstacksize(&attributes, 65536));
    event = (struct sigevent){.sigev_notify = SIGEV_THREAD, .sigev_notify_function = notify, .sigev_value.sival_int = 9,
                              .sigev_notify_attributes = &attributes};
    must(timer_create(CLOCK_REALTIME, &event, &timer));
    must(timer_settime(timer, 0, &often, NULL));
    while (notified < 20) usleep(500);
    must(timer_delete(timer));
    usleep(20000);
    int before = notified;
    usleep(20000);
    printf("notified, wrong %d, later %d\n", wrong, notified - before);
    over = 1;
    join(other);
}

/* A child of fork has no timers; the program that exec puts in place keeps those of setitimer, no others. */
static char *self;
static void *forks(void *arg) {
    struct itimerval timer = {{0}, {100, 0}}, now;
    timer_t posix;
    struct itimerspec left;
    must(setitimer(ITIMER_REAL, &timer, NULL)), must(setitimer(ITIMER_PROF, &timer, NULL));
    must(timer_create(CLOCK_MONOTONIC, NULL, &posix));
    for (int how = 0; how < 3; how++) {
        fflush(stdout);
        pid_t pid = must(how == 1 ? vfork() : fork());
        if (!pid && how) {
            if (how == 2) setitimer(ITIMER_REAL, &timer, NULL);
            execl(self, self, "timers", (char *)NULL), _exit(127);
        }
        if (!pid) {
            must(getitimer(ITIMER_REAL, &now)), printf("real %d\n", now.it_value.tv_sec > 0);
            must(getitimer(ITIMER_PROF, &now)), printf("prof %d\n", now.it_value.tv_sec > 0);
            show(timer_gettime(posix, &left));
            exit(0);
        }
        int status;
        check(must(waitpid(pid, &status, 0)) == pid && !status);
    }
    must(getitimer(ITIMER_REAL, &now)), printf("kept %d\n", now.it_value.tv_sec >= 50);
    char *none[] = {"none", NULL};
    show(execv("/nonexistent", none));
    must(getitimer(ITIMER_REAL, &now)), printf("kept %d\n", now.it_value.tv_sec >= 50);
    show(timer_gettime(posix, &left));
    return arg;
}
static void inherited(void) {
    pthread_t other = beside();
    join(spawn(forks, NULL));
    over = 1;
    join(other);
}

int main(int argc, char **argv) {
    self = argv[0];
    if (argc > 1 && !strcmp(argv[1], "timers")) {
        struct itimerval now;
        for (int which = 0; which < 3; which++) must(getitimer(which, &now)), printf("%d ", now.it_value.tv_sec > 0);
        return puts("in the new program"), 0;
    }
    struct test tests[] = {CASE(each), CASE(left), CASE(processor), CASE(thousands), CASE(overruns), CASE(inherited)};
    return RUN(argc, argv, tests);
}
