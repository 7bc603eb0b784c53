/* Masks, waits for signals, and signals for one thread. */
#include "prog.h"
#include <poll.h>
#include <semaphore.h>
#include <setjmp.h>
#include <sys/signalfd.h>
#include <sys/syscall.h>

static volatile int count[65], where_ok, ended;
static __thread int mine;
static pthread_t expected;
static sem_t ready, go;

static void handler(int signal) {
    int before = errno;
    count[signal]++;
    where_ok += pthread_equal(pthread_self(), expected) && mine == 7;
    errno = before;
}

static void handle(int signal, int flags) {
    struct sigaction action = {.sa_handler = handler, .sa_flags = flags};
    must(sigaction(signal, &action, NULL));
}

static sigset_t set_of(int a, int b) {
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, a);
    if (b) sigaddset(&set, b);
    return set;
}

static void down(sem_t *sem) {
    while (sem_wait(sem)) check(errno == EINTR);
}

static int blocked(int signal) {
    sigset_t now;
    zero(pthread_sigmask(SIG_BLOCK, NULL, &now));
    return sigismember(&now, signal);
}

/* Each thread has a mask of its own, and gives it to the threads it makes. */
static void *grandchild(void *arg) {
    printf("inherited %d %d\n", blocked(SIGUSR1), blocked(SIGUSR2));
    return arg;
}
static void *child(void *arg) {
    printf("inherited %d %d\n", blocked(SIGUSR1), blocked(SIGUSR2));
    sigset_t set = set_of(SIGUSR2, 0);
    zero(pthread_sigmask(SIG_BLOCK, &set, NULL));
    must(sem_post(&ready));
    down(&go);
    printf("kept %d %d\n", blocked(SIGUSR1), blocked(SIGUSR2));
    join(spawn(grandchild, NULL));
    set = set_of(SIGUSR1, SIGUSR2);
    zero(pthread_sigmask(SIG_UNBLOCK, &set, NULL));
    printf("freed %d %d\n", blocked(SIGUSR1), blocked(SIGUSR2));
    return arg;
}
static void masks(void) {
    sigset_t set = set_of(SIGUSR1, 0), all, now;
    must(sem_init(&ready, 0, 0)), must(sem_init(&go, 0, 0));
    zero(pthread_sigmask(SIG_BLOCK, &set, NULL));
    pthread_t thread = spawn(child, NULL);
    down(&ready);
    printf("main %d %d\n", blocked(SIGUSR1), blocked(SIGUSR2));
    must(sem_post(&go));
    join(thread);
    printf("main %d %d\n", blocked(SIGUSR1), blocked(SIGUSR2));
    sigfillset(&all);
    must(sigprocmask(SIG_SETMASK, &all, NULL));
    must(sigprocmask(SIG_SETMASK, NULL, &now));
    for (int i = 1; i <= 64; i++) printf("%d", sigismember(&now, i));
    puts("");
    tell(pthread_sigmask(99, &all, NULL));
    show(sigprocmask(99, &all, NULL));
    show(sigprocmask(99, NULL, NULL));
}

/* What main blocks goes to the thread that does not. */
static void *taker(void *arg) {
    mine = 7;
    expected = pthread_self();
    must(sem_post(&ready));
    for (int i = 0; i < 3; i++) {
        char byte;
        check(read(*(int *)arg, &byte, 1) == -1 && errno == EINTR);
    }
    ended = 1;
    return arg;
}
static void others(void) {
    int ends[2];
    sigset_t set = set_of(SIGUSR1, 0);
    must(pipe(ends)), must(sem_init(&ready, 0, 0));
    handle(SIGUSR1, 0);
    pthread_t thread = spawn(taker, ends);
    down(&ready);
    zero(pthread_sigmask(SIG_BLOCK, &set, NULL));
    while (!ended) must(kill(getpid(), SIGUSR1)), breathe();
    join(thread);
    printf("in the right thread: %d\n", where_ok == count[SIGUSR1]);
}

