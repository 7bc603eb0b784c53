/* A thread that was woken and is killed before its turn: the code is raised instead of the return from its wait, and what it was
 * woken for goes to the next waiter, or stays where it was. */
#include "capi.h"

#include <poll.h>
#include <sys/epoll.h>
#include <sys/file.h>
#include <sys/select.h>

static eventlet_thread *victim;

/* It waits; it is woken; it is killed. */
static void parks(void *(*waits)(void *), void *arg) {
    victim = eventlet_spawn(waits, arg);
    eventlet_sleep(0);
}
static void dies(void) {
    check(!eventlet_dead(victim) && eventlet_kill(victim, EVENTLET_USER) == 0 && eventlet_dead(victim));
    check(ended(victim) == EVENTLET_USER);
}

/* Eventlet's own waits: who wakes goes on, so the kill comes in between. */
static eventlet_queue *queue;
static void *gets(void *word) {
    void *item;
    if (eventlet_queue_get(queue, &item, -1)) return N(errno);
    note(word);
    return item;
}
static void *puts_(void *item) { return N(eventlet_queue_put(queue, item, -1)); }
static void *joins_queue(void *arg) { return N(eventlet_queue_join(arg, -1)); }

static void queues(void) {
    void *item;
    queue = eventlet_queue_new(1);
    parks(gets, "never");
    eventlet_thread *other = eventlet_spawn(gets, "other");
    eventlet_sleep(0);
    check(eventlet_queue_put(queue, "1", 0) == 0);
    dies();
    check(eventlet_wait(other, &item) == 0 && !strcmp(item, "1"));
    traced("other");
    /* Nobody else waits: it goes back, before what came later. */
    check(eventlet_queue_resize(queue, 2) == 0);
    parks(gets, "never");
    check(eventlet_queue_put(queue, "2", 0) == 0 && eventlet_queue_put(queue, "3", 0) == 0);
    dies();
    check(eventlet_queue_get(queue, &item, 0) == 0 && !strcmp(item, "2"));
    check(eventlet_queue_get(queue, &item, 0) == 0 && !strcmp(item, "3"));
    /* A place that was given to a putter: its item was put. */
    check(eventlet_queue_resize(queue, 1) == 0 && eventlet_queue_put(queue, "4", 0) == 0);
    parks(puts_, "5");
    check(eventlet_queue_get(queue, &item, 0) == 0 && !strcmp(item, "4"));
    dies();
    check(eventlet_queue_get(queue, &item, 0) == 0 && !strcmp(item, "5") && eventlet_queue_empty(queue));
    /* In a channel the item waits for the next getter. */
    check(eventlet_queue_resize(queue, 0) == 0);
    parks(gets, "never");
    check(eventlet_queue_put(queue, "6", 0) == 0);
    dies();
    check(eventlet_queue_get(queue, &item, 0) == 0 && !strcmp(item, "6"));
    eventlet_queue *done = eventlet_queue_new(-1);
    check(eventlet_queue_put(done, "x", 0) == 0);
    parks(joins_queue, done);
    check(eventlet_queue_task_done(done) == 0);
    dies();
}

/* The smallest is the smallest again. */
static int by_first(const void *a, const void *b) { return *(const char *)a - *(const char *)b; }
static void priorities(void) {
    void *item;
    queue = eventlet_priority_queue_new(-1, by_first);
    parks(gets, "never");
    const char *items[] = {"b1", "a1", "b2", "c1", "a2"};
    for (int i = 0; i < 5; i++) check(eventlet_queue_put(queue, (void *)items[i], 0) == 0);
    dies();
    while (eventlet_queue_get(queue, &item, 0) == 0) note(item);
    traced("a1 a2 b1 b2 c1");
    queue = eventlet_lifo_queue_new(-1);
    parks(gets, "never");
    for (int i = 0; i < 3; i++) check(eventlet_queue_put(queue, (void *)items[i], 0) == 0);
    dies();
    while (eventlet_queue_get(queue, &item, 0) == 0) note(item);
    traced("b1 b2 a1");
}

