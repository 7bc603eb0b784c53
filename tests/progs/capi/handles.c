/* Handles that are none, and threads that are not green: every function says so. */
#include "capi.h"

static void on_end(eventlet_thread *thread, void *arg) { (void)thread, (void)arg; }
static int no_more(void *ctx, void **item) { return (void)ctx, (void)item, 0; }
static void handles(int client, const struct sockaddr *peer, socklen_t length, void *ctx) { (void)client, (void)peer, (void)length, (void)ctx; }

static eventlet_thread *thread;
static eventlet_pool *pool;
static eventlet_iter *iter;
static eventlet_pile *pile;
static eventlet_queue *queue;
static eventlet_event *event;
static eventlet_semaphore *semaphore;

/* What can fail fails with that code, whatever the handles are. */
static void all_fail(int code) {
    void *place;
    fails(eventlet_wait(thread, &place), code);
    fails(eventlet_cancel(thread), code);
    fails(eventlet_kill(thread, 0), code);
    fails(eventlet_link(thread, on_end, NULL), code);
    fails(eventlet_unlink(thread, on_end, NULL), code);
    null(eventlet_pool_spawn(pool, same, NULL), code);
    fails(eventlet_pool_spawn_n(pool, same, NULL), code);
    fails(eventlet_pool_waitall(pool), code);
    fails(eventlet_pool_resize(pool, 5), code);
    null(eventlet_pool_imap(pool, same, no_more, NULL), code);
    fails(eventlet_iter_next(iter, &place), code);
    null(eventlet_pile_on(pool), code);
    fails(eventlet_pile_spawn(pile, same, NULL), code);
    fails(eventlet_pile_next(pile, &place), code);
    fails(eventlet_queue_put(queue, "x", 0), code);
    fails(eventlet_queue_get(queue, &place, 0), code);
    fails(eventlet_queue_resize(queue, 5), code);
    fails(eventlet_queue_task_done(queue), code);
    fails(eventlet_queue_join(queue, 0), code);
    fails(eventlet_event_send(event, NULL), code);
    fails(eventlet_event_send_error(event, EIO), code);
    fails(eventlet_event_wait(event, &place, 0), code);
    fails(eventlet_event_reset(event), code);
    fails(eventlet_semaphore_acquire(semaphore, 0), code);
    fails(eventlet_semaphore_release(semaphore), code);
}

static void none(void) {
    all_fail(EINVAL);
    errno = 0;
    check(!eventlet_dead(NULL) && !eventlet_timeout_cancel(NULL) && !eventlet_timeout_pending(NULL) && !eventlet_timeout_fired(NULL));
    check(!eventlet_pool_free(NULL) && !eventlet_pool_size(NULL) && !eventlet_pool_running(NULL) && !eventlet_pool_waiting(NULL));
    check(!eventlet_queue_qsize(NULL) && !eventlet_queue_full(NULL) && !eventlet_queue_putting(NULL) && !eventlet_queue_getting(NULL));
    check(!eventlet_queue_empty(NULL) && !eventlet_event_ready(NULL) && !eventlet_semaphore_value(NULL));
    eventlet_release(NULL), eventlet_pool_delete(NULL), eventlet_iter_delete(NULL), eventlet_pile_delete(NULL);
    eventlet_queue_delete(NULL), eventlet_event_delete(NULL), eventlet_semaphore_delete(NULL);
    check(errno == 0);
}

static void *outside(void *arg) {
    check(!eventlet_getcurrent());
    all_fail(EPERM);
    check(eventlet_try(same, NULL, NULL) == EPERM);
    null(eventlet_spawn(same, NULL), EPERM);
    fails(eventlet_spawn_n(same, NULL), EPERM);
    null(eventlet_spawn_after(0, same, NULL), EPERM);
    null(eventlet_spawn_after_local(0, same, NULL), EPERM);
    null(eventlet_timeout_start(1, 0), EPERM);
    fails(eventlet_with_timeout(1, same, NULL, NULL), EPERM);
    null(eventlet_event_new(), EPERM);
    null(eventlet_semaphore_new(1, -1), EPERM);
    null(eventlet_queue_new(1), EPERM);
    null(eventlet_lifo_queue_new(1), EPERM);
    null(eventlet_priority_queue_new(1, (int (*)(const void *, const void *))strcmp), EPERM);
    null(eventlet_pool_new(1), EPERM);
    null(eventlet_pile_new(1), EPERM);
    fails(eventlet_connect("127.0.0.1:1", NULL), EPERM);
    fails(eventlet_listen("127.0.0.1:0", NULL), EPERM);
    fails(eventlet_serve(0, handles, NULL, 1), EPERM);
    struct timespec end = from_now(CLOCK_MONOTONIC, 3), now;
    eventlet_sleep(0.003);
    clock_gettime(CLOCK_MONOTONIC, &now);
    check(now.tv_sec > end.tv_sec || (now.tv_sec == end.tv_sec && now.tv_nsec >= end.tv_nsec));
    return arg;
}

static void foreign(void) {
    thread = eventlet_spawn(sleeps, NULL), pool = eventlet_pool_new(1), pile = eventlet_pile_on(pool);
    iter = eventlet_pool_imap(pool, same, no_more, NULL);
    queue = eventlet_queue_new(3), event = eventlet_event_new(), semaphore = eventlet_semaphore_new(1, 2);
    check(eventlet_tpool_execute(outside, NULL, NULL) == 0);
    /* None of it has left a trace. */
    check(!eventlet_dead(thread) && eventlet_pool_size(pool) == 1 && eventlet_pool_running(pool) == 0);
    check(eventlet_queue_empty(queue) && !eventlet_event_ready(event) && eventlet_semaphore_value(semaphore) == 1);
    check(eventlet_kill(thread, 0) == 0 && ended(thread) == EVENTLET_EXIT);
}

int main(int argc, char **argv) {
    struct test tests[] = {CASE(none), CASE(foreign)};
    return RUN(argc, argv, tests);
}
