/* A program's own event loop, by epoll: what the kernel promises of edges, of one-shot, exclusive and nested ones, and of
 * changes while a thread waits. Whatever ends a wait is done by another thread, which gets on meanwhile. */
#include "prog.h"
#include <poll.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/select.h>

static int loop, ends[2], others[2];

static void add(int to, int fd, uint32_t events) {
    struct epoll_event event = {.events = events, .data.fd = fd};
    must(epoll_ctl(to, EPOLL_CTL_ADD, fd, &event));
}

static void change(int fd, uint32_t events) {
    struct epoll_event event = {.events = events, .data.fd = fd};
    must(epoll_ctl(loop, EPOLL_CTL_MOD, fd, &event));
}

static void told(int count, const struct epoll_event *event) {
    static const struct { uint32_t bit; const char *name; } bits[] = {
        {EPOLLIN, "IN"}, {EPOLLOUT, "OUT"}, {EPOLLRDHUP, "RDHUP"}, {EPOLLHUP, "HUP"}, {EPOLLERR, "ERR"}, {EPOLLPRI, "PRI"}};
    if (count < 0) printf("%s\n", strerrorname_np(errno));
    if (count == 0) puts("nothing");
    for (int i = 0; i < count; i++) {
        for (size_t bit = 0; bit < sizeof bits / sizeof *bits; bit++)
            if (event[i].events & bits[bit].bit) printf("%s ", bits[bit].name);
        puts(event[i].data.fd == ends[0] ? "here" : event[i].data.fd == others[0] ? "there" : "elsewhere");
    }
}

static void await(int timeout) {
    struct epoll_event events[4];
    int count = epoll_wait(loop, events, 4, timeout);
    told(count, events);
}

static void fresh(void (*pair)(int *)) {
    loop = must(epoll_create1(0));
    pair(ends), pair(others);
}

static void local(int *pair) { must(socketpair(AF_UNIX, SOCK_STREAM, 0, pair)); }
static void piped(int *pair) { must(pipe(pair)); }

static void write_here(void) { send_all(ends[1], "hello", 5); }
static void write_there(void) { send_all(others[1], "hello", 5); }

/* An edge is told once, also if the rest is left unread; new bytes are a new one. */
static void edges(void) {
    char bytes[8];
    fresh(tcp_pair);
    add(loop, ends[0], EPOLLIN | EPOLLET);
    for (int i = 0; i < 3; i++) {
        pthread_t thread = later(write_here);
        await(-1);
        join(thread);
        await(0);
        read_all(ends[0], bytes, 2);
        await(3);
    }
    change(ends[0], EPOLLIN | EPOLLET); /* armed again: there is something to read */
    await(-1);
    await(0);
}

/* Told once, until it is armed again by EPOLL_CTL_MOD. */
static void once(void) {
    fresh(local);
    add(loop, ends[0], EPOLLIN | EPOLLONESHOT);
    pthread_t thread = later(write_here);
    await(-1);
    join(thread);
    write_here();
    await(3);
    change(ends[0], EPOLLIN | EPOLLONESHOT);
    await(-1);
    await(3);
}

/* A change while a thread waits. */
static void arm(void) { change(ends[0], EPOLLIN); }
static void ask_for_room(void) { change(ends[0], EPOLLOUT); }
static void add_there(void) { add(loop, others[0], EPOLLIN); }
static void remove_here(void) {
    must(epoll_ctl(loop, EPOLL_CTL_DEL, ends[0], NULL));
    write_here();
    tick();
    write_there();
}

static void changed(void) {
    fresh(local);
    write_here(), write_there();
    add(loop, ends[0], 0);
    pthread_t thread = later(arm);
    await(-1);
    join(thread);
    change(ends[0], EPOLLPRI);
    thread = later(ask_for_room);
    await(-1);
    join(thread);
    change(ends[0], EPOLLPRI);
    thread = later(add_there);
    await(-1);
    join(thread);
    char bytes[8];
    read_all(others[0], bytes, 5), read_all(ends[0], bytes, 5);
    thread = later(remove_here);
    await(-1);
    join(thread);
}

/* A member is closed while a thread waits: it is no member any more, unless somebody else has the description. */
static void close_here(void) {
    must(close(ends[0]));
    send(ends[1], "x", 1, MSG_NOSIGNAL);
    tick();
    write_there();
}

static void close_copy(void) {
    int copy = must(dup(ends[0]));
    must(close(ends[0]));
    write_here();
    ends[0] = copy;
}

static void members_close(void) {
    fresh(local);
    add(loop, ends[0], EPOLLIN), add(loop, others[0], EPOLLIN);
    pthread_t thread = later(close_here);
    await(-1);
    join(thread);
    fresh(local);
    int number = ends[0];
    add(loop, ends[0], EPOLLIN);
    thread = later(close_copy);
    struct epoll_event event;
    show(epoll_wait(loop, &event, 1, -1));
    printf("the old number: %d\n", event.data.fd == number);
    join(thread);
}