static eventlet_semaphore *semaphore;
static void *takes(void *word) {
    if (eventlet_semaphore_acquire(semaphore, -1)) return N(errno);
    note(word);
    return NULL;
}
static void *waits_event(void *event) { return N(eventlet_event_wait(event, NULL, -1)); }
static void *waits_thread(void *thread) { return N(eventlet_wait(thread, NULL)); }
static eventlet_pool *pool;
static void *spawns(void *word) { return N(eventlet_pool_spawn_n(pool, noted, word)); }
static void *waits_all(void *arg) { return N(eventlet_pool_waitall(arg)); }
static void *naps(void *arg) { eventlet_sleep(0), note("never"); return arg; }
static void *next_of(void *pile) { return N(eventlet_pile_next(pile, NULL)); }

static void others(void) {
    semaphore = eventlet_semaphore_new(0, -1);
    parks(takes, "never");
    eventlet_thread *other = eventlet_spawn(takes, "semaphore");
    eventlet_sleep(0);
    check(eventlet_semaphore_release(semaphore) == 0);
    dies();
    check(ended(other) == 0 && eventlet_semaphore_value(semaphore) == 0);
    traced("semaphore");
    parks(takes, "never");
    check(eventlet_semaphore_release(semaphore) == 0);
    dies();
    check(eventlet_semaphore_value(semaphore) == 1);

    eventlet_event *event = eventlet_event_new();
    parks(waits_event, event);
    check(eventlet_event_send(event, NULL) == 0);
    dies();

    other = eventlet_spawn_after(1000, same, NULL);
    parks(waits_thread, other);
    check(eventlet_cancel(other) == 1);
    dies();

    pool = eventlet_pool_new(0);
    parks(spawns, "never");
    check(eventlet_pool_resize(pool, 1) == 0);
    dies();
    check(eventlet_pool_free(pool) == 1 && eventlet_pool_waitall(pool) == 0);
    eventlet_thread *member = eventlet_pool_spawn(pool, sleeps, NULL);
    parks(waits_all, pool);
    check(eventlet_kill(member, 0) == 0);
    if (!eventlet_dead(victim)) dies();

    parks(naps, NULL); /* it is runnable: sleep(0) */
    dies();
    traced("");

    eventlet_pile *pile = eventlet_pile_new(1);
    eventlet_event *go = eventlet_event_new();
    check(eventlet_pile_spawn(pile, waits_event, go) == 0);
    parks(next_of, pile);
    check(eventlet_event_send(go, NULL) == 0);
    dies();
    /* The result is still the next one. */
    check(eventlet_pile_next(pile, NULL) == 1 && eventlet_pile_next(pile, NULL) == 0);
}

/* Deleted between: whoever is killed then has nothing to give back to. */
static void deleted(void) {
    queue = eventlet_queue_new(-1);
    parks(gets, "never");
    check(eventlet_queue_put(queue, "x", 0) == 0);
    eventlet_queue_delete(queue);
    dies();
    semaphore = eventlet_semaphore_new(0, -1);
    parks(takes, "never");
    check(eventlet_semaphore_release(semaphore) == 0);
    eventlet_semaphore_delete(semaphore);
    dies();
    pool = eventlet_pool_new(0);
    parks(spawns, "never");
    check(eventlet_pool_resize(pool, 1) == 0);
    eventlet_pool_delete(pool);
    dies();
    traced("");
}

