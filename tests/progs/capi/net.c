/* eventlet_listen, eventlet_connect. */
#include "capi.h"

#include <poll.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/select.h>

/* The port of a socket. */
static int port_of(int fd) {
    struct sockaddr_storage name;
    socklen_t length = sizeof name;
    check(getsockname(fd, (struct sockaddr *)&name, &length) == 0);
    return ntohs(name.ss_family == AF_INET ? ((struct sockaddr_in *)&name)->sin_port : ((struct sockaddr_in6 *)&name)->sin6_port);
}

static int option(int fd, int level, int name) {
    int value = -1;
    socklen_t length = sizeof value;
    check(getsockopt(fd, level, name, &value, &length) == 0);
    return value;
}

static const char *at(const char *host, int port) {
    static char text[4][80];
    static unsigned next;
    char *place = text[next++ % 4];
    snprintf(place, sizeof text[0], "%s:%d", host, port);
    return place;
}

static void *accepts(void *arg) {
    int client = accept((int)(intptr_t)arg, NULL, NULL);
    check(client >= 0);
    char c;
    check(read(client, &c, 1) == 1 && write(client, &c, 1) == 1);
    close(client);
    return NULL;
}

/* Both ends block, in one thread: nothing of it would work if these calls were not green. */
static void talks(int listener, const char *address, const eventlet_connect_options *options) {
    eventlet_thread *server = eventlet_spawn(accepts, N(listener));
    int client = eventlet_connect(address, options);
    check(client >= 0);
    check(!(fcntl(client, F_GETFL) & O_NONBLOCK) && fcntl(client, F_GETFD) & FD_CLOEXEC);
    char c = 'x', d = 0;
    check(write(client, &c, 1) == 1 && read(client, &d, 1) == 1 && d == 'x');
    check(read(client, &d, 1) == 0);
    close(client);
    check(ended(server) == 0);
}

static void inet(void) {
    int listener = eventlet_listen("127.0.0.1:0", NULL);
    check(listener >= 0 && !(fcntl(listener, F_GETFL) & O_NONBLOCK) && fcntl(listener, F_GETFD) & FD_CLOEXEC);
    talks(listener, at("127.0.0.1", port_of(listener)), NULL);
    talks(listener, at("", port_of(listener)), NULL);
    talks(listener, at("localhost", port_of(listener)), &(eventlet_connect_options){.family = AF_INET, .timeout = 20});
    talks(listener, at("127.0.0.1", port_of(listener)), &(eventlet_connect_options){.bind = "127.0.0.1:0"});
    close(listener);
    listener = eventlet_listen(":0", &(eventlet_listen_options){0});
    check(listener >= 0);
    talks(listener, at("127.0.0.1", port_of(listener)), NULL);
    close(listener);
    listener = eventlet_listen("localhost:0", &(eventlet_listen_options){.backlog = 3});
    check(listener >= 0);
    talks(listener, at("127.0.0.1", port_of(listener)), NULL);
    close(listener);
    listener = eventlet_listen("[::1]:0", NULL);
    if (listener < 0 && (errno == EAFNOSUPPORT || errno == EADDRNOTAVAIL)) return; /* no IPv6 here */
    talks(listener, at("[::1]", port_of(listener)), NULL);
    talks(listener, at("", port_of(listener)), &(eventlet_connect_options){.family = AF_INET6});
    close(listener);
    listener = eventlet_listen(":0", &(eventlet_listen_options){.family = AF_INET6});
    check(listener >= 0);
    talks(listener, at("[::1]", port_of(listener)), NULL);
    close(listener);
}

static void local(void) {
    char path[64], address[80];
    snprintf(path, sizeof path, "/tmp/eventlet-net-%d", (int)getpid());
    snprintf(address, sizeof address, "unix:%s", path);
    fails(eventlet_connect(address, NULL), ENOENT);
    int listener = eventlet_listen(address, NULL);
    check(listener >= 0);
    talks(listener, address, NULL);
    close(listener);
    fails(eventlet_connect(address, NULL), ECONNREFUSED);
    fails(eventlet_listen(address, NULL), EADDRINUSE);
    unlink(path);
    char longest[200] = "unix:/";
    memset(longest + 6, 'x', 150);
    fails(eventlet_listen(longest, NULL), ENAMETOOLONG);
    fails(eventlet_connect(longest, NULL), ENAMETOOLONG);
}

static void reuse(void) {
    int any = eventlet_listen("127.0.0.1:0", NULL), port = port_of(any);
    check(option(any, SOL_SOCKET, SO_REUSEADDR) == 1 && option(any, SOL_SOCKET, SO_REUSEPORT) == 0);
    fails(eventlet_listen(at("127.0.0.1", port), NULL), EADDRINUSE);
    close(any);
    int fixed = eventlet_listen(at("127.0.0.1", port), NULL);
    check(fixed >= 0 && option(fixed, SOL_SOCKET, SO_REUSEPORT) == 1);
    int second = eventlet_listen(at("127.0.0.1", port), NULL);
    check(second >= 0);
    fails(eventlet_listen(at("127.0.0.1", port), &(eventlet_listen_options){.reuse_port = -1}), EADDRINUSE);
    close(fixed), close(second);
    int off = eventlet_listen("127.0.0.1:0", &(eventlet_listen_options){.reuse_addr = -1, .reuse_port = 1});
    check(option(off, SOL_SOCKET, SO_REUSEADDR) == 0 && option(off, SOL_SOCKET, SO_REUSEPORT) == 1);
    close(off);
}