/* Pending while blocked, once for ordinary signals; delivered before the unblocking call returns. */
static void *idle(void *arg) {
    down(&go);
    return arg;
}
static void pending(void) {
    sigset_t set = set_of(SIGUSR1, SIGRTMIN), now;
    must(sem_init(&go, 0, 0));
    handle(SIGUSR1, 0), handle(SIGRTMIN, 0);
    zero(pthread_sigmask(SIG_BLOCK, &set, NULL));
    pthread_t thread = spawn(idle, NULL);
    for (int i = 0; i < 3; i++) must(kill(getpid(), SIGUSR1)), must(sigqueue(getpid(), SIGRTMIN, (union sigval){i}));
    breathe();
    must(sigpending(&now));
    printf("pending %d %d %d\n", sigismember(&now, SIGUSR1), sigismember(&now, SIGRTMIN), sigismember(&now, SIGUSR2));
    printf("%d %d\n", count[SIGUSR1], count[SIGRTMIN]);
    zero(pthread_sigmask(SIG_UNBLOCK, &set, NULL));
    printf("%d %d\n", count[SIGUSR1], count[SIGRTMIN]);
    must(raise(SIGUSR1));
    printf("%d\n", count[SIGUSR1]);
    zero(pthread_sigmask(SIG_BLOCK, &set, NULL));
    must(raise(SIGUSR1)), zero(pthread_kill(pthread_self(), SIGUSR1));
    must(sigpending(&now));
    printf("pending %d, %d\n", sigismember(&now, SIGUSR1), count[SIGUSR1]);
    must(sem_post(&go));
    join(thread);
    zero(pthread_sigmask(SIG_UNBLOCK, &set, NULL));
    printf("%d\n", count[SIGUSR1]);
}

/* pthread_kill: the handler runs in that thread, whatever it waits in. */
static volatile int stage, tid;
static void *target(void *arg) {
    int ends[2];
    char byte;
    mine = 7, expected = pthread_self();
    must(pipe(ends));
    tid = gettid();
    must(sem_post(&ready));
    show(read(ends[0], &byte, 1)), stage++;
    show(usleep(60000000)), stage++;
    show(sem_wait(&go)), stage++;
    sigset_t set = set_of(SIGUSR1, 0);
    zero(pthread_sigmask(SIG_BLOCK, &set, NULL));
    while (stage < 4) breathe();
    int before = count[SIGUSR1];
    must(sem_post(&ready));
    down(&go);
    printf("not while blocked: %d\n", count[SIGUSR1] - before);
    zero(pthread_sigmask(SIG_UNBLOCK, &set, NULL));
    printf("after: %d\n", count[SIGUSR1] - before);
    return arg;
}
static void directed(void) {
    must(sem_init(&ready, 0, 0)), must(sem_init(&go, 0, 0));
    handle(SIGUSR1, 0);
    pthread_t thread = spawn(target, NULL);
    down(&ready);
    while (stage < 3) zero(pthread_kill(thread, SIGUSR1)), breathe();
    stage = 4;
    down(&ready);
    zero(pthread_kill(thread, SIGUSR1)), zero(pthread_kill(thread, SIGUSR1));
    breathe();
    show(tgkill(getpid(), tid, SIGUSR1)), show(syscall(SYS_tgkill, getpid(), tid, 0)), show(tgkill(getpid(), tid, 65));
    tell(pthread_kill(thread, 0));
    tell(pthread_kill(thread, 65));
    tell(pthread_kill(thread, -1));
    must(sem_post(&go));
    join(thread);
    printf("in the right thread: %d\n", where_ok == count[SIGUSR1]);
}

