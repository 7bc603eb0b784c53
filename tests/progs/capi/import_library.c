/* A library that blocks, as any does that was written for threads. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

int deeper_read(int fd);

/* A pointer in data is an import as well. */
ssize_t (*volatile library_read)(int, void *, size_t) = read;

int reads(int fd) {
    char c = 0;
    return library_read(fd, &c, 1) == 1 ? c : -1;
}

int reads_directly(int fd) {
    char c = 0;
    return read(fd, &c, 1) == 1 ? c : -1;
}

int reads_deeper(int fd) { return deeper_read(fd); }

int receives(int fd) {
    char c = 0;
    return recv(fd, &c, 1, 0) == 1 ? c : -1;
}

int polls(int fd) {
    struct pollfd one = {fd, POLLIN, 0};
    return poll(&one, 1, -1);
}

int sleeps(int milliseconds) { return usleep(milliseconds * 1000); }

int connects(int port) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port), .sin_addr = {htonl(INADDR_LOOPBACK)}};
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    char c = 0;
    int got = connect(fd, (struct sockaddr *)&address, sizeof address) || read(fd, &c, 1) != 1 ? -1 : c;
    close(fd);
    return got;
}

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t change = PTHREAD_COND_INITIALIZER;
static int turn;

/* Two callers hand each other the turn. */
int hands_over(int own) {
    for (int i = 0; i < 100; i++) {
        pthread_mutex_lock(&lock);
        while (turn != own) pthread_cond_wait(&change, &lock);
        turn = !own;
        pthread_cond_signal(&change);
        pthread_mutex_unlock(&lock);
    }
    return 0;
}

/* Holds the lock while it sleeps. */
int holds(int milliseconds) {
    pthread_mutex_lock(&lock);
    usleep(milliseconds * 1000);
    return pthread_mutex_unlock(&lock);
}

static void *runs(void *arg) {
    usleep(1000);
    return arg;
}

/* A thread that nobody waits for. */
static volatile int run_yet;
static void *tells(void *arg) { return run_yet = 1, arg; }
int begins(int unused) {
    pthread_t thread;
    return (void)unused, pthread_create(&thread, NULL, tells, NULL) || pthread_detach(thread);
}
int has_run(int unused) { return (void)unused, run_yet; }

int threads(int count) {
    pthread_t all[16];
    for (int i = 0; i < count; i++)
        if (pthread_create(&all[i], NULL, runs, NULL)) return -1;
    for (int i = 0; i < count; i++) pthread_join(all[i], NULL);
    return count;
}
