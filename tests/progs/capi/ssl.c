/* TLS between two green threads of one process: what a connection does. */
#include "ssl.h"

static void echo(void) {
    listens(server());
    check(eventlet_spawn_n(serves, N(door)) == 0);
    int fd = joins();
    for (size_t size = 1; size < 100000; size = size * 3 + 1) {
        char *sent = malloc(size), *got = malloc(size);
        for (size_t i = 0; i < size; i++) sent[i] = (char)(i * 7 + size);
        check(must(write(fd, sent, size)) == (ssize_t)size);
        read_all(fd, got, size);
        check(memcmp(sent, got, size) == 0);
        free(sent);
        free(got);
    }
    must(shutdown(fd, SHUT_WR));
    check(read(fd, &fd, 1) == 0);
    must(close(fd));
}

static void *writes(void *arg) {
    int fd = (int)(intptr_t)arg;
    static char bytes[1 << 20];
    for (int i = 0; i < 32; i++) check(must(write(fd, bytes, sizeof bytes)) == sizeof bytes);
    must(shutdown(fd, SHUT_WR));
    return NULL;
}

static long drained(int fd) {
    static char bytes[1 << 16];
    long total = 0;
    ssize_t count;
    while ((count = must(read(fd, bytes, sizeof bytes))) > 0) total += count;
    return total;
}

static void both_ways(void) {
    int near, far;
    both(&near, &far);
    eventlet_thread *a = eventlet_spawn(writes, N(near)), *b = eventlet_spawn(writes, N(far));
    check(drained(far) == 32 << 20 && drained(near) == 32 << 20);
    check(ended(a) == 0 && ended(b) == 0);
    close(near);
    close(far);
}

static void half_close(void) {
    int near, far;
    char bytes[8];
    both(&near, &far);
    check(must(write(near, "ask", 3)) == 3);
    must(shutdown(near, SHUT_WR));
    read_all(far, bytes, 3);
    check(must(read(far, bytes, 1)) == 0);
    for (int i = 0; i < 3; i++) {
        check(must(write(far, "answer", 6)) == 6);
        read_all(near, bytes, 6);
    }
    close(far);
    check(must(read(near, bytes, 1)) == 0);
    signal(SIGPIPE, SIG_IGN);
    fails((int)write(near, "x", 1), EPIPE);
    close(near);
}

static void *says(void *arg) {
    eventlet_sleep(0.002);
    check(must(write((int)(intptr_t)arg, "x", 1)) == 1);
    return NULL;
}

static void polled(void) {
    int near, far;
    char byte;
    both(&near, &far);
    struct pollfd one = {near, POLLIN | POLLOUT, 0};
    check(poll(&one, 1, 0) == 1 && one.revents == POLLOUT);
    one.events = POLLIN;
    check(poll(&one, 1, 3) == 0);
    eventlet_spawn_n(says, N(far));
    check(poll(&one, 1, -1) == 1 && one.revents == POLLIN);
    read_all(near, &byte, 1);
    fd_set set;
    FD_ZERO(&set);
    FD_SET(near, &set);
    eventlet_spawn_n(says, N(far));
    check(select(near + 1, &set, NULL, NULL, NULL) == 1 && FD_ISSET(near, &set));
    read_all(near, &byte, 1);
    int set2 = must(epoll_create1(0));
    struct epoll_event event = {EPOLLIN, {.u32 = 7}}, got;
    must(epoll_ctl(set2, EPOLL_CTL_ADD, near, &event));
    check(epoll_wait(set2, &got, 1, 0) == 0);
    eventlet_spawn_n(says, N(far));
    check(epoll_wait(set2, &got, 1, -1) == 1 && got.data.u32 == 7 && got.events == EPOLLIN);
    read_all(near, &byte, 1);
    must(fcntl(near, F_SETFL, O_NONBLOCK));
    fails((int)read(near, &byte, 1), EAGAIN);
    close(far);
    check(epoll_wait(set2, &got, 1, -1) == 1);
    check(read(near, &byte, 1) == 0);
    close(set2);
    close(near);
}

