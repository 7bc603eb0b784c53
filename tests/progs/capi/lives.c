/* A fork child has the caller alone: objects and handles that its parent made know nobody else there. */
#include "capi.h"

#include <sys/wait.h>

static eventlet_queue *queue;
static eventlet_semaphore *semaphore;
static eventlet_event *event;
static eventlet_pool *pool;
static eventlet_iter *iter;
static pid_t parent;

/* It must be the parent in which a thread of the parent's goes on. */
static void *goes_on(void *arg) {
    check(getpid() == parent);
    return arg;
}
static void *gets(void *arg) {
    void *item;
    int code = eventlet_queue_get(queue, &item, -1);
    return goes_on(code ? NULL : item), arg;
}
static void *acquires(void *arg) { return eventlet_semaphore_acquire(semaphore, -1), goes_on(arg); }
static void *awaits(void *arg) { return eventlet_event_wait(event, NULL, -1), goes_on(arg); }
static void cleans(void *arg) { goes_on(arg); }
static void *cleaned(void *arg) {
    pthread_cleanup_push(cleans, NULL);
    eventlet_sleep(-1);
    pthread_cleanup_pop(0);
    return arg;
}
static void linked(eventlet_thread *thread, void *arg) { (void)thread, goes_on(arg); }
static int endless(void *ctx, void **item) { return *item = ctx, 1; }

static void *makes_one(void *arg) { return eventlet_queue_put(queue, arg, -1), arg; }

/* What the child can do with what its parent had. */
static void child(eventlet_thread *sleeper, eventlet_thread *later) {
    void *item;
    check(eventlet_queue_getting(queue) == 0 && eventlet_queue_put(queue, "item", 0) == 0);
    check(eventlet_queue_get(queue, &item, 0) == 0 && !strcmp(item, "item"));
    check(eventlet_semaphore_release(semaphore) == 0 && eventlet_semaphore_value(semaphore) == 1);
    check(eventlet_event_send(event, "sent") == 0);
    check(eventlet_dead(sleeper) && eventlet_kill(sleeper, 0) == 0 && eventlet_cancel(sleeper) == 0);
    fails(eventlet_wait(sleeper, NULL), EVENTLET_EXIT);
    check(eventlet_dead(later) && eventlet_cancel(later) == 0);
    eventlet_release(sleeper), eventlet_release(later);
    check(eventlet_pool_running(pool) == 0 && eventlet_pool_free(pool) == 2 && eventlet_pool_waiting(pool) == 0);
    check(eventlet_pool_waitall(pool) == 0);
    for (int i = 0; i < 5; i++) check(eventlet_pool_spawn_n(pool, makes_one, "mine") == 0);
    for (int i = 0; i < 5; i++) check(eventlet_queue_get(queue, &item, -1) == 0 && !strcmp(item, "mine"));
    check(eventlet_pool_waitall(pool) == 0);
    int code;
    while ((code = eventlet_iter_next(iter, NULL)) != 0) check(code == 1 || errno == EVENTLET_EXIT || errno == ECANCELED);
    eventlet_iter_delete(iter), eventlet_pool_delete(pool), eventlet_queue_delete(queue);
    eventlet_sleep(0.005);
}

static void in_child(void) {
    parent = getpid();
    queue = eventlet_queue_new(-1), semaphore = eventlet_semaphore_new(0, -1), event = eventlet_event_new();
    pool = eventlet_pool_new(2);
    eventlet_thread *all[] = {eventlet_spawn(gets, NULL), eventlet_spawn(acquires, NULL), eventlet_spawn(awaits, NULL)};
    eventlet_thread *sleeper = eventlet_spawn(cleaned, NULL), *later = eventlet_spawn_after(60, goes_on, NULL);
    check(eventlet_link(sleeper, linked, NULL) == 0 && eventlet_link(later, linked, NULL) == 0);
    eventlet_pool *narrow = eventlet_pool_new(1);
    iter = eventlet_pool_imap(narrow, same, endless, "of the parent");
    check(eventlet_pool_spawn_n(pool, sleeps, N(5)) == 0 && eventlet_pool_spawn_n(pool, sleeps, N(5)) == 0);
    eventlet_sleep(0.001);
    pid_t made = must(fork());
    if (!made) {
        child(sleeper, later);
        _exit(7);
    }
    int status;
    while (waitpid(made, &status, WNOHANG) == 0) eventlet_sleep(0.001);
    check(WIFEXITED(status) && WEXITSTATUS(status) == 7);
    /* And the parent's go on. */
    check(eventlet_queue_put(queue, "item", 0) == 0 && eventlet_semaphore_release(semaphore) == 0 && eventlet_event_send(event, NULL) == 0);
    for (int i = 0; i < 3; i++) check(ended(all[i]) == 0);
    check(eventlet_kill(sleeper, 0) == 0 && ended(sleeper) == EVENTLET_EXIT && eventlet_cancel(later) == 1);
    check(eventlet_iter_next(iter, NULL) == 1);
    eventlet_iter_delete(iter);
    check(eventlet_pool_waitall(pool) == 0);
}

int main(int argc, char **argv) {
    struct test tests[] = {CASE(in_child)};
    return RUN(argc, argv, tests);
}
