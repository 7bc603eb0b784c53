/* Signals that reach main while threads wait: handlers interrupt its calls as they do natively. */
#include "prog.h"
#include <linux/futex.h>
#include <poll.h>
#include <semaphore.h>
#include <sys/epoll.h>
#include <sys/select.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/uio.h>

static volatile int handled, in_main, done, completing;
static pthread_t main_thread;
static int pipe_ends[2], full_pipe[2], socket_ends[2], timed_ends[2], server, epoll;
static struct sockaddr_in address;
static sem_t sem, begin, ended;
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static uint32_t word;
static char byte;

static void handler(int signal) {
    int before = errno;
    handled += signal != 0;
    in_main += pthread_equal(pthread_self(), main_thread);
    errno = before;
}

static void handle(int signal, int flags) {
    struct sigaction action = {.sa_handler = handler, .sa_flags = flags};
    must(sigaction(signal, &action, NULL));
}

static long call_read(void) { return read(pipe_ends[0], &byte, 1); }
static long call_readv(void) {
    struct iovec part = {&byte, 1};
    return readv(pipe_ends[0], &part, 1);
}
static long call_recv(void) { return recv(socket_ends[0], &byte, 1, 0); }
static long call_recv_timed(void) { return recv(timed_ends[0], &byte, 1, 0); }
static long call_write(void) { return write(full_pipe[1], &byte, 1); }
static long call_accept(void) {
    int fd = accept(server, NULL, NULL);
    return fd < 0 ? -1 : close(fd);
}
static long call_poll(void) { return poll(&(struct pollfd){pipe_ends[0], POLLIN, 0}, 1, -1); }
static long call_poll_none(void) { return poll(NULL, 0, 60000); }
static long call_select(void) {
    fd_set set;
    FD_ZERO(&set);
    FD_SET(pipe_ends[0], &set);
    return select(pipe_ends[0] + 1, &set, NULL, NULL, NULL);
}
static long call_epoll(void) { return epoll_wait(epoll, &(struct epoll_event){0}, 1, -1); }
static long call_sleep(void) { return sleep(60) > 0 ? (errno = EINTR, -1) : 0; }
static long call_usleep(void) { return usleep(60000000); }
static long call_nanosleep(void) {
    struct timespec left = {0, 0};
    long given = nanosleep(&(struct timespec){60, 0}, &left);
    check(left.tv_sec > 0 && left.tv_sec <= 60); /* what is left is told */
    return given;
}
static long call_clock_nanosleep(void) {
    int error = clock_nanosleep(CLOCK_MONOTONIC, 0, &(struct timespec){60, 0}, NULL);
    return error ? (errno = error, -1) : 0;
}
static long call_sem_wait(void) { return sem_wait(&sem); }
static long call_sem_timedwait(void) {
    struct timespec later = from_now(CLOCK_REALTIME, 60000);
    return sem_timedwait(&sem, &later);
}
static long call_futex(void) { return syscall(SYS_futex, &word, FUTEX_WAIT_PRIVATE, 0, NULL, NULL, 0); }

static const struct {
    const char *name;
    long (*run)(void);
    int restarts;
} calls[] = {{"read", call_read, 1},           {"readv", call_readv, 1},
             {"recv", call_recv, 1},           {"recv with timeout", call_recv_timed, 0},
             {"write", call_write, 1},         {"accept", call_accept, 1},
             {"poll", call_poll, 0},           {"poll for nothing", call_poll_none, 0},
             {"select", call_select, 0},       {"epoll_wait", call_epoll, 0},
             {"sleep", call_sleep, 0},         {"usleep", call_usleep, 0},
             {"nanosleep", call_nanosleep, 0}, {"clock_nanosleep", call_clock_nanosleep, 0},
             {"sem_wait", call_sem_wait, 1},   {"sem_timedwait", call_sem_timedwait, 0},
             {"futex", call_futex, 1}};
enum { CALLS = sizeof calls / sizeof *calls };

/* Lets every call above end. */
static void complete(void) {
    char room[65536];
    send_all(pipe_ends[1], "x", 1);
    send_all(socket_ends[1], "x", 1);
    check(must(read(full_pipe[0], room, sizeof room)) > 0);
    must(close(dial(&address)));
    must(sem_post(&sem));
    __atomic_store_n(&word, 1, __ATOMIC_SEQ_CST);
    must(syscall(SYS_futex, &word, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0));
}

/* Sends the process a signal each millisecond until main is done; if `completing`, lets its call end after five. */
static void *pester(void *arg) {
    for (;;) {
        while (sem_wait(&begin)) check(errno == EINTR);
        int before = handled, completed = 0;
        while (!done) {
            must(kill(getpid(), SIGUSR1));
            usleep(1000);
            if (completing && !completed && handled - before >= 5) complete(), completed = 1;
        }
        while (sem_post(&ended)) check(errno == EINTR);
    }
    return arg;
}

