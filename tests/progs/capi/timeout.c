/* Timeouts. */
#include "capi.h"

#include <sys/file.h>
#include <sys/ipc.h>
#include <sys/sem.h>

static void *in_read(void *arg) {
    int ends[2];
    char byte;
    must(pipe(ends));
    must(read(ends[0], &byte, 1));
    return arg;
}

static eventlet_semaphore *semaphore;
static void *in_semaphore(void *arg) {
    eventlet_semaphore_acquire(semaphore, -1);
    return arg;
}

static eventlet_queue *queue;
static void *in_queue(void *arg) {
    void *item;
    eventlet_queue_get(queue, &item, -1);
    return arg;
}

static void *in_wait(void *arg) {
    eventlet_wait(eventlet_spawn(sleeps, NULL), NULL);
    return arg;
}

static eventlet_event *event;
static void *in_event(void *arg) { return eventlet_event_wait(event, NULL, -1), arg; }
static void *in_put(void *arg) { return eventlet_queue_put(queue, "x", -1), arg; }
static void *in_queue_join(void *arg) { return eventlet_queue_join(arg, -1), arg; }

static eventlet_pool *full;
static void *in_spawn(void *arg) { return eventlet_pool_spawn_n(full, same, NULL), arg; }
static void *in_waitall(void *arg) { return eventlet_pool_waitall(full), arg; }
static void *in_pile(void *pile) { return eventlet_pile_next(pile, NULL), pile; }

static int never(void *ctx, void **item) { return (void)item, eventlet_sleep(-1), ctx != NULL; }
static void *in_iter(void *iter) { return eventlet_iter_next(iter, NULL), iter; }

static void *long_enough(void *arg) {
    eventlet_sleep(0.02); /* natively: it is on a real thread */
    return arg;
}
static void *in_tpool(void *arg) { return eventlet_tpool_execute(long_enough, NULL, NULL), arg; }

static void handles(int client, const struct sockaddr *peer, socklen_t length, void *ctx) { (void)client, (void)peer, (void)length, (void)ctx; }
static void *in_serve(void *door) { return eventlet_serve((int)(intptr_t)door, handles, NULL, 1), door; }
static void *in_accept(void *door) { return accept((int)(intptr_t)door, NULL, NULL), door; }

static void *in_sleep(void *arg) {
    sleep(1000);
    return arg;
}

static void raised(void) {
    semaphore = eventlet_semaphore_new(0, -1), queue = eventlet_queue_new(0), event = eventlet_event_new();
    full = eventlet_pool_new(1);
    eventlet_thread *member = eventlet_pool_spawn(full, sleeps, NULL);
    eventlet_queue *unfinished = eventlet_queue_new(1);
    check(eventlet_queue_put(unfinished, "x", 0) == 0);
    eventlet_pool *own = eventlet_pool_new(1);
    eventlet_iter *iter = eventlet_pool_imap(own, same, never, NULL);
    eventlet_pile *pile = eventlet_pile_new(1);
    check(eventlet_pile_spawn(pile, sleeps, N(1000000)) == 0);
    int door = eventlet_listen("127.0.0.1:0", NULL);
    const struct { void *(*run)(void *); void *arg; } waits[] = {
        {sleeps, NULL}, {in_semaphore, NULL}, {in_queue, NULL}, {in_put, NULL}, {in_queue_join, unfinished}, {in_wait, NULL},
        {in_event, NULL}, {in_spawn, NULL}, {in_waitall, NULL}, {in_pile, pile}, {in_iter, iter}, {in_tpool, NULL},
        {in_serve, N(door)}, {in_accept, N(door)}};
    for (size_t i = 0; i < sizeof waits / sizeof *waits; i++) {
        eventlet_timeout *timeout = eventlet_timeout_start(0.002, 0);
        check(eventlet_timeout_pending(timeout) && !eventlet_timeout_fired(timeout));
        check(eventlet_try(waits[i].run, waits[i].arg, NULL) == EVENTLET_TIMEOUT);
        check(!eventlet_timeout_pending(timeout) && eventlet_timeout_fired(timeout));
        check(eventlet_timeout_cancel(timeout) == 0);
    }
    check(eventlet_queue_putting(queue) == 0 && eventlet_queue_getting(queue) == 0 && eventlet_pool_waiting(full) == 0);
    check(eventlet_kill(member, 0) == 0 && ended(member) == EVENTLET_EXIT);
    eventlet_semaphore_delete(semaphore), eventlet_queue_delete(queue), eventlet_queue_delete(unfinished), eventlet_event_delete(event);
    eventlet_pool_delete(full), eventlet_iter_delete(iter), eventlet_pool_delete(own), eventlet_pile_delete(pile);
    close(door);
}

/* It is the one's that started it: others that wait know nothing of it. */
static void bound(void) {
    eventlet_thread *other = eventlet_spawn(sleeps, NULL);
    eventlet_sleep(0);
    eventlet_timeout *timeout = eventlet_timeout_start(0.002, 0);
    check(eventlet_try(sleeps, NULL, NULL) == EVENTLET_TIMEOUT && eventlet_timeout_cancel(timeout) == 0);
    eventlet_sleep(0.002);
    check(!eventlet_dead(other) && eventlet_kill(other, 0) == 0 && ended(other) == EVENTLET_EXIT);
}

