/* Timers of every kind, what handlers may do, and what signals do that nobody handles, while threads wait. */
#include "prog.h"
#include <poll.h>
#include <semaphore.h>
#include <setjmp.h>
#include <stdatomic.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/time.h>
#include <sys/timerfd.h>

static sem_t gate, done;
static atomic_int handled, by_main, value;
static pthread_t first;
static void *parks(void *arg) {
    while (sem_wait(&gate)) check(errno == EINTR);
    return arg;
}
static void *ticks(void *arg) {
    for (;;) usleep(300);
    return arg;
}
static void crowd(void) {
    first = pthread_self();
    must(sem_init(&gate, 0, 0)), must(sem_init(&done, 0, 0));
    for (int i = 0; i < 3; i++) spawn(parks, NULL);
    spawn(ticks, NULL);
    breathe();
}
/* The same, and none of them takes these signals: a kernel may hand a timer's to a thread that is on a processor while main
 * waits for one. */
static void crowd_without(const sigset_t *signals) {
    zero(pthread_sigmask(SIG_BLOCK, signals, NULL));
    crowd();
    zero(pthread_sigmask(SIG_UNBLOCK, signals, NULL));
}
static void handler(int signal, siginfo_t *info, void *context) {
    (void)signal, (void)context;
    by_main += pthread_equal(pthread_self(), first);
    value = info->si_value.sival_int;
    handled++;
}
static void handle(int signal, int flags) {
    struct sigaction action = {.sa_sigaction = handler, .sa_flags = flags | SA_SIGINFO};
    must(sigaction(signal, &action, NULL));
}
static void until(int count) {
    while (handled < count) usleep(500);
}

/* What `sleep` gives back: whole seconds, without what was left of the last one. */
static int seconds_left(time_t all, const struct timespec *start, unsigned left) {
    return left_over(CLOCK_MONOTONIC, all, start, &(struct timespec){left, 999999999});
}

static void alarms(void) {
    sigset_t set;
    sigemptyset(&set), sigaddset(&set, SIGALRM);
    crowd_without(&set);
    handle(SIGALRM, 0);
    show(alarm(100)), show(alarm(1));
    struct timespec start = from_now(CLOCK_MONOTONIC, 0);
    unsigned left = sleep(30);
    printf("slept until the alarm %d, handled %d\n", seconds_left(30, &start, left), handled);
    show(alarm(0));
    show(ualarm(2000, 0));
    show(ALARMED(pause()));
    printf("all in main %d\n", by_main == handled);
    struct itimerval timer = {{0, 1000}, {0, 1000}}, old;
    handled = by_main = 0;
    must(setitimer(ITIMER_REAL, &timer, NULL)), until(20);
    must(getitimer(ITIMER_REAL, &old)), printf("every %ld\n", old.it_interval.tv_usec);
    must(setitimer(ITIMER_REAL, &(struct itimerval){0}, &old));
    printf("all in main %d\n", by_main == handled);
    handle(SIGVTALRM, SA_RESTART), handle(SIGPROF, SA_RESTART);
    for (int i = 0; i < 2; i++) {
        handled = 0;
        must(setitimer(i ? ITIMER_PROF : ITIMER_VIRTUAL, &timer, NULL));
        while (handled < 3) {}
        must(setitimer(i ? ITIMER_PROF : ITIMER_VIRTUAL, &(struct itimerval){0}, NULL));
    }
    puts("computing is counted");
}