/* Ends: half, whole, by force. */
static void shut_there(void) { must(shutdown(ends[1], SHUT_WR)); }
static void close_there(void) { must(close(ends[1])); }
static void reset_there(void) {
    struct linger at_once = {1, 0};
    must(setsockopt(ends[1], SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once));
    must(close(ends[1]));
}

static void hangs_up(void (*pair)(int *), uint32_t events, void (*end)(void)) {
    fresh(pair);
    add(loop, ends[0], events);
    pthread_t thread = later(end);
    await(-1);
    join(thread);
    await(0);
}

static void hangups(void) {
    hangs_up(tcp_pair, EPOLLIN | EPOLLRDHUP, shut_there);
    hangs_up(tcp_pair, EPOLLRDHUP, shut_there);
    hangs_up(tcp_pair, EPOLLIN | EPOLLRDHUP | EPOLLET, shut_there);
    hangs_up(tcp_pair, EPOLLIN | EPOLLRDHUP, close_there);
    hangs_up(tcp_pair, 0, reset_there);
    hangs_up(tcp_pair, EPOLLIN | EPOLLRDHUP | EPOLLET, reset_there);
    hangs_up(local, EPOLLRDHUP, shut_there);
    hangs_up(local, 0, close_there);
    hangs_up(local, EPOLLRDHUP | EPOLLIN, close_there);
    hangs_up(piped, EPOLLIN, close_there);
    hangs_up(piped, EPOLLET, close_there);
}

/* An instance in an instance in an instance; poll and select on one; cycles are refused. */
static void nested(void) {
    fresh(piped);
    int outer = must(epoll_create1(0)), outermost = must(epoll_create1(EPOLL_CLOEXEC));
    struct epoll_event event;
    add(loop, ends[0], EPOLLIN);
    add(outer, loop, EPOLLIN);
    add(outermost, outer, EPOLLIN | EPOLLET);
    struct epoll_event self = {.events = EPOLLIN};
    show(epoll_ctl(loop, EPOLL_CTL_ADD, outermost, &self));
    pthread_t thread = later(write_here);
    show(epoll_wait(outermost, &event, 1, -1));
    join(thread);
    printf("it is the middle one: %d\n", event.data.fd == outer);
    show(epoll_wait(outermost, &event, 1, 3));
    show(epoll_wait(outer, &event, 1, -1));
    show(epoll_wait(outer, &event, 1, -1));
    await(-1);
    char bytes[8];
    read_all(ends[0], bytes, 5);
    await(0);
    show(epoll_wait(outer, &event, 1, 0));
    struct pollfd set[2] = {{outer, POLLIN, 0}, {others[0], POLLIN, 0}};
    show(poll(set, 2, 3));
    thread = later(write_here);
    show(poll(set, 2, -1));
    join(thread);
    printf("%d %d\n", set[0].revents, set[1].revents);
    read_all(ends[0], bytes, 5);
    fd_set reading;
    FD_ZERO(&reading);
    FD_SET(outer, &reading);
    thread = later(write_here);
    show(select(outer + 1, &reading, NULL, NULL, NULL));
    join(thread);
    printf("%d\n", FD_ISSET(outer, &reading));
}

/* Threads wait on one instance. One event wakes one of them. */
enum { THREADS = 4 };
static int taken, turns[THREADS];
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

static void *serve(void *arg) {
    for (;;) {
        struct epoll_event event;
        char byte;
        check(must(epoll_wait(loop, &event, 1, -1)) == 1);
        read_all(event.data.fd, &byte, 1);
        zero(pthread_mutex_lock(&lock));
        taken++, turns[(intptr_t)arg]++;
        zero(pthread_mutex_unlock(&lock));
        if (byte == 'q') return NULL;
        change(event.data.fd, EPOLLIN | EPOLLONESHOT);
    }
}

static void crowd(void) {
    pthread_t threads[THREADS];
    int fds[THREADS][2];
    loop = must(epoll_create1(0));
    for (int i = 0; i < THREADS; i++) local(fds[i]), add(loop, fds[i][0], EPOLLIN | EPOLLONESHOT);
    for (intptr_t i = 0; i < THREADS; i++) threads[i] = spawn(serve, (void *)i);
    for (int round = 0; round < 20; round++) {
        for (int i = 0; i < THREADS; i++) send_all(fds[i][1], "x", 1);
        breathe();
    }
    for (int i = 0; i < THREADS; i++) send_all(fds[i][1], "q", 1);
    for (int i = 0; i < THREADS; i++) join(threads[i]);
    printf("%d taken\n", taken);
}

/* One listener in an instance of each thread's own, exclusively: each connection is taken once. */
static int server;
static int accepted[THREADS];

