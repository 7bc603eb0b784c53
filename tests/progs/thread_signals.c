/* Signals for one thread, masks of each, and waits for signals. */
#include "prog.h"
#include <poll.h>
#include <semaphore.h>
#include <setjmp.h>
#include <sys/select.h>

static volatile pthread_t handled_by;
static volatile int handled;
static int ends[2];
static sem_t begun;
static char byte;

static void handler(int signal) {
    handled_by = pthread_self();
    handled += signal != 0;
}

static void handle(int number, int flags) {
    struct sigaction action = {.sa_handler = handler, .sa_flags = flags};
    must(sigaction(number, &action, NULL));
}

static sigset_t set_of(int one, int two) {
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, one);
    if (two) sigaddset(&set, two);
    return set;
}

static void block(int how, int one, int two) {
    sigset_t set = set_of(one, two);
    zero(pthread_sigmask(how, &set, NULL));
}

static void *read_until_interrupted(void *arg) {
    must(sem_post(&begun));
    show(read(ends[0], &byte, 1));
    check(pthread_equal(handled_by, pthread_self()));
    return arg;
}

/* pthread_kill interrupts the thread that it names. */
static void directed(void) {
    handle(SIGUSR1, 0);
    pthread_t other = spawn(read_until_interrupted, NULL);
    must(sem_wait(&begun));
    int before = handled;
    while (handled == before) zero(pthread_kill(other, SIGUSR1)), usleep(1000);
    while (pthread_tryjoin_np(other, NULL)) pthread_kill(other, SIGUSR1), usleep(1000);
    puts("joined");
    tell(pthread_kill(pthread_self(), 0));
    tell(pthread_kill(pthread_self(), 1000));
    handled_by = 0;
    zero(pthread_kill(pthread_self(), SIGUSR1));
    check(pthread_equal(handled_by, pthread_self())); /* at once */
    handled_by = 0;
    must(raise(SIGUSR1));
    check(pthread_equal(handled_by, pthread_self()));
}

static void *ends_at_once(void *arg) { return arg; }

static void *sleeps(void *arg) {
    show(usleep(20000));
    return arg;
}

/* What comes for a thread that has ended is not for the next one. */
static void late(void) {
    handle(SIGUSR1, 0);
    pthread_t thread = spawn(ends_at_once, NULL);
    breathe();
    pthread_kill(thread, SIGUSR1);
    join(thread);
    join(spawn(sleeps, NULL));
    printf("handled %d\n", handled);
}

static void *own_mask(void *arg) {
    sigset_t now;
    zero(pthread_sigmask(SIG_SETMASK, NULL, &now));
    printf("inherited %d, of another %d\n", sigismember(&now, SIGUSR1), sigismember(&now, SIGUSR2));
    block(SIG_BLOCK, SIGUSR2, 0);
    breathe();
    zero(pthread_sigmask(SIG_SETMASK, NULL, &now));
    printf("own %d\n", sigismember(&now, SIGUSR2));
    return arg;
}

/* Each thread has a mask of its own, and starts with its maker's. */
static void masks(void) {
    sigset_t now;
    block(SIG_BLOCK, SIGUSR1, 0);
    pthread_t other = spawn(own_mask, NULL);
    breathe();
    join(other);
    zero(pthread_sigmask(SIG_SETMASK, NULL, &now));
    printf("unchanged %d %d\n", sigismember(&now, SIGUSR1), sigismember(&now, SIGUSR2));
}

static void *take(void *arg) {
    while (handled == 0) read(ends[0], &byte, 1) == -1 && errno == EINTR ? (void)0 : die("read");
    return arg;
}

/* A signal for the process goes to the one thread that does not block it. */
static void to_who_wants_it(void) {
    handle(SIGUSR1, 0);
    pthread_t taker = spawn(take, NULL);
    block(SIG_BLOCK, SIGUSR1, 0);
    while (pthread_tryjoin_np(taker, NULL)) must(kill(getpid(), SIGUSR1)), usleep(1000);
    check(pthread_equal(handled_by, taker));
}

