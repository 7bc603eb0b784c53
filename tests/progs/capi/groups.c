/* eventlet_monkey_patch, EVENTLET_PATCH: what is patched lets the others run, what is not does not.
 * The arguments: how the groups get in force (call, environment), and a mask. */
#include "capi.h"

#include <poll.h>
#include <sys/select.h>

static int pair[2], gate[2], stream[2], ran;

/* What is waited for comes from here if the wait is green, else from a child. */
static void *runs(void *says) {
    ran = 1;
    if (says) check(write(gate[1], "go", 1) == 1);
    return NULL;
}

/* Whether another thread ran during the call, which waits. */
#define GREEN(says, call) ({ ran = 0; eventlet_thread *other_ = eventlet_spawn(runs, N(says)); call; int green_ = ran; check(ended(other_) == 0); green_; })

static void *starts(void *arg) { return arg; }

static void sets_timeout(int fd) {
    struct timeval brief = {0, 5000};
    must(setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &brief, sizeof brief));
}

/* A child that waits at the gate, if it is to, and then writes. */
static pid_t child(int waits) {
    pid_t child = must(fork());
    if (child) return child;
    char c;
    if (waits) check(read(gate[0], &c, 1) == 1);
    check(write(pair[1], "x", 1) == 1);
    _exit(0);
}

/* Whether its caller is a green thread; all of them have the same kernel thread. */
static void *is_green(void *arg) {
    (void)arg;
    return N(eventlet_getcurrent() != NULL);
}

/* A real thread stays one, whatever is patched while it runs; it meets the others at the usual places. */
static int late[2];
static pthread_mutex_t shared = PTHREAD_MUTEX_INITIALIZER;
static void *made_before(void *arg) {
    char c;
    check(read(late[0], &c, 1) == 1 && !eventlet_getcurrent());
    zero(pthread_mutex_lock(&shared));
    check(usleep(1000) == 0 && !eventlet_getcurrent() && pthread_equal(pthread_self(), *(pthread_t *)arg));
    zero(pthread_mutex_unlock(&shared));
    return N(7);
}

static void tests(unsigned groups) {
    char c;
    check(eventlet_patched() == groups);
    int os = !!(groups & EVENTLET_OS), select_ = !!(groups & EVENTLET_SELECT), sockets = !!(groups & EVENTLET_SOCKET);
    int threads = !!(groups & EVENTLET_THREAD), time_ = !!(groups & EVENTLET_TIME);

    pid_t pid = child(os);
    check(GREEN(os, check(read(pair[0], &c, 1) == 1)) == os);
    must(waitpid(pid, NULL, 0));
    pid = child(os);
    check(GREEN(os, must(waitpid(pid, NULL, 0))) == os);
    child(os);
    check(GREEN(os, must(waitpid(-1, NULL, 0))) == os);
    check(read(pair[0], &c, 1) == 1 && read(pair[0], &c, 1) == 1);

    struct pollfd none = {pair[0], POLLIN, 0};
    check(GREEN(0, check(poll(&none, 1, 5) == 0)) == select_);
    struct timeval brief = {0, 5000};
    check(GREEN(0, check(select(0, NULL, NULL, NULL, &brief) == 0)) == select_);

    check(GREEN(0, fails(recv(stream[0], &c, 1, 0), EAGAIN)) == sockets);
    check(GREEN(0, fails(read(stream[0], &c, 1), EAGAIN)) == (os || sockets));

    check(GREEN(0, usleep(5000)) == time_);
    struct timespec nap = {0, 5000000};
    check(GREEN(0, nanosleep(&nap, NULL)) == time_);

    struct sockaddr_in address;
    int door = listener(1, &address);
    sets_timeout(door);
    check(GREEN(0, fails(accept(door, NULL, NULL), EAGAIN)) == sockets);
    close(door);

    /* Inside libc as well. */
    FILE *in = fdopen(dup(pair[0]), "r");
    pid = child(os);
    check(GREEN(os, check(fgetc(in) == 'x')) == os);
    must(waitpid(pid, NULL, 0));
    fclose(in);

    pthread_t thread = spawn(starts, NULL);
    check(GREEN(0, join(thread)) <= 1);
    check(join(spawn(is_green, NULL)) == N(threads));
    pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
    pthread_cond_t cond = PTHREAD_COND_INITIALIZER;
    struct timespec end = from_now(CLOCK_REALTIME, 100);
    pthread_mutex_lock(&mutex);
    check(GREEN(0, check(pthread_cond_timedwait(&cond, &mutex, &end) == ETIMEDOUT)) == threads);
}

int main(int argc, char **argv) {
    check(argc == 3);
    unsigned groups = atoi(argv[2]);
    if (!strcmp(argv[1], "call")) {
        unsigned before = eventlet_patched();
        check(eventlet_monkey_patch(0) == 0 && eventlet_patched() == before);
        fails(eventlet_monkey_patch(groups | 0x100), EINVAL);
        check(eventlet_patched() == before);
        must(pipe(late));
        pthread_t early;
        int real = !(before & EVENTLET_THREAD);
        if (real) early = spawn(made_before, &early);
        /* One by one, then all again: they add up. */
        for (unsigned bit = 1; bit <= EVENTLET_ALL; bit <<= 1)
            if (groups & bit) check(eventlet_monkey_patch(bit) == 0);
        check(eventlet_monkey_patch(groups) == 0);
        if (real) {
            zero(pthread_mutex_lock(&shared));
            check(write(late[1], "x", 1) == 1 && usleep(2000) == 0);
            zero(pthread_mutex_unlock(&shared));
            check(join(early) == N(7));
        }
    }
    must(pipe(pair)), must(pipe(gate));
    must(socketpair(AF_UNIX, SOCK_STREAM, 0, stream));
    sets_timeout(stream[0]);
    tests(groups);
    puts("done");
}