/* Deadlines that pass in one go: the first thread kills the second. */
static void *kills(void *arg) {
    eventlet_sleep(0.002);
    check(eventlet_kill(victim, EVENTLET_USER) == 0);
    return arg;
}
static void *times_out(void *arg) {
    eventlet_sleep(0.003);
    note("never");
    return arg;
}
static void due(void) {
    eventlet_hub_exceptions(0);
    eventlet_thread *killer = eventlet_spawn(kills, NULL);
    parks(times_out, NULL);
    for (struct timespec end = from_now(CLOCK_MONOTONIC, 10), now; clock_gettime(CLOCK_MONOTONIC, &now), now.tv_sec * 1000000000 + now.tv_nsec < end.tv_sec * 1000000000 + end.tv_nsec;) {}
    check(ended(killer) == 0 && ended(victim) == EVENTLET_USER);
    traced("");
}

/* Patched calls. Who kills and who is killed are woken in one round, in this order. */
static int start[2];
static void *starts(void *arg) {
    char c;
    check(read(start[0], &c, 1) == 1 && eventlet_kill(victim, EVENTLET_USER) == 0);
    return arg;
}
static void dies_of(void *(*waits)(void *), void *arg, void (*wakes)(void)) {
    eventlet_thread *killer = eventlet_spawn(starts, NULL);
    parks(waits, arg);
    eventlet_sleep(0.002);
    check(write(start[1], "x", 1) == 1);
    wakes();
    check(ended(killer) == 0 && ended(victim) == EVENTLET_USER);
    traced("");
}

static int pair[2], door, dialed;
static char byte;
static void writes(void) { check(write(pair[1], "x", 1) == 1); }
static int is_readable(int fd) { return poll(&(struct pollfd){fd, POLLIN, 0}, 1, 0) == 1; }
static void *reads(void *arg) { if (read(pair[0], &byte, 1) >= 0) note("read"); return arg; }
static void *polls(void *arg) { if (poll(&(struct pollfd){pair[0], POLLIN, 0}, 1, -1) >= 0) note("poll"); return arg; }
static void *selects(void *arg) {
    fd_set set;
    FD_ZERO(&set);
    FD_SET(pair[0], &set);
    if (select(pair[0] + 1, &set, NULL, NULL, NULL) >= 0) note("select");
    return arg;
}
static void *waits_epoll(void *arg) {
    int epoll = must(epoll_create1(0));
    struct epoll_event event = {EPOLLIN, {0}};
    must(epoll_ctl(epoll, EPOLL_CTL_ADD, pair[0], &event));
    if (epoll_wait(epoll, &event, 1, -1) >= 0) note("epoll");
    return arg;
}
static void *accepts(void *arg) { if (accept(door, NULL, NULL) >= 0) note("accept"); return arg; }
static struct sockaddr_in address;
static void dials(void) { dialed = dial(&address); }

static void descriptors(void) {
    eventlet_hub_exceptions(0);
    must(pipe(start)), must(pipe(pair));
    void *(*all[])(void *) = {reads, polls, selects, waits_epoll};
    for (int i = 0; i < 4; i++) {
        dies_of(all[i], NULL, writes);
        check(is_readable(pair[0]) && read(pair[0], &byte, 1) == 1);
    }
    door = listener(5, &address);
    dies_of(accepts, NULL, dials);
    check(is_readable(door) && close(must(accept(door, NULL, NULL))) == 0 && close(dialed) == 0);
}

/* Children and signals stay for who asks next. */
static pid_t child;
static int gate[2];
static sigset_t usr1;
static void *waits_child(void *arg) { if (waitpid(child, NULL, 0) >= 0) note("child"); return arg; }
static void *waits_signal(void *arg) { int sig; if (sigwait(&usr1, &sig) == 0) note("signal"); return arg; }
static void ends_child(void) {
    check(write(gate[1], "x", 1) == 1);
    siginfo_t info = {0};
    while (info.si_pid == 0) must(waitid(P_PID, child, &info, WEXITED | WNOWAIT | WNOHANG));
}
static void sends(void) { must(kill(getpid(), SIGUSR1)); }