/* A thread that waits for signals all block. */
static void *waiter(void *arg) {
    sigset_t set = set_of(SIGTERM, SIGRTMIN);
    siginfo_t info;
    int signal;
    must(sem_post(&ready));
    tell(sigwait(&set, &signal));
    printf("got %d\n", signal == SIGTERM);
    must(sem_post(&ready));
    show(sigwaitinfo(&set, &info) == SIGRTMIN);
    printf("value %d from us %d code %d\n", info.si_value.sival_int, info.si_pid == getpid(), info.si_code);
    must(sem_post(&ready));
    show(sigwaitinfo(&set, &info) == SIGTERM);
    printf("from us %d code %d\n", info.si_pid == getpid(), info.si_code);
    struct timespec soon = {0, 20000000}, bad = {0, 1000000000};
    show(sigtimedwait(&set, &info, &soon));
    show(sigtimedwait(&set, &info, &(struct timespec){0, 0}));
    show(sigtimedwait(&set, &info, &bad));
    must(sem_post(&ready));
    show(sigtimedwait(&set, &info, &(struct timespec){60, 0}));
    ended = 1;
    return arg;
}
static void waits(void) {
    sigset_t set = set_of(SIGTERM, SIGRTMIN);
    must(sem_init(&ready, 0, 0));
    handle(SIGUSR1, SA_RESTART);
    zero(pthread_sigmask(SIG_BLOCK, &set, NULL));
    pthread_t thread = spawn(waiter, NULL);
    down(&ready), breathe(), must(kill(getpid(), SIGTERM));
    down(&ready), breathe(), must(sigqueue(getpid(), SIGRTMIN, (union sigval){42}));
    down(&ready), breathe(), zero(pthread_kill(thread, SIGTERM));
    for (down(&ready); !ended; breathe()) zero(pthread_kill(thread, SIGUSR1));
    join(thread);
}

/* sigsuspend and pause return when a handler has run; ppoll's mask is in force only while it waits. */
static void *sender(void *arg) {
    for (int i = 0; i < 3; i++) down(&ready), breathe(), must(kill(getpid(), SIGUSR1));
    while (arg && !ended) breathe(), must(kill(getpid(), SIGUSR1));
    return arg;
}
static void suspended(void) {
    sigset_t set = set_of(SIGUSR1, 0), none;
    sigemptyset(&none);
    must(sem_init(&ready, 0, 0));
    handle(SIGUSR1, SA_RESTART);
    zero(pthread_sigmask(SIG_BLOCK, &set, NULL));
    pthread_t thread = spawn(sender, &set);
    must(sem_post(&ready));
    show(sigsuspend(&none));
    printf("%d, blocked %d\n", count[SIGUSR1], blocked(SIGUSR1));
    must(sem_post(&ready));
    show(ppoll(NULL, 0, NULL, &none));
    printf("%d, blocked %d\n", count[SIGUSR1], blocked(SIGUSR1));
    /* pending before */
    must(kill(getpid(), SIGUSR1));
    show(sigsuspend(&none));
    printf("%d, blocked %d\n", count[SIGUSR1], blocked(SIGUSR1));
    must(raise(SIGUSR1));
    show(sigsuspend(&none));
    printf("%d, blocked %d\n", count[SIGUSR1], blocked(SIGUSR1));
    zero(pthread_sigmask(SIG_UNBLOCK, &set, NULL));
    must(sem_post(&ready));
    show(pause());
    ended = 1;
    join(thread);
    printf("%d\n", count[SIGUSR1] > 4);
}

/* signalfd sees what all block. */
static void descriptor(void) {
    sigset_t set = set_of(SIGUSR1, 0);
    must(sem_init(&ready, 0, 0));
    zero(pthread_sigmask(SIG_BLOCK, &set, NULL));
    pthread_t thread = spawn(sender, NULL);
    int fd = must(signalfd(-1, &set, SFD_CLOEXEC));
    struct signalfd_siginfo info;
    for (int i = 0; i < 3; i++) {
        must(sem_post(&ready));
        check(read(fd, &info, sizeof info) == sizeof info);
        printf("signal %u\n", info.ssi_signo == SIGUSR1);
    }
    join(thread);
}

