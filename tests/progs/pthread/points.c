/* POSIX 2.9.5.2: a thread that was cancelled before acts at each of these calls, even if it need not wait there; and not
 * at those of the second list. */
#include "../prog.h"
#include <poll.h>
#include <semaphore.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/msg.h>
#include <sys/select.h>
#include <sys/uio.h>
#include <termios.h>
#include <threads.h>

static int ends[2], pair[2], server, file, poller;
static char byte[1];
static sem_t full, idle;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_rwlock_t rwlock = PTHREAD_RWLOCK_INITIALIZER;
static pthread_cond_t cond = PTHREAD_COND_INITIALIZER;
static pthread_t other;
static const struct timespec past = {1, 0}, short_time = {0, 1000};
static sigset_t usr1;
static struct iovec one = {byte, 1};
static struct msghdr message = {.msg_iov = &one, .msg_iovlen = 1};

static void *until_posted(void *arg) {
    must(sem_wait(&idle));
    return arg;
}
static void unlock(void *arg) { zero(pthread_mutex_unlock(arg)); }

enum { WAIT, TIMED, CLOCK };
static void wait_on_cond(int how) {
    zero(pthread_mutex_lock(&lock));
    pthread_cleanup_push(unlock, &lock);
    if (how == WAIT) pthread_cond_wait(&cond, &lock);
    if (how == TIMED) pthread_cond_timedwait(&cond, &lock, &past);
    if (how == CLOCK) pthread_cond_clockwait(&cond, &lock, CLOCK_MONOTONIC, &past);
    pthread_cleanup_pop(1);
}

#define POINTS(POINT) \
    POINT(accept, accept(server, NULL, NULL)) \
    POINT(accept4, accept4(server, NULL, NULL, 0)) \
    POINT(clock_nanosleep, clock_nanosleep(CLOCK_MONOTONIC, 0, &short_time, NULL)) \
    POINT(close, close(dup(0))) \
    POINT(connect, connect(socket(AF_UNIX, SOCK_STREAM, 0), (struct sockaddr *)&(struct sockaddr_un){AF_UNIX, "-"}, 4)) \
    POINT(creat, creat("/dev/null", 0600)) \
    POINT(epoll_wait, epoll_wait(poller, &(struct epoll_event){0}, 1, 0)) \
    POINT(epoll_pwait, epoll_pwait(poller, &(struct epoll_event){0}, 1, 0, NULL)) \
    POINT(fcntl, fcntl(file, F_SETLKW, &(struct flock){.l_type = F_RDLCK})) \
    POINT(fdatasync, fdatasync(file)) \
    POINT(fsync, fsync(file)) \
    POINT(msgrcv, msgrcv(-1, byte, 1, 0, 0)) \
    POINT(msgsnd, msgsnd(-1, byte, 1, 0)) \
    POINT(msync, msync(NULL, 0, MS_SYNC)) \
    POINT(nanosleep, nanosleep(&short_time, NULL)) \
    POINT(open, open("/dev/null", O_RDONLY)) \
    POINT(openat, openat(AT_FDCWD, "/dev/null", O_RDONLY)) \
    POINT(pause, pause()) \
    POINT(poll, poll(NULL, 0, 0)) \
    POINT(ppoll, ppoll(NULL, 0, &short_time, NULL)) \
    POINT(pread, pread(file, byte, 1, 0)) \
    POINT(preadv, preadv(file, &one, 1, 0)) \
    POINT(pselect, pselect(0, NULL, NULL, NULL, &short_time, NULL)) \
    POINT(pthread_cond_wait, (wait_on_cond(WAIT), 0)) \
    POINT(pthread_cond_timedwait, (wait_on_cond(TIMED), 0)) \
    POINT(pthread_cond_clockwait, (wait_on_cond(CLOCK), 0)) \
    POINT(pthread_join, pthread_join(other, NULL)) \
    POINT(pthread_timedjoin_np, pthread_timedjoin_np(other, NULL, &past)) \
    POINT(pthread_testcancel, (pthread_testcancel(), 0)) \
    POINT(pwrite, pwrite(file, byte, 1, 0)) \
    POINT(pwritev, pwritev(file, &one, 1, 0)) \
    POINT(read, read(file, byte, 1)) \
    POINT(readv, readv(file, &one, 1)) \
    POINT(recv, recv(pair[0], byte, 1, 0)) \
    POINT(recvfrom, recvfrom(pair[0], byte, 1, 0, NULL, NULL)) \
    POINT(recvmsg, recvmsg(pair[0], &message, 0)) \
    POINT(select, select(0, NULL, NULL, NULL, &(struct timeval){0, 0})) \
    POINT(sem_timedwait, sem_timedwait(&full, &past)) \
    POINT(sem_wait, sem_wait(&full)) \
    POINT(send, send(pair[0], byte, 1, 0)) \
    POINT(sendmsg, sendmsg(pair[0], &message, 0)) \
    POINT(sendto, sendto(pair[0], byte, 1, 0, NULL, 0)) \
    POINT(sigsuspend, sigsuspend(&usr1)) \
    POINT(sigtimedwait, sigtimedwait(&usr1, NULL, &past)) \
    POINT(sigwait, sigwait(&usr1, &(int){0})) \
    POINT(sigwaitinfo, sigwaitinfo(&usr1, NULL)) \
    POINT(sleep, sleep(1)) \
    POINT(tcdrain, tcdrain(file)) \
    POINT(thrd_sleep, thrd_sleep(&short_time, NULL)) \
    POINT(usleep, usleep(1)) \
    POINT(wait, wait(NULL)) \
    POINT(waitid, waitid(P_ALL, 0, &(siginfo_t){0}, WEXITED | WNOHANG)) \
    POINT(waitpid, waitpid(-1, NULL, WNOHANG)) \
    POINT(write, write(ends[1], byte, 1)) \
    POINT(writev, writev(ends[1], &one, 1))
