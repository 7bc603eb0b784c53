/* Sizes and times beyond sense. */
#include "capi.h"

#include <limits.h>
#include <math.h>
#include <sys/resource.h>

static void sizes(void) {
    eventlet_pool *pool = eventlet_pool_new(SIZE_MAX);
    check(eventlet_pool_free(pool) > 0 && eventlet_pool_spawn_n(pool, same, NULL) == 0 && eventlet_pool_waitall(pool) == 0);
    check(eventlet_pool_resize(pool, 0) == 0 && eventlet_pool_free(pool) == 0 && eventlet_pool_resize(pool, SIZE_MAX) == 0);
    eventlet_pool_delete(pool);
    const long all[] = {-1, LONG_MIN, LONG_MAX};
    for (int i = 0; i < 3; i++) {
        eventlet_queue *queue = eventlet_queue_new(all[i]);
        void *item;
        for (int j = 0; j < 100; j++) check(eventlet_queue_put(queue, N(j), 0) == 0);
        check(eventlet_queue_resize(queue, all[2 - i]) == 0 && eventlet_queue_put(queue, N(100), 0) == 0);
        for (int j = 0; j <= 100; j++) check(eventlet_queue_get(queue, &item, 0) == 0 && item == N(j));
        eventlet_queue_delete(queue);
    }
}

static void times(void) {
    const double all[] = {1e300, INFINITY, 1e18, -INFINITY, -1e300};
    for (int i = 0; i < 5; i++) {
        eventlet_timeout *timeout = eventlet_timeout_start(all[i], 0);
        check(timeout && !eventlet_timeout_fired(timeout));
        eventlet_thread *thread = eventlet_spawn_after(all[i], same, N(i));
        eventlet_thread *waits = eventlet_spawn(sleeps, NULL);
        eventlet_sleep(0.001);
        check(eventlet_dead(thread) == (i >= 3) && !eventlet_dead(waits));
        check(eventlet_cancel(thread) == (i < 3) && eventlet_kill(waits, 0) == 0);
        check(ended(thread) == (i < 3 ? EVENTLET_EXIT : 0) && ended(waits) == EVENTLET_EXIT);
        check(eventlet_timeout_cancel(timeout) == 1);
    }
    const double none[] = {NAN, -NAN};
    for (int i = 0; i < 2; i++) {
        eventlet_event *event = eventlet_event_new();
        eventlet_sleep(none[i]);
        null(eventlet_timeout_start(none[i], 0), EINVAL);
        null(eventlet_spawn_after(none[i], same, NULL), EINVAL);
        fails(eventlet_event_wait(event, NULL, none[i]), EINVAL);
        fails(eventlet_with_timeout(none[i], same, NULL, NULL), EINVAL);
        eventlet_event_delete(event);
    }
}

static void *first_link_only(void *arg) { return arg; }
static void link_of(eventlet_thread *thread, void *arg) { (void)thread, (void)arg; }

/* No memory is left: what was there stays, and goes on when there is some again. */
static void no_memory(void) {
    struct rlimit before, none;
    long items = 0, links = 0, events = 0;
    void *item;
    eventlet_queue *queue = eventlet_queue_new(-1);
    eventlet_thread *thread = eventlet_spawn(first_link_only, "result");
    must(getrlimit(RLIMIT_AS, &before));
    none = before, none.rlim_cur = 1;
    must(setrlimit(RLIMIT_AS, &none));
    while (eventlet_queue_put(queue, N(items + 1), 0) == 0) items++;
    int put = errno;
    while (eventlet_link(thread, link_of, NULL) == 0) links++;
    int linked = errno;
    /* Their memory is theirs; there are no more than fit into what the library has. */
    while (eventlet_event_new()) events++;
    int made = errno;
    must(setrlimit(RLIMIT_AS, &before));
    check(put == ENOMEM && linked == ENOMEM && made == ENOMEM);
    check(items > 0 && eventlet_queue_qsize(queue) == (size_t)items);
    check(eventlet_queue_put(queue, N(items + 1), 0) == 0 && eventlet_event_new());
    for (long i = 1; i <= items + 1; i++) check(!eventlet_queue_get(queue, &item, 0) && item == N(i));
    check(!eventlet_wait(thread, &item) && !strcmp(item, "result"));
}

/* Why a call failed is told even if libc has no memory left for it. */
static void still_told(void) {
    struct rlimit before, none;
    eventlet_sleep(0);
    must(getrlimit(RLIMIT_AS, &before));
    none = before, none.rlim_cur = 1;
    must(setrlimit(RLIMIT_AS, &none));
    for (size_t size = 1 << 20; size >= 16; size /= 2)
        for (void **last = NULL, **block; (block = malloc(size)); last = block) *block = last;
    fails(eventlet_wrap_ssl(-1, NULL), EBADF);
    must(setrlimit(RLIMIT_AS, &before));
    check(strstr(eventlet_ssl_error(), "descriptor -1"));
}

int main(int argc, char **argv) {
    struct test tests[] = {CASE(sizes), CASE(times), CASE(no_memory), CASE(still_told)};
    return RUN(argc, argv, tests);
}
