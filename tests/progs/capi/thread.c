/* Green threads. */
#include "capi.h"

static void order(void) {
    eventlet_thread *a = eventlet_spawn(noted, "a"), *b = eventlet_spawn(noted, "b");
    check(eventlet_spawn_n(noted, "c") == 0);
    traced("");
    void *result = NULL;
    check(!eventlet_dead(a) && eventlet_wait(b, &result) == 0 && !strcmp(result, "b"));
    check(eventlet_dead(a));
    eventlet_sleep(0);
    traced("a b c");
    check(eventlet_wait(b, NULL) == 0 && eventlet_wait(a, NULL) == 0);
    eventlet_release(a);
    eventlet_release(b);
    null(eventlet_spawn(NULL, NULL), EINVAL);
    fails(eventlet_spawn_n(NULL, NULL), EINVAL);
}

static void *awaits(void *arg) {
    void *result;
    check(eventlet_wait(arg, &result) == 0);
    return result;
}

static void waiters(void) {
    eventlet_thread *one = eventlet_spawn(sleeps, N(1)), *all[10];
    for (int i = 0; i < 10; i++) all[i] = eventlet_spawn(awaits, one);
    for (int i = 0; i < 10; i++) {
        void *result = NULL;
        check(eventlet_wait(all[i], &result) == 0 && result == N(1));
        eventlet_release(all[i]);
    }
    eventlet_release(one);
    fails(eventlet_wait(eventlet_getcurrent(), NULL), EDEADLK);
    fails(eventlet_wait(NULL, NULL), EINVAL);
}

static void *local(void *arg) {
    *(eventlet_thread **)arg = eventlet_spawn_after_local(0.05, noted, "local");
    eventlet_release(eventlet_spawn_after(0.002, noted, "global"));
    return NULL;
}

static void *far(void *arg) {
    *(eventlet_thread **)arg = eventlet_spawn_after_local(1000, noted, "local");
    eventlet_sleep(arg ? 0.002 : 0);
    return NULL;
}
static void *killed_far(void *arg) { return far(arg), sleeps(NULL); }
static void *waits_event(void *event) { return N(eventlet_event_wait(event, NULL, -1)); }
static eventlet_event *go;
static void *begun(void *arg) {
    eventlet_thread *child = eventlet_spawn_after_local(0, waits_event, go);
    *(eventlet_thread **)arg = child;
    eventlet_sleep(0);
    return NULL;
}

static void said(eventlet_thread *thread, void *word) { check(eventlet_dead(thread)), note(word); }

/* A spawner's end is that of its local threads, however it ends and however far they are; those that have begun go on. */
static void local_ends(void) {
    eventlet_thread *child;
    void *(*const spawners[])(void *) = {far, killed_far};
    for (int i = 0; i < 2; i++) {
        eventlet_thread *spawner = eventlet_spawn(spawners[i], &child);
        eventlet_sleep(0);
        check(!eventlet_dead(child) && eventlet_link(child, said, "link") == 0);
        if (i) check(eventlet_kill(spawner, 0) == 0);
        check(ended(spawner) == (i ? EVENTLET_EXIT : 0) && eventlet_dead(child) && ended(child) == EVENTLET_EXIT);
        traced("link");
    }
    go = eventlet_event_new();
    check(ended(eventlet_spawn(begun, &child)) == 0 && !eventlet_dead(child));
    check(eventlet_event_send(go, NULL) == 0 && ended(child) == 0);
    child = eventlet_spawn_after_local(1000, noted, "never");
    check(eventlet_cancel(child) == 1 && ended(child) == EVENTLET_EXIT);
    traced("");
}

static void after(void) {
    eventlet_thread *late = eventlet_spawn_after(100, noted, "late"), *soon = eventlet_spawn_after(-1, noted, "soon"), *child;
    check(ended(soon) == 0 && !eventlet_dead(late));
    check(eventlet_cancel(late) == 1 && ended(late) == EVENTLET_EXIT);
    traced("soon");
    check(ended(eventlet_spawn_after(0.002, noted, "after")) == 0);
    traced("after");
    check(ended(eventlet_spawn(local, &child)) == 0);
    check(ended(child) == EVENTLET_EXIT);
    while (!trace[0]) eventlet_sleep(0.001);
    eventlet_sleep(0.06);
    traced("global");
    check(ended(eventlet_spawn_after_local(0.001, noted, "mine")) == 0);
    traced("mine");
    null(eventlet_spawn_after(0.0 / 0.0, same, NULL), EINVAL);
}