/* Blocked by all, it waits until one unblocks it. */
static void pending(void) {
    sigset_t set;
    handle(SIGUSR1, 0);
    block(SIG_BLOCK, SIGUSR1, 0);
    join(spawn(own_mask, NULL));
    must(kill(getpid(), SIGUSR1));
    must(sigpending(&set));
    printf("pending %d handled %d\n", sigismember(&set, SIGUSR1), handled);
    block(SIG_UNBLOCK, SIGUSR1, 0);
    must(sigpending(&set));
    printf("pending %d handled %d\n", sigismember(&set, SIGUSR1), handled);
}

static void *raise_blocked(void *arg) {
    sigset_t set;
    block(SIG_BLOCK, SIGUSR1, 0);
    must(raise(SIGUSR1));
    must(sigpending(&set));
    printf("pending here %d handled %d\n", sigismember(&set, SIGUSR1), handled);
    must(sem_post(&begun));
    read_all(ends[0], &byte, 1);
    block(SIG_UNBLOCK, SIGUSR1, 0);
    printf("handled %d by itself %d\n", handled, pthread_equal(handled_by, pthread_self()));
    return arg;
}

/* What a thread raises is its own matter: another that would take it is not asked. */
static void raised(void) {
    sigset_t set;
    handle(SIGUSR1, 0);
    pthread_t other = spawn(raise_blocked, NULL);
    must(sem_wait(&begun));
    must(sigpending(&set));
    printf("pending in main %d handled %d\n", sigismember(&set, SIGUSR1), handled);
    send_all(ends[1], "x", 1);
    join(other);
}

static volatile pid_t tid;
static volatile int value;

static void told(int number, siginfo_t *info, void *context) {
    (void)number, (void)context;
    handled_by = pthread_self();
    value = info->si_code == SI_QUEUE ? info->si_value.sival_int : info->si_code == SI_TKILL ? -1 : 0;
}

static void *told_twice(void *arg) {
    tid = gettid();
    for (int i = 0; i < 2; i++) {
        must(sem_post(&begun));
        check(read(ends[0], &byte, 1) == -1 && errno == EINTR && pthread_equal(handled_by, pthread_self()));
        printf("value %d\n", value);
    }
    return arg;
}

/* By thread with a value, and by its tid. */
static void addressed(void) {
    struct sigaction action = {.sa_sigaction = told, .sa_flags = SA_SIGINFO};
    must(sigaction(SIGUSR1, &action, NULL));
    pthread_t other = spawn(told_twice, NULL);
    must(sem_wait(&begun));
    do zero(pthread_sigqueue(other, SIGUSR1, (union sigval){.sival_int = 7})), breathe();
    while (sem_trywait(&begun));
    while (pthread_tryjoin_np(other, NULL)) tgkill(getpid(), tid, SIGUSR1), breathe();
    show(tgkill(getpid(), 1 << 30, 0));
    show(tgkill(getpid(), getpid(), 0));
}

static void *wait_for_signals(void *arg) {
    sigset_t set = set_of(SIGUSR1, SIGUSR2);
    siginfo_t info;
    int number;
    must(sem_post(&begun));
    zero(sigwait(&set, &number));
    printf("sigwait %d\n", number == SIGUSR1);
    must(sem_post(&begun));
    number = must(sigwaitinfo(&set, &info));
    printf("sigwaitinfo %d from us %d value %d\n", number == SIGUSR2, info.si_pid == getpid(), info.si_value.sival_int);
    struct timespec little = {0, 3000000}, much = {60, 0};
    show(sigtimedwait(&set, &info, &little));
    must(sem_post(&begun));
    printf("sigtimedwait %d\n", must(sigtimedwait(&set, &info, &much)) == SIGUSR1);
    return arg;
}

