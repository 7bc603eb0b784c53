/* connect: success, refusal, and what a second call says. */
#include "prog.h"
#include <stddef.h>

enum { THREADS = 8 };

/* A port where nobody listens. */
static struct sockaddr_in nobody(void) {
    struct sockaddr_in address;
    must(close(listener(1, &address)));
    return address;
}

static void *refuse(void *arg) {
    struct sockaddr_in address = nobody();
    for (int i = 0; i < 20; i++) {
        int fd = must(socket(AF_INET, SOCK_STREAM, 0)), error;
        socklen_t size = sizeof error;
        check(connect(fd, (struct sockaddr *)&address, sizeof address) == -1 && errno == ECONNREFUSED);
        must(getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &size));
        check(error == 0); /* it has been told */
        must(close(fd));
    }
    return arg;
}

static void refused(void) {
    pthread_t threads[THREADS];
    for (int i = 0; i < THREADS; i++) threads[i] = spawn(refuse, NULL);
    for (int i = 0; i < THREADS; i++) join(threads[i]);
    puts("ECONNREFUSED");
}

static void *twice(void *arg) {
    struct sockaddr_in address;
    int server = listener(4, &address), fd = must(socket(AF_INET, SOCK_STREAM, 0));
    struct sockaddr *to = (struct sockaddr *)&address;
    show(connect(fd, to, sizeof address));
    show(connect(fd, to, sizeof address));
    show(connect(-1, to, sizeof address));
    show(connect(0, to, sizeof address));
    show(connect(server, to, sizeof address));
    printf("blocking %d\n", !(must(fcntl(fd, F_GETFL)) & O_NONBLOCK));
    return arg;
}

static void again(void) { join(spawn(twice, NULL)); }

static void *own_nonblocking(void *arg) {
    struct sockaddr_in address = nobody();
    int fd = must(socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0));
    int given = connect(fd, (struct sockaddr *)&address, sizeof address);
    check(given == -1 && (errno == EINPROGRESS || errno == ECONNREFUSED));
    printf("blocking %d\n", !(must(fcntl(fd, F_GETFL)) & O_NONBLOCK));
    return arg;
}

/* A descriptor that the program made non-blocking stays so. */
static void nonblocking(void) { join(spawn(own_nonblocking, NULL)); }

static void *unix_names(void *arg) {
    struct sockaddr_un name = {.sun_family = AF_UNIX, .sun_path = "/nonexistent/socket"};
    int fd = must(socket(AF_UNIX, SOCK_STREAM, 0)), server = must(socket(AF_UNIX, SOCK_STREAM, 0));
    socklen_t size = sizeof name;
    show(connect(fd, (struct sockaddr *)&name, size));
    must(bind(server, (struct sockaddr *)&name, sizeof(sa_family_t))); /* an abstract name of the kernel's choice */
    must(getsockname(server, (struct sockaddr *)&name, &size));
    show(connect(fd, (struct sockaddr *)&name, size));
    must(listen(server, 1));
    show(connect(fd, (struct sockaddr *)&name, size));
    return arg;
}

static void local(void) { join(spawn(unix_names, NULL)); }

/* ---- a listener that takes nobody ---- */

static struct sockaddr_in full;
static volatile int stays = 1, ticks;

static void *ticking(void *arg) {
    while (stays) usleep(1000), ticks++;
    return arg;
}

/* A connection that waits for its peer while others tick. */
static void dial_full(const char *what, int option, const void *value, socklen_t size) {
    int fd = must(socket(AF_INET, SOCK_STREAM, 0)), before = ticks;
    if (size) must(setsockopt(fd, option == TCP_USER_TIMEOUT ? IPPROTO_TCP : SOL_SOCKET, option, value, size));
    puts(what);
    show(connect(fd, (struct sockaddr *)&full, sizeof full));
    check(ticks > before + 5);
    must(close(fd));
}

static void *stop_listening(void *fd) {
    usleep(300000);
    must(close((int)(intptr_t)fd));
    return NULL;
}

static void unanswered(void) {
    int fd = listener(0, &full), filler = dial(&full);
    pthread_t ticker = spawn(ticking, NULL);
    struct timeval soon = {0, 50000};
    unsigned milliseconds = 100;
    dial_full("a timeout of the socket's", SO_SNDTIMEO, &soon, sizeof soon);
    dial_full("a timeout of TCP's", TCP_USER_TIMEOUT, &milliseconds, sizeof milliseconds);
    pthread_t stops = spawn(stop_listening, (void *)(intptr_t)fd);
    dial_full("the listener goes", 0, NULL, 0);
    join(stops);
    stays = 0;
    join(ticker);
    must(close(filler));
}

int main(int argc, char **argv) {
    struct test tests[] = {CASE(refused), CASE(again), CASE(nonblocking), CASE(local), CASE(unanswered)};
    return RUN(argc, argv, tests);
}