#define OTHERS(POINT) \
    POINT(pthread_mutex_lock, pthread_mutex_lock(&lock)) \
    POINT(pthread_mutex_timedlock, pthread_mutex_timedlock(&lock, &past)) \
    POINT(pthread_rwlock_rdlock, pthread_rwlock_rdlock(&rwlock)) \
    POINT(pthread_barrier_wait, ({ \
        pthread_barrier_t barrier; \
        pthread_barrier_init(&barrier, NULL, 1), pthread_barrier_wait(&barrier); \
    })) \
    POINT(pthread_tryjoin_np, pthread_tryjoin_np(other, NULL)) \
    POINT(sched_yield, sched_yield()) \
    POINT(sem_post, sem_post(&full)) \
    POINT(sem_trywait, sem_trywait(&full)) \
    POINT(dup, dup(0)) \
    POINT(pipe, pipe((int[2]){0, 0})) \
    POINT(shutdown, shutdown(pair[1], SHUT_WR))

#define DEFINE(name, call) \
    static void do_##name(void) { (void)!(intptr_t)(call); }
POINTS(DEFINE)
OTHERS(DEFINE)
#define ENTRY(name, call) {#name, do_##name},
static const struct {
    const char *name;
    void (*call)(void);
} points[] = {POINTS(ENTRY)}, others[] = {OTHERS(ENTRY)};

static void *run(void *call) {
    zero(pthread_cancel(pthread_self()));
    ((void (*)(void))call)();
    return "went on";
}

static void try_it(const char *name, void (*call)(void)) {
    must(sem_init(&full, 0, 1));
    other = spawn(until_posted, NULL);
    void *result = join(spawn(run, call));
    printf("%s: %s\n", name, result == PTHREAD_CANCELED ? "cancelled" : (char *)result);
    must(sem_post(&idle));
    join(other);
}

static void cancelled(void) {
    for (size_t i = 0; i < sizeof points / sizeof *points; i++) try_it(points[i].name, points[i].call);
}

static void not_cancelled(void) {
    for (size_t i = 0; i < sizeof others / sizeof *others; i++) try_it(others[i].name, others[i].call);
}

int main(int argc, char **argv) {
    struct sockaddr_in address;
    must(pipe(ends)), must(socketpair(AF_UNIX, SOCK_DGRAM, 0, pair));
    server = listener(1, &address), poller = must(epoll_create1(0)), file = fileno(tmpfile());
    must(sem_init(&idle, 0, 0)), must(sigemptyset(&usr1)), must(sigaddset(&usr1, SIGUSR1));
    struct test tests[] = {CASE(cancelled), CASE(not_cancelled)};
    return RUN(argc, argv, tests);
}