static void removes(void *set) { must(semctl((int)(intptr_t)set, 0, IPC_RMID)); }

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static void unlocked(void *arg) {
    check(pthread_mutex_trylock(&mutex) == EBUSY);
    zero(pthread_mutex_unlock(&mutex));
    (void)arg;
}

static void *in_cond(void *arg) {
    static pthread_cond_t cond = PTHREAD_COND_INITIALIZER;
    zero(pthread_mutex_lock(&mutex));
    pthread_cleanup_push(unlocked, NULL);
    for (;;) pthread_cond_wait(&cond, &mutex);
    pthread_cleanup_pop(1);
    return arg;
}

static void *in_no_sleep(void *arg) {
    for (;;) usleep(0);
    return arg;
}

static void *in_flock(void *arg) {
    char name[] = "/tmp/eventlet-timeout-XXXXXX";
    int one = must(mkstemp(name)), two = must(open(name, O_RDWR));
    unlink(name);
    must(flock(one, LOCK_EX));
    flock(two, LOCK_EX);
    note("never");
    return arg;
}

static void *in_semop(void *arg) {
    int set = must(semget(IPC_PRIVATE, 1, 0600));
    pthread_cleanup_push(removes, N(set));
    semop(set, &(struct sembuf){0, -1, 0}, 1);
    pthread_cleanup_pop(1);
    note("never");
    return arg;
}

static void *in_barrier(void *arg) {
    static pthread_barrier_t barrier;
    zero(pthread_barrier_init(&barrier, NULL, 2));
    pthread_barrier_wait(&barrier);
    note("never");
    return arg;
}

static void *in_join(void *arg) {
    static pthread_t other;
    if (!other) other = spawn(sleeps, NULL);
    pthread_join(other, NULL);
    note("never");
    return arg;
}

/* Patched calls. */
static void rows(void) {
    void *(*waits[])(void *) = {in_read, in_sleep, in_cond, in_no_sleep, in_flock, in_semop, in_barrier, in_join};
    for (size_t i = 0; i < sizeof waits / sizeof *waits; i++) {
        eventlet_timeout *timeout = eventlet_timeout_start(0.002, EVENTLET_USER);
        check(eventlet_try(waits[i], NULL, NULL) == EVENTLET_USER);
        check(eventlet_timeout_cancel(timeout) == 0);
    }
    zero(pthread_mutex_trylock(&mutex));
}

static void *yields(void *arg) {
    for (;;) eventlet_sleep(0);
    return arg;
}

static void cancelled(void) {
    eventlet_timeout *never = eventlet_timeout_start(-1, 0), *later = eventlet_timeout_start(0.002, 0);
    check(eventlet_timeout_cancel(later) == 1);
    eventlet_sleep(0.004);
    check(!eventlet_timeout_fired(never) && eventlet_timeout_cancel(never) == 1);
    eventlet_timeout *now = eventlet_timeout_start(0, EIO);
    check(eventlet_try(yields, NULL, NULL) == EIO);
    check(eventlet_timeout_cancel(now) == 0);
    null(eventlet_timeout_start(0.0 / 0.0, 0), EINVAL);
    null(eventlet_timeout_start(1, -1), EINVAL);
    check(eventlet_timeout_cancel(NULL) == 0 && eventlet_timeout_pending(NULL) == 0 && eventlet_timeout_fired(NULL) == 0);
}

static void *outer(void *arg) {
    /* The one that fires is the one raised. */
    eventlet_with_timeout(100, sleeps, NULL, NULL);
    note("never");
    return arg;
}

static void *catching(void *arg) {
    check(eventlet_try(sleeps, NULL, NULL) == EVENTLET_TIMEOUT);
    return arg;
}

static void with(void) {
    void *result = NULL;
    check(eventlet_with_timeout(1, same, N(3), &result) == 0 && result == N(3));
    fails(eventlet_with_timeout(0.002, sleeps, NULL, &result), ETIMEDOUT);
    fails(eventlet_with_timeout(0.002, outer, NULL, NULL), ETIMEDOUT);
    check(eventlet_with_timeout(0.002, catching, N(2), &result) == 0 && result == N(2));
    fails(eventlet_with_timeout(1, NULL, NULL, NULL), EINVAL);
    traced("");
}

static void *raises_through(void *arg) {
    eventlet_with_timeout(1, raises, arg, NULL);
    return NULL;
}