static void notified(union sigval value) {
    printf("in a thread: %d, another one %d\n", value.sival_int, !pthread_equal(pthread_self(), first));
    usleep(500);
    must(sem_post(&done));
}
static void posix_timers(void) {
    timer_t timer;
    struct itimerspec once = {{0, 0}, {0, 2000000}}, often = {{0, 1000000}, {0, 1000000}}, off = {0}, left;
    struct sigevent event = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGRTMIN, .sigev_value.sival_int = 42};
    sigset_t set;
    sigemptyset(&set), sigaddset(&set, SIGRTMIN);
    crowd_without(&set);
    handle(SIGRTMIN, 0);
    must(timer_create(CLOCK_MONOTONIC, &event, &timer));
    must(timer_settime(timer, 0, &once, NULL)), until(1);
    printf("value %d, in main %d\n", value, by_main);
    must(timer_settime(timer, 0, &often, NULL)), until(10);
    by_main = 10;
    must(timer_gettime(timer, &left)), printf("every %ld\n", left.it_interval.tv_nsec);
    must(timer_settime(timer, 0, &off, NULL)), must(timer_delete(timer));
    /* waited for */
    sigemptyset(&set), sigaddset(&set, SIGRTMIN + 1);
    zero(pthread_sigmask(SIG_BLOCK, &set, NULL));
    event.sigev_signo = SIGRTMIN + 1;
    handle(SIGRTMIN + 1, 0);
    handled = 0;
    must(timer_create(CLOCK_REALTIME, &event, &timer));
    once.it_value = from_now(CLOCK_REALTIME, 3);
    must(timer_settime(timer, TIMER_ABSTIME, &once, NULL));
    until(1), must(timer_delete(timer)), printf("by another %d\n", by_main == 10);
    event.sigev_notify = SIGEV_NONE;
    must(timer_create(CLOCK_MONOTONIC, &event, &timer));
    once.it_value = (struct timespec){0, 1000000};
    must(timer_settime(timer, 0, &once, NULL));
    do usleep(300), must(timer_gettime(timer, &left));
    while (left.it_value.tv_nsec);
    must(timer_delete(timer)), puts("asked");
    event.sigev_notify = SIGEV_THREAD, event.sigev_notify_function = notified, event.sigev_value.sival_int = 7;
    event.sigev_notify_attributes = NULL;
    must(timer_create(CLOCK_MONOTONIC, &event, &timer));
    for (int i = 0; i < 3; i++) must(timer_settime(timer, 0, &once, NULL)), must(sem_wait(&done));
    must(timer_delete(timer));
    show(timer_create(CLOCK_MONOTONIC, &(struct sigevent){.sigev_notify = SIGEV_SIGNAL, .sigev_signo = 99}, &timer));
}

/* A signalfd among other descriptors, read by a thread. */
static void *reads_signals(void *fd) {
    struct signalfd_siginfo info;
    for (int i = 0; i < 3; i++) {
        struct pollfd entry = {(intptr_t)fd, POLLIN, 0};
        if (i) check(must(poll(&entry, 1, -1)) == 1);
        check(must(read((intptr_t)fd, &info, sizeof info)) == sizeof info);
        printf("signal %d, value %d, from here %d\n", info.ssi_signo, info.ssi_int, info.ssi_pid == (unsigned)getpid());
        must(sem_post(&done));
    }
    return fd;
}
static void signal_descriptor(void) {
    sigset_t set;
    sigemptyset(&set), sigaddset(&set, SIGUSR1), sigaddset(&set, SIGTERM);
    zero(pthread_sigmask(SIG_BLOCK, &set, NULL));
    crowd();
    int fd = must(signalfd(-1, &set, SFD_CLOEXEC));
    pthread_t reader = spawn(reads_signals, (void *)(intptr_t)fd);
    breathe();
    must(kill(getpid(), SIGUSR1)), must(sem_wait(&done));
    must(sigqueue(getpid(), SIGTERM, (union sigval){.sival_int = 5})), must(sem_wait(&done));
    must(sigqueue(getpid(), SIGUSR1, (union sigval){.sival_int = 6})), must(sem_wait(&done));
    join(reader);
}

/* 200 signals for the process, one after the other, while threads work: main handles them all. Of 200 that come at once
 * none is lost, whoever handles them. */