/* A thread that takes signals by waiting for them, as daemons do. */
static void waiting(void) {
    block(SIG_BLOCK, SIGUSR1, SIGUSR2);
    pthread_t waiter = spawn(wait_for_signals, NULL);
    must(sem_wait(&begun)), breathe();
    must(kill(getpid(), SIGUSR1));
    must(sem_wait(&begun)), breathe();
    must(sigqueue(getpid(), SIGUSR2, (union sigval){.sival_int = 42}));
    must(sem_wait(&begun)), breathe();
    zero(pthread_kill(waiter, SIGUSR1));
    join(waiter);
}

static void *send_when_begun(void *arg) {
    must(sem_wait(&begun));
    breathe();
    must(kill(getpid(), SIGUSR1));
    return arg;
}

/* The mask of a wait is in force only while it waits, and lets a signal in that came before. */
static void suspended(void) {
    sigset_t none, now;
    sigemptyset(&none);
    handle(SIGUSR1, 0);
    block(SIG_BLOCK, SIGUSR1, 0);
    for (int i = 0; i < 4; i++) {
        pthread_t sender = spawn(send_when_begun, NULL);
        must(sem_post(&begun));
        if (i % 2) breathe(), breathe();
        int given = i < 2 ? sigsuspend(&none) : i == 2 ? pselect(0, NULL, NULL, NULL, NULL, &none) : ppoll(NULL, 0, NULL, &none);
        check(given == -1 && errno == EINTR && handled == i + 1);
        zero(pthread_sigmask(SIG_SETMASK, NULL, &now));
        check(sigismember(&now, SIGUSR1));
        join(sender);
    }
    printf("handled %d\n", handled);
}

static void *keep_sending(void *arg) {
    while (handled < 3) must(kill(getpid(), SIGUSR1)), usleep(1000);
    return arg;
}

static void paused(void) {
    handle(SIGUSR1, 0);
    pthread_t sender = spawn(keep_sending, NULL);
    show(pause());
    join(sender);
}

static void *read_byte(void *arg) {
    read_all(ends[0], &byte, 1);
    return arg;
}

static sigjmp_buf back;
static void jump(int signal) { siglongjmp(back, signal); }

/* A handler that leaves a wait by longjmp: the wait is over, locks and later waits work. */
static void jumping(void) {
    static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
    static volatile int jumps;
    signal(SIGUSR1, jump);
    pthread_t sender = spawn(send_when_begun, NULL);
    if (sigsetjmp(back, 1) == 0) {
        must(sem_post(&begun));
        read_all(ends[0], &byte, 1);
        die("not reached");
    }
    jumps++;
    join(sender);
    zero(pthread_mutex_lock(&mutex));
    pthread_t reader = spawn(read_byte, NULL); /* what comes is for it now */
    breathe();
    send_all(ends[1], "x", 1);
    join(reader);
    sigset_t now;
    zero(pthread_sigmask(SIG_SETMASK, NULL, &now));
    printf("jumps %d blocked %d\n", jumps, sigismember(&now, SIGUSR1));
}

static void *jump_over_mask(void *arg) {
    sigset_t now;
    sigjmp_buf here;
    if (sigsetjmp(here, 1) == 0) {
        block(SIG_BLOCK, SIGUSR1, 0);
        breathe();
        siglongjmp(here, 1);
    }
    zero(pthread_sigmask(SIG_SETMASK, NULL, &now));
    printf("blocked %d\n", sigismember(&now, SIGUSR1));
    return arg;
}

/* A jump brings the mask back that was in force. */
static void jump_mask(void) { join(spawn(jump_over_mask, NULL)); }

static char alternate[65536];
static void on_alternate(int number) {
    char here;
    handled = number && &here > alternate && &here < alternate + sizeof alternate;
}

static void *with_alternate(void *arg) {
    stack_t stack = {.ss_sp = alternate, .ss_size = sizeof alternate}, old;
    must(sigaltstack(NULL, &old));
    printf("none %d\n", old.ss_flags == SS_DISABLE);
    must(sigaltstack(&stack, NULL));
    breathe();
    must(raise(SIGUSR1));
    must(sigaltstack(NULL, &old));
    printf("on it %d, still there %d\n", handled, old.ss_sp == alternate);
    return arg;
}

