/* TLS between two green threads of one process. CERTS names the folder of certificates. */
#include "capi.h"

#include <arpa/inet.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/select.h>

static const char *path(const char *file) {
    static char names[8][512];
    static int next;
    char *name = names[next++ % 8];
    snprintf(name, sizeof names[0], "%s/%s", getenv("CERTS"), file);
    return name;
}

static int listening(uint16_t *port) {
    struct sockaddr_in address;
    int fd = listener(4096, &address);
    *port = ntohs(address.sin_port);
    return fd;
}

static int connected(uint16_t port) {
    struct sockaddr_in address = {AF_INET, htons(port), {htonl(INADDR_LOOPBACK)}, {0}};
    return dial(&address);
}

static eventlet_ssl_options server(void) {
    eventlet_ssl_options options = {.server_side = 1, .certfile = path("server.pem"), .keyfile = path("server.key")};
    return options;
}

static eventlet_ssl_options client(void) {
    eventlet_ssl_options options = {.cafile = path("ca.pem"), .hostname = "localhost"};
    return options;
}

/* Says it on a failure. */
#define wrapped(call) ({ int fd_ = (call); if (fd_ < 0) { fprintf(stderr, "%s\n", eventlet_ssl_error()); die(#call); } fd_; })

static uint16_t port;
static int door;

/* A wrapped listener. */
static void listens(eventlet_ssl_options options) {
    int fd = listening(&port);
    door = wrapped(eventlet_wrap_ssl(fd, &options));
    check(door != fd);
    fails(fcntl(fd, F_GETFD), EBADF);
}

static int joins(void) {
    eventlet_ssl_options options = client();
    return wrapped(eventlet_wrap_ssl(connected(port), &options));
}

static void *wraps(void *options) {
    return N(wrapped(eventlet_wrap_ssl(connected(port), options)));
}

/* Both ends of a new connection. A handshake needs the other side to accept. */
static void meet(eventlet_ssl_options options, int *near, int *far) {
    void *fd;
    eventlet_thread *thread = eventlet_spawn(wraps, &options);
    *far = must(accept(door, NULL, NULL));
    check(eventlet_wait(thread, &fd) == 0);
    eventlet_release(thread);
    *near = (int)(intptr_t)fd;
}

static void both(int *near, int *far) {
    listens(server());
    meet(client(), near, far);
    close(door);
}

static void *echoes(void *arg) {
    int fd = (int)(intptr_t)arg;
    char bytes[3000];
    ssize_t count;
    while ((count = must(read(fd, bytes, sizeof bytes))) > 0) check(must(write(fd, bytes, count)) == count);
    close(fd);
    return NULL;
}

static void *serves(void *door) {
    for (;;) {
        int fd = accept((int)(intptr_t)door, NULL, NULL);
        if (fd < 0) return NULL;
        check(eventlet_spawn_n(echoes, N(fd)) == 0);
    }
}

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

