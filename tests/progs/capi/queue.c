/* Queues. */
#include "capi.h"

static eventlet_queue *queue;

static void *gets(void *word) {
    void *item;
    if (eventlet_queue_get(queue, &item, -1)) return N(-errno);
    note(word);
    return item;
}

static void *puts_one(void *item) {
    if (eventlet_queue_put(queue, item, -1)) return N(-errno);
    note("put");
    return item;
}

static void put_items(int count, ...) {
    va_list items;
    va_start(items, count);
    while (count--) check(eventlet_queue_put(queue, va_arg(items, char *), 0) == 0);
    va_end(items);
}

static void get_all(void) {
    void *item;
    while (!eventlet_queue_empty(queue)) {
        check(eventlet_queue_get(queue, &item, 0) == 0);
        note(item);
    }
}

static int by_first(const void *a, const void *b) { return *(const char *)a - *(const char *)b; }

static void orders(void) {
    queue = eventlet_queue_new(-1);
    put_items(3, "b", "a", "c");
    check(eventlet_queue_qsize(queue) == 3 && !eventlet_queue_full(queue));
    get_all();
    traced("b a c");
    eventlet_queue_delete(queue);
    queue = eventlet_lifo_queue_new(-1);
    put_items(3, "b", "a", "c");
    get_all();
    traced("c a b");
    eventlet_queue_delete(queue);
    queue = eventlet_priority_queue_new(-1, by_first);
    put_items(6, "b1", "a1", "c", "a2", "b2", "a3");
    get_all();
    traced("a1 a2 a3 b1 b2 c");
    eventlet_queue_delete(queue);
    null(eventlet_priority_queue_new(1, NULL), EINVAL);
}

static void bounded(void) {
    void *item;
    queue = eventlet_queue_new(1);
    eventlet_spawn_n(noted, "other");
    check(eventlet_queue_put(queue, "x", -1) == 0);
    traced("");
    check(eventlet_queue_full(queue));
    fails(eventlet_queue_put(queue, "y", 0), EAGAIN);
    fails(eventlet_queue_put(queue, "y", 0.002), ETIMEDOUT);
    check(eventlet_queue_qsize(queue) == 1 && eventlet_queue_putting(queue) == 0);
    traced("other");
    check(eventlet_queue_get(queue, &item, 0) == 0 && !strcmp(item, "x"));
    fails(eventlet_queue_get(queue, &item, 0), EAGAIN);
    fails(eventlet_queue_get(queue, &item, 0.002), ETIMEDOUT);
    /* Putters wait in the order of their coming; growing lets them in. */
    put_items(1, "1");
    eventlet_thread *a = eventlet_spawn(puts_one, "2"), *b = eventlet_spawn(puts_one, "3");
    eventlet_sleep(0);
    check(eventlet_queue_putting(queue) == 2);
    check(eventlet_queue_resize(queue, 3) == 0 && eventlet_queue_putting(queue) == 0);
    check(ended(a) == 0 && ended(b) == 0);
    traced("put put");
    check(eventlet_queue_resize(queue, 1) == 0 && eventlet_queue_qsize(queue) == 3);
    get_all();
    traced("1 2 3");
    eventlet_queue_delete(queue);
    fails(eventlet_queue_put(NULL, NULL, 0), EINVAL);
    fails(eventlet_queue_get(NULL, NULL, 0), EINVAL);
}

static void fair(void) {
    void *item;
    queue = eventlet_queue_new(-1);
    eventlet_thread *a = eventlet_spawn(gets, "a"), *b = eventlet_spawn(gets, "b");
    eventlet_sleep(0);
    check(eventlet_queue_getting(queue) == 2);
    put_items(1, "1");
    /* It is a's, even if we get next. */
    fails(eventlet_queue_get(queue, &item, 0), EAGAIN);
    put_items(2, "2", "3");
    check(eventlet_queue_get(queue, &item, 0) == 0 && !strcmp(item, "3"));
    check(eventlet_wait(a, &item) == 0 && !strcmp(item, "1"));
    check(eventlet_wait(b, &item) == 0 && !strcmp(item, "2"));
    traced("a b");
    eventlet_release(a);
    eventlet_release(b);
    eventlet_queue_delete(queue);
}

/* A getter that dies between wake-up and run loses nothing. */
static void not_lost(void) {
    void *item;
    queue = eventlet_queue_new(-1);
    eventlet_thread *a = eventlet_spawn(gets, "a"), *b = eventlet_spawn(gets, "b");
    eventlet_sleep(0);
    put_items(1, "1");
    check(eventlet_kill(a, 0) == 0 && ended(a) == EVENTLET_EXIT);
    check(eventlet_wait(b, &item) == 0 && !strcmp(item, "1"));
    eventlet_release(b);
    a = eventlet_spawn(gets, "a");
    eventlet_sleep(0);
    put_items(2, "1", "2");
    check(eventlet_kill(a, 0) == 0 && ended(a) == EVENTLET_EXIT);
    check(eventlet_queue_qsize(queue) == 2);
    get_all();
    traced("b 1 2");
    eventlet_queue_delete(queue);
}

