/* Raises where another one is on its way, and at the edges of a thread and of the process. */
#include "capi.h"

#include <sys/wait.h>

static void sleeps_long(void *arg) {
    note("in");
    eventlet_sleep(arg ? 0.003 : 0.001);
    note("out");
}

static void *cleaned(void *arg) {
    pthread_cleanup_push(sleeps_long, arg);
    eventlet_sleep(-1);
    pthread_cleanup_pop(0);
    return arg;
}

/* A handler may wait, and is left alone meanwhile; what is due comes afterwards. */
static void *cleaned_then_sleeps(void *arg) {
    check(eventlet_try(cleaned, arg, NULL) == EVENTLET_USER + 1);
    note("caught");
    eventlet_sleep(-1);
    return arg;
}

static void waits(void) {
    eventlet_thread *thread = eventlet_spawn(cleaned, NULL);
    eventlet_sleep(0);
    check(eventlet_kill(thread, 0) == 0 && eventlet_kill(thread, 0) == 0);
    check(ended(thread) == EVENTLET_EXIT);
    traced("in out");
    eventlet_timeout *first = eventlet_timeout_start(0.001, EVENTLET_USER + 1), *second = eventlet_timeout_start(0.002, EVENTLET_USER + 2);
    check(eventlet_try(cleaned_then_sleeps, "long", NULL) == EVENTLET_USER + 2);
    traced("in out caught");
    check(eventlet_timeout_fired(first) && eventlet_timeout_fired(second));
    check(eventlet_timeout_cancel(first) == 0 && eventlet_timeout_cancel(second) == 0);
}

/* A handler that raises, or exits: what it raises takes the place of what was on its way, and it is not called again. */
static void raises_too(void *code) {
    note("raises");
    eventlet_raise((int)(intptr_t)code);
}
static void exits(void *arg) {
    note("exits");
    pthread_exit(arg);
}
static void outer(void *arg) { (void)arg, note("outer"); }

static void *two_handlers(void *arg) {
    pthread_cleanup_push(outer, NULL);
    if (arg) {
        pthread_cleanup_push(raises_too, arg);
        eventlet_raise(EVENTLET_USER);
        pthread_cleanup_pop(0);
    } else {
        pthread_cleanup_push(exits, N(5));
        eventlet_raise(EVENTLET_USER);
        pthread_cleanup_pop(0);
    }
    pthread_cleanup_pop(0);
    return arg;
}

static void *tries(void *arg) {
    eventlet_try(two_handlers, arg, NULL);
    note("never");
    return arg;
}

static void replaced(void) {
    check(eventlet_try(two_handlers, N(EVENTLET_USER + 7), NULL) == EVENTLET_USER + 7);
    traced("raises outer");
    void *result;
    eventlet_thread *thread = eventlet_spawn(tries, NULL);
    check(eventlet_wait(thread, &result) == 0 && result == N(5));
    eventlet_release(thread);
    traced("exits outer");
}

/* Timeouts that a link or a destructor starts go with their thread; those who come after it on its stack are not raised in. */
static pthread_key_t key;
static void starts_timeout(void *arg) { (void)arg, check(eventlet_timeout_start(0.001, EVENTLET_USER) != NULL); }
static void links_start(eventlet_thread *thread, void *arg) { (void)thread, starts_timeout(arg); }
static void *with_key(void *arg) {
    zero(pthread_setspecific(key, "value"));
    return arg;
}

static void late(void) {
    zero(pthread_key_create(&key, starts_timeout));
    for (int round = 0; round < 20; round++) {
        eventlet_thread *one = eventlet_spawn(round % 2 ? with_key : same, NULL);
        if (round % 2 == 0) check(eventlet_link(one, links_start, NULL) == 0);
        check(ended(one) == 0);
        eventlet_thread *next = eventlet_spawn(sleeps, N(1));
        check(ended(next) == 0);
    }
    zero(pthread_key_delete(key));
}

/* A raise in a destructor is nobody's to catch. */
static void raises_in(void *code) { eventlet_raise((int)(intptr_t)code); }
static void *with_raising_key(void *arg) {
    zero(pthread_setspecific(key, arg));
    return arg;
}

static void in_destructor(void) {
    zero(pthread_key_create(&key, raises_in));
    eventlet_thread *thread = eventlet_spawn(with_raising_key, N(EVENTLET_USER));
    void *result;
    check(eventlet_wait(thread, &result) == 0 && result == N(EVENTLET_USER));
    eventlet_release(thread);
}

/* A cancellation waits as well: it acts when what is on its way was caught. */
static void *cancelled_too(void *arg) {
    int code = eventlet_try(cleaned, arg, NULL);
    note(code == EVENTLET_USER ? "caught" : "what?");
    eventlet_sleep(-1);
    return arg;
}
static void *raises_later(void *thread) {
    eventlet_sleep(0.002);
    return N(pthread_cancel(*(pthread_t *)thread));
}
static void *is_raised_in(void *arg) {
    pthread_t self = pthread_self();
    check(eventlet_spawn_n(raises_later, &self) == 0);
    check(eventlet_timeout_start(0.001, EVENTLET_USER) != NULL);
    return cancelled_too(arg);
}
static void cancels(void) {
    check(join(spawn(is_raised_in, "long")) == PTHREAD_CANCELED);
    traced("in out caught");
}

/* libc's system() blocks SIGCHLD for its time. */
static void *shells(void *command) { return N(system(command)); }
static void masks(void) {
    sigset_t set;
    check(eventlet_with_timeout(0.01, shells, "exec sleep 20", NULL) == -1 && errno == ETIMEDOUT);
    zero(pthread_sigmask(SIG_SETMASK, NULL, &set));
    check(!sigismember(&set, SIGCHLD) && wait(NULL) == -1 && errno == ECHILD);
}

/* Outside of main there is nobody who catches. */
static void raises_at_exit(void) { eventlet_raise(EIO); }
static void after_main(void) { check(atexit(raises_at_exit) == 0); }
static void waits_at_exit(void) {
    eventlet_timeout_start(0.001, EIO);
    eventlet_sleep(-1);
}
static void late_after_main(void) { check(atexit(waits_at_exit) == 0); }
__attribute__((constructor)) static void before_main(void) {
    if (getenv("BEFORE_MAIN")) waits_at_exit();
}

int main(int argc, char **argv) {
    struct test tests[] = {CASE(waits), CASE(replaced), CASE(late), CASE(in_destructor), CASE(masks), CASE(cancels), CASE(after_main), CASE(late_after_main)};
    return RUN(argc, argv, tests);
}
