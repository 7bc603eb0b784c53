/* Mutex protocols and ceilings, as far as an ordinary thread sees them. */
#include "../prog.h"

static pthread_mutex_t lock;
static int count;

static void make(int protocol, int kind, int ceiling) {
    pthread_mutexattr_t attr;
    zero(pthread_mutexattr_init(&attr));
    zero(pthread_mutexattr_setprotocol(&attr, protocol));
    zero(pthread_mutexattr_settype(&attr, kind));
    if (ceiling) zero(pthread_mutexattr_setprioceiling(&attr, ceiling));
    zero(pthread_mutex_init(&lock, &attr));
}

static void *add(void *arg) {
    for (int i = 0; i < 100; i++) {
        struct timespec late = from_now(CLOCK_REALTIME, 60000);
        zero(i % 2 ? pthread_mutex_lock(&lock) : pthread_mutex_timedlock(&lock, &late));
        int before = count;
        if (i % 10 == 0) usleep(10);
        count = before + 1;
        zero(pthread_mutex_unlock(&lock));
    }
    return arg;
}

static void run(void) {
    pthread_t threads[4];
    for (int i = 0; i < 4; i++) threads[i] = spawn(add, NULL);
    for (int i = 0; i < 4; i++) join(threads[i]);
    printf("%d\n", count);
}

static void inherit(void) {
    make(PTHREAD_PRIO_INHERIT, PTHREAD_MUTEX_NORMAL, 0);
    run();
    int old;
    tell(pthread_mutex_getprioceiling(&lock, &old));
    zero(pthread_mutex_destroy(&lock));
}

static void *errors(void *arg) {
    tell(pthread_mutex_lock(&lock));
    tell(pthread_mutex_lock(&lock));
    tell(pthread_mutex_trylock(&lock));
    tell(pthread_mutex_unlock(&lock));
    tell(pthread_mutex_unlock(&lock));
    return arg;
}
static void inherit_errorcheck(void) {
    make(PTHREAD_PRIO_INHERIT, PTHREAD_MUTEX_ERRORCHECK, 0);
    join(spawn(errors, NULL));
}

static void *ceilings(void *arg) {
    int old = -1;
    tell(pthread_mutex_getprioceiling(&lock, &old));
    printf("ceiling %d\n", old);
    tell(pthread_mutex_setprioceiling(&lock, 0, &old));
    tell(pthread_mutex_setprioceiling(&lock, 1000, &old));
    printf("ceiling %d\n", old);
    usleep(10);
    tell(pthread_mutex_destroy(&lock));
    return arg;
}

/* Of PTHREAD_PRIO_PROTECT an ordinary thread sees the ceiling; glibc lets it lock nothing. */
static void protect(void) {
    make(PTHREAD_PRIO_PROTECT, PTHREAD_MUTEX_NORMAL, 17);
    join(spawn(ceilings, NULL));
}

static void *real_time(void *arg) {
    int old = -1;
    tell(pthread_mutex_lock(&lock));
    tell(pthread_mutex_unlock(&lock));
    tell(pthread_mutex_setprioceiling(&lock, 23, &old));
    printf("was %d\n", old);
    tell(pthread_mutex_getprioceiling(&lock, &old));
    printf("is %d\n", old);
    usleep(10);
    return arg;
}

/* Those that may use it, if the user is privileged. */
static void protect_real_time(void) {
    pthread_attr_t attr;
    pthread_t thread;
    make(PTHREAD_PRIO_PROTECT, PTHREAD_MUTEX_NORMAL, 17);
    zero(pthread_attr_init(&attr));
    zero(pthread_attr_setinheritsched(&attr, PTHREAD_EXPLICIT_SCHED));
    zero(pthread_attr_setschedpolicy(&attr, SCHED_FIFO));
    zero(pthread_attr_setschedparam(&attr, &(struct sched_param){3}));
    int code = pthread_create(&thread, &attr, real_time, NULL);
    if (code == 0) join(thread);
    printf("%d\n", code);
}

int main(int argc, char **argv) {
    struct test tests[] = {CASE(inherit), CASE(inherit_errorcheck), CASE(protect), CASE(protect_real_time)};
    return RUN(argc, argv, tests);
}