static void linked(eventlet_thread *thread, void *word) {
    void *result;
    check(eventlet_dead(thread));
    check(eventlet_wait(thread, &result) == 0 || errno >= EVENTLET_EXIT);
    note(word);
}

static void cancelled(void) {
    eventlet_thread *thread = eventlet_spawn(noted, "ran");
    check(eventlet_link(thread, linked, "link") == 0);
    check(eventlet_cancel(thread) == 1 && eventlet_dead(thread));
    traced("link");
    check(eventlet_cancel(thread) == 0);
    check(ended(thread) == EVENTLET_EXIT);
    thread = eventlet_spawn_after(100, noted, "ran");
    check(eventlet_cancel(thread) == 1 && ended(thread) == EVENTLET_EXIT);
    thread = eventlet_spawn(sleeps, N(1));
    eventlet_sleep(0);
    check(eventlet_cancel(thread) == 0 && ended(thread) == 0);
    traced("");
    fails(eventlet_cancel(NULL), EINVAL);
}

static eventlet_thread *killer;
static void in_killer(eventlet_thread *thread, void *word) {
    check(eventlet_dead(thread) && eventlet_getcurrent() == killer);
    note(word);
}

static void *victim(void *arg) {
    check(eventlet_try(sleeps, NULL, NULL) == EVENTLET_EXIT);
    note("except");
    return arg;
}

static void *kills_itself(void *arg) {
    eventlet_kill(eventlet_getcurrent(), EVENTLET_USER + 3);
    note("never");
    return arg;
}

static void killed(void) {
    eventlet_thread *thread = eventlet_spawn(noted, "ran");
    killer = eventlet_getcurrent();
    check(eventlet_link(thread, in_killer, "link") == 0);
    check(eventlet_kill(thread, EVENTLET_USER) == 0);
    traced("link");
    check(eventlet_kill(thread, 0) == 0 && ended(thread) == EVENTLET_USER);

    thread = eventlet_spawn_after(1000, noted, "ran");
    eventlet_sleep(0);
    check(eventlet_kill(thread, EDOM) == 0 && eventlet_dead(thread) && ended(thread) == EDOM);
    thread = eventlet_spawn(victim, N(4));
    eventlet_sleep(0);
    eventlet_spawn_n(noted, "other");
    check(eventlet_kill(thread, 0) == 0);
    traced("except other");
    check(ended(thread) == 0);

    thread = eventlet_spawn(sleeps, NULL);
    eventlet_sleep(0);
    check(eventlet_kill(thread, 0) == 0 && eventlet_dead(thread) && eventlet_kill(thread, 0) == 0);
    check(ended(thread) == EVENTLET_EXIT);
    eventlet_hub_exceptions(0);
    check(ended(eventlet_spawn(kills_itself, NULL)) == EVENTLET_USER + 3);
    check(eventlet_try(kills_itself, NULL, NULL) == EVENTLET_USER + 3);
    traced("");
    fails(eventlet_kill(NULL, 0), EINVAL);
    fails(eventlet_kill(eventlet_getcurrent(), -1), EINVAL);
}

static void links_more(eventlet_thread *thread, void *word) {
    note(word);
    eventlet_link(thread, linked, "last");
}

static void raising_link(eventlet_thread *thread, void *word) {
    (void)thread;
    note(word);
    eventlet_raise(EIO);
}

static void adds(eventlet_thread *thread, void *word) {
    eventlet_link(thread, said, "added");
    check(eventlet_unlink(thread, said, "not there") == 0);
    note(word);
}

static void naps_in_link(eventlet_thread *thread, void *word) {
    (void)thread;
    note(word);
    eventlet_sleep(0.002);
    note(word);
}

/* One that a link adds is called last, also when it was the last itself, and when all is called late. */
static void *raises_in_link(void *thread) {
    eventlet_link(thread, raising_link, "raised");
    note("never");
    return NULL;
}
static void more_links(void) {
    eventlet_thread *thread = eventlet_spawn(same, NULL);
    eventlet_link(thread, adds, "adds");
    check(eventlet_wait(thread, NULL) == 0);
    eventlet_sleep(0);
    traced("adds added");
    eventlet_link(thread, adds, "late");
    traced("late added");
    eventlet_release(thread);
    /* While a link waits, another one from elsewhere waits its turn. */
    thread = eventlet_spawn(same, NULL);
    eventlet_link(thread, naps_in_link, "nap");
    check(eventlet_wait(thread, NULL) == 0);
    eventlet_sleep(0);
    eventlet_link(thread, said, "next");
    traced("nap");
    eventlet_sleep(0.01);
    traced("nap next");
    /* What is raised in one that is called at once is the caller's. */
    eventlet_hub_exceptions(0);
    check(eventlet_try(raises_in_link, thread, NULL) == EIO);
    eventlet_link(thread, said, "after");
    traced("raised after");
    eventlet_release(thread);
}

