/* Cancellation beside the points: the asynchronous type, threads that have not begun, what cleanups may do. */
#include "../prog.h"
#include <dirent.h>
#include <semaphore.h>

static sem_t begun, never;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_key_t key;
static pthread_once_t control = PTHREAD_ONCE_INIT;
static volatile int spins;

static void say(void *what) { puts(what); }
static void say_end(void *thread) { puts(join(*(pthread_t *)thread) == PTHREAD_CANCELED ? "cancelled" : "went on"); }
static void result_of(pthread_t thread) { say_end(&thread); }

static void asynchronous(void) {
    int old;
    zero(pthread_setcanceltype(PTHREAD_CANCEL_ASYNCHRONOUS, &old));
    printf("was deferred %d\n", old == PTHREAD_CANCEL_DEFERRED);
}

static void *compute(void *arg) {
    pthread_cleanup_push(say, "cleanup");
    asynchronous();
    must(sem_post(&begun));
    for (;;) spins++;
    pthread_cleanup_pop(0);
    return arg;
}

/* pthread_setcanceltype, asynchronous: a loop without any call is left. */
static void computing(void) {
    pthread_t thread = spawn(compute, NULL);
    must(sem_wait(&begun));
    zero(pthread_cancel(thread));
    result_of(thread);
}

static void *lock_it(void *arg) {
    pthread_cleanup_push(say, "cleanup");
    asynchronous();
    must(sem_post(&begun));
    zero(pthread_mutex_lock(&lock));
    pthread_cleanup_pop(0);
    return arg;
}

/* So is a wait that is no point; the mutex and its other waiters are none the worse. */
static void *lock_too(void *arg) {
    must(sem_post(&begun));
    zero(pthread_mutex_lock(&lock));
    puts("the next one has it");
    zero(pthread_mutex_unlock(&lock));
    return arg;
}

static void locking(void) {
    zero(pthread_mutex_lock(&lock));
    pthread_t first = spawn(lock_it, NULL);
    must(sem_wait(&begun)), breathe();
    pthread_t second = spawn(lock_too, NULL);
    must(sem_wait(&begun)), breathe();
    zero(pthread_cancel(first));
    result_of(first);
    zero(pthread_mutex_unlock(&lock));
    join(second);
}

static void *type_later(void *arg) {
    zero(pthread_cancel(pthread_self()));
    puts("deferred");
    zero(pthread_setcanceltype(PTHREAD_CANCEL_ASYNCHRONOUS, NULL));
    return arg;
}

static void *state_later(void *arg) {
    zero(pthread_setcanceltype(PTHREAD_CANCEL_ASYNCHRONOUS, NULL));
    zero(pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, NULL));
    zero(pthread_cancel(pthread_self()));
    puts("disabled");
    zero(pthread_setcancelstate(PTHREAD_CANCEL_ENABLE, NULL));
    puts("not reached");
    return arg;
}

static void *at_once(void *arg) {
    zero(pthread_setcanceltype(PTHREAD_CANCEL_ASYNCHRONOUS, NULL));
    puts("asynchronous");
    zero(pthread_cancel(pthread_self()));
    return arg;
}

/* Who is asynchronous, enabled and cancelled goes at once, whichever came last. */
static void whichever_last(void) {
    result_of(spawn(type_later, NULL));
    join(spawn(state_later, NULL)); /* glibc 2.36 forgets to say PTHREAD_CANCELED here */
    result_of(spawn(at_once, NULL));
}

static void *ready(void *arg) {
    puts("begins");
    while (!spins) sched_yield();
    pthread_testcancel();
    return arg;
}

/* One that has not begun begins, and acts at its first point. */
static void not_begun(void) {
    pthread_t thread = spawn(ready, NULL);
    zero(pthread_cancel(thread));
    spins = 1;
    result_of(thread);
}

static void *helper(void *arg) {
    breathe();
    must(sem_post(arg));
    return arg;
}

static void wait_in_cleanup(void *what) {
    pthread_t thread = spawn(helper, &never);
    usleep(1000);
    must(sem_wait(&never));
    zero(pthread_setcancelstate(PTHREAD_CANCEL_ENABLE, NULL));
    pthread_testcancel();
    join(thread);
    puts(what);
}

static void *wait_for_it(void *arg) {
    pthread_cleanup_push(wait_in_cleanup, "first");
    pthread_cleanup_push(wait_in_cleanup, "second");
    must(sem_post(&begun));
    must(sem_wait(&never));
    pthread_cleanup_pop(1);
    pthread_cleanup_pop(1);
    return arg;
}

