/* eventlet.h, linked. See peer.h. */
#include "peer.h"
#include <eventlet.h>

static long left;
static eventlet_semaphore *done;

static void *task(void *arg)
{
    if (--left == 0)
        eventlet_semaphore_release(done);
    return arg;
}

static void wait_for_all(void)
{
    check(eventlet_semaphore_acquire(done, -1) == 0, "eventlet_semaphore_acquire");
}

static void spawn_n(long count)
{
    for (long i = 0; i < count; i += BATCH) {
        left = BATCH;
        for (int k = 0; k < BATCH; k++)
            check(eventlet_spawn_n(task, NULL) == 0, "eventlet_spawn_n");
        wait_for_all();
    }
}

static void *echo(void *arg)
{
    return arg;
}

static void spawn(long count)
{
    for (long i = 0; i < count; i++) {
        void *result = NULL;
        eventlet_thread *thread = eventlet_spawn(echo, &left);
        check(thread != NULL && eventlet_wait(thread, &result) == 0 && result == &left, "eventlet_wait");
        eventlet_release(thread);
    }
}

static long turns;

static void *take_turns(void *arg)
{
    for (long i = 0; i < turns; i++)
        eventlet_sleep(0);
    return task(arg);
}

static void switches(long count, long threads)
{
    turns = count / threads;
    left = threads;
    for (long k = 0; k < threads; k++)
        check(eventlet_spawn_n(take_turns, NULL) == 0, "eventlet_spawn_n");
    wait_for_all();
}

static void switch_2(long count)
{
    switches(count, 2);
}

static void switch_100(long count)
{
    switches(count, 100);
}

static eventlet_queue *queue;
static long items;

static void *produce(void *arg)
{
    for (long i = 0; i < items; i++)
        check(eventlet_queue_put(queue, &items, -1) == 0, "eventlet_queue_put");
    return task(arg);
}

static void through(long count, long room)
{
    void *item;
    queue = eventlet_queue_new(room);
    items = count;
    left = 1;
    check(eventlet_spawn_n(produce, NULL) == 0, "eventlet_spawn_n");
    for (long i = 0; i < count; i++)
        check(eventlet_queue_get(queue, &item, -1) == 0, "eventlet_queue_get");
    wait_for_all();
    eventlet_queue_delete(queue);
}

static void with_room(long count)
{
    through(count, ROOM);
}

static void channel(long count)
{
    through(count, 0);
}

static void pool(long count)
{
    eventlet_pool *members = eventlet_pool_new(POOL);
    for (long i = 0; i < count; i++)
        check(eventlet_pool_spawn_n(members, echo, NULL) == 0, "eventlet_pool_spawn_n");
    check(eventlet_pool_waitall(members) == 0, "eventlet_pool_waitall");
    eventlet_pool_delete(members);
}

static const struct operation cases[] = {
    {"spawn_n", spawn_n},       {"spawn", spawn},     {"switch-2", switch_2},
    {"switch-100", switch_100}, {"queue", with_room}, {"channel", channel},
    {"pool", pool},
};

int main(int argc, char **argv)
{
    done = eventlet_semaphore_new(0, -1);
    check(done != NULL, "eventlet_semaphore_new");
    return measure(cases, sizeof cases / sizeof *cases, argc, argv);
}