static void links(void) {
    eventlet_hub_exceptions(0);
    eventlet_thread *thread = eventlet_spawn(noted, "run");
    eventlet_link(thread, links_more, "1");
    eventlet_link(thread, raising_link, "2");
    eventlet_link(thread, linked, "3");
    eventlet_link(thread, linked, "gone");
    check(eventlet_unlink(thread, linked, "gone") == 1 || !"the same literal");
    check(eventlet_unlink(thread, linked, N(1)) == 0);
    check(eventlet_wait(thread, NULL) == 0);
    eventlet_sleep(0);
    traced("run 1 2 3 last");
    eventlet_link(thread, linked, "at once");
    traced("at once");
    fails(eventlet_link(NULL, linked, NULL), EINVAL);
    fails(eventlet_link(thread, NULL, NULL), EINVAL);
    eventlet_release(thread);
    check(eventlet_dead(NULL) == 0);
    eventlet_release(NULL);
}

static void *itself(void *arg) {
    return eventlet_getcurrent() == *(eventlet_thread **)arg ? N(1) : NULL;
}

static void in_dying(eventlet_thread *thread, void *place) {
    void *result;
    check(eventlet_getcurrent() == thread && eventlet_dead(thread));
    *(int *)place = eventlet_wait(thread, &result) ? errno : (int)(intptr_t)result;
}

static void current(void) {
    eventlet_thread *thread, *mine = eventlet_getcurrent();
    check(mine && mine == eventlet_getcurrent() && !eventlet_dead(mine));
    thread = eventlet_spawn(itself, &thread);
    void *result = NULL;
    check(eventlet_wait(thread, &result) == 0 && result == N(1));
    eventlet_release(thread);
    /* A link runs in the thread that ends, however it ends, and knows how. */
    eventlet_hub_exceptions(0);
    void *(*const ways[])(void *) = {same, raises, sleeps};
    const int expected[] = {EDOM, EDOM, EVENTLET_EXIT};
    for (int i = 0; i < 3; i++) {
        int told = 0;
        thread = eventlet_spawn(ways[i], i < 2 ? N(EDOM) : NULL);
        check(eventlet_link(thread, in_dying, &told) == 0);
        eventlet_sleep(0);
        if (i == 2) check(eventlet_kill(thread, 0) == 0);
        eventlet_wait(thread, NULL);
        eventlet_sleep(0);
        check(told == expected[i]);
        eventlet_release(thread);
    }
}

/* A sleep of 0 lets go first who can run, and whom the hub finds ready then: by input, by a deadline. */
static void *receives(void *fd) {
    char c;
    check(recv((int)(intptr_t)fd, &c, 1, 0) == 1);
    note("input");
    return NULL;
}
static void *naps(void *arg) { return eventlet_sleep(0.001), note("deadline"), arg; }
static void first(void) {
    int door = eventlet_listen("127.0.0.1:0", NULL);
    struct sockaddr_in name;
    socklen_t length = sizeof name;
    must(getsockname(door, (struct sockaddr *)&name, &length));
    char address[64];
    snprintf(address, sizeof address, "127.0.0.1:%d", ntohs(name.sin_port));
    int near = must(eventlet_connect(address, NULL)), far = must(accept(door, NULL, NULL));
    eventlet_thread *reader = eventlet_spawn(receives, N(far)), *napper = eventlet_spawn(naps, NULL);
    eventlet_sleep(0);
    for (struct timespec end = from_now(CLOCK_MONOTONIC, 3), now; clock_gettime(CLOCK_MONOTONIC, &now), now.tv_sec * 1000000000 + now.tv_nsec < end.tv_sec * 1000000000 + end.tv_nsec;) {}
    check(write(near, "x", 1) == 1);
    eventlet_spawn_n(noted, "runnable");
    eventlet_sleep(0);
    traced("runnable input deadline");
    check(ended(reader) == 0 && ended(napper) == 0);
}

static void *counts(void *arg) {
    for (int i = 0; i < 100; i++) {
        ++*(long *)arg;
        eventlet_sleep(0);
    }
    return NULL;
}

static void many(void) {
    long count = 0;
    for (int i = 0; i < 1000; i++) check(eventlet_spawn_n(counts, &count) == 0);
    while (count < 100000) eventlet_sleep(0.001);
    eventlet_thread *all[1000];
    for (int round = 0; round < 20; round++) {
        for (int i = 0; i < 1000; i++) check(all[i] = eventlet_spawn(same, N(i)));
        for (int i = 0; i < 1000; i++) check(ended(all[i]) == 0);
    }
}