static void *connects_plainly(void *address) { return N(eventlet_connect(address, &(eventlet_connect_options){0})); }

/* Options that are zero, or none, are the defaults; what a listener has room for, the kernel tells. */
static void defaults(void) {
    const eventlet_listen_options *const all[] = {NULL, &(eventlet_listen_options){0}, &(eventlet_listen_options){.backlog = 7}};
    for (int i = 0; i < 3; i++) {
        int listener = eventlet_listen("127.0.0.1:0", all[i]);
        struct tcp_info info;
        socklen_t length = sizeof info;
        check(listener >= 0 && getsockopt(listener, IPPROTO_TCP, TCP_INFO, &info, &length) == 0);
        check(info.tcpi_sacked == (i < 2 ? 50 : 7) && option(listener, SOL_SOCKET, SO_REUSEADDR) == 1);
        void *client;
        eventlet_thread *thread = eventlet_spawn(connects_plainly, (void *)at("127.0.0.1", port_of(listener)));
        check(eventlet_wait(thread, &client) == 0 && (intptr_t)client >= 0);
        eventlet_release(thread);
        close((int)(intptr_t)client), close(listener);
    }
}

static void *connects(void *arg) { return N(eventlet_connect(arg, NULL)); }

static void errors(void) {
    static const char *const bad[] = {"", "host", ":", "host:", "host:http", "h:65536", "h:-1", "::1:80", "[::1]", "[x]:1", "[]:1", "unix:", "a b:1"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        fails(eventlet_connect(bad[i], NULL), EINVAL);
        fails(eventlet_listen(bad[i], NULL), EINVAL);
    }
    fails(eventlet_connect(NULL, NULL), EINVAL);
    fails(eventlet_listen(NULL, NULL), EINVAL);
    fails(eventlet_listen(":0", &(eventlet_listen_options){.backlog = -1}), EINVAL);
    fails(eventlet_listen(":0", &(eventlet_listen_options){.reuse_port = 2}), EINVAL);
    fails(eventlet_listen(":0", &(eventlet_listen_options){.family = 77}), EAFNOSUPPORT);
    fails(eventlet_listen("127.0.0.1:0", &(eventlet_listen_options){.family = AF_INET6}), EAFNOSUPPORT);
    fails(eventlet_connect("unix:/x", &(eventlet_connect_options){.family = AF_INET}), EAFNOSUPPORT);
    fails(eventlet_connect("127.0.0.1:1", &(eventlet_connect_options){.timeout = 0.0 / 0.0}), EINVAL);
    fails(eventlet_connect("127.0.0.1:1", &(eventlet_connect_options){.bind = "x"}), EINVAL);
    fails(eventlet_connect("no.such.host.invalid:1", NULL), EHOSTUNREACH);
    fails(eventlet_listen("no.such.host.invalid:1", NULL), EHOSTUNREACH);
    fails(eventlet_listen("192.0.2.1:0", NULL), EADDRNOTAVAIL);
    int closed = eventlet_listen("127.0.0.1:0", NULL), port = port_of(closed);
    close(closed);
    fails(eventlet_connect(at("127.0.0.1", port), NULL), ECONNREFUSED);
    /* Nobody answers: a full backlog. The kernel would try for minutes. */
    int full = eventlet_listen("127.0.0.1:0", &(eventlet_listen_options){.backlog = 1});
    const char *address = at("127.0.0.1", port_of(full));
    eventlet_connect_options brief = {.timeout = 0.05};
    int clients[8], n = 0;
    while (n < 8 && (clients[n] = eventlet_connect(address, &brief)) >= 0) n++;
    check(n > 0 && n < 8 && errno == ETIMEDOUT);
    /* A kill ends it as well, and its socket goes. */
    eventlet_hub_exceptions(0);
    eventlet_thread *victim = eventlet_spawn(connects, (void *)address);
    eventlet_sleep(0.01);
    int before = dup(0);
    close(before);
    check(eventlet_kill(victim, EVENTLET_USER) == 0 && ended(victim) == EVENTLET_USER);
    int after = dup(0);
    check(after < before);
    close(after);
    while (n--) close(clients[n]);
    close(full);
}

/* A dup is green as well, and stdio on one; poll and select know them. */
static void *answers(void *arg) {
    FILE *stream = fdopen((int)(intptr_t)arg, "r+");
    char line[64];
    check(stream && fgets(line, sizeof line, stream) && !strcmp(line, "hello\n"));
    check(fprintf(stream, "hello yourself\n") == 15 && fclose(stream) == 0);
    return NULL;
}

