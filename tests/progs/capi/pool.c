/* Pools, iterators, piles. */
#include "capi.h"

static eventlet_pool *pool;

static void *spawns(void *word) {
    eventlet_thread *thread = eventlet_pool_spawn(pool, noted, word);
    return N(thread ? ended(thread) : errno);
}

static void bounded(void) {
    check(EVENTLET_POOL_SIZE == 1000);
    pool = eventlet_pool_new(2);
    check(eventlet_pool_size(pool) == 2 && eventlet_pool_free(pool) == 2 && eventlet_pool_waitall(pool) == 0);
    eventlet_thread *one = eventlet_pool_spawn(pool, sleeps, NULL), *two = eventlet_pool_spawn(pool, sleeps, NULL);
    eventlet_thread *a = eventlet_spawn(spawns, "a"), *b = eventlet_spawn(spawns, "b");
    eventlet_sleep(0);
    check(eventlet_pool_free(pool) == 0 && eventlet_pool_running(pool) == 2 && eventlet_pool_waiting(pool) == 2);
    eventlet_kill(one, 0), eventlet_kill(two, 0);
    eventlet_release(one), eventlet_release(two);
    check(eventlet_pool_waitall(pool) == 0);
    traced("a b");
    check(eventlet_pool_running(pool) == 0 && eventlet_pool_waiting(pool) == 0 && eventlet_pool_free(pool) == 2);
    check(ended(a) == 0 && ended(b) == 0);
    /* A shrink leaves who runs; growing lets in who waits. */
    one = eventlet_pool_spawn(pool, sleeps, NULL), two = eventlet_pool_spawn(pool, sleeps, NULL);
    check(eventlet_pool_resize(pool, 1) == 0 && eventlet_pool_free(pool) == -1);
    a = eventlet_spawn(spawns, "c");
    eventlet_sleep(0);
    check(eventlet_pool_waiting(pool) == 1 && eventlet_pool_resize(pool, 4) == 0 && eventlet_pool_waiting(pool) == 0);
    check(ended(a) == 0 && eventlet_pool_running(pool) == 2);
    traced("c");
    eventlet_kill(one, 0), eventlet_kill(two, 0);
    eventlet_release(one), eventlet_release(two);
    check(eventlet_pool_waitall(pool) == 0);
    eventlet_pool_delete(pool);
    fails(eventlet_pool_waitall(NULL), EINVAL);
    null(eventlet_pool_spawn(NULL, same, NULL), EINVAL);
}

static void *within(void *arg) {
    fails(eventlet_pool_waitall(pool), EDEADLK);
    eventlet_thread *thread = eventlet_pool_spawn(pool, noted, "inline");
    check(eventlet_dead(thread) && ended(thread) == 0);
    traced("inline");
    thread = eventlet_pool_spawn(pool, raises, N(EIO));
    check(ended(thread) == EIO);
    return arg;
}

static void *gives_up(void *arg) {
    eventlet_with_timeout(0.002, spawns, "never", NULL);
    return arg;
}

static void slots(void) {
    eventlet_hub_exceptions(0);
    pool = eventlet_pool_new(1);
    check(ended(eventlet_pool_spawn(pool, within, NULL)) == 0);
    check(ended(eventlet_pool_spawn(pool, raises, N(EIO))) == EIO && eventlet_pool_free(pool) == 1);
    eventlet_thread *killed = eventlet_pool_spawn(pool, sleeps, NULL);
    eventlet_kill(killed, 0);
    check(eventlet_pool_free(pool) == 1);
    eventlet_release(killed);
    killed = eventlet_pool_spawn(pool, sleeps, NULL);
    eventlet_sleep(0);
    check(ended(eventlet_spawn(gives_up, NULL)) == 0 && eventlet_pool_waiting(pool) == 0);
    /* Who was given the slot and is killed passes it on. */
    eventlet_thread *a = eventlet_spawn(spawns, "a"), *b = eventlet_spawn(spawns, "b");
    eventlet_sleep(0);
    eventlet_kill(killed, 0);
    eventlet_release(killed);
    eventlet_kill(a, 0);
    check(ended(a) == EVENTLET_EXIT && ended(b) == 0);
    traced("b");
    check(eventlet_pool_waitall(pool) == 0 && eventlet_pool_free(pool) == 1);
    eventlet_pool_delete(pool);
}

static void empty(void) {
    pool = eventlet_pool_new(0);
    eventlet_thread *a = eventlet_spawn(spawns, "a"), *b;
    eventlet_sleep(0.002);
    traced("");
    eventlet_pool_resize(pool, 1);
    check(ended(a) == 0);
    traced("a");
    eventlet_pool_resize(pool, 0);
    void *code;
    b = eventlet_spawn(spawns, "b");
    eventlet_sleep(0);
    eventlet_pool_delete(pool);
    check(eventlet_wait(b, &code) == 0 && code == N(ECANCELED));
    eventlet_release(b);
}