/* Cleanups run last in first out, may wait at every point, and are not cancelled again; then the keys. */
static void *open_and_wait(void *arg) {
    pthread_cleanup_push(wait_in_cleanup, "after open");
    zero(pthread_cancel(pthread_self()));
    must(open("/dev/null", O_RDONLY)); /* libc acts on it by itself */
    pthread_cleanup_pop(0);
    return arg;
}

static void cleanups_wait(void) {
    zero(pthread_key_create(&key, say));
    pthread_t thread = spawn(wait_for_it, NULL);
    must(sem_wait(&begun)), breathe();
    zero(pthread_cancel(thread));
    zero(pthread_cancel(thread));
    result_of(thread);
    result_of(spawn(open_and_wait, NULL));
}

static void *exit_then(void *arg) {
    pthread_cleanup_push(wait_in_cleanup, "cleanup");
    zero(pthread_cancel(pthread_self()));
    pthread_exit("exited");
    pthread_cleanup_pop(0);
    return arg;
}

/* pthread_exit with a cancellation pending: the cleanup is not cancelled, the result stays. */
static void exiting(void) { puts(join(spawn(exit_then, NULL))); }

static void wait_in_destructor(void *what) {
    usleep(1000);
    puts(what);
}

static void *with_key(void *arg) {
    zero(pthread_setspecific(key, "key"));
    must(sem_post(&begun));
    must(sem_wait(&never));
    return arg;
}

static void keys_after(void) {
    zero(pthread_key_create(&key, wait_in_destructor));
    pthread_t thread = spawn(with_key, NULL);
    must(sem_wait(&begun)), breathe();
    zero(pthread_cancel(thread));
    result_of(thread);
}

static void initialise(void) {
    must(sem_post(&begun));
    must(sem_wait(&never));
}
static void initialise_again(void) { puts("initialised"); }
static void *by_once(void *run) {
    zero(pthread_once(&control, (void (*)(void))run));
    return NULL;
}

/* pthread_once: a cancelled initialiser was never called, and the one that waits runs its own. */
static void once_again(void) {
    pthread_t first = spawn(by_once, initialise);
    must(sem_wait(&begun));
    pthread_t second = spawn(by_once, initialise_again);
    breathe();
    zero(pthread_cancel(first));
    join(second);
    result_of(first);
}

static void *cancel_main(void *main_thread) {
    breathe();
    zero(pthread_cancel((pthread_t)main_thread));
    result_of((pthread_t)main_thread);
    puts("main was cancelled done");
    return NULL;
}

/* main is a thread like another. */
static void of_main(void) {
    pthread_cleanup_push(say, "cleanup of main");
    spawn(cancel_main, (void *)pthread_self());
    must(sem_wait(&never));
    pthread_cleanup_pop(0);
}

static int descriptors(void) {
    DIR *all = opendir("/proc/self/fd");
    int count = 0;
    check(all);
    while (readdir(all)) count++;
    check(closedir(all) == 0);
    return count;
}

static void *wait_for_child(void *child) {
    asynchronous();
    must(sem_post(&begun));
    must(waitpid((intptr_t)child, NULL, 0));
    return child;
}

/* A wait for a child leaves nothing open. */
static void childless(void) {
    int held[2], before = 0;
    must(pipe(held));
    pid_t child = must(fork());
    if (!child) {
        char byte;
        must(close(held[1]));
        _exit(read(held[0], &byte, 1));
    }
    for (int i = 0; i < 4; i++) {
        pthread_t thread = spawn(wait_for_child, (void *)(intptr_t)child);
        must(sem_wait(&begun)), breathe();
        zero(pthread_cancel(thread));
        result_of(thread);
        if (i == 0) before = descriptors();
    }
    printf("%d more descriptors\n", descriptors() - before);
    must(close(held[1]));
    check(must(waitpid(child, NULL, 0)) == child);
}

int main(int argc, char **argv) {
    must(sem_init(&begun, 0, 0)), must(sem_init(&never, 0, 0));
    struct test tests[] = {CASE(computing),     CASE(locking), CASE(whichever_last), CASE(not_begun),
                           CASE(cleanups_wait), CASE(exiting), CASE(keys_after),     CASE(once_again), CASE(of_main), CASE(childless)};
    return RUN(argc, argv, tests);
}
