/* The older signal functions: masks of one thread, one-shot handlers, waits. */
#include "prog.h"
#include <semaphore.h>

#pragma GCC diagnostic ignored "-Wdeprecated-declarations"

static sem_t begun;
static volatile int handled;
static volatile pthread_t handled_by;

static void handler(int number) {
    handled += number != 0;
    handled_by = pthread_self();
}

/* Whether the calling thread blocks it. */
static int blocked(int number) {
    sigset_t now;
    zero(pthread_sigmask(SIG_SETMASK, NULL, &now));
    return sigismember(&now, number);
}

static void *hold(void *arg) {
    sigset_t set;
    must(sighold(SIGUSR1));
    printf("sighold %d\n", blocked(SIGUSR1));
    must(sigrelse(SIGUSR1));
    printf("sigrelse %d\n", blocked(SIGUSR1));
    printf("sigset %d\n", sigset(SIGUSR1, SIG_HOLD) != SIG_HOLD && blocked(SIGUSR1));
    printf("again %d\n", sigset(SIGUSR1, handler) == SIG_HOLD && !blocked(SIGUSR1));
    sigemptyset(&set);
    sigaddset(&set, SIGUSR2);
    must(sigprocmask(SIG_BLOCK, &set, NULL));
    printf("sigprocmask %d\n", blocked(SIGUSR2));
    breathe();
    return arg;
}

/* Each changes the mask of its thread alone. */
static void masks(void) {
    pthread_t other = spawn(hold, NULL);
    breathe();
    join(other);
    printf("main %d %d\n", blocked(SIGUSR1), blocked(SIGUSR2));
}

static void *signal_process(void *arg) {
    must(sem_wait(&begun));
    breathe();
    must(kill(getpid(), SIGUSR1));
    return arg;
}

/* main waits for a signal that it blocks but for this wait. */
static void pauses(int (*wait)(int)) {
    must(sighold(SIGUSR1));
    pthread_t sender = spawn(signal_process, NULL);
    must(sem_post(&begun));
    check(wait(SIGUSR1) == -1 && errno == EINTR);
    printf("handled %d blocked %d\n", handled, blocked(SIGUSR1));
    join(sender);
}

/* The BSD function of the name takes a mask; the header gives the name to X/Open's. */
extern int bsd_sigpause(int mask) __asm__("sigpause");
static int pause_with_mask(int number) { return number ? bsd_sigpause(0) : -1; }
static int pause_for(int number) { return sigpause(number); }

static void pausing(void) {
    must(sigset(SIGUSR1, handler) == SIG_ERR ? -1 : 0);
    pauses(pause_for);
}

static void pausing_by_mask(void) {
    must(sigset(SIGUSR1, handler) == SIG_ERR ? -1 : 0);
    pauses(pause_with_mask);
}

/* A handler runs on the thread that the signal is for, whoever runs when it comes. */
static void *signal_from_here(void *arg) {
    must(sem_wait(&begun));
    must(kill(getpid(), SIGUSR1));
    while (!handled) usleep(100);
    check(!pthread_equal(handled_by, pthread_self()));
    return arg;
}

static void delivered(sighandler_t (*set)(int, sighandler_t)) {
    pthread_t other = spawn(signal_from_here, NULL);
    breathe(); /* there are green threads now */
    check(set(SIGUSR1, handler) == SIG_DFL);
    must(sem_post(&begun));
    join(other);
    check(pthread_equal(handled_by, pthread_self()));
    printf("next %d\n", signal(SIGUSR1, SIG_DFL) == handler);
}

/* Programs that were linked before glibc 2.21 name it. */
struct vector {
    sighandler_t handler;
    int mask, flags;
};
extern int old_sigvec(int number, const struct vector *wanted, struct vector *before);
__asm__(".symver old_sigvec, sigvec@GLIBC_2.2.5");
enum { ON_STACK = 1, INTERRUPT = 2, RESET = 4 };

static void show_vector(const char *when) {
    struct vector now;
    struct sigaction action;
    must(old_sigvec(SIGUSR1, NULL, &now));
    must(sigaction(SIGUSR1, NULL, &action));
    printf("%s: handler %d, mask %x, flags %d, restarts %d\n", when, now.handler == handler, now.mask, now.flags,
           (action.sa_flags & SA_RESTART) != 0);
}

static sighandler_t set_vector(int number, sighandler_t wanted) {
    struct vector new = {wanted, 1 << (SIGUSR2 - 1), 0}, before;
    must(old_sigvec(number, &new, &before));
    show_vector("set");
    return before.handler;
}

static void by_sigvec(void) {
    struct vector once = {handler, 5, RESET}, interrupts = {handler, 0, INTERRUPT | ON_STACK};
    delivered(set_vector);
    must(old_sigvec(SIGUSR1, &interrupts, NULL));
    show_vector("interrupts");
    must(old_sigvec(SIGUSR1, &once, NULL));
    must(raise(SIGUSR1));
    printf("once %d\n", signal(SIGUSR1, SIG_IGN) == SIG_DFL);
    show(old_sigvec(SIGKILL, &once, NULL));
    show(old_sigvec(65, NULL, NULL));
}

static void by_signal(void) { delivered(signal); }
static void by_sysv_signal(void) { delivered(sysv_signal); }
static void by_sigset(void) { delivered(sigset); }

/* Ignored by one call, from a thread, also what waits already. */
static void *ignores(void *arg) {
    struct sigaction now;
    must(signal(SIGUSR1, handler) == SIG_ERR ? -1 : 0);
    must(sighold(SIGUSR1));
    must(raise(SIGUSR1));
    must(sigignore(SIGUSR1));
    must(sigaction(SIGUSR1, NULL, &now));
    printf("ignored %d, handled %d\n", now.sa_handler == SIG_IGN, handled);
    must(sigrelse(SIGUSR1));
    must(kill(getpid(), SIGUSR1));
    usleep(1000);
    must(signal(SIGUSR1, handler) == SIG_IGN ? 0 : -1);
    printf("handled %d\n", handled);
    must(raise(SIGUSR1));
    printf("handled %d\n", handled);
    show(sigignore(SIGKILL));
    show(sigignore(0));
    return arg;
}
static void by_sigignore(void) { join(spawn(ignores, NULL)); }

int main(int argc, char **argv) {
    must(sem_init(&begun, 0, 0));
    struct test tests[] = {CASE(masks),          CASE(pausing),   CASE(pausing_by_mask), CASE(by_signal),
                           CASE(by_sysv_signal), CASE(by_sigset), CASE(by_sigvec), CASE(by_sigignore)};
    return RUN(argc, argv, tests);
}
