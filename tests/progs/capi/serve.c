/* eventlet_serve. */
#include "capi.h"

#include <poll.h>
#include <sys/resource.h>

static int port_of(int fd) {
    struct sockaddr_in name;
    socklen_t length = sizeof name;
    check(getsockname(fd, (struct sockaddr *)&name, &length) == 0);
    return ntohs(name.sin_port);
}

static char address[80];

static int listens(void) {
    int fd = eventlet_listen("127.0.0.1:0", &(eventlet_listen_options){.backlog = 4096});
    check(fd >= 0);
    snprintf(address, sizeof address, "127.0.0.1:%d", port_of(fd));
    return fd;
}

/* A server in a green thread of its own. */
struct server { int listener; void (*handle)(int, const struct sockaddr *, socklen_t, void *); void *ctx; size_t concurrency; };

static void *serves(void *arg) {
    struct server *server = arg;
    int answer = eventlet_serve(server->listener, server->handle, server->ctx, server->concurrency);
    return N(answer == 0 ? 0 : errno);
}

static long served(eventlet_thread *thread) {
    void *result;
    check(eventlet_wait(thread, &result) == 0);
    eventlet_release(thread);
    return (intptr_t)result;
}

static int running, most;

static void echoes(int client, const struct sockaddr *peer, socklen_t length, void *ctx) {
    check(peer->sa_family == AF_INET && length == sizeof(struct sockaddr_in) && ctx == &running);
    if (++running > most) most = running;
    char buffer[64];
    ssize_t n;
    while ((n = read(client, buffer, sizeof buffer)) > 0) check(write(client, buffer, n) == n);
    running--;
}

static void *visits(void *arg) {
    int client = eventlet_connect(address, NULL);
    check(client >= 0);
    char word[16], answer[16];
    int n = snprintf(word, sizeof word, "%ld", (long)(intptr_t)arg);
    for (int i = 0; i < 3; i++) {
        check(write(client, word, n) == n);
        int got = 0;
        while (got < n) {
            ssize_t more = read(client, answer + got, n - got);
            check(more > 0);
            got += more;
        }
        check(!memcmp(word, answer, n));
    }
    close(client);
    return NULL;
}

static void many(void) {
    enum { CLIENTS = 5000 };
    struct server server = {listens(), echoes, &running, 0};
    eventlet_thread *thread = eventlet_spawn(serves, &server);
    eventlet_pool *pool = eventlet_pool_new(1200);
    for (long i = 0; i < CLIENTS; i++) check(eventlet_pool_spawn_n(pool, visits, N(i)) == 0);
    check(eventlet_pool_waitall(pool) == 0);
    eventlet_pool_delete(pool);
    check(most <= 1000);
    check(eventlet_kill(thread, 0) == 0);
    check(ended(thread) == EVENTLET_EXIT);
    while (running) eventlet_sleep(0);
    close(server.listener);
}

/* A concurrency of 0 is 1000. Who comes above that is not accepted, but waits in the backlog. */
static eventlet_event *go;
static void holds(int client, const struct sockaddr *peer, socklen_t length, void *ctx) {
    (void)client, (void)peer, (void)length, (void)ctx;
    running++;
    check(eventlet_event_wait(go, NULL, -1) == 0);
    running--;
}

static void thousand(void) {
    static int clients[1001];
    char c;
    go = eventlet_event_new();
    struct server server = {listens(), holds, NULL, 0};
    eventlet_thread *thread = eventlet_spawn(serves, &server);
    for (int i = 0; i < 1001; i++) check((clients[i] = eventlet_connect(address, NULL)) >= 0);
    while (running < 1000) eventlet_sleep(0.001);
    struct pollfd waits = {server.listener, POLLIN, 0};
    for (int i = 0; i < 3; i++) {
        eventlet_sleep(0.002);
        check(running == 1000 && poll(&waits, 1, 0) == 1);
    }
    check(eventlet_event_send(go, NULL) == 0);
    for (int i = 0; i < 1001; i++) check(read(clients[i], &c, 1) == 0 && close(clients[i]) == 0);
    check(running == 0 && eventlet_kill(thread, 0) == 0 && ended(thread) == EVENTLET_EXIT);
    close(server.listener);
    eventlet_event_delete(go);
}

