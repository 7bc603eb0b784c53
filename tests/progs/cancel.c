/* Cancellation: at every wait, with its cleanups, and not where it is disabled. */
#include "prog.h"
#include <poll.h>
#include <semaphore.h>
#include <sys/epoll.h>
#include <sys/select.h>

static int ends[2], full[2], server, cleaned;
static sem_t sem, begun;
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t cond = PTHREAD_COND_INITIALIZER;
static pthread_t sleeper;
static char bytes[1 << 20];

static void clean(void *arg) { cleaned += *(int *)arg; }
static void unlock(void *arg) { zero(pthread_mutex_unlock(arg)); }

static void by_read(void) { read(ends[0], bytes, 1) < 0 ? die("read") : (void)0; }
static void by_write(void) { write(full[1], bytes, sizeof bytes) < 0 ? die("write") : (void)0; }
static void by_accept(void) { accept(server, NULL, NULL); }
static void by_poll(void) { poll(&(struct pollfd){ends[0], POLLIN, 0}, 1, -1); }
static void by_select(void) { select(0, NULL, NULL, NULL, NULL); }
static void by_epoll(void) { epoll_wait(must(epoll_create1(0)), &(struct epoll_event){0}, 1, -1); }
static void by_sleep(void) { sleep(60); }
static void by_nanosleep(void) { nanosleep(&(struct timespec){60, 0}, NULL); }
static void by_clock_nanosleep(void) { clock_nanosleep(CLOCK_MONOTONIC, 0, &(struct timespec){60, 0}, NULL); }
static void by_sem(void) { sem_wait(&sem); }
static void by_sem_timed(void) { sem_timedwait(&sem, &(struct timespec){1L << 40, 0}); }
static void by_join(void) { pthread_join(sleeper, NULL); }
static void by_cond(void) {
    zero(pthread_mutex_lock(&mutex));
    pthread_cleanup_push(unlock, &mutex); /* it is held again when the cleanup runs */
    for (;;) pthread_cond_wait(&cond, &mutex);
    pthread_cleanup_pop(1);
}
static void by_cond_timed(void) {
    zero(pthread_mutex_lock(&mutex));
    pthread_cleanup_push(unlock, &mutex);
    for (;;) pthread_cond_timedwait(&cond, &mutex, &(struct timespec){1L << 40, 0});
    pthread_cleanup_pop(1);
}

static const struct {
    const char *name;
    void (*wait)(void);
} points[] = {{"read", by_read},
              {"write", by_write},
              {"accept", by_accept},
              {"poll", by_poll},
              {"select", by_select},
              {"epoll_wait", by_epoll},
              {"sleep", by_sleep},
              {"nanosleep", by_nanosleep},
              {"clock_nanosleep", by_clock_nanosleep},
              {"sem_wait", by_sem},
              {"sem_timedwait", by_sem_timed},
              {"join", by_join},
              {"cond_wait", by_cond},
              {"cond_timedwait", by_cond_timed}};

static void *at_point(void *arg) {
    int one = 1;
    pthread_cleanup_push(clean, &one);
    must(sem_post(&begun));
    points[(intptr_t)arg].wait();
    pthread_cleanup_pop(0);
    return "not cancelled";
}

static void prepare(void) {
    struct sockaddr_in address;
    must(pipe(ends)), must(pipe(full));
    server = listener(1, &address);
    must(sem_init(&sem, 0, 0)), must(sem_init(&begun, 0, 0));
}

static void *asleep(void *arg) {
    read_all(ends[0], bytes, 1);
    return arg;
}

/* Each is a cancellation point, while it waits and before. */
static void waits(void) {
    prepare();
    sleeper = spawn(asleep, NULL);
    for (size_t i = 0; i < sizeof points / sizeof *points; i++)
        for (int late = 0; late < 2; late++) {
            pthread_t thread = spawn(at_point, (void *)i);
            if (late) must(sem_wait(&begun)), breathe();
            zero(pthread_cancel(thread));
            check(join(thread) == PTHREAD_CANCELED);
            if (late) printf("%s: cancelled\n", points[i].name);
            else while (sem_trywait(&begun) == 0) continue;
        }
    zero(pthread_mutex_trylock(&mutex)); /* nobody left it locked */
    printf("cleaned %d\n", cleaned >= 15);
}

/* Disabled, a wait goes on; enabled again, the request that came is honoured at the next point. */
static void *disabled(void *arg) {
    int old;
    zero(pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &old));
    printf("was enabled %d\n", old == PTHREAD_CANCEL_ENABLE);
    must(sem_post(&begun));
    read_all(ends[0], bytes, 1);
    puts("read all the same");
    zero(pthread_setcancelstate(PTHREAD_CANCEL_ENABLE, &old));
    printf("was disabled %d\n", old == PTHREAD_CANCEL_DISABLE);
    pthread_testcancel();
    return arg;
}

static void not_now(void) {
    prepare();
    pthread_t thread = spawn(disabled, NULL);
    must(sem_wait(&begun));
    zero(pthread_cancel(thread));
    breathe();
    send_all(ends[1], "x", 1);
    printf("cancelled %d\n", join(thread) == PTHREAD_CANCELED);
}

static void *test_for_ever(void *arg) {
    must(sem_post(&begun));
    for (;;) pthread_testcancel();
    return arg;
}

static void computing(void) {
    prepare();
    pthread_t thread = spawn(test_for_ever, NULL);
    must(sem_wait(&begun));
    zero(pthread_cancel(thread));
    printf("cancelled %d\n", join(thread) == PTHREAD_CANCELED);
}

static void *cancel_self(void *arg) {
    zero(pthread_cancel(pthread_self()));
    puts("until the next point");
    pthread_testcancel();
    return arg;
}

static void itself(void) { printf("cancelled %d\n", join(spawn(cancel_self, NULL)) == PTHREAD_CANCELED); }

static void *lock_is_none(void *arg) {
    must(sem_post(&begun));
    zero(pthread_mutex_lock(&mutex));
    puts("a mutex is no point");
    zero(pthread_mutex_unlock(&mutex));
    pthread_testcancel();
    return arg;
}

static void mutexes(void) {
    prepare();
    zero(pthread_mutex_lock(&mutex));
    pthread_t thread = spawn(lock_is_none, NULL);
    must(sem_wait(&begun)), breathe();
    zero(pthread_cancel(thread));
    breathe();
    zero(pthread_mutex_unlock(&mutex));
    printf("cancelled %d\n", join(thread) == PTHREAD_CANCELED);
}

int main(int argc, char **argv) {
    struct test tests[] = {CASE(waits), CASE(not_now), CASE(computing), CASE(itself), CASE(mutexes)};
    return RUN(argc, argv, tests);
}
