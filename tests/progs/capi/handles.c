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
static eventlet_timeout *bound;

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
    fails(eventlet_timeout_cancel(bound), EPERM);
    check(!eventlet_timeout_pending(bound));
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

static void make_all(void) {
    thread = eventlet_spawn(sleeps, NULL), pool = eventlet_pool_new(1), pile = eventlet_pile_on(pool);
    iter = eventlet_pool_imap(pool, same, no_more, NULL);
    queue = eventlet_queue_new(3), event = eventlet_event_new(), semaphore = eventlet_semaphore_new(1, 2);
}

static void delete_all(void) {
    eventlet_release(thread), eventlet_iter_delete(iter), eventlet_pile_delete(pile), eventlet_pool_delete(pool);
    eventlet_queue_delete(queue), eventlet_event_delete(event), eventlet_semaphore_delete(semaphore);
}

static void foreign(void) {
    make_all();
    bound = eventlet_timeout_start(60, 0);
    check(eventlet_tpool_execute(outside, NULL, NULL) == 0);
    /* None of it has left a trace. */
    check(eventlet_timeout_pending(bound) && eventlet_timeout_cancel(bound) == 1);
    check(!eventlet_dead(thread) && eventlet_pool_size(pool) == 1 && eventlet_pool_running(pool) == 0);
    check(eventlet_queue_empty(queue) && !eventlet_event_ready(event) && eventlet_semaphore_value(semaphore) == 1);
    check(eventlet_kill(thread, 0) == 0 && eventlet_wait(thread, NULL) == -1 && errno == EVENTLET_EXIT);
    delete_all();
}

static void *gets(void *arg) {
    void *item;
    return eventlet_queue_get(queue, &item, -1) == -1 ? N(errno) : arg;
}

static eventlet_thread *told;
static void *tells(void *arg) {
    told = eventlet_getcurrent();
    for (int round = 0; round < 3; round++) eventlet_release(told);
    check(!eventlet_dead(eventlet_getcurrent()) && eventlet_getcurrent() == told);
    return arg;
}

/* Deleted ones, seen by what is left of them; and those of something else. */
static void freed(void) {
    eventlet_release(eventlet_getcurrent());
    make_all();
    eventlet_timeout *timeout = eventlet_timeout_start(-1, 0);
    check(eventlet_kill(thread, 0) == 0 && eventlet_wait(thread, NULL) == -1);
    check(eventlet_timeout_cancel(timeout) == 1);
    for (int round = 0; round < 2; round++) {
        delete_all();
        all_fail(EINVAL);
        check(!eventlet_timeout_cancel(timeout) && !eventlet_timeout_pending(timeout) && !eventlet_timeout_fired(timeout));
        check(!eventlet_pool_size(pool) && !eventlet_queue_putting(queue) && !eventlet_event_ready(event));
        eventlet_sleep(0);
    }
    make_all();
    fails(eventlet_queue_put((eventlet_queue *)pool, "x", 0), EINVAL);
    fails(eventlet_pool_spawn_n((eventlet_pool *)queue, same, NULL), EINVAL);
    fails(eventlet_wait((eventlet_thread *)event, NULL), EINVAL);
    fails(eventlet_event_send((eventlet_event *)semaphore, NULL), EINVAL);
    eventlet_queue_delete((eventlet_queue *)pile);
    check(eventlet_pile_spawn(pile, same, "x") == 0);
    /* One that runs has itself still, however often it is released. */
    eventlet_thread *itself = eventlet_spawn(tells, NULL);
    for (int round = 0; round < 3; round++) eventlet_release(itself);
    eventlet_sleep(0);
    check(told == itself);
    /* Deleted, and alive while somebody is in it. */
    eventlet_thread *waits = eventlet_spawn(gets, NULL);
    eventlet_sleep(0);
    eventlet_queue_delete(queue);
    fails(eventlet_queue_put(queue, "x", 0), EINVAL);
    eventlet_queue_delete(queue);
    void *code;
    check(eventlet_wait(waits, &code) == 0 && code == N(ECANCELED));
}

static void *lets_go(void *arg) {
    delete_all();
    return arg;
}

/* By another thread, for which the first one waits natively. */
static void let_go(void) {
    make_all();
    eventlet_thread *waits = eventlet_spawn(gets, NULL);
    eventlet_sleep(0);
    join(spawn(lets_go, NULL));
    void *code;
    check(eventlet_wait(waits, &code) == 0 && code == N(ECANCELED));
    eventlet_release(waits);
}

int main(int argc, char **argv) {
    struct test tests[] = {CASE(none), CASE(foreign), CASE(freed), CASE(let_go)};
    return RUN(argc, argv, tests);
}
