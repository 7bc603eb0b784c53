/* eventlet_monkey_patch, EVENTLET_PATCH: what is patched lets the others run, what is not does not.
 * The arguments: how the groups get in force (call, environment), and a mask. */
#include "capi.h"

#include <linux/futex.h>
#include <poll.h>
#include <semaphore.h>
#include <sys/epoll.h>
#include <sys/file.h>
#include <sys/select.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <threads.h>

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

/* A child that has done something, and ends, or does it, when it may. */
static pid_t locks_until(const char *path, int waits) {
    int told[2];
    must(pipe(told));
    pid_t child = must(fork());
    char c;
    if (!child) {
        check(flock(must(open(path, O_RDWR)), LOCK_EX) == 0 && write(told[1], "x", 1) == 1);
        if (waits) check(read(gate[0], &c, 1) == 1);
        _exit(0);
    }
    check(read(told[0], &c, 1) == 1 && close(told[0]) == 0 && close(told[1]) == 0);
    return child;
}
static pid_t opens(const char *fifo, int waits) {
    pid_t child = must(fork());
    char c;
    if (child) return child;
    if (waits) check(read(gate[0], &c, 1) == 1);
    must(open(fifo, O_WRONLY));
    _exit(0);
}

/* Files with a name, and what a shell does. */
static void files(int os) {
    char name[] = "/tmp/eventlet-groups-XXXXXX", fifo[64], command[64];
    int own = must(mkstemp(name));
    snprintf(fifo, sizeof fifo, "%s.fifo", name);
    must(mkfifo(fifo, 0600));
    pid_t pid = locks_until(name, os);
    check(GREEN(os, must(flock(own, LOCK_EX))) == os);
    must(waitpid(pid, NULL, 0));
    pid = opens(fifo, os);
    check(GREEN(os, must(own = open(fifo, O_RDONLY))) == os);
    must(waitpid(pid, NULL, 0));
    must(unlink(name)), must(unlink(fifo));
    snprintf(command, sizeof command, os ? "head -c1 <&%d >/dev/null; exit 3" : "exit 3", gate[0]);
    check(GREEN(os, check(WEXITSTATUS(system(command)) == 3)) == os);
    FILE *shell = popen(command, "r");
    check(GREEN(os, check(WEXITSTATUS(pclose(shell)) == 3)) == os);
}

/* What waits for a time, and for another thread. */
static void waits(int threads, int time_) {
    const struct timespec nap = {0, 5000000};
    check(GREEN(0, clock_nanosleep(CLOCK_MONOTONIC, 0, &nap, NULL)) == time_);
    sem_t sem;
    must(sem_init(&sem, 0, 0));
    struct timespec end = from_now(CLOCK_REALTIME, 50);
    check(GREEN(0, fails(sem_timedwait(&sem, &end), ETIMEDOUT)) == threads);
    int word = 0;
    check(GREEN(0, fails(syscall(SYS_futex, &word, FUTEX_WAIT_PRIVATE, 0, &nap), ETIMEDOUT)) == threads);
    mtx_t mutex;
    cnd_t cond;
    check(mtx_init(&mutex, mtx_plain) == thrd_success && cnd_init(&cond) == thrd_success && mtx_lock(&mutex) == thrd_success);
    end = from_now(CLOCK_REALTIME, 50);
    check(GREEN(0, check(cnd_timedwait(&cond, &mutex, &end) == thrd_timedout)) == threads);
}

/* What eventlet_* made is green whatever the groups are. */
static void own(void) {
    struct sockaddr_in name;
    socklen_t length = sizeof name;
    char address[32], c;
    int door = must(eventlet_listen("127.0.0.1:0", NULL));
    must(getsockname(door, (struct sockaddr *)&name, &length));
    snprintf(address, sizeof address, "127.0.0.1:%d", ntohs(name.sin_port));
    int near = must(eventlet_connect(address, NULL)), far = must(accept(door, NULL, NULL));
    sets_timeout(door), sets_timeout(near), sets_timeout(far);
    check(GREEN(0, fails(accept(door, NULL, NULL), EAGAIN)));
    check(GREEN(0, fails(recv(near, &c, 1, 0), EAGAIN)) && GREEN(0, fails(read(far, &c, 1), EAGAIN)));
    struct pollfd one = {near, POLLIN, 0};
    check(GREEN(0, check(poll(&one, 1, 5) == 0)));
    fd_set set;
    FD_ZERO(&set);
    FD_SET(far, &set);
    struct timeval brief = {0, 5000};
    check(GREEN(0, check(select(far + 1, &set, NULL, NULL, &brief) == 0)));
    close(door), close(near), close(far);
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
    int epoll = must(epoll_create1(0));
    struct epoll_event event = {EPOLLIN, {0}};
    must(epoll_ctl(epoll, EPOLL_CTL_ADD, pair[0], &event));
    check(GREEN(0, check(epoll_wait(epoll, &event, 1, 5) == 0)) == select_);
    close(epoll);

    check(GREEN(0, fails(recv(stream[0], &c, 1, 0), EAGAIN)) == sockets);
    check(GREEN(0, fails(read(stream[0], &c, 1), EAGAIN)) == (os || sockets));

    char block[4096] = {0};
    brief.tv_usec = 5000; /* select has counted it down */
    must(setsockopt(stream[0], SOL_SOCKET, SO_SNDTIMEO, &brief, sizeof brief));
    while (send(stream[0], block, sizeof block, MSG_DONTWAIT) > 0) {}
    check(GREEN(0, fails(send(stream[0], block, sizeof block, 0), EAGAIN)) == sockets);

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
    files(os);
    waits(threads, time_);
    own();
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