static void *works(void *arg) {
    while (!atomic_load((atomic_int *)arg))
        for (volatile int i = 0; i < 20000; i++) {}
    return arg;
}
static void two_hundred(void) {
    static atomic_int over;
    crowd();
    spawn(works, &over);
    handle(SIGUSR1, SA_RESTART), handle(SIGRTMIN + 2, SA_RESTART);
    fflush(stdout);
    int ends[2];
    must(pipe(ends));
    pid_t parent = getpid(), pid = must(fork());
    if (!pid) {
        char byte;
        for (int i = 0; i < 200; i++) {
            must(kill(parent, SIGUSR1));
            must(read(ends[0], &byte, 1));
        }
        must(read(ends[0], &byte, 1));
        for (int i = 0; i < 200; i++) must(sigqueue(parent, SIGRTMIN + 2, (union sigval){.sival_int = i}));
        _exit(0);
    }
    for (int i = 1; i <= 200; i++) {
        until(i);
        must(write(ends[1], "x", 1));
    }
    int in_main = by_main;
    must(write(ends[1], "x", 1));
    int status;
    while (waitpid(pid, &status, 0) < 0) check(errno == EINTR);
    until(400), over = 1;
    printf("%d in main, %d\n", in_main, handled);
}

#pragma GCC diagnostic ignored "-Wdeprecated-declarations"
/* SA_RESETHAND, SA_NODEFER and their opposites. */
static volatile int depth, deepest, raised;
static void nests(int signal) {
    if (++depth > deepest) deepest = depth;
    if (raised++ < 3) raise(signal);
    depth--;
}
static void flags(void) {
    struct sigaction action = {.sa_handler = nests, .sa_flags = SA_NODEFER}, now;
    crowd();
    must(sigaction(SIGUSR1, &action, NULL)), must(raise(SIGUSR1));
    printf("nested %d\n", deepest);
    deepest = raised = 0, action.sa_flags = 0;
    must(sigaction(SIGUSR1, &action, NULL)), must(raise(SIGUSR1));
    printf("deferred %d\n", deepest);
    action.sa_flags = SA_RESETHAND;
    must(sigaction(SIGUSR2, &action, NULL)), must(kill(getpid(), SIGUSR2));
    must(sigaction(SIGUSR2, NULL, &now));
    printf("reset %d %x\n", now.sa_handler == SIG_DFL, now.sa_flags & (int)SA_RESETHAND);
    must(siginterrupt(SIGUSR1, 1)), must(sigaction(SIGUSR1, NULL, &now)), printf("%x\n", now.sa_flags & SA_RESTART);
    must(siginterrupt(SIGUSR1, 0)), must(sigaction(SIGUSR1, NULL, &now)), printf("%x\n", now.sa_flags & SA_RESTART);
}

/* What handlers may do: write, post, fork, and leave by a jump. */
static int ends[2];
static sigjmp_buf back;
static void busy_handler(int signal) {
    int status;
    check(write(ends[1], "w", 1) == 1 && !sem_post(&done));
    pid_t pid = fork();
    if (!pid) _exit(signal);
    check(waitpid(pid, &status, 0) == pid && WEXITSTATUS(status) == signal);
    handled++;
}
static void jumps(int signal) { siglongjmp(back, signal); }
static void handlers(void) {
    char byte;
    crowd();
    must(pipe(ends));
    signal(SIGUSR1, busy_handler);
    for (int i = 0; i < 10; i++) must(kill(getpid(), SIGUSR1)), until(i + 1), must(read(ends[0], &byte, 1)), must(sem_wait(&done));
    printf("%d\n", handled);
    signal(SIGALRM, jumps);
    for (volatile int i = 0; i < 20; i++) {
        if (!sigsetjmp(back, 1)) {
            ualarm(1000, 0);
            if (i % 4 == 0) read(ends[0], &byte, 1);
            if (i % 4 == 1) sem_wait(&done);
            if (i % 4 == 2) for (;;) {}
            if (i % 4 == 3) wait(NULL), sleep(10);
            puts("no");
        }
    }
    must(write(ends[1], "x", 1)), must(read(ends[0], &byte, 1)), must(sem_post(&done)), must(sem_wait(&done));
    puts("jumped");
}

