/* Calls at every moment of a process: before main, after exit has begun, in handlers of all kinds. */
#include "capi.h"

static void *counts(void *arg) { return ++*(int *)arg, arg; }

/* A bit of everything that waits. 0, or what is wrong. */
static int all_of_it(void) {
    int count = 0;
    void *result = NULL;
    eventlet_thread *thread = eventlet_spawn(counts, &count);
    if (!thread) return errno;
    if (eventlet_wait(thread, &result) || result != &count) return -1;
    eventlet_release(thread);
    eventlet_queue *queue = eventlet_queue_new(1);
    if (eventlet_queue_put(queue, "x", 0) || eventlet_queue_get(queue, &result, 0)) return -2;
    eventlet_queue_delete(queue);
    eventlet_sleep(0.001);
    eventlet_pool *pool = eventlet_pool_new(2);
    for (int i = 0; i < 5; i++)
        if (eventlet_pool_spawn_n(pool, counts, &count)) return -3;
    if (eventlet_pool_waitall(pool)) return -4;
    eventlet_pool_delete(pool);
    return count == 6 ? 0 : -5;
}

static void tells(const char *moment) {
    char line[64];
    int code = all_of_it(), length = snprintf(line, sizeof line, "%s %d\n", moment, code);
    check(write(1, line, length) == length);
}

static int before_main;
__attribute__((constructor)) static void begins(void) { before_main = all_of_it(); }
__attribute__((destructor)) static void ends(void) { tells("destructor"); }
static void at_exit(void) { tells("atexit"); }
static void before_fork(void) { tells("prepare"); }
static void in_parent(void) { tells("parent"); }
static void in_child(void) { tells("child"); }
static void of_key(void *arg) { (void)arg, tells("key"); }
/* EPERM, or its waits open it. */
static void handles(int signal) { int code = all_of_it(); check(signal == SIGUSR1 && (code == 0 || code == EPERM)); }

static pthread_key_t key;
static void *has_value(void *arg) { return zero(pthread_setspecific(key, "x")), arg; }

static void everywhere(void) {
    check(before_main == 0);
    check(atexit(at_exit) == 0);
    check(signal(SIGUSR1, handles) != SIG_ERR);
    must(raise(SIGUSR1));
    zero(pthread_atfork(before_fork, in_parent, in_child));
    pid_t child = must(fork());
    if (!child) tells("main of the child"), _exit(3);
    int status;
    check(must(waitpid(child, &status, 0)) == child && WIFEXITED(status) && WEXITSTATUS(status) == 3);
    zero(pthread_key_create(&key, of_key));
    check(ended(eventlet_spawn(has_value, NULL)) == 0);
    fflush(stdout);
}

static void thread_exits(void) { everywhere(), pthread_exit(NULL); }
static void *exits(void *arg) { exit((intptr_t)arg); }
static void green_exits(void) { everywhere(), ended(eventlet_spawn(exits, N(0))); }

int main(int argc, char **argv) {
    struct test tests[] = {CASE(everywhere), CASE(thread_exits), CASE(green_exits)};
    return RUN(argc, argv, tests);
}