/* Waits for what never comes; a signal that lands here does not reach main, and must not end the wait. */
static void *idle(void *arg) {
    int ends[2];
    must(pipe(ends));
    while (read(ends[0], &byte, 1) < 0) check(errno == EINTR);
    return arg;
}

static void prepare(int flags) {
    main_thread = pthread_self();
    handle(SIGUSR1, flags);
    must(pipe(pipe_ends)), must(pipe(full_pipe));
    must(fcntl(full_pipe[1], F_SETPIPE_SZ, 4096));
    send_all(full_pipe[1], (char[4096]){0}, 4096);
    must(socketpair(AF_UNIX, SOCK_STREAM, 0, socket_ends)), tcp_pair(timed_ends);
    must(setsockopt(timed_ends[0], SOL_SOCKET, SO_RCVTIMEO, &(struct timeval){60, 0}, sizeof(struct timeval)));
    server = listener(4, &address);
    epoll = must(epoll_create1(0));
    must(epoll_ctl(epoll, EPOLL_CTL_ADD, pipe_ends[0], &(struct epoll_event){.events = EPOLLIN}));
    must(sem_init(&sem, 0, 0)), must(sem_init(&begin, 0, 0)), must(sem_init(&ended, 0, 0));
    spawn(pester, NULL);
    for (int i = 0; i < 3; i++) spawn(idle, NULL);
}

static void run(int i) {
    done = 0;
    must(sem_post(&begin));
    long given = calls[i].run();
    int error = errno;
    done = 1;
    while (sem_wait(&ended)) check(errno == EINTR);
    printf("%s: %s\n", calls[i].name, given == -1 ? strerrorname_np(error) : "completed");
}

/* Without SA_RESTART each of them ends with EINTR. */
static void interrupted(void) {
    prepare(0);
    for (int i = 0; i < CALLS; i++) run(i);
    printf("handled in main %d\n", in_main >= CALLS);
}

/* With SA_RESTART, those that restart complete after the handler has run often. */
static void restarted(void) {
    for (int i = 0; i < CALLS; i++) {
        prepare(SA_RESTART); /* objects of its own for each */
        completing = calls[i].restarts;
        word = 0;
        run(i);
    }
    printf("handled in main %d\n", in_main >= CALLS);
}

static void *hold(void *arg) {
    zero(pthread_mutex_lock(&mutex));
    must(sem_post(&begin));
    for (int i = 0; i < 5 || handled < 5; i++) must(kill(getpid(), SIGUSR1)), usleep(1000);
    zero(pthread_mutex_unlock(&mutex));
    return arg;
}

/* Locks and joins are never interrupted, yet handlers run meanwhile. */
static void not_interrupted(void) {
    main_thread = pthread_self();
    handle(SIGUSR1, 0);
    must(sem_init(&begin, 0, 0));
    pthread_t thread = spawn(hold, NULL);
    while (sem_wait(&begin)) check(errno == EINTR);
    tell(pthread_mutex_lock(&mutex));
    zero(pthread_mutex_unlock(&mutex));
    printf("handled %d\n", handled >= 5);
    handled = 0;
    thread = (join(thread), spawn(hold, NULL));
    tell(pthread_join(thread, NULL));
    printf("handled %d\n", handled >= 5);
}

/* A timer's ticks interrupt again and again. */
static void itimer(void) {
    struct itimerval often = {{0, 1000}, {0, 1000}}, never = {{0, 0}, {0, 0}};
    main_thread = pthread_self();
    handle(SIGALRM, 0);
    must(pipe(pipe_ends));
    for (int i = 0; i < 3; i++) spawn(idle, NULL);
    must(setitimer(ITIMER_REAL, &often, NULL));
    while (in_main < 20) check(read(pipe_ends[0], &byte, 1) == -1 && errno == EINTR);
    must(setitimer(ITIMER_REAL, &never, NULL));
    printf("ticked\n");
}

static void write_number(int signal) {
    char number = signal;
    check(write(pipe_ends[1], &number, 1) == 1);
}

/* Told from outside: the handler writes into a pipe that main reads. */
static void outside(void) {
    must(pipe(pipe_ends));
    for (int i = 0; i < 3; i++) spawn(idle, NULL);
    signal(SIGINT, write_number), signal(SIGTERM, write_number);
    breathe();
    puts("ready");
    for (;;) {
        fflush(stdout);
        while (read(pipe_ends[0], &byte, 1) < 0) check(errno == EINTR);
        printf("signal %d\n", byte);
        if (byte == SIGTERM) break;
    }
}

/* Default actions end the process while all wait. */
static void by_default(void) {
    spawn(idle, NULL);
    puts("ready");
    fflush(stdout);
    idle(NULL);
}

static void leave(int signal) { _exit(signal + 40); }

static void exit_in_handler(void) {
    signal(SIGTERM, leave);
    by_default();
}

int main(int argc, char **argv) {
    struct test tests[] = {CASE(interrupted), CASE(restarted),  CASE(not_interrupted), CASE(itimer),
                           CASE(outside),     CASE(by_default), CASE(exit_in_handler)};
    return RUN(argc, argv, tests);
}