static void streams(void) {
    int near, far;
    char line[64];
    both(&near, &far);
    FILE *a = fdopen(near, "r+"), *b = fdopen(far, "r+");
    for (int i = 0; i < 3; i++) {
        check(fprintf(a, "line %d\n", i) > 0 && fflush(a) == 0);
        check(fgets(line, sizeof line, b) && line[5] == '0' + i);
        check(fprintf(b, "back %d\n", i) > 0 && fflush(b) == 0);
        check(fgets(line, sizeof line, a) && line[5] == '0' + i);
    }
    fprintf(a, "last");
    fclose(a);
    check(fgets(line, sizeof line, b) && strcmp(line, "last") == 0 && !fgets(line, sizeof line, b) && feof(b));
    fclose(b);
}

static void duplicates(void) {
    int near, far;
    char byte;
    both(&near, &far);
    int again = must(dup(near)), third = must(dup2(far, 300));
    close(near);
    close(far);
    check(must(write(again, "x", 1)) == 1);
    read_all(third, &byte, 1);
    pid_t child = must(fork());
    if (child == 0) {
        check(write(again, "child", 5) == 5);
        _exit(read(again, &byte, 1) == 1 && byte == 'y' ? 0 : 1);
    }
    char word[5];
    read_all(third, word, 5);
    check(memcmp(word, "child", 5) == 0 && must(write(third, "y", 1)) == 1);
    int status;
    check(must(waitpid(child, &status, 0)) == child && status == 0);
    close(again);
    check(must(read(third, &byte, 1)) == 0);
    close(third);
}

static void names(void) {
    listens(server());
    int raw = connected(port);
    struct sockaddr_in mine, peer, told;
    socklen_t length = sizeof mine;
    must(getsockname(raw, (struct sockaddr *)&mine, &length));
    must(getpeername(raw, (struct sockaddr *)&peer, &length));
    must(fcntl(raw, F_SETFD, FD_CLOEXEC));
    struct timeval time = {.tv_sec = 77};
    must(setsockopt(raw, SOL_SOCKET, SO_RCVTIMEO, &time, sizeof time));
    asked = raw;
    eventlet_thread *thread = eventlet_spawn(asks, NULL);
    length = sizeof told;
    int far = must(accept4(door, (struct sockaddr *)&told, &length, SOCK_NONBLOCK | SOCK_CLOEXEC));
    check(told.sin_port == mine.sin_port && length == sizeof told);
    check(must(fcntl(far, F_GETFL)) == (O_RDWR | O_NONBLOCK) && must(fcntl(far, F_GETFD)) == FD_CLOEXEC);
    must(getpeername(far, (struct sockaddr *)&told, &length));
    check(told.sin_port == mine.sin_port);
    void *fd;
    check(eventlet_wait(thread, &fd) == 0);
    eventlet_release(thread);
    int near = (int)(intptr_t)fd;
    check(near != raw && must(fcntl(near, F_GETFD)) == FD_CLOEXEC && must(fcntl(near, F_GETFL)) == O_RDWR);
    length = sizeof time;
    must(getsockopt(near, SOL_SOCKET, SO_RCVTIMEO, &time, &length));
    check(time.tv_sec == 77);
    length = sizeof told;
    must(getsockname(near, (struct sockaddr *)&told, &length));
    check(length == sizeof told && told.sin_family == AF_INET && told.sin_port == mine.sin_port);
    must(getpeername(near, (struct sockaddr *)&told, &length));
    check(told.sin_port == htons(port) && told.sin_addr.s_addr == peer.sin_addr.s_addr);
    length = 3;
    char few[3];
    must(getpeername(near, (struct sockaddr *)few, &length));
    check(length == sizeof told);
    int on = 1, is = 0;
    must(setsockopt(near, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on));
    length = sizeof is;
    must(getsockopt(near, IPPROTO_TCP, TCP_NODELAY, &is, &length));
    check(is != 0);
    must(setsockopt(near, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on));
    must(getsockopt(near, SOL_SOCKET, SO_TYPE, &is, &length));
    check(is == SOCK_STREAM);
    close(near);
    close(far);
    close(door);
}

/* Who does not read keeps the other from writing: nothing piles up in between. */
static void back_pressure(void) {
    int near, far;
    both(&near, &far);
    static char bytes[1 << 16];
    must(fcntl(near, F_SETFL, O_NONBLOCK));
    struct rusage before, after;
    getrusage(RUSAGE_SELF, &before);
    long total = 0, tries = 0;
    while (tries < 10) {
        ssize_t count = write(near, bytes, sizeof bytes);
        if (count > 0) {
            total += count;
            tries = 0;
        } else {
            check(errno == EAGAIN);
            eventlet_sleep(0.002);
            tries++;
        }
    }
    getrusage(RUSAGE_SELF, &after);
    check(total < 64L << 20 && after.ru_maxrss - before.ru_maxrss < 4096);
    must(shutdown(near, SHUT_WR));
    check(drained(far) == total);
    close(near);
    close(far);
}