static void *greets(void *arg) {
    eventlet_sleep(0.005);
    check(write((int)(intptr_t)arg, "hello\n", 6) == 6);
    return NULL;
}

static void everywhere(void) {
    int listener = eventlet_listen("127.0.0.1:0", NULL);
    int client = eventlet_connect(at("127.0.0.1", port_of(listener)), NULL);
    int server = accept(listener, NULL, NULL), other = dup(server);
    check(client >= 0 && server >= 0 && other >= 0);
    close(server);
    eventlet_thread *one = eventlet_spawn(answers, N(other)), *two = eventlet_spawn(greets, N(client));
    struct pollfd ready = {client, POLLIN, 0};
    check(poll(&ready, 1, -1) == 1);
    char text[64];
    check(recv(client, text, sizeof text, 0) == 15);
    check(ended(one) == 0 && ended(two) == 0);
    close(client);

    client = eventlet_connect(at("127.0.0.1", port_of(listener)), NULL);
    server = accept(listener, NULL, NULL);
    two = eventlet_spawn(greets, N(client));
    fd_set set;
    FD_ZERO(&set);
    FD_SET(server, &set);
    check(select(server + 1, &set, NULL, NULL, NULL) == 1);
    check(read(server, text, 6) == 6 && ended(two) == 0);
    int epoll = epoll_create1(0);
    struct epoll_event event = {EPOLLIN, {0}};
    check(epoll_ctl(epoll, EPOLL_CTL_ADD, server, &event) == 0);
    two = eventlet_spawn(greets, N(client));
    check(epoll_wait(epoll, &event, 1, -1) == 1 && ended(two) == 0);
    close(epoll), close(client), close(server), close(listener);
}

static void *sends(void *arg) {
    eventlet_sleep(0.005);
    return N(write((int)(intptr_t)arg, "x", 1));
}

/* The number of a green descriptor that is closed is an ordinary one again. */
static void numbers(void) {
    int listener = eventlet_listen("127.0.0.1:0", NULL);
    close(listener);
    int pair[2];
    check(pipe(pair) == 0 && pair[0] == listener);
    eventlet_thread *writer = eventlet_spawn(sends, N(pair[1]));
    if (eventlet_patched() & EVENTLET_OS) {
        char c;
        check(read(pair[0], &c, 1) == 1 && ended(writer) == 0);
    } else {
        struct pollfd never = {pair[0], POLLIN, 0};
        check(poll(&never, 1, 50) == 0 && !eventlet_dead(writer) && ended(writer) == 0);
    }
}

/* No descriptor is free. */
static void no_descriptor(void) {
    int door = eventlet_listen("127.0.0.1:0", NULL), taken[64], n = 0;
    const char *address = at("127.0.0.1", port_of(door));
    int client = eventlet_connect(address, NULL), peer = must(accept(door, NULL, NULL));
    eventlet_ssl_options options = {.verify = -1};
    struct rlimit before, limit;
    must(getrlimit(RLIMIT_NOFILE, &before));
    limit = before, limit.rlim_cur = 64;
    must(setrlimit(RLIMIT_NOFILE, &limit));
    while (n < 64 && (taken[n] = dup(0)) >= 0) n++;
    check(errno == EMFILE);
    fails(eventlet_connect("localhost:1", NULL), EMFILE);
    fails(eventlet_connect(address, NULL), EMFILE);
    fails(eventlet_connect("unix:/nowhere", NULL), EMFILE);
    fails(eventlet_listen("127.0.0.1:0", NULL), EMFILE);
    fails(eventlet_wrap_ssl(client, &options), EMFILE);
    check(write(client, "x", 1) == 1);
    while (n > 0) must(close(taken[--n]));
    must(setrlimit(RLIMIT_NOFILE, &before));
    fails(eventlet_connect("localhost:1", NULL), ECONNREFUSED);
    char byte;
    check(read(peer, &byte, 1) == 1 && byte == 'x');
    must(close(client)), must(close(peer)), must(close(door));
}

/* No room for libeventlet_tls.so. */
static void no_room(void) {
    int door = eventlet_listen("127.0.0.1:0", NULL), client = eventlet_connect(at("127.0.0.1", port_of(door)), NULL);
    eventlet_ssl_options options = {.verify = -1};
    struct rlimit before, tight;
    FILE *file = fopen("/proc/self/statm", "r");
    long pages;
    check(fscanf(file, "%ld", &pages) == 1 && fclose(file) == 0);
    must(getrlimit(RLIMIT_AS, &before));
    tight = before, tight.rlim_cur = pages * 4096 + (1 << 20);
    must(setrlimit(RLIMIT_AS, &tight));
    fails(eventlet_wrap_ssl(client, &options), ENOMEM);
    must(setrlimit(RLIMIT_AS, &before));
    must(close(client)), must(close(door));
}

int main(int argc, char **argv) {
    struct test tests[] = {CASE(inet), CASE(local), CASE(reuse), CASE(defaults), CASE(errors), CASE(no_descriptor), CASE(no_room), CASE(everywhere), CASE(numbers)};
    return RUN(argc, argv, tests);
}
