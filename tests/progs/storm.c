/* A storm: signals every few hundred microseconds against threads in every kind of wait, and forks in between. Every wait
 * ends for its own reason or with the errno that a signal may give, nothing is lost, and in the end everybody is there.
 * STORM_SECONDS says how long, the argument whether a thread computes meanwhile: then the signals come at its pace. */
#include "prog.h"
#include <linux/futex.h>
#include <poll.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <sys/epoll.h>
#include <sys/file.h>
#include <sys/select.h>
#include <sys/syscall.h>
#include <sys/time.h>

static atomic_int over, closing, handled, restarting;
static void interrupts(int signal) { atomic_fetch_add(&handled, signal != 0), errno = ENOTTY; }
static sem_t hits;
static void restarts(int signal) {
    int saved = errno;
    atomic_fetch_add(&restarting, signal != 0);
    sem_post(&hits);
    errno = saved;
}
static void handler(int signal) {
    int saved = errno;
    interrupts(signal);
    errno = saved;
}

/* Until it is no EINTR. */
#define again(call) ({ __typeof__(call) r_; while ((r_ = (call)) == (__typeof__(r_))-1 && errno == EINTR); must(r_); })

/* Two threads in turn, by whatever carries a number from one to the other. */
struct pair {
    const char *name;
    void (*give)(struct pair *, int side, int number);
    int (*take)(struct pair *, int side);
    int (*fds)[2]; /* what side i reads from, and where it writes to */
    sem_t sems[2];
    pthread_mutex_t mutex;
    pthread_cond_t cond;
    pthread_rwlock_t rwlock;
    pthread_barrier_t barrier;
    atomic_int words[2];
    int boxes[2];
    pthread_t threads[2];
    atomic_int rounds;
};

static void give_sem(struct pair *p, int side, int number) { p->boxes[!side] = number, must(sem_post(&p->sems[!side])); }
static int take_sem(struct pair *p, int side) { return again(sem_wait(&p->sems[side])), p->boxes[side]; }
static int take_timed_sem(struct pair *p, int side) {
    struct timespec limit = from_now(CLOCK_REALTIME, 100000);
    return again(sem_timedwait(&p->sems[side], &limit)), p->boxes[side];
}
static void give_cond(struct pair *p, int side, int number) {
    zero(pthread_mutex_lock(&p->mutex));
    p->boxes[!side] = number;
    zero(pthread_cond_broadcast(&p->cond));
    zero(pthread_mutex_unlock(&p->mutex));
}
static int take_cond(struct pair *p, int side) {
    zero(pthread_mutex_lock(&p->mutex));
    while (!p->boxes[side]) zero(pthread_cond_wait(&p->cond, &p->mutex));
    int number = p->boxes[side];
    p->boxes[side] = 0;
    zero(pthread_mutex_unlock(&p->mutex));
    return number;
}
static int take_timed_cond(struct pair *p, int side) {
    struct timespec limit = from_now(CLOCK_REALTIME, 100000);
    zero(pthread_mutex_timedlock(&p->mutex, &limit));
    while (!p->boxes[side]) zero(pthread_cond_timedwait(&p->cond, &p->mutex, &limit));
    int number = p->boxes[side];
    p->boxes[side] = 0;
    zero(pthread_mutex_unlock(&p->mutex));
    return number;
}
static void give_rwlock(struct pair *p, int side, int number) {
    zero(pthread_rwlock_wrlock(&p->rwlock));
    p->boxes[!side] = number;
    zero(pthread_rwlock_unlock(&p->rwlock));
}
static int take_rwlock(struct pair *p, int side) {
    for (int number = 0;; usleep(100)) {
        struct timespec limit = from_now(CLOCK_REALTIME, 100000);
        zero(pthread_rwlock_timedrdlock(&p->rwlock, &limit));
        if ((number = p->boxes[side])) p->boxes[side] = 0;
        zero(pthread_rwlock_unlock(&p->rwlock));
        if (number) return number;
    }
}
static void give_futex(struct pair *p, int side, int number) {
    p->words[!side] = number;
    must(syscall(SYS_futex, &p->words[!side], FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0));
}
static int take_futex(struct pair *p, int side) {
    int number;
    while (!(number = atomic_exchange(&p->words[side], 0)))
        check(!syscall(SYS_futex, &p->words[side], FUTEX_WAIT_PRIVATE, 0, NULL, NULL, 0) || errno == EINTR || errno == EAGAIN);
    return number;
}
static void give_barrier(struct pair *p, int side, int number) {
    p->boxes[!side] = number;
    int serial = pthread_barrier_wait(&p->barrier);
    check(!serial || serial == PTHREAD_BARRIER_SERIAL_THREAD);
}
static int take_barrier(struct pair *p, int side) {
    int serial = pthread_barrier_wait(&p->barrier);
    check(!serial || serial == PTHREAD_BARRIER_SERIAL_THREAD);
    return p->boxes[side];
}
static void give_fd(struct pair *p, int side, int number) { check(again(write(p->fds[side][1], &number, 4)) == 4); }
static int take_fd(struct pair *p, int side) {
    int number;
    check(again(read(p->fds[side][0], &number, 4)) == 4);
    return number;
}
static void give_send(struct pair *p, int side, int number) { check(again(send(p->fds[side][1], &number, 4, 0)) == 4); }
static int take_recv(struct pair *p, int side) {
    int number;
    check(again(recv(p->fds[side][0], &number, 4, MSG_WAITALL)) == 4);
    return number;
}
static int take_limited(struct pair *p, int side) {
    int number;
    struct timeval limit = {0, 3000};
    must(setsockopt(p->fds[side][0], SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit));
    while (recv(p->fds[side][0], &number, 4, 0) != 4) check(errno == EINTR || errno == EAGAIN);
    return number;
}
static int take_poll(struct pair *p, int side) {
    struct pollfd fd = {p->fds[side][0], POLLIN, 0};
    check(again(poll(&fd, 1, -1)) == 1 && fd.revents == POLLIN);
    return take_fd(p, side);
}
static int take_select(struct pair *p, int side) {
    fd_set set;
    do {
        FD_ZERO(&set);
        FD_SET(p->fds[side][0], &set);
    } while (select(p->fds[side][0] + 1, &set, NULL, NULL, NULL) < 0 && errno == EINTR);
    check(FD_ISSET(p->fds[side][0], &set));
    return take_fd(p, side);
}
static int take_epoll(struct pair *p, int side) {
    struct epoll_event event = {.events = EPOLLIN};
    int set = must(epoll_create1(EPOLL_CLOEXEC));
    must(epoll_ctl(set, EPOLL_CTL_ADD, p->fds[side][0], &event));
    check(again(epoll_wait(set, &event, 1, -1)) == 1);
    must(close(set));
    return take_fd(p, side);
}
/* The number comes as a signal that nobody handles. */
static void give_signal(struct pair *p, int side, int number) {
    zero(pthread_sigqueue(p->threads[!side], SIGRTMIN + 3, (union sigval){.sival_int = number}));
}
static int take_signal(struct pair *p, int side) {
    sigset_t set;
    siginfo_t info;
    sigemptyset(&set), sigaddset(&set, SIGRTMIN + 3);
    check(again(sigwaitinfo(&set, &info)) == SIGRTMIN + 3);
    return info.si_int;
}