/* SIGPIPE: of the thread that writes; ignored, handled, blocked. */
static void *writes(void *fd) {
    show(write((intptr_t)fd, "x", 1));
    return NULL;
}
static void *waits_blocked(void *fd) {
    sigset_t set, now;
    struct timespec none = {0};
    sigemptyset(&set), sigaddset(&set, SIGPIPE);
    zero(pthread_sigmask(SIG_BLOCK, &set, NULL));
    writes(fd);
    sigpending(&now), printf("pending %d\n", sigismember(&now, SIGPIPE));
    show(sigtimedwait(&set, NULL, &none));
    return NULL;
}
static void broken(void) {
    int pair[2];
    crowd();
    must(pipe(pair)), must(close(pair[0]));
    signal(SIGPIPE, SIG_IGN), join(spawn(writes, (void *)(intptr_t)pair[1]));
    handle(SIGPIPE, 0), join(spawn(writes, (void *)(intptr_t)pair[1]));
    printf("handled %d, by main %d\n", handled, by_main);
    join(spawn(waits_blocked, (void *)(intptr_t)pair[1]));
    printf("handled %d\n", handled);
    signal(SIGPIPE, SIG_DFL);
    fflush(stdout);
    pid_t pid = must(fork());
    if (!pid) join(spawn(writes, (void *)(intptr_t)pair[1])), _exit(1);
    int status;
    check(must(waitpid(pid, &status, 0)) == pid);
    printf("killed by %d\n", WTERMSIG(status));
}

/* What ends a process ends it with all its threads; what stops it stops all. */
static void *raises(void *signal) { return raise((intptr_t)signal), NULL; }
static void *aborts(void *arg) { abort(), exit(1); return arg; }
static void *faults(void *arg) { return *(void *volatile *)arg; }
static void defaults(void) {
    const int deadly[] = {SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1, SIGALRM, SIGVTALRM, SIGXCPU, SIGSYS, SIGRTMIN + 4, SIGSEGV, SIGBUS};
    struct rlimit none = {0, 0};
    must(setrlimit(RLIMIT_CORE, &none));
    crowd();
    fflush(stdout);
    int status;
    for (size_t i = 0; i < 2 * sizeof deadly / sizeof *deadly + 2; i++) {
        pid_t pid = must(fork());
        if (!pid) {
            spawn(parks, NULL);
            if (i == 0) join(spawn(aborts, NULL));
            if (i == 1) join(spawn(faults, NULL));
            int signal = deadly[i < 2 ? 0 : (i - 2) / 2];
            if (i % 2) join(spawn(raises, (void *)(intptr_t)signal));
            else kill(getpid(), signal), usleep(100000);
            _exit(0);
        }
        check(must(waitpid(pid, &status, 0)) == pid);
        printf("%zu: %x\n", i, status & 0x7f);
    }
    for (int i = 0; i < 3; i++) {
        const int harmless[] = {SIGCHLD, SIGURG, SIGWINCH};
        must(raise(harmless[i])), must(kill(getpid(), harmless[i]));
    }
    pid_t pid = must(fork());
    if (!pid) {
        pthread_t thread = spawn(parks, NULL);
        join(spawn(raises, (void *)SIGSTOP));
        must(sem_post(&gate));
        join(thread);
        _exit(9);
    }
    check(must(waitpid(pid, &status, WUNTRACED)) == pid && WIFSTOPPED(status));
    must(kill(pid, SIGCONT));
    check(must(waitpid(pid, &status, 0)) == pid);
    printf("stopped, then %x\n", status);
}