/* Alternate stacks are each thread's own. */
static void alternates(void) {
    struct sigaction action = {.sa_handler = on_alternate, .sa_flags = SA_ONSTACK};
    stack_t old;
    must(sigaction(SIGUSR1, &action, NULL));
    join(spawn(with_alternate, NULL));
    must(sigaltstack(NULL, &old));
    printf("none %d\n", old.ss_flags == SS_DISABLE);
    must(raise(SIGUSR1));
    printf("on it %d\n", handled);
}

/* Timers of one thread each: its own come to it, and no other's. */
enum { TIMED = 6 };
static pthread_t own[TIMED];
static volatile int right, wrong;
static sem_t over[TIMED];

static void expired(int number, siginfo_t *info, void *context) {
    (void)number, (void)context;
    if (info->si_code == SI_TIMER && pthread_equal(own[info->si_value.sival_int], pthread_self())) right++;
    else wrong++;
    sem_post(&over[info->si_value.sival_int]);
}

static timer_t timer_for(pid_t tid, int number, int value, long microseconds) {
    struct sigevent event = {.sigev_notify = SIGEV_THREAD_ID, .sigev_signo = number, .sigev_value.sival_int = value};
    struct itimerspec soon = {.it_value.tv_nsec = microseconds * 1000};
    timer_t timer;
    event._sigev_un._tid = tid;
    must(timer_create(CLOCK_MONOTONIC, &event, &timer));
    must(timer_settime(timer, 0, &soon, NULL));
    return timer;
}

static void *timed(void *arg) {
    int i = (intptr_t)arg;
    own[i] = pthread_self();
    must(sem_init(&over[i], 0, 0));
    for (int round = 0; round < 5; round++) {
        timer_t timer = timer_for(gettid(), SIGRTMIN + 1, i, 1000 + i * 100);
        while (sem_wait(&over[i])) check(errno == EINTR);
        must(timer_delete(timer));
    }
    return arg;
}

static void *wait_for_timer(void *arg) {
    siginfo_t info;
    sigset_t set = set_of(SIGUSR1, 0);
    timer_t timer = timer_for(gettid(), SIGUSR1, (intptr_t)arg, 5000 - (intptr_t)arg * 500);
    check(sigwaitinfo(&set, &info) == SIGUSR1 && info.si_code == SI_TIMER && info.si_value.sival_int == (intptr_t)arg);
    must(timer_delete(timer));
    return arg;
}

static void timers(void) {
    pthread_t threads[TIMED];
    struct sigaction action = {.sa_sigaction = expired, .sa_flags = SA_SIGINFO};
    must(sigaction(SIGRTMIN + 1, &action, NULL));
    for (intptr_t i = 0; i < TIMED; i++) threads[i] = spawn(timed, (void *)i);
    for (int i = 0; i < TIMED; i++) join(threads[i]);
    printf("right %d, wrong %d\n", right, wrong);
    block(SIG_BLOCK, SIGUSR1, 0);
    for (intptr_t i = 0; i < TIMED; i++) threads[i] = spawn(wait_for_timer, (void *)i);
    for (int i = 0; i < TIMED; i++) join(threads[i]);
    struct sigevent event = {.sigev_notify = SIGEV_THREAD_ID, .sigev_signo = SIGUSR1};
    timer_t timer;
    event._sigev_un._tid = 0x3ffffff0;
    show(timer_create(CLOCK_MONOTONIC, &event, &timer));
}

int main(int argc, char **argv) {
    must(pipe(ends)), must(sem_init(&begun, 0, 0));
    struct test tests[] = {CASE(directed), CASE(late), CASE(masks),   CASE(to_who_wants_it), CASE(pending),
                           CASE(raised), CASE(addressed), CASE(waiting),  CASE(suspended), CASE(paused),      CASE(jumping), CASE(jump_mask), CASE(alternates), CASE(timers)};
    return RUN(argc, argv, tests);
}