static pthread_mutex_t start = PTHREAD_MUTEX_INITIALIZER;
static void *ping_pong(void *arg) {
    struct pair *p = arg;
    zero(pthread_mutex_lock(&start)), zero(pthread_mutex_unlock(&start));
    int side = pthread_equal(pthread_self(), p->threads[1]);
    for (int number = 1;; number++) {
        if (!side) p->give(p, side, over ? -1 : number);
        int got = p->take(p, side);
        if (side) p->give(p, side, got);
        p->rounds++;
        if (got == -1) return arg;
        check(got == number);
    }
}

/* Waits of another kind. */
static void *sleeps(void *arg) {
    for (; !over; ++*(atomic_int *)arg) {
        struct timespec left = {0, 1500000}, before, after;
        clock_gettime(CLOCK_MONOTONIC, &before);
        while (nanosleep(&left, &left)) check(errno == EINTR && !left.tv_sec && left.tv_nsec < 2000000);
        clock_gettime(CLOCK_MONOTONIC, &after);
        check((after.tv_sec - before.tv_sec) * 1000000000 + after.tv_nsec - before.tv_nsec >= 1500000);
        struct timespec end = from_now(CLOCK_MONOTONIC, 1);
        int error;
        while ((error = clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &end, NULL))) check(error == EINTR);
    }
    return arg;
}
static void *short_lived(void *arg) { return usleep(300), arg; }
static void *makes_threads(void *arg) {
    for (; !over; ++*(atomic_int *)arg) check(join(spawn(short_lived, arg)) == arg);
    return arg;
}
static void *in_child(void *arg) { return usleep(500), arg; }
static void *forks(void *arg) {
    for (int i = 0; !over; i++, ++*(atomic_int *)arg) {
        pid_t pid = must(fork());
        if (!pid) {
            if (i % 4 == 0) check(join(spawn(in_child, &pid)) == &pid);
            _exit(i & 127);
        }
        int status;
        if (i % 2) usleep(500);
        check(again(waitpid(pid, &status, 0)) == pid && WIFEXITED(status) && WEXITSTATUS(status) == (i & 127));
    }
    return arg;
}
static void *vforks(void *arg) {
    for (; !over; ++*(atomic_int *)arg) {
        pid_t pid = must(vfork());
        if (!pid) execl("/bin/true", "true", NULL), _exit(1);
        siginfo_t info;
        again(waitid(P_PID, pid, &info, WEXITED));
        check(info.si_pid == pid && info.si_code == CLD_EXITED && !info.si_status);
        usleep(2000);
    }
    return arg;
}
static char lock_name[] = "/tmp/storm.XXXXXX";
static void *locks_file(void *arg) {
    static atomic_int inside;
    int fd = must(open(lock_name, O_RDWR | O_CLOEXEC));
    for (; !over; ++*(atomic_int *)arg) {
        again(flock(fd, LOCK_EX));
        check(!inside++);
        usleep(200);
        inside--;
        must(flock(fd, LOCK_UN));
    }
    must(close(fd));
    return arg;
}
static struct sockaddr_in address;
static int server;
static void *connects(void *arg) {
    for (; !over; ++*(atomic_int *)arg) {
        int fd = must(socket(AF_INET, SOCK_STREAM, 0)), error = 0;
        socklen_t size = sizeof error;
        if (connect(fd, (struct sockaddr *)&address, sizeof address)) {
            check(errno == EINTR);
            struct pollfd done = {fd, POLLOUT, 0};
            again(poll(&done, 1, -1));
            must(getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &size));
            check(!error);
        }
        char byte = 0;
        check(again(recv(fd, &byte, 1, 0)) == 1 && byte == 'x');
        must(close(fd));
        usleep(500);
    }
    return arg;
}
static void *accepts(void *arg) {
    for (;; ++*(atomic_int *)arg) {
        int fd = again(accept(server, NULL, NULL));
        if (closing) return arg;
        check(again(send(fd, "x", 1, 0)) == 1);
        must(close(fd));
    }
}
/* More than a pipe holds: what was written before a signal counts. */
static int long_pipe[2];
static void *writes(void *arg) {
    static unsigned char bytes[200000];
    for (size_t i = 0, sum = 0; !over || sum % 251; ++*(atomic_int *)arg) {
        for (i = 0; i < sizeof bytes; i++) bytes[i] = (sum + i) % 251;
        ssize_t n = write(long_pipe[1], bytes, over ? 251 - sum % 251 : sizeof bytes);
        check(n > 0 || errno == EINTR);
        sum += n > 0 ? n : 0;
    }
    must(close(long_pipe[1]));
    return arg;
}
static void *reads(void *arg) {
    static unsigned char bytes[30000];
    for (size_t sum = 0;; ++*(atomic_int *)arg) {
        ssize_t n = again(read(long_pipe[0], bytes, sizeof bytes));
        for (ssize_t i = 0; i < n; i++) check(bytes[i] == (sum + i) % 251);
        if (!n) return check(sum % 251 == 0), arg;
        sum += n;
    }
}
static void *computes(void *arg) {
    for (volatile long i = 0; !over; i++)
        if (i % 1000000 == 0) ++*(atomic_int *)arg;
    return arg;
}