static void *looks(void *arg) {
    (void)arg;
    int client = eventlet_connect(address, NULL);
    char c;
    check(client >= 0 && write(client, "x", 1) == 1 && read(client, &c, 1) == 1);
    eventlet_sleep(0.005);
    close(client);
    return NULL;
}

static void limited(void) {
    struct server server = {listens(), echoes, &running, 2};
    eventlet_thread *thread = eventlet_spawn(serves, &server), *clients[7];
    for (int i = 0; i < 7; i++) clients[i] = eventlet_spawn(looks, NULL);
    for (int i = 0; i < 7; i++) check(ended(clients[i]) == 0);
    check(most == 2);
    check(eventlet_kill(thread, 0) == 0 && ended(thread) == EVENTLET_EXIT);
    close(server.listener);
}

/* The client's first byte says what its handler does. */
static void obeys(int client, const struct sockaddr *peer, socklen_t length, void *ctx) {
    (void)peer, (void)length;
    char what = 0;
    if (read(client, &what, 1) != 1) return;
    switch (what) {
    case 's': eventlet_stop_serve();
    case 'u': eventlet_raise(EVENTLET_USER + 3);
    case 'e': eventlet_raise(ENOSPC);
    case 'x': eventlet_raise(EVENTLET_EXIT);
    case 't': eventlet_raise(EVENTLET_TIMEOUT);
    case 'p': pthread_exit(NULL);
    case 'c': close(client); break;
    case 'r': /* the number has another owner by the end */
        close(client);
        *(int *)ctx = open("/dev/null", O_WRONLY);
        check(*(int *)ctx == client);
        break;
    case 'f': fclose(fdopen(client, "r+")); break;
    case 'w': eventlet_sleep(0.02); check(write(client, "late", 4) == 4); break;
    }
}

/* Says it, and waits for the end of the connection. */
static int asks(const char *what, char *answer) {
    int client = eventlet_connect(address, NULL);
    check(client >= 0 && write(client, what, 1) == 1);
    int n = read(client, answer, 16);
    close(client);
    return n;
}

static void ends(void) {
    char text[16];
    int kept = -1;
    struct server server = {listens(), obeys, &kept, 10};
    eventlet_thread *thread = eventlet_spawn(serves, &server);
    /* Its own matter: the server goes on. */
    check(asks("x", text) == 0 && asks("p", text) == 0 && asks("c", text) == 0 && asks("f", text) == 0);
    check(asks("r", text) == 0);
    eventlet_sleep(0);
    check(write(kept, "x", 1) == 1 && close(kept) == 0);
    check(!eventlet_dead(thread));
    /* Stopped while another handler runs, which goes on; the listener is there still. */
    int slow = eventlet_connect(address, NULL);
    check(write(slow, "w", 1) == 1);
    eventlet_sleep(0.005);
    check(asks("s", text) == 0);
    check(served(thread) == 0);
    check(read(slow, text, 4) == 4 && read(slow, text, 1) == 0);
    close(slow);
    /* A code ends it. */
    const char *codes[] = {"u", "e"};
    const long expected[] = {EVENTLET_USER + 3, ENOSPC};
    for (int i = 0; i < 2; i++) {
        thread = eventlet_spawn(serves, &server);
        check(asks(codes[i], text) == 0);
        check(served(thread) == expected[i]);
    }
    /* Stopped while it waits for a slot. */
    server.concurrency = 1;
    thread = eventlet_spawn(serves, &server);
    check(asks("s", text) == 0 && served(thread) == 0);
    close(server.listener);
}

/* An uncaught timeout of a handler is its own matter, and said on stderr. */
static void timeouts(void) {
    char text[16];
    struct server server = {listens(), obeys, NULL, 10};
    eventlet_hub_exceptions(0);
    eventlet_thread *thread = eventlet_spawn(serves, &server);
    check(asks("t", text) == 0 && !eventlet_dead(thread));
    check(asks("s", text) == 0 && served(thread) == 0);
}

static void *closes(void *arg) {
    eventlet_sleep(0.005);
    close((int)(intptr_t)arg);
    return NULL;
}