/* Thousands of sleepers: none wakes early, and the rest of an interrupted sleep is right. */
enum { SLEEPERS = 3000 };
static atomic_int early;
static void *sleeps(void *number) {
    long length = (intptr_t)number % 50 * 1000000 + 1;
    struct timespec time = {0, length}, before, after;
    clock_gettime(CLOCK_MONOTONIC, &before);
    if ((intptr_t)number % 3) {
        must(nanosleep(&time, NULL));
    } else {
        struct timespec end = {before.tv_sec, before.tv_nsec + length};
        if (end.tv_nsec >= 1000000000) end.tv_sec++, end.tv_nsec -= 1000000000;
        zero(clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &end, NULL));
    }
    clock_gettime(CLOCK_MONOTONIC, &after);
    early += (after.tv_sec - before.tv_sec) * 1000000000 + after.tv_nsec - before.tv_nsec < length;
    return number;
}
static void sleepers(void) {
    static pthread_t threads[SLEEPERS];
    pthread_attr_t small;
    zero(pthread_attr_init(&small)), zero(pthread_attr_setstacksize(&small, 32768));
    for (intptr_t i = 0; i < SLEEPERS; i++) zero(pthread_create(&threads[i], &small, sleeps, (void *)i));
    for (intptr_t i = 0; i < SLEEPERS; i++) check(join(threads[i]) == (void *)i);
    printf("early %d\n", early);
}
static void rests(void) {
    const clockid_t clocks[] = {CLOCK_REALTIME, CLOCK_MONOTONIC, CLOCK_BOOTTIME};
    crowd();
    handle(SIGALRM, SA_RESTART);
    for (int i = 0; i < 3; i++) {
        struct timespec time = {50, 0}, rest = {7, 7}, end, start = from_now(clocks[i], 0);
        int error = ALARMED(clock_nanosleep(clocks[i], 0, &time, &rest));
        printf("%s, rest of it %d\n", strerrorname_np(error), left_over(clocks[i], 50, &start, &rest));
        end = from_now(clocks[i], 50000), rest = (struct timespec){7, 7};
        error = ALARMED(clock_nanosleep(clocks[i], TIMER_ABSTIME, &end, &rest));
        printf("%s, untouched %d\n", strerrorname_np(error), rest.tv_sec == 7 && rest.tv_nsec == 7);
    }
    struct timespec time = {50, 0}, start = from_now(CLOCK_MONOTONIC, 0);
    show(ALARMED(nanosleep(&time, &time))), printf("%d\n", left_over(CLOCK_MONOTONIC, 50, &start, &time));
    show(ALARMED(usleep(900000)));
    start = from_now(CLOCK_MONOTONIC, 0);
    printf("%d\n", seconds_left(20, &start, ALARMED(sleep(20))));
    show(clock_nanosleep(CLOCK_THREAD_CPUTIME_ID, 0, &time, NULL)), show(clock_nanosleep(99, 0, &time, NULL));
    time.tv_nsec = 1000000000;
    show(clock_nanosleep(CLOCK_MONOTONIC, 0, &time, NULL)), show(nanosleep(&time, NULL));
}

/* timerfd, as event loops have it. */
static void *reads_timer(void *arg) {
    uint64_t count, sum = 0;
    while (sum < 5) check(must(read((intptr_t)arg, &count, 8)) == 8), sum += count;
    return arg;
}
static void timer_descriptor(void) {
    struct itimerspec often = {{0, 1000000}, {0, 1000000}};
    crowd();
    int fd = must(timerfd_create(CLOCK_MONOTONIC, 0));
    must(timerfd_settime(fd, 0, &often, NULL));
    join(spawn(reads_timer, (void *)(intptr_t)fd));
    puts("five");
}

int main(int argc, char **argv) {
    struct test tests[] = {CASE(alarms), CASE(posix_timers), CASE(signal_descriptor), CASE(two_hundred), CASE(flags),    CASE(handlers),
                           CASE(broken), CASE(defaults),     CASE(sleepers),          CASE(rests),       CASE(timer_descriptor)};
    return RUN(argc, argv, tests);
}