/* Nobody takes the hub from a thread that does not wait. */
static volatile int others;
static void *other(void *arg) {
    others++;
    return arg;
}

static void *hogs(void *arg) {
    eventlet_spawn_n(other, NULL);
    struct timespec end = from_now(CLOCK_MONOTONIC, 60), now;
    do clock_gettime(CLOCK_MONOTONIC, &now);
    while (now.tv_sec < end.tv_sec || (now.tv_sec == end.tv_sec && now.tv_nsec < end.tv_nsec));
    check(others == 0);
    return arg;
}

static void cooperative(void) {
    check(ended(eventlet_spawn(hogs, NULL)) == 0);
    eventlet_sleep(0);
    check(others == 1);
}

static void *forks(void *arg) {
    pid_t child = fork();
    if (child == 0) {
        void *result;
        check(eventlet_wait(eventlet_spawn(same, N(3)), &result) == 0 && result == N(3));
        _exit(4);
    }
    int status;
    check(waitpid(child, &status, 0) == child && WEXITSTATUS(status) == 4);
    return arg;
}

/* How a child ends that a thread made: as if the thread were its main. */
static void *in_child(void *arg) {
    if (arg == N(1)) eventlet_raise(EVENTLET_USER);
    if (arg == N(2)) check(eventlet_try(raises, N(EIO), NULL) == EIO);
    if (arg == N(3)) pthread_exit(N(4));
    if (arg == N(4)) check(ended(eventlet_spawn(same, N(5))) == 0);
    return N(6);
}
static void *forks_in_try(void *arg) {
    pid_t pid = fork();
    if (!pid) eventlet_raise((int)(intptr_t)arg);
    return N(pid);
}
static void *makes_child(void *way) {
    int status;
    if (way == N(5)) {
        void *pid = NULL;
        pid_t self = getpid();
        int caught = eventlet_try(forks_in_try, N(EDOM), &pid);
        if (getpid() != self) _exit(caught == EDOM ? 9 : 10);
        check(!caught && waitpid((intptr_t)pid, &status, 0) == (intptr_t)pid);
        return N(WEXITSTATUS(status));
    }
    pid_t pid = fork();
    if (!pid) return in_child(way);
    check(waitpid(pid, &status, 0) == pid && WIFEXITED(status));
    return N(WEXITSTATUS(status));
}
static void *waits_for(void *thread) { return ended(thread), thread; }
static void child_ends(void) {
    const intptr_t expected[] = {0, 1, 0, 0, 0, 9};
    eventlet_hub_exceptions(0);
    for (intptr_t way = 0; way < 6; way++) {
        void *result;
        eventlet_thread *thread = eventlet_spawn(makes_child, N(way));
        eventlet_thread *waiter = eventlet_spawn(waits_for, thread);
        check(eventlet_wait(thread, &result) == 0 && result == N(expected[way]));
        eventlet_kill(waiter, EVENTLET_EXIT);
        pthread_t plain; /* A green one, if threads are patched; else a real one, which can try nothing here. */
        if (way == 5 && !(eventlet_patched() & EVENTLET_THREAD)) continue;
        zero(pthread_create(&plain, NULL, makes_child, N(way)));
        zero(pthread_join(plain, &result));
        check(result == N(expected[way]));
    }
}

static void forked(void) {
    eventlet_thread *other = eventlet_spawn(sleeps, N(2));
    check(ended(eventlet_spawn(forks, NULL)) == 0);
    forks(NULL);
    check(ended(other) == 0);
}

/* They go with their spawner at its end, before its links run. */
static void sleeps_in_link(eventlet_thread *thread, void *arg) { (void)thread, (void)arg, eventlet_sleep(0.003); }
static eventlet_thread *local_one;
static void *spawns_local(void *arg) {
    local_one = eventlet_spawn_after_local(0.001, noted, "never");
    check(eventlet_link(eventlet_getcurrent(), sleeps_in_link, NULL) == 0);
    return arg;
}
static void local_and_links(void) {
    check(ended(eventlet_spawn(spawns_local, NULL)) == 0 && ended(local_one) == EVENTLET_EXIT);
    traced("");
}

int main(int argc, char **argv) {
    struct test tests[] = {CASE(order), CASE(waiters), CASE(after), CASE(cancelled), CASE(killed), CASE(links), CASE(current),
                           CASE(local_ends), CASE(local_and_links), CASE(more_links), CASE(first),
                           CASE(many), CASE(cooperative), CASE(forked), CASE(child_ends)};
    return RUN(argc, argv, tests);
}
