/* Kills and timeouts in waits for the program's locks, and what a killed thread was woken for. */
#include "capi.h"

#include <semaphore.h>

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_rwlock_t rwlock = PTHREAD_RWLOCK_INITIALIZER;
static pthread_cond_t cond = PTHREAD_COND_INITIALIZER;
static sem_t sem;

static void *locks(void *arg) {
    if (pthread_mutex_lock(&mutex) == 0) note(arg), pthread_mutex_unlock(&mutex);
    return NULL;
}
static void *reads(void *arg) {
    if (pthread_rwlock_rdlock(&rwlock) == 0) note(arg), pthread_rwlock_unlock(&rwlock);
    return NULL;
}
static void *writes(void *arg) {
    if (pthread_rwlock_wrlock(&rwlock) == 0) note(arg), pthread_rwlock_unlock(&rwlock);
    return NULL;
}
static void *times(void *arg) {
    struct timespec end = from_now(CLOCK_REALTIME, 100000);
    if (pthread_mutex_timedlock(&mutex, &end) == 0) note(arg), pthread_mutex_unlock(&mutex);
    return NULL;
}
static void *joins(void *arg) { pthread_join(*(pthread_t *)arg, NULL); return NULL; }

static void *(*const waits[])(void *) = {locks, reads, writes, times};
enum { WAITS = sizeof waits / sizeof *waits };

static void hold(void) {
    zero(pthread_mutex_lock(&mutex));
    zero(pthread_rwlock_wrlock(&rwlock));
}
static void drop(void) {
    zero(pthread_mutex_unlock(&mutex));
    zero(pthread_rwlock_unlock(&rwlock));
}

/* What holds the locks is a thread of its own: their owner is known. */
static void *holder(void *arg) {
    hold();
    eventlet_event_wait(arg, NULL, -1);
    drop();
    return NULL;
}

static void killed(void) {
    eventlet_hub_exceptions(0);
    eventlet_event *end = eventlet_event_new();
    eventlet_thread *owner = eventlet_spawn(holder, end);
    eventlet_sleep(0);
    for (int i = 0; i < WAITS; i++) {
        eventlet_thread *victim = eventlet_spawn(waits[i], "victim"), *other = eventlet_spawn(waits[i], "other");
        eventlet_sleep(0);
        check(eventlet_kill(victim, EVENTLET_USER) == 0);
        check(ended(victim) == EVENTLET_USER && !eventlet_dead(other));
        check(eventlet_kill(other, 0) == 0 && ended(other) == EVENTLET_EXIT);
    }
    check(eventlet_event_send(end, NULL) == 0 && ended(owner) == 0);
    hold(), drop();
    traced("");
}

static void timed(void) {
    eventlet_event *end = eventlet_event_new();
    eventlet_thread *owner = eventlet_spawn(holder, end);
    eventlet_sleep(0);
    for (int i = 0; i < WAITS; i++) fails(eventlet_with_timeout(0.002, waits[i], "late", NULL), ETIMEDOUT);
    pthread_t never = spawn(sleeps, N(2000));
    fails(eventlet_with_timeout(0.002, joins, &never, NULL), ETIMEDOUT);
    pthread_detach(never);
    check(eventlet_event_send(end, NULL) == 0 && ended(owner) == 0);
    traced("");
}

/* Never while cancellation is disabled. */
static void *disabled(void *arg) {
    int before;
    pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &before);
    locks(arg);
    pthread_setcancelstate(before, NULL);
    eventlet_sleep(0);
    note("never");
    return NULL;
}

static void respects(void) {
    eventlet_hub_exceptions(0);
    eventlet_event *end = eventlet_event_new();
    eventlet_thread *owner = eventlet_spawn(holder, end), *victim;
    eventlet_sleep(0);
    victim = eventlet_spawn(disabled, "locked");
    eventlet_sleep(0);
    check(eventlet_kill(victim, EVENTLET_USER) == 0 && !eventlet_dead(victim));
    check(eventlet_event_send(end, NULL) == 0 && ended(owner) == 0 && ended(victim) == EVENTLET_USER);
    traced("locked");
}

/* Nor in a lock that is libc's own: a stream's. */
static void *prints(void *arg) {
    fputs("never seen", arg);
    note("printed");
    eventlet_sleep(0);
    note("never");
    return NULL;
}
static void *holds_stream(void *stream) {
    flockfile(stream);
    eventlet_sleep(0.005);
    note("unlocks");
    funlockfile(stream);
    return NULL;
}
static void streams(void) {
    eventlet_hub_exceptions(0);
    char text[64];
    FILE *stream = fmemopen(text, sizeof text, "w");
    eventlet_thread *owner = eventlet_spawn(holds_stream, stream), *victim = eventlet_spawn(prints, stream);
    eventlet_sleep(0);
    check(eventlet_kill(victim, EVENTLET_USER) == 0 && !eventlet_dead(victim));
    check(ended(victim) == EVENTLET_USER && ended(owner) == 0);
    traced("unlocks printed");
    fclose(stream);
}

/* Woken, but killed before its turn: what it was woken for goes to the next. */
static void *receives(void *arg) {
    char c;
    if (recv((int)(intptr_t)arg, &c, 1, 0) == 1) note("got");
    return NULL;
}
static void *posts(void *arg) {
    (void)arg;
    if (sem_wait(&sem) == 0) note("posted");
    return NULL;
}
static void *signalled(void *arg) {
    pthread_mutex_lock(&mutex);
    pthread_cleanup_push((void (*)(void *))pthread_mutex_unlock, &mutex);
    pthread_cond_wait(&cond, &mutex);
    note(arg);
    pthread_cleanup_pop(1);
    return NULL;
}

static void woken(void) {
    eventlet_hub_exceptions(0);
    zero(sem_init(&sem, 0, 0));
    zero(pthread_mutex_lock(&mutex));
    eventlet_thread *a = eventlet_spawn(locks, "a"), *b = eventlet_spawn(locks, "b");
    eventlet_sleep(0);
    zero(pthread_mutex_unlock(&mutex));
    check(eventlet_kill(a, EVENTLET_USER) == 0 && ended(a) == EVENTLET_USER && ended(b) == 0);
    traced("b");

    a = eventlet_spawn(posts, NULL), b = eventlet_spawn(posts, NULL);
    eventlet_sleep(0);
    sem_post(&sem);
    check(eventlet_kill(a, EVENTLET_USER) == 0 && ended(a) == EVENTLET_USER && ended(b) == 0);
    traced("posted");

    a = eventlet_spawn(signalled, "a"), b = eventlet_spawn(signalled, "b");
    eventlet_sleep(0);
    zero(pthread_cond_signal(&cond));
    check(eventlet_kill(a, EVENTLET_USER) == 0 && ended(a) == EVENTLET_USER && ended(b) == 0);
    traced("b");

    int pair[2];
    must(socketpair(AF_UNIX, SOCK_STREAM, 0, pair));
    a = eventlet_spawn(receives, N(pair[0])), b = eventlet_spawn(receives, N(pair[0]));
    eventlet_sleep(0.002);
    check(write(pair[1], "x", 1) == 1);
    check(eventlet_kill(a, EVENTLET_USER) == 0 && ended(a) == EVENTLET_USER && ended(b) == 0);
    traced("got");
}

int main(int argc, char **argv) {
    struct test tests[] = {CASE(killed), CASE(timed), CASE(respects), CASE(streams), CASE(woken)};
    return RUN(argc, argv, tests);
}
