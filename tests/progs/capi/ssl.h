/* What the programs of TLS share: listeners, both ends of a connection, servers. CERTS names the folder of certificates. */
#include "capi.h"

#include <arpa/inet.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/select.h>

static inline const char *path(const char *file) {
    static char names[8][512];
    static int next;
    char *name = names[next++ % 8];
    snprintf(name, sizeof names[0], "%s/%s", getenv("CERTS"), file);
    return name;
}

static inline int listening(uint16_t *port) {
    struct sockaddr_in address;
    int fd = listener(4096, &address);
    *port = ntohs(address.sin_port);
    return fd;
}

static inline int connected(uint16_t port) {
    struct sockaddr_in address = {AF_INET, htons(port), {htonl(INADDR_LOOPBACK)}, {0}};
    return dial(&address);
}

static inline eventlet_ssl_options server(void) {
    eventlet_ssl_options options = {.server_side = 1, .certfile = path("server.pem"), .keyfile = path("server.key")};
    return options;
}

static inline eventlet_ssl_options client(void) {
    eventlet_ssl_options options = {.cafile = path("ca.pem"), .hostname = "localhost"};
    return options;
}

/* Says it on a failure. */
#define wrapped(call) ({ int fd_ = (call); if (fd_ < 0) { fprintf(stderr, "%s\n", eventlet_ssl_error()); die(#call); } fd_; })

static uint16_t port;
static int door;

/* A wrapped listener. */
static inline void listens(eventlet_ssl_options options) {
    int fd = listening(&port);
    door = wrapped(eventlet_wrap_ssl(fd, &options));
    check(door != fd);
    fails(fcntl(fd, F_GETFD), EBADF);
}

static inline int joins(void) {
    eventlet_ssl_options options = client();
    return wrapped(eventlet_wrap_ssl(connected(port), &options));
}

static inline void *wraps(void *options) {
    return N(wrapped(eventlet_wrap_ssl(connected(port), options)));
}

/* Both ends of a new connection. A handshake needs the other side to accept. */
static inline void meet(eventlet_ssl_options options, int *near, int *far) {
    void *fd;
    eventlet_thread *thread = eventlet_spawn(wraps, &options);
    *far = must(accept(door, NULL, NULL));
    check(eventlet_wait(thread, &fd) == 0);
    eventlet_release(thread);
    *near = (int)(intptr_t)fd;
}

static inline void both(int *near, int *far) {
    listens(server());
    meet(client(), near, far);
    close(door);
}

static inline void *echoes(void *arg) {
    int fd = (int)(intptr_t)arg;
    char bytes[3000];
    ssize_t count;
    while ((count = must(read(fd, bytes, sizeof bytes))) > 0) check(must(write(fd, bytes, count)) == count);
    close(fd);
    return NULL;
}

static inline void *serves(void *door) {
    for (;;) {
        int fd = accept((int)(intptr_t)door, NULL, NULL);
        if (fd < 0) return NULL;
        check(eventlet_spawn_n(echoes, N(fd)) == 0);
    }
}

static int asked;
static inline void *asks(void *arg) {
    eventlet_ssl_options options = client();
    (void)arg;
    return N(eventlet_wrap_ssl(asked, &options));
}