/* An inner one of its own and an outer one: the one that fires is the one raised, whatever code both have. */
static eventlet_timeout *inner_one, *outer_one;
static void *in_both(void *arg) { return sleeps(arg); }
static void *outlives(void *arg) {
    inner_one = eventlet_timeout_start(arg ? 0.002 : 100, EVENTLET_USER);
    int code = eventlet_try(in_both, NULL, NULL);
    note(eventlet_timeout_fired(inner_one) ? "inner" : "not inner");
    check(eventlet_timeout_cancel(inner_one) == !arg);
    if (!arg) eventlet_raise(code); /* it was the outer one's */
    return N(code);
}
static void nested(void) {
    void *result;
    outer_one = eventlet_timeout_start(0.002, EVENTLET_USER);
    check(eventlet_try(outlives, NULL, NULL) == EVENTLET_USER && eventlet_timeout_fired(outer_one));
    check(eventlet_timeout_cancel(outer_one) == 0);
    outer_one = eventlet_timeout_start(100, EVENTLET_USER);
    check(eventlet_try(outlives, N(1), &result) == 0 && result == N(EVENTLET_USER));
    check(eventlet_timeout_pending(outer_one) && eventlet_timeout_cancel(outer_one) == 1);
    traced("not inner inner");
    /* An outer one, which is no with_timeout's, goes through an inner with_timeout, also if both are due at once. */
    outer_one = eventlet_timeout_start(0, 0);
    check(eventlet_try(outer, NULL, NULL) == EVENTLET_TIMEOUT && eventlet_timeout_cancel(outer_one) == 0);
    fails(eventlet_with_timeout(0, sleeps, NULL, NULL), ETIMEDOUT);
    check(eventlet_with_timeout(0, same, N(4), &result) == 0 && result == N(4));
    check(eventlet_with_timeout(-1, sleeps, N(1), &result) == 0 && result == N(1));
    fails(eventlet_with_timeout(0.0 / 0.0, same, NULL, NULL), EINVAL);
    traced("");
}

/* Due, not yet raised: a cancel is in time. */
static void *is_due(void *arg) {
    eventlet_timeout *soon = eventlet_timeout_start(0.001, EDOM), *now = eventlet_timeout_start(0, EIO);
    pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, NULL);
    passes(3);
    eventlet_sleep(0.002); /* the hub has fired them; nothing is raised here */
    check(eventlet_timeout_pending(soon) && !eventlet_timeout_fired(soon) && eventlet_timeout_pending(now));
    check(eventlet_timeout_cancel(soon) == 1 && eventlet_timeout_cancel(now) == 1);
    pthread_setcancelstate(PTHREAD_CANCEL_ENABLE, NULL);
    eventlet_sleep(0.001);
    return arg;
}
static void due(void) {
    check(ended(eventlet_spawn(is_due, NULL)) == 0);
    /* One that only passes is raised at the next wait, even if that need not wait long. */
    eventlet_timeout *timeout = eventlet_timeout_start(0.001, EDOM);
    passes(3);
    check(eventlet_timeout_pending(timeout));
    check(eventlet_try(yields, NULL, NULL) == EDOM && !eventlet_timeout_pending(timeout));
    check(eventlet_timeout_cancel(timeout) == 0);
}

/* A fork child has none of them. */
static void forked(void) {
    eventlet_timeout *soon = eventlet_timeout_start(0.02, 0), *later = eventlet_timeout_start(1000, 0);
    pid_t child = must(fork());
    if (!child) {
        check(eventlet_try(sleeps, N(20), NULL) == 0);
        check(!eventlet_timeout_pending(soon) && !eventlet_timeout_fired(soon));
        check(eventlet_timeout_cancel(soon) == 1 && eventlet_timeout_cancel(later) == 1);
        soon = eventlet_timeout_start(0.001, 0);
        check(eventlet_try(sleeps, NULL, NULL) == EVENTLET_TIMEOUT && eventlet_timeout_cancel(soon) == 0);
        _exit(3);
    }
    check(eventlet_try(sleeps, NULL, NULL) == EVENTLET_TIMEOUT);
    int status;
    check(waitpid(child, &status, 0) == child && WEXITSTATUS(status) == 3);
    check(eventlet_timeout_cancel(soon) == 0 && eventlet_timeout_cancel(later) == 1);
}

static void others(void) {
    check(eventlet_try(raises_through, N(EDOM), NULL) == EDOM);
    check(eventlet_try(raises_through, N(EVENTLET_TIMEOUT), NULL) == EVENTLET_TIMEOUT);
}

static eventlet_timeout *kept;
static void *starts(void *arg) {
    kept = eventlet_timeout_start(0.002, 0);
    return arg;
}

static void taken_along(void) {
    check(ended(eventlet_spawn(starts, NULL)) == 0);
    eventlet_sleep(0.004);
    check(!eventlet_timeout_pending(kept) && !eventlet_timeout_fired(kept));
    check(eventlet_timeout_cancel(kept) == 1);
}

static void many(void) {
    eventlet_timeout *all[1000];
    for (int i = 0; i < 1000; i++) all[i] = eventlet_timeout_start(i % 2 ? 100 : -1, 0);
    for (int i = 0; i < 1000; i++) check(eventlet_timeout_cancel(all[(i * 7) % 1000]) == 1);
}

int main(int argc, char **argv) {
    struct test tests[] = {CASE(raised), CASE(bound), CASE(rows), CASE(cancelled), CASE(with), CASE(others), CASE(nested), CASE(due), CASE(forked), CASE(taken_along), CASE(many)};
    return RUN(argc, argv, tests);
}