/* Actions: what was set is what is told, before and after the first thread. */
static void tell_action(int signal) {
    struct sigaction action;
    must(sigaction(signal, NULL, &action));
    printf("%s flags %x mask %d %d\n",
           action.sa_handler == SIG_DFL ? "default" : action.sa_handler == SIG_IGN ? "ignore"
           : action.sa_handler == handler ? "handler" : "other",
           action.sa_flags, sigismember(&action.sa_mask, SIGUSR2), sigismember(&action.sa_mask, signal));
}
static void old_style(int signal) { count[signal] += 100; }
static void actions(void) {
    struct sigaction action = {.sa_handler = handler, .sa_flags = SA_RESTART};
    sigaddset(&action.sa_mask, SIGUSR2);
    must(sigaction(SIGUSR1, &action, NULL));
    signal(SIGHUP, SIG_IGN);
    must(sem_init(&go, 0, 0));
    pthread_t thread = spawn(idle, NULL);
    tell_action(SIGUSR1), tell_action(SIGHUP), tell_action(SIGTERM), tell_action(SIGSEGV), tell_action(SIGSTKFLT);
    action.sa_flags = SA_RESETHAND | SA_NODEFER;
    struct sigaction old;
    must(sigaction(SIGUSR1, &action, &old));
    printf("old %d %x\n", old.sa_handler == handler, old.sa_flags);
    tell_action(SIGUSR1);
    must(raise(SIGUSR1));
    tell_action(SIGUSR1);
    printf("%d\n", signal(SIGTERM, handler) == SIG_DFL);
    tell_action(SIGTERM);
    must(siginterrupt(SIGTERM, 1));
    tell_action(SIGTERM);
    printf("%d\n", signal(SIGTERM, old_style) == handler);
    must(raise(SIGTERM));
    printf("%d\n", count[SIGTERM]);
    tell_action(SIGTERM);
    handle(SIGSEGV, SA_SIGINFO), handle(SIGSTKFLT, 0);
    tell_action(SIGSEGV), tell_action(SIGSTKFLT);
    must(raise(SIGSEGV));
    printf("%d\n", count[SIGSEGV]);
    show(sigaction(SIGKILL, &action, NULL));
    show(sigaction(SIGKILL, NULL, &old));
    show(sigaction(0, NULL, NULL)), show(sigaction(65, NULL, NULL)), show(sigaction(32, &action, NULL));
    printf("%d\n", signal(SIGKILL, handler) == SIG_ERR && errno == EINVAL);
    printf("%d\n", signal(SIGUSR2, SIG_ERR) == SIG_ERR && errno == EINVAL);
    must(sem_post(&go));
    join(thread);
}

/* In a handler: its own signal and its mask are blocked; others nest. */
static void nesting(int signal) {
    if (signal == SIGUSR1) {
        printf("in handler: blocked %d %d %d\n", blocked(SIGUSR1), blocked(SIGUSR2), blocked(SIGALRM));
        must(raise(SIGUSR2)), must(raise(SIGALRM));
        puts("leaving");
    } else printf("handler of %d\n", signal == SIGUSR2 ? 2 : 3);
}
static void *poster(void *arg) {
    breathe();
    must(kill(getpid(), SIGUSR1));
    down(&go);
    return arg;
}
static void nested(void) {
    struct sigaction action = {.sa_handler = nesting};
    must(sem_init(&go, 0, 0));
    must(sigaction(SIGUSR2, &action, NULL)), must(sigaction(SIGALRM, &action, NULL));
    sigaddset(&action.sa_mask, SIGUSR2);
    must(sigaction(SIGUSR1, &action, NULL));
    sigset_t set = set_of(SIGUSR1, 0), none;
    sigemptyset(&none);
    zero(pthread_sigmask(SIG_BLOCK, &set, NULL));
    pthread_t thread = spawn(poster, NULL);
    show(sigsuspend(&none));
    zero(pthread_sigmask(SIG_UNBLOCK, &set, NULL));
    printf("blocked %d %d\n", blocked(SIGUSR1), blocked(SIGUSR2));
    must(raise(SIGUSR1));
    must(sem_post(&go));
    join(thread);
}

/* Leaving a handler by a jump: out of a wait, out of a computation. */
static sigjmp_buf back;
static void jump(int signal) { siglongjmp(back, signal); }
static void jumps(void) {
    struct sigaction action = {.sa_handler = jump};
    must(sem_init(&go, 0, 0));
    must(sigaction(SIGUSR1, &action, NULL));
    pthread_t thread = spawn(idle, NULL);
    for (int i = 0; i < 3; i++) {
        if (!sigsetjmp(back, 1)) raise(SIGUSR1), puts("not reached");
        printf("back, blocked %d\n", blocked(SIGUSR1));
        usleep(1000); /* parks again */
    }
    if (!sigsetjmp(back, 0)) raise(SIGUSR1), puts("not reached");
    printf("back, blocked %d\n", blocked(SIGUSR1));
    must(sem_post(&go));
    join(thread);
}

