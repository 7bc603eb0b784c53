/* TLS between two green threads of one process: what is told of a peer, and who is refused. */
#include "ssl.h"

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
            if (relay.kind == 'r') {
                /* A connection that is taken down so is reset. */
                struct sockaddr nobody = {.sa_family = AF_UNSPEC};
                must(connect(relay.in, &nobody, sizeof nobody));
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
    /* Reset there. */
    for (long from = 0; from < 800; from += 61) {
        long total = spoilt('r', from, &code);
        check((total == -1 && code == EPROTO) || (total == 0 && code == ECONNRESET));
    }
    for (long from = 3000; from < 20000; from += 1999) {
        long total = spoilt('r', from, &code);
        check(total >= 0 && total <= 20000 && code == ECONNRESET);
    }
    /* Garbage in the same places. */
    for (long from = 0; from < 800; from += 61) check(spoilt('g', from, &code) <= 0 && code == EPROTO);
    for (long from = 3000; from < 20000; from += 1999) check(spoilt('g', from, &code) < 20000 && code == EPROTO);
    check(spoilt(0, 0, &code) == 20000 && code == 0);
    /* Clients that have gone, by a reset, before they are accepted: as without TLS, each is one all the same. */
    for (int i = 0; i < 50; i++) {
        int raw = connected(port);
        must(setsockopt(raw, SOL_SOCKET, SO_LINGER, &(struct linger){1, 0}, sizeof(struct linger)));
        must(close(raw));
    }
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

int main(int argc, char **argv) {
    setvbuf(stdout, NULL, _IONBF, 0);
    struct test tests[] = {CASE(told), CASE(verified), CASE(client_certificates), CASE(wrong), CASE(silent), CASE(given_up),
        CASE(bad_peers)};
    return RUN(argc, argv, tests);
}