/* Nor one whose time is over between wake-up and run: it has the item, or somebody else has. */
static void *gets_briefly(void *item) { return eventlet_queue_get(queue, item, 0.001) ? N(errno) : NULL; }
static void *gets_within(void *item) { return eventlet_with_timeout(0.001, gets_briefly, item, NULL) ? N(errno) : NULL; }
static void *puts_briefly(void *item) { return eventlet_queue_put(queue, item, 0.001) ? N(errno) : NULL; }
static void late(void) {
    void *item, *place, *code;
    for (int way = 0; way < 2; way++) {
        queue = eventlet_queue_new(-1);
        place = NULL;
        eventlet_thread *getter = eventlet_spawn(way ? gets_within : gets_briefly, &place);
        eventlet_sleep(0);
        put_items(1, "1");
        passes(3);
        check(eventlet_wait(getter, &code) == 0 && eventlet_queue_getting(queue) == 0);
        eventlet_release(getter);
        check(place ? !strcmp(place, "1") : eventlet_queue_get(queue, &item, 0) == 0);
        check(eventlet_queue_empty(queue));
        eventlet_queue_delete(queue);
    }
    queue = eventlet_queue_new(1);
    put_items(1, "1");
    eventlet_thread *putter = eventlet_spawn(puts_briefly, "2");
    eventlet_sleep(0);
    check(eventlet_queue_get(queue, &item, 0) == 0);
    passes(3);
    check(eventlet_wait(putter, &code) == 0 && eventlet_queue_putting(queue) == 0);
    eventlet_release(putter);
    check(eventlet_queue_qsize(queue) == !code && (!code || code == N(ETIMEDOUT)));
    eventlet_queue_delete(queue);
}

static void channel(void) {
    void *item;
    queue = eventlet_queue_new(0);
    check(eventlet_queue_empty(queue) && eventlet_queue_full(queue));
    fails(eventlet_queue_put(queue, "x", 0), EAGAIN);
    fails(eventlet_queue_get(queue, &item, 0), EAGAIN);
    eventlet_thread *putter = eventlet_spawn(puts_one, "x");
    eventlet_sleep(0);
    traced("");
    check(eventlet_queue_get(queue, &item, 0) == 0 && !strcmp(item, "x") && ended(putter) == 0);
    traced("put");
    eventlet_thread *getter = eventlet_spawn(gets, "got");
    eventlet_sleep(0);
    check(eventlet_queue_put(queue, "y", 0) == 0);
    check(eventlet_wait(getter, &item) == 0 && !strcmp(item, "y"));
    eventlet_release(getter);
    traced("got");
    fails(eventlet_queue_put(queue, "z", 0.002), ETIMEDOUT);
    fails(eventlet_queue_get(queue, &item, 0.002), ETIMEDOUT);
    eventlet_queue_delete(queue);
}

static void *works(void *arg) {
    void *item;
    for (;;) {
        if (eventlet_queue_get(queue, &item, -1)) return check(errno == ECANCELED), arg;
        eventlet_sleep(0);
        check(eventlet_queue_task_done(queue) == 0);
    }
}

static void joined(void) {
    queue = eventlet_queue_new(3);
    check(eventlet_queue_join(queue, -1) == 0);
    fails(eventlet_queue_task_done(queue), EINVAL);
    put_items(1, "x");
    fails(eventlet_queue_join(queue, 0), EAGAIN);
    fails(eventlet_queue_join(queue, 0.002), ETIMEDOUT);
    for (int i = 0; i < 4; i++) eventlet_spawn_n(works, NULL);
    for (int i = 0; i < 100; i++) check(eventlet_queue_put(queue, "x", -1) == 0);
    check(eventlet_queue_join(queue, -1) == 0 && eventlet_queue_empty(queue));
    eventlet_queue_delete(queue);
    eventlet_sleep(0);
}

static void *joins(void *arg) { return eventlet_queue_join(queue, -1) ? N(-errno) : arg; }

/* Growing to no bound lets all in; shrinking to a channel keeps what is there. */
static void resized(void) {
    void *item;
    queue = eventlet_queue_new(0);
    eventlet_thread *all[3];
    for (int i = 0; i < 3; i++) all[i] = eventlet_spawn(puts_one, (char *[]){"a", "b", "c"}[i]);
    eventlet_sleep(0);
    check(eventlet_queue_putting(queue) == 3 && eventlet_queue_qsize(queue) == 0 && eventlet_queue_resize(queue, 1) == 0);
    check(eventlet_queue_putting(queue) == 2 && eventlet_queue_qsize(queue) == 1 && eventlet_queue_resize(queue, -1) == 0);
    check(eventlet_queue_putting(queue) == 0 && eventlet_queue_qsize(queue) == 3 && !eventlet_queue_full(queue));
    for (int i = 0; i < 3; i++) check(ended(all[i]) == 0);
    traced("put put put");
    check(eventlet_queue_resize(queue, 0) == 0 && eventlet_queue_full(queue) && !eventlet_queue_empty(queue));
    fails(eventlet_queue_put(queue, "d", 0), EAGAIN);
    get_all();
    traced("a b c");
    check(eventlet_queue_empty(queue));
    fails(eventlet_queue_get(queue, &item, 0), EAGAIN);
    fails(eventlet_queue_join(queue, 0), EAGAIN);
    for (int i = 0; i < 3; i++) check(eventlet_queue_task_done(queue) == 0);
    check(eventlet_queue_join(queue, 0) == 0);
    eventlet_queue_delete(queue);
}

