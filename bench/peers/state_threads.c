/* State Threads (libst-dev). It has no queue and no pool: both are made of its condition variables, which need no mutex.
 * See peer.h. */
#include "peer.h"
#include <st.h>

static long left;
static st_cond_t done;

static void *task(void *arg)
{
    if (--left == 0)
        st_cond_signal(done);
    return arg;
}

static void wait_for_all(void)
{
    while (left > 0)
        st_cond_wait(done);
}

static void spawn_n(long count)
{
    for (long i = 0; i < count; i += BATCH) {
        left = BATCH;
        for (int k = 0; k < BATCH; k++)
            check(st_thread_create(task, NULL, 0, 0) != NULL, "st_thread_create");
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
        st_thread_t thread = st_thread_create(echo, &left, 1, 0);
        check(thread != NULL && st_thread_join(thread, &result) == 0 && result == &left, "st_thread_join");
    }
}

static long turns;

static void *take_turns(void *arg)
{
    for (long i = 0; i < turns; i++)
        st_usleep(0);
    return task(arg);
}

static void switches(long count, long threads)
{
    turns = count / threads;
    left = threads;
    for (long k = 0; k < threads; k++)
        check(st_thread_create(take_turns, NULL, 0, 0) != NULL, "st_thread_create");
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

/* A queue as a library would have it: so no call of it is inlined. */
#define CALL __attribute__((noinline))

struct queue {
    void *ring[ROOM], *hand;
    long put, got;
    st_cond_t not_full, not_empty, taken;
};

static struct queue queue;
static long items;

static CALL void queue_put(struct queue *q, void *item)
{
    while (q->put - q->got == ROOM)
        st_cond_wait(q->not_full);
    q->ring[q->put++ % ROOM] = item;
    st_cond_signal(q->not_empty);
}

static CALL void queue_get(struct queue *q, void **item)
{
    while (q->put == q->got)
        st_cond_wait(q->not_empty);
    *item = q->ring[q->got++ % ROOM];
    st_cond_signal(q->not_full);
}

static CALL void hand_over(struct queue *q, void *item)
{
    q->hand = item;
    st_cond_signal(q->not_empty);
    while (q->hand != NULL)
        st_cond_wait(q->taken);
}

static CALL void take_over(struct queue *q, void **item)
{
    while (q->hand == NULL)
        st_cond_wait(q->not_empty);
    *item = q->hand;
    q->hand = NULL;
    st_cond_signal(q->taken);
}

static void *produce(void *arg)
{
    for (long i = 0; i < items; i++)
        queue_put(&queue, &items);
    return task(arg);
}

static void *offer(void *arg)
{
    for (long i = 0; i < items; i++)
        hand_over(&queue, &items);
    return task(arg);
}

static void through(long count, void *(*producer)(void *), void (*get)(struct queue *, void **))
{
    void *item;
    items = count;
    left = 1;
    check(st_thread_create(producer, NULL, 0, 0) != NULL, "st_thread_create");
    for (long i = 0; i < count; i++)
        get(&queue, &item);
    wait_for_all();
}

static void with_room(long count)
{
    through(count, produce, queue_get);
}

static void channel(long count)
{
    through(count, offer, take_over);
}

static long running;
static st_cond_t slot;

static void *member(void *arg)
{
    running--;
    st_cond_signal(slot);
    return arg;
}

static void pool(long count)
{
    for (long i = 0; i < count; i++) {
        while (running == POOL)
            st_cond_wait(slot);
        running++;
        check(st_thread_create(member, NULL, 0, 0) != NULL, "st_thread_create");
    }
    while (running > 0)
        st_cond_wait(slot);
}

static const struct operation cases[] = {
    {"spawn_n", spawn_n},       {"spawn", spawn},     {"switch-2", switch_2},
    {"switch-100", switch_100}, {"queue", with_room}, {"channel", channel},
    {"pool", pool},
};

int main(int argc, char **argv)
{
    st_set_eventsys(ST_EVENTSYS_ALT);
    check(st_init() == 0, "st_init");
    done = st_cond_new();
    queue = (struct queue){.not_full = st_cond_new(), .not_empty = st_cond_new(), .taken = st_cond_new()};
    slot = st_cond_new();
    return measure(cases, sizeof cases / sizeof *cases, argc, argv);
}