/* Realtime signals come as often as they were sent, in order, with what was sent along; the lowest number first. */
static volatile int values[2], disorder, received;
static void in_order(int signal, siginfo_t *info, void *context) {
    int which = signal == SIGRTMIN + 1;
    disorder += info->si_value.sival_int != values[which]++ || info->si_code != SI_QUEUE;
    received += context != NULL;
}
static void *flood(void *arg) {
    for (int i = 0; i < 500; i++) {
        must(sigqueue(getpid(), SIGRTMIN, (union sigval){i}));
        must(sigqueue(getpid(), SIGRTMIN + 1, (union sigval){i}));
    }
    down(&go);
    return arg;
}
static void realtime(void) {
    struct sigaction action = {.sa_sigaction = in_order, .sa_flags = SA_SIGINFO};
    must(sem_init(&go, 0, 0));
    sigaddset(&action.sa_mask, SIGRTMIN), sigaddset(&action.sa_mask, SIGRTMIN + 1);
    must(sigaction(SIGRTMIN, &action, NULL)), must(sigaction(SIGRTMIN + 1, &action, NULL));
    sigset_t set = set_of(SIGRTMIN, SIGRTMIN + 1), none;
    sigemptyset(&none);
    zero(pthread_sigmask(SIG_BLOCK, &set, NULL));
    pthread_t thread = spawn(flood, NULL);
    while (received < 1000) sigsuspend(&none);
    printf("in disorder %d\n", disorder);
    must(sem_post(&go));
    join(thread);
}

/* SA_ONSTACK, and the context that a handler changes. */
static char *stack;
static void on_stack(int signal, siginfo_t *info, void *context) {
    char here;
    printf("on the alternate stack %d, info %d %d\n", &here >= stack && &here < stack + 65536, info->si_signo == signal,
           info->si_pid == getpid());
    ucontext_t *saved = context;
    sigaddset(&saved->uc_sigmask, SIGUSR2);
}
static void alternate(void) {
    stack = malloc(65536);
    stack_t alternate = {.ss_sp = stack, .ss_size = 65536}, old;
    must(sigaltstack(&alternate, NULL));
    struct sigaction action = {.sa_sigaction = on_stack, .sa_flags = SA_ONSTACK | SA_SIGINFO};
    must(sem_init(&go, 0, 0));
    must(sigaction(SIGUSR1, &action, NULL));
    pthread_t thread = spawn(idle, NULL);
    must(raise(SIGUSR1));
    printf("blocked %d\n", blocked(SIGUSR2));
    usleep(1000);
    printf("blocked %d\n", blocked(SIGUSR2));
    must(sigaltstack(NULL, &old));
    printf("alternate %d %zu\n", old.ss_sp == stack, old.ss_size);
    must(sem_post(&go));
    join(thread);
}

/* A busy main gets its signal at once or at its next turn. */
static void *killer(void *arg) {
    for (int i = 0; i < 5; i++) must(kill(getpid(), SIGUSR1)), breathe();
    ended = 1;
    return arg;
}
static void busy(void) {
    mine = 7, expected = pthread_self();
    handle(SIGUSR1, SA_RESTART);
    pthread_t thread = spawn(killer, NULL);
    while (!ended || !count[SIGUSR1]) sched_yield();
    join(thread);
    printf("handled %d\n", count[SIGUSR1] > 0);
}

int main(int argc, char **argv) {
    struct test tests[] = {CASE(masks),     CASE(others),     CASE(pending), CASE(directed), CASE(waits),
                           CASE(suspended), CASE(descriptor), CASE(actions), CASE(nested),   CASE(jumps),
                           CASE(alternate), CASE(busy),       CASE(realtime)};
    return RUN(argc, argv, tests);
}