static void carry(int (*fds)[2], int type) {
    int a[2], b[2];
    if (type == 0) must(pipe2(a, O_CLOEXEC)), must(pipe2(b, O_CLOEXEC));
    if (type == 1) tcp_pair(a), tcp_pair(b);
    if (type == 2) must(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, a)), must(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, b));
    fds[0][0] = a[0], fds[0][1] = b[1], fds[1][0] = b[0], fds[1][1] = a[1];
}

static struct pair pairs[] = {
    {"sem", give_sem, take_sem},          {"timed sem", give_sem, take_timed_sem}, {"cond", give_cond, take_cond},
    {"timed cond", give_cond, take_timed_cond}, {"rwlock", give_rwlock, take_rwlock},    {"futex", give_futex, take_futex},
    {"barrier", give_barrier, take_barrier}, {"pipe", give_fd, take_fd},          {"tcp", give_send, take_recv},
    {"unix", give_fd, take_recv},         {"limited", give_send, take_limited},    {"poll", give_fd, take_poll},
    {"select", give_fd, take_select},     {"epoll", give_fd, take_epoll},          {"signal", give_signal, take_signal},
};
static const int kinds[] = {-1, -1, -1, -1, -1, -1, -1, 0, 1, 2, 1, 0, 2, 1, -1};
#define PAIRS (sizeof pairs / sizeof *pairs)
static int carriers[PAIRS][2][2];
static struct single {
    const char *name;
    void *(*run)(void *);
    atomic_int rounds;
    pthread_t thread;
} singles[] = {{"sleep", sleeps},    {"join", makes_threads}, {"fork", forks},      {"fork too", forks}, {"vfork", vforks}, {"flock", locks_file},
               {"flock too", locks_file}, {"connect", connects},   {"write", writes},   {"read", reads},     {"compute", computes},
               {"accept", accepts}};