static void deleted(void) {
    void *result;
    queue = eventlet_queue_new(-1);
    eventlet_thread *getter = eventlet_spawn(gets, "never");
    eventlet_sleep(0);
    eventlet_queue_delete(queue);
    check(eventlet_wait(getter, &result) == 0 && result == N(-ECANCELED));
    queue = eventlet_queue_new(1);
    put_items(1, "x");
    eventlet_thread *putter = eventlet_spawn(puts_one, "y"), *joiner = eventlet_spawn(joins, NULL);
    eventlet_sleep(0);
    eventlet_queue_delete(queue);
    check(eventlet_wait(putter, &result) == 0 && result == N(-ECANCELED));
    check(eventlet_wait(joiner, &result) == 0 && result == N(-ECANCELED));
    eventlet_release(getter), eventlet_release(putter), eventlet_release(joiner);
    /* An item that was inside is whose it was before. */
    char *own = strdup("mine");
    queue = eventlet_queue_new(-1);
    check(eventlet_queue_put(queue, own, 0) == 0);
    eventlet_queue_delete(queue);
    check(!strcmp(own, "mine"));
    free(own);
    eventlet_queue_delete(NULL);
    check(eventlet_queue_qsize(NULL) == 0 && eventlet_queue_full(NULL) == 0);
}

/* Comparisons that do what they may not: nothing is lost but the order. */
static int waits_between(const void *a, const void *b) {
    eventlet_sleep(0);
    return (a > b) - (a < b);
}

static eventlet_queue *sorted;

static void *puts_many(void *arg) {
    for (long i = 0; i < 300; i++) check(!eventlet_queue_put(sorted, N(i * 7919 % 1000 + 1), -1));
    return arg;
}

static void *gets_many(void *arg) {
    long sum = 0;
    void *item;
    for (long i = 0; i < 300; i++) {
        check(!eventlet_queue_get(sorted, &item, -1));
        sum += (long)(intptr_t)item;
    }
    return (void)arg, N(sum);
}

static int raises_instead(const void *a, const void *b) {
    (void)a, (void)b;
    eventlet_raise(EVENTLET_USER);
}

static void *puts_sorted(void *arg) { return eventlet_queue_put(sorted, arg, -1), arg; }

static void compared(void) {
    eventlet_thread *threads[8];
    long sum = 0, expected = 0;
    void *part;
    sorted = eventlet_priority_queue_new(-1, waits_between);
    for (int i = 0; i < 8; i++) threads[i] = eventlet_spawn(i % 2 ? gets_many : puts_many, NULL);
    for (int i = 0; i < 8; i++) {
        check(!eventlet_wait(threads[i], &part));
        eventlet_release(threads[i]);
        if (i % 2) sum += (long)(intptr_t)part;
    }
    for (long i = 0; i < 300; i++) expected += 4 * (i * 7919 % 1000 + 1);
    check(sum == expected && eventlet_queue_empty(sorted));
    eventlet_queue_delete(sorted);
    sorted = eventlet_priority_queue_new(-1, raises_instead);
    check(!eventlet_queue_put(sorted, "a", -1) && eventlet_try(puts_sorted, "b", NULL) == EVENTLET_USER);
    check(eventlet_queue_qsize(sorted) == 1 && !eventlet_queue_get(sorted, &part, 0) && !strcmp(part, "a"));
    eventlet_queue_delete(sorted);
}

/* A real thread asks while others put and get. */
static volatile int over;
static void *asks(void *queue) {
    while (!over) check(eventlet_queue_qsize(queue) <= 3 && eventlet_queue_full(queue) <= 1 && eventlet_queue_empty(queue) <= 1);
    return queue;
}
static void *has_it_asked(void *queue) { return eventlet_tpool_execute(asks, queue, NULL), queue; }
static void *puts_some(void *queue) {
    for (int i = 0; i < 20000; i++) check(eventlet_queue_put(queue, queue, -1) == 0);
    return queue;
}
static void asked(void) {
    void *item;
    eventlet_queue *queue = eventlet_queue_new(3);
    eventlet_thread *asker = eventlet_spawn(has_it_asked, queue), *putter = eventlet_spawn(puts_some, queue);
    for (int i = 0; i < 20000; i++) check(eventlet_queue_get(queue, &item, -1) == 0);
    over = 1;
    check(ended(asker) == 0 && ended(putter) == 0);
    eventlet_queue_delete(queue);
}

int main(int argc, char **argv) {
    struct test tests[] = {CASE(orders), CASE(bounded), CASE(fair), CASE(not_lost), CASE(late), CASE(channel), CASE(joined), CASE(resized), CASE(deleted), CASE(compared), CASE(asked)};
    return RUN(argc, argv, tests);
}