static void *accept_some(void *arg) {
    int own = must(epoll_create1(0)), fd;
    struct epoll_event event = {.events = EPOLLIN | EPOLLEXCLUSIVE};
    must(epoll_ctl(own, EPOLL_CTL_ADD, server, &event));
    show(epoll_ctl(own, EPOLL_CTL_MOD, server, &event));
    for (;;) {
        char byte;
        check(must(epoll_wait(own, &event, 1, -1)) == 1);
        while ((fd = accept4(server, NULL, NULL, 0)) >= 0) {
            read_all(fd, &byte, 1);
            must(close(fd));
            if (byte == 'q') return arg;
            accepted[(intptr_t)arg]++;
        }
        check(errno == EAGAIN);
    }
}

static void exclusive(void) {
    pthread_t threads[THREADS];
    struct sockaddr_in address;
    int count = 0;
    server = listener(64, &address);
    must(fcntl(server, F_SETFL, O_NONBLOCK));
    for (intptr_t i = 0; i < THREADS; i++) threads[i] = spawn(accept_some, (void *)i);
    tick();
    for (int i = 0; i < 40; i++) {
        int fd = dial(&address);
        send_all(fd, "x", 1), must(close(fd));
    }
    for (int i = 0; i < THREADS; i++) {
        int fd = dial(&address);
        send_all(fd, "q", 1), must(close(fd));
        tick();
    }
    for (int i = 0; i < THREADS; i++) join(threads[i]), count += accepted[i];
    printf("%d accepted\n", count);
}

/* Masks: a signal that comes while it is blocked interrupts the wait that lets it in, and only that. */
static volatile sig_atomic_t handled;
static void handler(int sig) { (void)sig, handled++; }

static pthread_t waiter;
static void signal_it(void) { zero(pthread_kill(waiter, SIGUSR1)); }

static void *masks_of(void *arg) {
    sigset_t blocked, none, usual;
    sigemptyset(&none), sigemptyset(&blocked), sigaddset(&blocked, SIGUSR1);
    struct timespec little = {0, 3000000}, now = {0, 0};
    struct epoll_event event;
    waiter = pthread_self();
    zero(pthread_sigmask(SIG_BLOCK, &blocked, NULL));
    signal_it();
    show(epoll_wait(loop, &event, 1, 3));
    show(epoll_pwait(loop, &event, 1, 3, NULL));
    show(epoll_pwait(loop, &event, 1, -1, &none));
    printf("handled %d\n", handled);
    signal_it();
    show(epoll_pwait(loop, &event, 1, 3, &blocked));
    show(epoll_pwait2(loop, &event, 1, &little, NULL));
    show(epoll_pwait2(loop, &event, 1, NULL, &none));
    printf("handled %d\n", handled);
    signal_it();
    show(epoll_pwait(loop, &event, 1, 0, &none));
    show(epoll_pwait2(loop, &event, 1, &now, &none));
    printf("handled %d\n", handled);
    pthread_t thread = later(signal_it);
    show(epoll_pwait(loop, &event, 1, -1, &none));
    join(thread);
    printf("handled %d\n", handled);
    signal_it();
    write_here();
    show(epoll_pwait(loop, &event, 1, -1, &none)); /* both: the event counts */
    printf("handled %d\n", handled);
    show(epoll_pwait(loop, &event, 1, -1, &blocked));
    zero(pthread_sigmask(SIG_SETMASK, NULL, &usual));
    printf("blocked as before: %d\n", sigismember(&usual, SIGUSR1));
    return arg;
}

static void masks(void) {
    struct sigaction action = {.sa_handler = handler, .sa_flags = SA_RESTART};
    must(sigaction(SIGUSR1, &action, NULL));
    fresh(local);
    add(loop, ends[0], EPOLLIN);
    join(spawn(masks_of, NULL));
}

/* A child shares the instance: what it adds, the parent hears of. */
static void forked(void) {
    int status, start[2];
    fresh(local);
    piped(start);
    pthread_t thread = later(tick);
    join(thread);
    pid_t child = must(fork());
    if (!child) {
        char byte;
        read_all(start[0], &byte, 1);
        tick();
        add(loop, ends[0], EPOLLIN);
        write_here();
        struct epoll_event event;
        _exit(epoll_wait(loop, &event, 1, -1) == 1 && event.data.fd == ends[0] ? 0 : 1);
    }
    send_all(start[1], "x", 1);
    thread = later(tick);
    await(-1);
    join(thread);
    must(waitpid(child, &status, 0));
    printf("%d\n", status);
}

/* The instance itself goes by another name. */
static void copied(void) {
    fresh(local);
    int copy = must(dup(loop));
    add(copy, ends[0], EPOLLIN);
    must(close(loop));
    loop = copy;
    pthread_t thread = later(write_here);
    await(-1);
    join(thread);
}

int main(int argc, char **argv) {
    struct test tests[] = {CASE(edges), CASE(once),  CASE(changed),   CASE(members_close), CASE(hangups), CASE(nested),
                           CASE(crowd), CASE(masks), CASE(exclusive), CASE(forked),        CASE(copied)};
    return RUN(argc, argv, tests);
}