static void *waits_all(void *arg) {
    check(eventlet_pool_waitall(pool) == 0);
    note("idle");
    return arg;
}

/* The last spawner that waits gives up, or the pool goes: then all is done. */
static void given_up(void) {
    for (int deletes = 0; deletes < 2; deletes++) {
        pool = eventlet_pool_new(0);
        eventlet_thread *spawner = eventlet_spawn(deletes ? spawns : gives_up, "never"), *waiter;
        eventlet_sleep(0);
        waiter = eventlet_spawn(waits_all, NULL);
        eventlet_sleep(0);
        check(eventlet_pool_waiting(pool) == 1 && !eventlet_dead(waiter));
        if (deletes) eventlet_pool_delete(pool);
        check(ended(waiter) == 0 && ended(spawner) == 0);
        traced("idle");
    }
    /* A pool that is deleted while members run is there for who waits for them. */
    pool = eventlet_pool_new(1);
    eventlet_thread *member = eventlet_pool_spawn(pool, sleeps, N(2)), *waiter = eventlet_spawn(waits_all, NULL);
    eventlet_sleep(0);
    eventlet_pool_delete(pool);
    check(ended(waiter) == 0 && ended(member) == 0);
    traced("idle");
}

static int drawn, most, ahead;
static int draws(void *last, void **item) {
    eventlet_sleep(0);
    if (drawn == (intptr_t)last) return 0;
    *item = N(++drawn);
    if (++ahead > most) most = ahead;
    return 1;
}

static void *doubles(void *item) {
    eventlet_sleep(0.001 * (3 - (intptr_t)item % 3));
    if ((intptr_t)item == 5) eventlet_raise(EDOM);
    return N(2 * (intptr_t)item);
}

static void mapped(void) {
    eventlet_hub_exceptions(0);
    pool = eventlet_pool_new(4);
    eventlet_iter *iter = eventlet_pool_imap(pool, doubles, draws, N(20));
    for (intptr_t i = 1; i <= 20; i++) {
        void *result = NULL;
        if (i == 5) {
            fails(eventlet_iter_next(iter, &result), EDOM);
        } else {
            check(eventlet_iter_next(iter, &result) == 1 && result == N(2 * i));
        }
        ahead--;
    }
    check(eventlet_iter_next(iter, NULL) == 0 && eventlet_iter_next(iter, NULL) == 0);
    check(most <= 5);
    eventlet_iter_delete(iter);
    drawn = 0;
    iter = eventlet_pool_imap(pool, doubles, draws, N(20));
    check(eventlet_iter_next(iter, NULL) == 1);
    eventlet_iter_delete(iter);
    check(eventlet_pool_waitall(pool) == 0);
    null(eventlet_pool_imap(pool, NULL, draws, NULL), EINVAL);
    null(eventlet_pool_imap(NULL, same, draws, NULL), EINVAL);
    fails(eventlet_iter_next(NULL, NULL), EINVAL);
    eventlet_pool_delete(pool);
}

static int endless(void *item, void **place) {
    *place = item;
    return 1;
}
static int raises_next(void *code, void **place) {
    if (!drawn++) return *place = N(7), 1;
    eventlet_raise((int)(intptr_t)code);
}
static void *nexts(void *iter) {
    void *result = NULL;
    check(eventlet_iter_next(iter, &result) == 1);
    return result;
}

/* It runs on the pool's own slots: never more members than those, and others wait for them as well. */
static int at_once, peak;
static void *counted(void *item) {
    if (++at_once > peak) peak = at_once;
    check(eventlet_pool_running(pool) <= 2);
    eventlet_sleep(0.001);
    at_once--;
    return item;
}
static int ten(void *ctx, void **item) {
    (void)ctx;
    return drawn < 10 ? *item = N(++drawn), 1 : 0;
}
static void mapped_on_slots(void) {
    pool = eventlet_pool_new(2);
    drawn = 0;
    eventlet_iter *iter = eventlet_pool_imap(pool, counted, ten, NULL);
    eventlet_sleep(0.002);
    check(drawn <= 3 && eventlet_pool_waitall(pool) == 0); /* nothing goes on before the results are asked for */
    for (int i = 0; i < 3; i++) check(eventlet_pool_spawn_n(pool, counted, NULL) == 0);
    void *result;
    for (intptr_t i = 1; i <= 10; i++) check(eventlet_iter_next(iter, &result) == 1 && result == N(i));
    check(eventlet_iter_next(iter, &result) == 0 && eventlet_pool_waitall(pool) == 0 && peak == 2);
    eventlet_iter_delete(iter);
    /* A size of 0 draws one and waits. */
    pool = eventlet_pool_new(0);
    drawn = 8;
    iter = eventlet_pool_imap(pool, same, ten, NULL);
    eventlet_sleep(0);
    check(drawn <= 9 && eventlet_pool_waiting(pool) == 1 && eventlet_pool_resize(pool, 1) == 0);
    check(eventlet_iter_next(iter, NULL) == 1 && eventlet_iter_next(iter, NULL) == 1 && eventlet_iter_next(iter, NULL) == 0);
}