static void errors(void) {
    fails(eventlet_serve(0, NULL, NULL, 1), EINVAL);
    fails(eventlet_serve(-1, obeys, NULL, 1), EBADF);
    int file = open("/dev/null", O_RDWR);
    fails(eventlet_serve(file, obeys, NULL, 1), ENOTSOCK);
    close(file);
    fails(eventlet_serve(file, obeys, NULL, 1), EBADF);
    int plain = socket(AF_INET, SOCK_STREAM, 0);
    fails(eventlet_serve(plain, obeys, NULL, 1), EINVAL);
    close(plain);
    int datagram = socket(AF_INET, SOCK_DGRAM, 0);
    fails(eventlet_serve(datagram, obeys, NULL, 1), EOPNOTSUPP);
    close(datagram);
    int listener = listens();
    check(eventlet_spawn_n(closes, N(listener)) == 0);
    fails(eventlet_serve(listener, obeys, NULL, 1), EBADF);
    fails(eventlet_serve(listener, obeys, NULL, 1), EBADF);
}

/* Without descriptors left it waits, and goes on. */
static void full(void) {
    char text[16];
    struct server server = {listens(), obeys, NULL, 10};
    eventlet_thread *thread = eventlet_spawn(serves, &server);
    eventlet_sleep(0);
    int client = eventlet_connect(address, NULL), taken[64], n = 0;
    struct sockaddr_in peer;
    socklen_t length = sizeof peer;
    check(getpeername(client, (struct sockaddr *)&peer, &length) == 0);
    eventlet_sleep(0.005);
    int second = socket(AF_INET, SOCK_STREAM, 0);
    struct rlimit limit;
    getrlimit(RLIMIT_NOFILE, &limit);
    limit.rlim_cur = 64;
    setrlimit(RLIMIT_NOFILE, &limit);
    while (n < 64 && (taken[n] = dup(0)) >= 0) n++;
    check(connect(second, (struct sockaddr *)&peer, sizeof peer) == 0);
    check(write(second, "w", 1) == 1);
    eventlet_sleep(0.02);
    check(!eventlet_dead(thread));
    while (n > 0) close(taken[--n]);
    struct pollfd ready = {second, POLLIN, 0};
    while (poll(&ready, 1, 0) == 0) eventlet_sleep(0.005);
    check(read(second, text, 4) == 4);
    close(second), close(client);
    check(eventlet_kill(thread, 0) == 0 && ended(thread) == EVENTLET_EXIT);
}

/* Listeners of other kinds, and from elsewhere. */
static void anywhere(void) {
    char text[16], path[64];
    snprintf(path, sizeof path, "/tmp/eventlet-serve-%d", (int)getpid());
    snprintf(address, sizeof address, "unix:%s", path);
    struct server server = {eventlet_listen(address, NULL), obeys, NULL, 0};
    eventlet_thread *thread = eventlet_spawn(serves, &server);
    check(asks("x", text) == 0 && asks("s", text) == 0 && served(thread) == 0);
    close(server.listener);
    unlink(path);
    struct sockaddr_in own;
    server.listener = listener(10, &own);
    snprintf(address, sizeof address, "127.0.0.1:%d", ntohs(own.sin_port));
    for (int nonblocking = 0; nonblocking < 2; nonblocking++) {
        if (nonblocking) fcntl(server.listener, F_SETFL, O_NONBLOCK);
        thread = eventlet_spawn(serves, &server);
        eventlet_sleep(0.002);
        check(asks("x", text) == 0 && asks("s", text) == 0 && served(thread) == 0);
        check(!(fcntl(server.listener, F_GETFL) & O_NONBLOCK) == !nonblocking);
    }
    close(server.listener);
    int v6 = eventlet_listen("[::1]:0", NULL);
    if (v6 < 0) return;
    struct sockaddr_in6 name;
    socklen_t length = sizeof name;
    getsockname(v6, (struct sockaddr *)&name, &length);
    snprintf(address, sizeof address, "[::1]:%d", ntohs(name.sin6_port));
    server.listener = v6;
    thread = eventlet_spawn(serves, &server);
    check(asks("x", text) == 0 && asks("s", text) == 0 && served(thread) == 0);
}

int main(int argc, char **argv) {
    struct test tests[] = {CASE(many), CASE(thousand), CASE(limited), CASE(ends), CASE(timeouts), CASE(errors), CASE(full), CASE(anywhere)};
    return RUN(argc, argv, tests);
}