static void processes(void) {
    eventlet_hub_exceptions(0);
    must(pipe(start)), must(pipe(gate));
    if (!(child = must(fork()))) _exit(read(gate[0], &byte, 1) == 1 ? 7 : 8);
    dies_of(waits_child, NULL, ends_child);
    int status;
    check(waitpid(child, &status, 0) == child && WEXITSTATUS(status) == 7);
    sigemptyset(&usr1), sigaddset(&usr1, SIGUSR1);
    must(sigprocmask(SIG_BLOCK, &usr1, NULL));
    dies_of(waits_signal, NULL, sends);
    int sig;
    zero(sigwait(&usr1, &sig));
    check(sig == SIGUSR1);
}

/* Threads that meet. */
static pthread_t target;
static void *joins(void *arg) { if (pthread_join(target, NULL) == 0) note("joined"); return arg; }
static void *is_joined(void *arg) {
    char c;
    check(read(gate[0], &c, 1) == 1);
    eventlet_spawn_n((void *(*)(void *))starts, NULL); /* before the joiner, which its end wakes */
    return arg;
}
static pthread_barrier_t barrier;
static void *meets(void *word) {
    int answer = pthread_barrier_wait(&barrier);
    check(answer == 0 || answer == PTHREAD_BARRIER_SERIAL_THREAD);
    note(word);
    return N(answer);
}
static void *kills_late(void *arg) {
    pthread_barrier_wait(&barrier);
    check(eventlet_kill(victim, EVENTLET_USER) == 0);
    return arg;
}
static pthread_once_t once;
static int began;
static void initialises(void) { began++, eventlet_sleep(0.01); }
static void *calls_once(void *arg) { zero(pthread_once(&once, initialises)); return arg; }
static void *calls_once_too(void *arg) { zero(pthread_once(&once, initialises)); note("never"); return arg; }

static void meetings(void) {
    eventlet_hub_exceptions(0);
    must(pipe(start)), must(pipe(gate));
    target = spawn(is_joined, N(3));
    parks(joins, NULL);
    check(write(start[1], "x", 1) == 1 && write(gate[1], "x", 1) == 1);
    check(ended(victim) == EVENTLET_USER);
    traced("");
    check(join(target) == N(3));

    /* A place at a barrier is free again. */
    zero(pthread_barrier_init(&barrier, NULL, 3));
    for (int round = 0; round < 3; round++) {
        eventlet_thread *first = eventlet_spawn(meets, "1"), *second, *third;
        parks(meets, "never");
        dies();
        fails(eventlet_with_timeout(0.001, meets, "never", NULL), ETIMEDOUT);
        second = eventlet_spawn(meets, "2");
        eventlet_sleep(0);
        check(!eventlet_dead(first) && !eventlet_dead(second));
        third = eventlet_spawn(meets, "3");
        void *a, *b, *c;
        check(eventlet_wait(first, &a) == 0 && eventlet_wait(second, &b) == 0 && eventlet_wait(third, &c) == 0);
        check(!!a + !!b + !!c == 1);
        traced("3 1 2");
    }
    /* If all had come, it leaves first. */
    eventlet_thread *first = eventlet_spawn(meets, "1"), *last;
    parks(meets, "never");
    eventlet_sleep(0);
    last = eventlet_spawn(kills_late, NULL);
    check(ended(last) == 0 && ended(first) == 0 && ended(victim) == EVENTLET_USER);
    traced("1");
    zero(pthread_barrier_destroy(&barrier));

    eventlet_thread *initialiser = eventlet_spawn(calls_once, NULL);
    parks(calls_once_too, NULL);
    dies();
    check(ended(initialiser) == 0 && began == 1);
    traced("");
    calls_once(NULL);
}

int main(int argc, char **argv) {
    struct test tests[] = {CASE(queues), CASE(priorities), CASE(others), CASE(deleted), CASE(due), CASE(descriptors), CASE(processes), CASE(meetings)};
    eventlet_hub_exceptions(0);
    return RUN(argc, argv, tests);
}
