/* Real threads beside green ones. glibc makes them itself, for the expiry of a timer: no library stands between. */
#include "prog.h"
#include <semaphore.h>

struct task {
    void *(*run)(void *);
    void *arg;
};

/* Posted by each real thread at its end. */
static sem_t done;

static void expired(union sigval value) {
    struct task *task = value.sival_ptr;
    task->run(task->arg);
    zero(sem_post(&done));
}

/* Runs it on a real thread. */
static void on_real_thread(struct task *task) {
    struct sigevent event = {.sigev_notify = SIGEV_THREAD, .sigev_notify_function = expired};
    struct itimerspec soon = {.it_value = {.tv_nsec = 1}};
    timer_t timer;
    event.sigev_value.sival_ptr = task;
    must(timer_create(CLOCK_MONOTONIC, &event, &timer));
    must(timer_settime(timer, 0, &soon, NULL));
}
