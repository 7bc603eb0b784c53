/* What is not patched waits natively: no signal of preemption ends it, though the thread that waits has computed before. */
#include "prog.h"

#include <poll.h>
#include <sys/epoll.h>
#include <sys/select.h>

static volatile int over;

static void *runs(void *arg) {
    while (!over) sched_yield();
    return arg;
}

static long microseconds(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * 1000000L + now.tv_nsec / 1000;
}

static void *waits(void *arg) {
    struct timespec little = {0, 300000};
    struct epoll_event event;
    int ended = 0, loop = must(epoll_create1(0));
    for (int i = 0; i < 150; i++) {
        long until = microseconds() + 4000 + i * 37 % 3000;
        while (microseconds() < until) {}
        for (int k = 0; k < 3; k++) {
            struct timeval short_time = {0, 300};
            ended += poll(NULL, 0, 1) < 0;
            ended += epoll_wait(loop, &event, 1, 1) < 0;
            ended += nanosleep(&little, NULL) < 0;
            ended += select(0, NULL, NULL, NULL, &short_time) < 0;
        }
    }
    over = 1;
    printf("%d ended early\n", ended);
    return arg;
}

int main(void) {
    pthread_t other = spawn(runs, NULL), one = spawn(waits, NULL);
    join(one), join(other);
    return 0;
}