/* Three ask one iteration: each result goes to one of them, in the order of the asking, and each sees the end. */
static int got[100];
static void *asks_all(void *iter) {
    void *result;
    intptr_t before = 0;
    int code;
    while ((code = eventlet_iter_next(iter, &result)) == 1) {
        check((intptr_t)result > before);
        before = (intptr_t)result;
        got[before]++;
    }
    return N(code);
}
static int to_99(void *ctx, void **item) {
    (void)ctx;
    eventlet_sleep(0);
    return drawn < 99 ? *item = N(++drawn), 1 : 0;
}
static void mapped_for_three(void) {
    eventlet_thread *asking[3];
    void *code;
    drawn = 0;
    pool = eventlet_pool_new(4);
    eventlet_iter *iter = eventlet_pool_imap(pool, same, to_99, NULL);
    for (int i = 0; i < 3; i++) asking[i] = eventlet_spawn(asks_all, iter);
    for (int i = 0; i < 3; i++) {
        check(eventlet_wait(asking[i], &code) == 0 && code == N(0));
        eventlet_release(asking[i]);
    }
    for (int i = 1; i < 100; i++) check(got[i] == 1);
    eventlet_iter_delete(iter);
    eventlet_pool_delete(pool);
}

/* One of two who ask is killed: the other one has what it left. */
static void *slow_one(void *arg) { return eventlet_sleep(0.003), arg; }
static void *asks_once(void *iter) { return eventlet_iter_next(iter, NULL) == 1 ? NULL : N(errno); }
static void mapped_for_the_other(void) {
    void *code;
    drawn = 98;
    pool = eventlet_pool_new(1);
    eventlet_iter *iter = eventlet_pool_imap(pool, slow_one, to_99, NULL);
    eventlet_thread *one = eventlet_spawn(asks_once, iter), *other = eventlet_spawn(asks_once, iter);
    eventlet_sleep(0.001);
    check(eventlet_kill(one, 0) == 0 && ended(one) == EVENTLET_EXIT);
    check(eventlet_wait(other, &code) == 0 && code == NULL);
    eventlet_release(other);
    check(eventlet_iter_next(iter, NULL) == 0);
    eventlet_iter_delete(iter);
    /* Deleted while its drawer waits for room: that goes as well. */
    drawn = 0;
    iter = eventlet_pool_imap(pool, same, to_99, NULL);
    check(eventlet_iter_next(iter, NULL) == 1);
    eventlet_sleep(0.001);
    eventlet_iter_delete(iter);
    eventlet_sleep(0);
    check(eventlet_pool_waitall(pool) == 0 && eventlet_pool_free(pool) == 1 && drawn < 10);
    eventlet_pool_delete(pool);
}

/* How an iteration ends that cannot go on. */
static void mapped_no_more(void) {
    eventlet_hub_exceptions(0);
    pool = eventlet_pool_new(1);
    eventlet_thread *member = eventlet_pool_spawn(pool, sleeps, N(2));
    eventlet_iter *iter = eventlet_pool_imap(pool, same, endless, N(3));
    eventlet_sleep(0.001);
    eventlet_pool_delete(pool);
    fails(eventlet_iter_next(iter, NULL), ECANCELED);
    check(eventlet_iter_next(iter, NULL) == 0 && ended(member) == 0);
    eventlet_iter_delete(iter);

    pool = eventlet_pool_new(2);
    drawn = 0;
    iter = eventlet_pool_imap(pool, same, raises_next, N(EDOM));
    void *result;
    check(eventlet_iter_next(iter, &result) == 1 && result == N(7));
    fails(eventlet_iter_next(iter, NULL), EDOM);
    check(eventlet_iter_next(iter, NULL) == 0);
    eventlet_iter_delete(iter);
    /* Deleted while it is asked: the answer that is under way comes. */
    ahead = drawn = 0;
    iter = eventlet_pool_imap(pool, doubles, draws, N(1));
    eventlet_thread *asks = eventlet_spawn(nexts, iter);
    eventlet_sleep(0.001);
    eventlet_iter_delete(iter);
    check(eventlet_wait(asks, &result) == 0 && result == N(2));
    eventlet_release(asks);
    check(eventlet_pool_waitall(pool) == 0 && eventlet_pool_free(pool) == 2);
}

