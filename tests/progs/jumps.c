/* A handler that leaves by siglongjmp, whatever call it interrupts: none that POSIX calls async-signal-safe is left half done. */
#include "prog.h"
#include <semaphore.h>
#include <setjmp.h>
#include <sys/time.h>

#define JUMPS 3000

static sigjmp_buf back;
static volatile sig_atomic_t jumps, armed;
static sem_t posts;
static int ends[2];
static volatile long taken, bytes;

static void leave(int sig) {
    (void)sig;
    if (!armed) return;
    jumps++;
    siglongjmp(back, 1);
}

static void *take(void *arg) {
    for (;;) {
        while (sem_wait(&posts) != 0) check(errno == EINTR);
        taken++;
        int value;
        zero(sem_getvalue(&posts, &value));
        if (arg && !armed && jumps >= JUMPS && value == 0) return NULL;
    }
}

static void *drain(void *arg) {
    char some[64];
    ssize_t got;
    while ((got = must(read(ends[0], some, sizeof some))) > 0) bytes += got;
    return arg;
}

int main(void) {
    zero(sem_init(&posts, 0, 0));
    must(pipe(ends));
    sigset_t alarms;
    sigemptyset(&alarms);
    sigaddset(&alarms, SIGALRM);
    zero(pthread_sigmask(SIG_BLOCK, &alarms, NULL));
    pthread_t taker = spawn(take, &posts), drainer = spawn(drain, NULL);
    zero(pthread_sigmask(SIG_UNBLOCK, &alarms, NULL));
    struct sigaction action = {.sa_handler = leave};
    must(sigaction(SIGALRM, &action, NULL));
    struct itimerval often = {{0, 200}, {0, 200}}, never = {{0, 0}, {0, 0}};
    must(setitimer(ITIMER_REAL, &often, NULL));
    sigsetjmp(back, 1);
    while (jumps < JUMPS) {
        armed = 1;
        for (int i = 0; i < 100; i++) {
            sem_post(&posts);
            if (write(ends[1], "x", 1) != 1) check(errno == EINTR);
        }
        armed = 0;
        sched_yield();
    }
    armed = 0;
    must(setitimer(ITIMER_REAL, &never, NULL));
    sem_post(&posts);
    join(taker);
    must(close(ends[1]));
    join(drainer);
    check(taken > 0 && bytes > 0);
    printf("%d jumps\n", JUMPS);
    return 0;
}