static void *brief(void *arg) {
    char word[5];
    int fd = joins();
    check(must(write(fd, "hello", 5)) == 5);
    read_all(fd, word, 5);
    close(fd);
    return arg;
}

/* So many at once. */
static void many(void) {
    enum { COUNT = 1000 };
    static eventlet_thread *all[COUNT];
    listens(server());
    eventlet_spawn_n(serves, N(door));
    int free = must(dup(0));
    close(free);
    for (int i = 0; i < COUNT; i++) all[i] = eventlet_spawn(brief, NULL);
    for (int i = 0; i < COUNT; i++) check(ended(all[i]) == 0);
    /* Nothing is left of them. */
    int left = 1000;
    for (int i = 0; i < 1000 && left > 3; i++) {
        eventlet_sleep(0.005);
        left = 0;
        for (int fd = free; fd < 8000; fd++) left += fcntl(fd, F_GETFD) != -1;
    }
    check(left <= 3);
}

/* The listener's other ways: before fork, and closed under an accept. */
static void prefork(void) {
    listens(server());
    pid_t child = must(fork());
    if (child == 0) {
        int fd = must(accept(door, NULL, NULL));
        char word[4];
        read_all(fd, word, 4);
        check(write(fd, "done", 4) == 4);
        exit(0);
    }
    char word[5];
    int fd = joins();
    check(must(write(fd, "work", 4)) == 4);
    read_all(fd, word, 4);
    check(memcmp(word, "done", 4) == 0 && must(read(fd, word, 1)) == 0);
    int status;
    check(must(waitpid(child, &status, 0)) == child && status == 0);
    close(fd);
}

static int handled;
static void handles(int fd, const struct sockaddr *peer, socklen_t length, void *ctx) {
    struct sockaddr_in told;
    socklen_t room = sizeof told;
    char bytes[4];
    if (read(fd, bytes, 4) != 4) return;
    must(getpeername(fd, (struct sockaddr *)&told, &room));
    check(length == room && memcmp(&told, peer, room) == 0 && ctx == N(7));
    check(write(fd, bytes, 4) == 4);
    if (++handled == 20) eventlet_stop_serve();
}

static void *asks_served(void *arg) {
    eventlet_ssl_options options = client();
    char address[32], bytes[4];
    snprintf(address, sizeof address, "localhost:%d", port);
    int fd = wrapped(eventlet_wrap_ssl(must(eventlet_connect(address, NULL)), &options));
    send_all(fd, "ping", 4);
    read_all(fd, bytes, 4);
    check(read(fd, bytes, 1) == 0);
    close(fd);
    return arg;
}

/* eventlet_serve on a wrapped listener; clients that say nothing, or nonsense, do no harm. */
static void served(void) {
    eventlet_listen_options how = {.family = AF_INET};
    eventlet_ssl_options options = server();
    int fd = wrapped(eventlet_wrap_ssl(must(eventlet_listen("127.0.0.1:0", &how)), &options));
    struct sockaddr_in address;
    socklen_t length = sizeof address;
    must(getsockname(fd, (struct sockaddr *)&address, &length));
    port = ntohs(address.sin_port);
    int silent = connected(port), nonsense = connected(port);
    send_all(nonsense, "nonsense", 8);
    for (int i = 0; i < 20; i++) check(eventlet_spawn_n(asks_served, NULL) == 0);
    check(eventlet_serve(fd, handles, N(7), 5) == 0 && handled == 20);
    close(silent);
    close(nonsense);
    close(fd);
}

int main(int argc, char **argv) {
    setvbuf(stdout, NULL, _IONBF, 0);
    struct test tests[] = {CASE(echo), CASE(both_ways), CASE(half_close), CASE(polled), CASE(streams), CASE(duplicates), CASE(names),
        CASE(back_pressure), CASE(many), CASE(prefork), CASE(served)};
    return RUN(argc, argv, tests);
}