#define SINGLES (sizeof singles / sizeof *singles)
#define COMPUTES (SINGLES - 2)

int main(int argc, char **argv) {
    const char *seconds = getenv("STORM_SECONDS");
    int hog = argc > 1 && !strcmp(argv[1], "compute");
    double limit = seconds ? atof(seconds) : 1;
    struct sigaction action = {.sa_handler = handler};
    sigset_t set;
    must(sem_init(&hits, 0, 0));
    must(sigaction(SIGUSR1, &action, NULL)), must(sigaction(SIGALRM, &action, NULL));
    action.sa_handler = restarts, action.sa_flags = SA_RESTART;
    must(sigaction(SIGUSR2, &action, NULL));
    sigemptyset(&set), sigaddset(&set, SIGRTMIN + 3);
    zero(pthread_sigmask(SIG_BLOCK, &set, NULL));
    must(close(must(mkostemp(lock_name, O_CLOEXEC))));
    server = listener(16, &address);
    must(pipe2(long_pipe, O_CLOEXEC));
    zero(pthread_mutex_lock(&start));
    for (size_t i = 0; i < PAIRS; i++) {
        struct pair *p = &pairs[i];
        must(sem_init(&p->sems[0], 0, 0)), must(sem_init(&p->sems[1], 0, 0));
        zero(pthread_mutex_init(&p->mutex, NULL)), zero(pthread_cond_init(&p->cond, NULL));
        zero(pthread_rwlock_init(&p->rwlock, NULL)), zero(pthread_barrier_init(&p->barrier, NULL, 2));
        p->fds = carriers[i];
        carry(p->fds, kinds[i]);
        for (int side = 0; side < 2; side++) p->threads[side] = spawn(ping_pong, p);
    }
    zero(pthread_mutex_unlock(&start));
    for (size_t i = 0; i < SINGLES; i++)
        singles[i].thread = spawn(singles[i].run == computes && !hog ? short_lived : singles[i].run, &singles[i].rounds);
    struct itimerval timer = {{0, 700}, {0, 700}};
    must(setitimer(ITIMER_REAL, &timer, NULL));
    struct timespec begin, now = {0};
    clock_gettime(CLOCK_MONOTONIC, &begin), now = begin;
    unsigned seed = 1;
    int sent = 0;
    do {
        struct timespec pause = {0, 300000};
        seed = seed * 1103515245 + 12345;
        size_t target = (seed >> 16) % (2 * PAIRS + SINGLES);
        if (target == 2 * PAIRS + COMPUTES && !hog) continue;
        pthread_t thread = target < 2 * PAIRS ? pairs[target / 2].threads[target % 2] : singles[target - 2 * PAIRS].thread;
        zero(pthread_kill(thread, seed >> 30 & 1 ? SIGUSR1 : SIGUSR2));
        sent++;
        if (nanosleep(&pause, NULL)) check(errno == EINTR);
        clock_gettime(CLOCK_MONOTONIC, &now);
    } while ((now.tv_sec - begin.tv_sec) + (now.tv_nsec - begin.tv_nsec) / 1e9 < limit);
    over = 1;
    for (size_t i = 0; i < PAIRS; i++) join(pairs[i].threads[0]), join(pairs[i].threads[1]);
    for (size_t i = 0; i < SINGLES; i++) {
        if (singles[i].run == accepts) {
            must(setitimer(ITIMER_REAL, &(struct itimerval){0}, NULL));
            closing = 1;
            must(close(dial(&address)));
        }
        join(singles[i].thread);
    }
    must(unlink(lock_name));
    for (size_t i = 0; i < PAIRS; i++) {
        check(pairs[i].rounds > 0);
        if (getenv("STORM_SAYS")) fprintf(stderr, "%s %d\n", pairs[i].name, pairs[i].rounds);
    }
    for (size_t i = 0; i < SINGLES; i++) {
        check(singles[i].rounds > 0 || (i == COMPUTES && !hog));
        if (getenv("STORM_SAYS")) fprintf(stderr, "%s %d\n", singles[i].name, singles[i].rounds);
    }
    int posted;
    must(sem_getvalue(&hits, &posted));
    check(posted == restarting && handled > 0);
    if (getenv("STORM_SAYS")) fprintf(stderr, "sent %d, handled %d and %d\n", sent, handled, restarting);
    puts("the storm is over");
    return 0;
}