static void *spawns_on(void *pile) { return N(eventlet_pile_spawn(pile, noted, "on")); }
static void *next_of(void *pile) {
    void *result = NULL;
    check(eventlet_pile_next(pile, &result) == 1);
    return result;
}

/* Two who ask a pile are killed: the others have the results in the order of spawning still. */
static void *next_or_code(void *pile) { return eventlet_pile_next(pile, NULL) == 1 ? NULL : N(errno); }
static void piled_in_order(void) {
    eventlet_pile *pile = eventlet_pile_new(10);
    void *result;
    for (intptr_t i = 1; i <= 4; i++) check(eventlet_pile_spawn(pile, i < 3 ? slow_one : same, N(i)) == 0);
    eventlet_thread *first = eventlet_spawn(next_or_code, pile), *second = eventlet_spawn(next_or_code, pile);
    eventlet_sleep(0);
    check(eventlet_kill(first, 0) == 0 && eventlet_kill(second, 0) == 0);
    check(ended(first) == EVENTLET_EXIT && ended(second) == EVENTLET_EXIT);
    for (intptr_t i = 1; i <= 4; i++) check(eventlet_pile_next(pile, &result) == 1 && result == N(i));
    check(eventlet_pile_next(pile, &result) == 0);
    eventlet_pile_delete(pile);
}

/* A timeout of a member's is the member's, also while it runs a function in place; what the function raises is the handle's. */
static void *in_place(void *fn) {
    eventlet_thread *thread = eventlet_pool_spawn(pool, fn == N(1) ? sleeps : raises, fn == N(1) ? NULL : N(EDOM));
    return N(ended(thread));
}
static void *bounded_in_place(void *fn) {
    void *code = NULL;
    return eventlet_with_timeout(0.001, in_place, fn, &code) ? N(errno) : code;
}
static void piled_in_place(void) {
    void *code;
    eventlet_hub_exceptions(0);
    pool = eventlet_pool_new(1);
    eventlet_thread *member = eventlet_pool_spawn(pool, bounded_in_place, N(1));
    check(eventlet_wait(member, &code) == 0 && code == N(ETIMEDOUT));
    eventlet_release(member);
    member = eventlet_pool_spawn(pool, bounded_in_place, N(2));
    check(eventlet_wait(member, &code) == 0 && code == N(EDOM));
    eventlet_release(member);
    eventlet_pool_delete(pool);
}

static void piled(void) {
    eventlet_hub_exceptions(0);
    eventlet_pile *pile = eventlet_pile_new(3), *other;
    void *result;
    check(eventlet_pile_next(pile, NULL) == 0);
    for (intptr_t i = 1; i <= 9; i++) check(eventlet_pile_spawn(pile, doubles, N(i)) == 0);
    for (intptr_t i = 1; i <= 9; i++) {
        if (i == 5) {
            fails(eventlet_pile_next(pile, &result), EDOM);
        } else {
            check(eventlet_pile_next(pile, &result) == 1 && result == N(2 * i));
        }
    }
    check(eventlet_pile_next(pile, NULL) == 0);
    eventlet_pile_delete(pile);
    pool = eventlet_pool_new(2);
    pile = eventlet_pile_on(pool);
    other = eventlet_pile_on(pool);
    for (intptr_t i = 1; i <= 4; i++) {
        eventlet_pile_spawn(pile, same, N(i));
        eventlet_pile_spawn(other, same, N(-i));
    }
    for (intptr_t i = 1; i <= 4; i++) {
        check(eventlet_pile_next(other, &result) == 1 && result == N(-i));
        check(eventlet_pile_next(pile, &result) == 1 && result == N(i));
    }
    eventlet_pile_delete(pile);
    eventlet_pool_delete(pool);
    eventlet_pile_delete(other);
    /* Deleted while somebody waits in it. */
    pile = eventlet_pile_new(1);
    check(eventlet_pile_spawn(pile, sleeps, N(1)) == 0);
    eventlet_thread *asks = eventlet_spawn(next_of, pile), *more = eventlet_spawn(spawns_on, pile);
    eventlet_sleep(0);
    eventlet_pile_delete(pile);
    check(eventlet_wait(asks, &result) == 0 && result == N(1));
    check(eventlet_wait(more, &result) == 0 && result == NULL);
    eventlet_release(asks), eventlet_release(more);
    eventlet_sleep(0);
    traced("on");
    fails(eventlet_pile_spawn(NULL, same, NULL), EINVAL);
    null(eventlet_pile_on(NULL), EINVAL);
}

int main(int argc, char **argv) {
    struct test tests[] = {CASE(bounded), CASE(slots), CASE(empty), CASE(given_up), CASE(mapped), CASE(mapped_on_slots), CASE(mapped_for_three), CASE(mapped_for_the_other), CASE(mapped_no_more), CASE(piled), CASE(piled_in_order), CASE(piled_in_place)};
    return RUN(argc, argv, tests);
}