static int asked;
static void *asks(void *arg) {
    eventlet_ssl_options options = client();
    (void)arg;
    return N(eventlet_wrap_ssl(asked, &options));
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

/* A wrap that fails with that errno, says that word, and leaves the socket ours. */
static void refused(eventlet_ssl_options options, int code, const char *word) {
    int fd = connected(port);
    fails(eventlet_wrap_ssl(fd, &options), code);
    if (!strstr(eventlet_ssl_error(), word)) {
        fprintf(stderr, "%s: %s\n", word, eventlet_ssl_error());
        die("text");
    }
    check(must(fcntl(fd, F_GETFD)) == 0);
    must(close(fd));
}

static void *fails_to_shake(void *door);
static const char *known(int fd, int what) {
    static char text[256];
    check(must(eventlet_ssl_info(fd, what, text, sizeof text)) == (long)strlen(text));
    return text;
}

static void told(void) {
    eventlet_ssl_options us = server(), them = client();
    int near, far;
    us.alpn = "h2, http/1.1";
    them.alpn = "http/1.1,spdy/3";
    listens(us);
    meet(them, &near, &far);
    for (int i = 0; i < 2; i++) {
        int fd = i ? far : near;
        check(strcmp(known(fd, EVENTLET_SSL_VERSION), "TLSv1.3") == 0);
        check(strncmp(known(fd, EVENTLET_SSL_CIPHER), "TLS_", 4) == 0);
        check(strcmp(known(fd, EVENTLET_SSL_ALPN), "http/1.1") == 0);
        check(strcmp(known(fd, EVENTLET_SSL_SERVER_NAME), i ? "localhost" : "") == 0);
        long length = must(eventlet_ssl_info(fd, EVENTLET_SSL_CERTIFICATE, NULL, 0));
        check(i ? length == 0 : length > 200);
        fails((int)eventlet_ssl_info(fd, 0, NULL, 0), EINVAL);
    }
    unsigned char der[2] = {0};
    must(eventlet_ssl_info(near, EVENTLET_SSL_CERTIFICATE, der, 2));
    check(der[0] == 0x30 && der[1] == 0x82);
    fails((int)eventlet_ssl_info(door, EVENTLET_SSL_VERSION, NULL, 0), EINVAL);
    fails((int)eventlet_ssl_info(-1, EVENTLET_SSL_VERSION, NULL, 0), EINVAL);
    close(far);
    char byte;
    check(must(read(near, &byte, 1)) == 0);
    close(near);
    /* No protocol in common. */
    them.alpn = "imap";
    eventlet_spawn_n(fails_to_shake, N(door));
    refused(them, EPROTO, "NoApplicationProtocol");
}

static void *fails_to_shake(void *door) {
    char byte;
    for (;;) {
        int fd = accept((int)(intptr_t)door, NULL, NULL);
        if (fd < 0) return NULL;
        fails((int)read(fd, &byte, 1), EPROTO);
        fails((int)read(fd, &byte, 1), EPROTO);
        check(eventlet_ssl_error()[0]);
        close(fd);
    }
}

static void verified(void) {
    eventlet_ssl_options us = server(), them = client();
    listens(us);
    eventlet_spawn_n(fails_to_shake, N(door));
    them.hostname = "elsewhere.example";
    refused(them, EACCES, "elsewhere.example");
    them = client();
    them.cafile = path("self.pem");
    refused(them, EACCES, "nobody who is trusted");
    them.cafile = NULL;
    refused(them, EACCES, "nobody who is trusted");
    struct { const char *certfile, *keyfile, *word; } all[] = {
        {"expired.pem", "server.key", "expired"}, {"self.pem", "self.key", "nobody who is trusted"}, {"other.pem", "server.key", "other.example"}};
    for (int i = 0; i < 3; i++) {
        us.certfile = path(all[i].certfile);
        us.keyfile = path(all[i].keyfile);
        listens(us);
        eventlet_spawn_n(fails_to_shake, N(door));
        refused(client(), EACCES, all[i].word);
        eventlet_ssl_options off = client();
        off.verify = -1;
        off.hostname = NULL;
        listens(us);
        eventlet_spawn_n(serves, N(door));
        close(wrapped(eventlet_wrap_ssl(connected(port), &off)));
        off.hostname = "whatever";
        close(wrapped(eventlet_wrap_ssl(connected(port), &off)));
    }
    them = client();
    them.hostname = "127.0.0.1";
    listens(server());
    eventlet_spawn_n(serves, N(door));
    close(wrapped(eventlet_wrap_ssl(connected(port), &them)));
    /* A self-signed certificate is its own authority. */
    us.certfile = path("self.pem");
    us.keyfile = path("self.key");
    listens(us);
    eventlet_spawn_n(serves, N(door));
    them.cafile = us.certfile;
    them.hostname = "localhost";
    close(wrapped(eventlet_wrap_ssl(connected(port), &them)));
}

static void client_certificates(void) {
    eventlet_ssl_options us = server(), them = client();
    char byte;
    us.verify = 1;
    us.cafile = path("ca.pem");
    listens(us);
    them.certfile = path("client.pem");
    them.keyfile = path("client.key");
    int near, far;
    meet(them, &near, &far);
    check(must(write(near, "x", 1)) == 1);
    read_all(far, &byte, 1);
    close(near);
    close(far);
    const char *others[] = {NULL, "self.pem"};
    for (int i = 0; i < 2; i++) {
        them.certfile = others[i] ? path(others[i]) : NULL;
        them.keyfile = others[i] ? path("self.key") : NULL;
        /* The client cannot know yet: it learns it from what it reads. */
        meet(them, &near, &far);
        fails((int)read(far, &byte, 1), EPROTO);
        fails((int)read(near, &byte, 1), EPROTO);
        check(strstr(eventlet_ssl_error(), "alert"));
        close(near);
        close(far);
    }
}

static void wrong(void) {
    eventlet_ssl_options options = client();
    uint16_t port;
    int fd = listening(&port), pair[2], record = must(socket(AF_INET, SOCK_DGRAM, 0));
    fails(eventlet_wrap_ssl(-1, &options), EBADF);
    must(pipe(pair));
    fails(eventlet_wrap_ssl(pair[0], &options), ENOTSOCK);
    fails(eventlet_wrap_ssl(record, &options), EINVAL);
    fails(eventlet_wrap_ssl(fd, &options), EINVAL);
    check(strstr(eventlet_ssl_error(), "server_side"));
    fails(eventlet_wrap_ssl(must(socket(AF_INET, SOCK_STREAM, 0)), &options), ENOTCONN);
    int raw = connected(port);
    fails(eventlet_wrap_ssl(raw, NULL), EINVAL);
    check(strstr(eventlet_ssl_error(), "hostname"));
    options.hostname = "not a name";
    fails(eventlet_wrap_ssl(raw, &options), EINVAL);
    check(strstr(eventlet_ssl_error(), "not a name"));
    options = client();
    options.cafile = path("absent.pem");
    fails(eventlet_wrap_ssl(raw, &options), ENOENT);
    check(strstr(eventlet_ssl_error(), "absent.pem"));
    options.cafile = path("server.key");
    fails(eventlet_wrap_ssl(raw, &options), EINVAL);
    check(strstr(eventlet_ssl_error(), "no certificate"));
    options = client();
    options.handshake_timeout = __builtin_nan("");
    fails(eventlet_wrap_ssl(raw, &options), EINVAL);
    options = client();
    options.alpn = "h2,,http/1.1";
    fails(eventlet_wrap_ssl(raw, &options), EINVAL);
    options = server();
    options.certfile = NULL;
    fails(eventlet_wrap_ssl(fd, &options), EINVAL);
    options = server();
    options.keyfile = path("self.key");
    fails(eventlet_wrap_ssl(fd, &options), EINVAL);
    check(strstr(eventlet_ssl_error(), "key"));
    options.keyfile = path("server.pem");
    fails(eventlet_wrap_ssl(fd, &options), EINVAL);
    check(strstr(eventlet_ssl_error(), "private key"));
    options.certfile = path("");
    fails(eventlet_wrap_ssl(fd, &options), EISDIR);
    must(fcntl(raw, F_GETFD));
    must(fcntl(fd, F_GETFD));
    options = server();
    options.certfile = path("server.both");
    options.keyfile = NULL;
    close(wrapped(eventlet_wrap_ssl(fd, &options)));
}

/* A peer that never says anything. */
static void silent(void) {
    uint16_t quiet;
    int mute = listening(&quiet);
    eventlet_ssl_options them = client();
    them.handshake_timeout = 0.02;
    int fd = connected(quiet);
    fails(eventlet_wrap_ssl(fd, &them), ETIMEDOUT);
    check(strstr(eventlet_ssl_error(), "too long"));
    must(close(fd));
    close(mute);
    /* It stalls nobody: accept gives it at once, and the next one as well. */
    int near, far;
    char byte;
    listens(server());
    int raw = connected(port), still = must(accept(door, NULL, NULL));
    meet(client(), &near, &far);
    check(must(write(far, "x", 1)) == 1);
    read_all(near, &byte, 1);
    close(raw);
    close(still);
    /* Its time is limited. */
    eventlet_ssl_options us = server();
    us.handshake_timeout = 0.02;
    listens(us);
    raw = connected(port);
    still = must(accept(door, NULL, NULL));
    fails((int)read(still, &byte, 1), EPROTO);
    check(read(raw, &byte, 1) == 0);
    struct sockaddr_in told;
    socklen_t length = sizeof told;
    fails(getpeername(still, (struct sockaddr *)&told, &length), ENOTCONN);
    signal(SIGPIPE, SIG_IGN);
    fails((int)write(still, "x", 1), EPIPE);
    close(still);
    close(raw);
    close(near);
    close(far);
}

/* A wrap that is ended from outside leaves the socket as it is. */
static void given_up(void) {
    uint16_t quiet;
    int mute = listening(&quiet);
    char bytes[4096];
    asked = connected(quiet);
    int peer = must(accept(mute, NULL, NULL));
    fails(eventlet_with_timeout(0.01, asks, NULL, NULL), ETIMEDOUT);
    eventlet_thread *thread = eventlet_spawn(asks, NULL);
    eventlet_sleep(0.01);
    check(eventlet_kill(thread, 0) == 0 && ended(thread) == EVENTLET_EXIT);
    eventlet_sleep(0.002);
    check(must(write(asked, "mine", 4)) == 4);
    must(shutdown(asked, SHUT_WR));
    long total = 0, count;
    while ((count = must(read(peer, bytes, sizeof bytes))) > 0) total += count;
    check(total > 4 && memcmp(bytes, "\x16\x03", 2) == 0);
    must(close(asked));
    /* And a server that answers is not bothered by who gave up before. */
    int before = must(dup(0));
    close(before);
    asked = connected(quiet);
    fails(eventlet_with_timeout(0, asks, NULL, NULL), ETIMEDOUT);
    eventlet_sleep(0.002);
    close(asked);
    check(must(dup(0)) == before);
}

/* Carries bytes between two sockets; from `from` on the way to the client they are other bytes. */
static struct { int in, out; long from; int kind; } relay;
static void *relays_up(void *arg) {
    char bytes[4096];
    ssize_t count;
    (void)arg;
    while ((count = read(relay.in, bytes, sizeof bytes)) > 0) must(write(relay.out, bytes, count));
    shutdown(relay.out, SHUT_WR);
    return NULL;
}

static void *relays_down(void *arg) {
    char bytes[4096];
    ssize_t count;
    long total = 0;
    (void)arg;
    while ((count = read(relay.out, bytes, sizeof bytes)) > 0) {
        if (relay.kind && total + count > relay.from) {
            long good = relay.from > total ? relay.from - total : 0;
            if (relay.kind == 'c') {
                must(write(relay.in, bytes, good));
                break;
            }
            for (long i = good; i < count; i++) bytes[i] ^= 0x55;
        }
        must(write(relay.in, bytes, count));
        total += count;
    }
    shutdown(relay.in, SHUT_RDWR);
    return NULL;
}

/* The bytes that came before something went wrong, and the errno. */
static long spoilt(int kind, long from, int *code) {
    uint16_t front;
    int gate = listening(&front), fd = connected(front);
    relay.in = must(accept(gate, NULL, NULL));
    relay.out = connected(port);
    relay.kind = kind;
    relay.from = from;
    eventlet_thread *up = eventlet_spawn(relays_up, NULL), *down = eventlet_spawn(relays_down, NULL);
    eventlet_ssl_options options = client();
    int near = eventlet_wrap_ssl(fd, &options);
    long total = -1;
    *code = errno;
    if (near < 0) {
        near = fd;
    } else {
        char bytes[5000];
        ssize_t count;
        check(must(write(near, "go", 2)) == 2);
        total = 0;
        while ((count = read(near, bytes, sizeof bytes)) > 0) total += count;
        *code = count < 0 ? errno : 0;
    }
    must(close(near));
    check(ended(down) == 0);
    check(ended(up) == 0);
    close(relay.in);
    close(relay.out);
    close(gate);
    return total;
}

static void *gives(void *arg) {
    (void)arg;
    signal(SIGPIPE, SIG_IGN);
    for (;;) {
        int fd = accept(door, NULL, NULL);
        if (fd < 0) return NULL;
        char word[2], bytes[20000] = {0};
        if (read(fd, word, 2) == 2) (void)!write(fd, bytes, sizeof bytes);
        close(fd);
    }
}

static void bad_peers(void) {
    int code;
    listens(server());
    eventlet_spawn_n(gives, NULL);
    check(spoilt(0, 0, &code) == 20000 && code == 0);
    /* Cut within the handshake, after it, within a record, and just before the end is said. */
    for (long from = 0; from < 800; from += 61) check(spoilt('c', from, &code) <= 0 && code == EPROTO);
    for (long from = 3000; from < 20000; from += 1999) {
        long total = spoilt('c', from, &code);
        check(total >= 0 && total <= 20000 && code == EPROTO);
    }
    /* Garbage in the same places. */
    for (long from = 0; from < 800; from += 61) check(spoilt('g', from, &code) <= 0 && code == EPROTO);
    for (long from = 3000; from < 20000; from += 1999) check(spoilt('g', from, &code) < 20000 && code == EPROTO);
    check(spoilt(0, 0, &code) == 20000 && code == 0);
    /* Clients that do not speak TLS. */
    const char *words[] = {"GET / HTTP/1.0\r\n\r\n", "\x16\x03\x01\xff\xff", "\x15\x03\x03\x00\x02\x02\x28", "\x80", ""};
    for (int i = 0; i < 5; i++) {
        char bytes[64];
        int raw = connected(port);
        check(must(write(raw, words[i], strlen(words[i]))) >= 0);
        shutdown(raw, SHUT_WR);
        while (read(raw, bytes, sizeof bytes) > 0) {}
        close(raw);
    }
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
    struct test tests[] = {CASE(echo), CASE(both_ways), CASE(half_close), CASE(polled), CASE(streams), CASE(duplicates), CASE(names), CASE(told),
        CASE(verified), CASE(client_certificates), CASE(wrong), CASE(silent), CASE(given_up), CASE(bad_peers), CASE(back_pressure),
        CASE(many), CASE(prefork), CASE(served)};
    return RUN(argc, argv, tests);
}
