/* eventlet_dump, eventlet_blocking_detection. */
#include "capi.h"

static char text[65536];

static const char *dumped(void) {
    int pair[2];
    check(socketpair(AF_UNIX, SOCK_STREAM, 0, pair) == 0);
    check(eventlet_dump(pair[1]) == 0);
    close(pair[1]);
    size_t length = 0;
    ssize_t n;
    while ((n = read(pair[0], text + length, sizeof text - 1 - length)) > 0) length += n;
    text[length] = 0;
    close(pair[0]);
    return text;
}

static void *reads(void *arg) {
    char c;
    if (eventlet_patched() & EVENTLET_THREAD) pthread_setname_np(pthread_self(), "reader");
    return N(recv((int)(intptr_t)arg, &c, 1, 0));
}

static void *gets(void *arg) {
    void *item;
    check(eventlet_queue_get(arg, &item, -1) == 0);
    return item;
}

static void dump(void) {
    check(!strncmp(dumped(), "1 green thread\n", 15) && strstr(text, "main: running\n"));
    int listener = eventlet_listen("127.0.0.1:0", NULL);
    struct sockaddr_in name;
    socklen_t length = sizeof name;
    check(getsockname(listener, (struct sockaddr *)&name, &length) == 0);
    char address[64], word[64];
    snprintf(address, sizeof address, "127.0.0.1:%d", ntohs(name.sin_port));
    int client = eventlet_connect(address, NULL), server = accept(listener, NULL, NULL);
    eventlet_queue *queue = eventlet_queue_new(1);
    eventlet_thread *reader = eventlet_spawn(reads, N(server)), *getter = eventlet_spawn(gets, queue);
    eventlet_sleep(0.03);
    eventlet_thread *fresh = eventlet_spawn(same, NULL);
    check(!strncmp(dumped(), "4 green threads\n", 16));
    snprintf(word, sizeof word, ": in recv on descriptor %d for 0.", server);
    check(strstr(text, word) && strstr(text, ": in eventlet_queue_get for 0.") && strstr(text, ": runnable"));
    check(strstr(text, " KiB of stack\n"));
    check(!(eventlet_patched() & EVENTLET_THREAD) || strstr(text, " reader: in recv"));
    const char *since = strstr(text, "eventlet_queue_get for ");
    check(strtod(since + 23, NULL) >= 0.02);
    check(write(client, "x", 1) == 1 && eventlet_queue_put(queue, "x", -1) == 0);
    check(ended(reader) == 0 && ended(getter) == 0 && ended(fresh) == 0);
    check(!strncmp(dumped(), "1 green thread\n", 15));
    fails(eventlet_dump(-1), EBADF);
    eventlet_queue_delete(queue);
    close(listener), close(client), close(server);
}

/* The kernel's own, past every library. */
static void nanosleeps(long nanoseconds) {
    struct timespec nap = {0, nanoseconds};
    long answer;
    __asm__ volatile("syscall" : "=a"(answer) : "0"(35L), "D"(&nap), "S"(0L) : "rcx", "r11", "memory");
}

static void hogs(void) {
    fails(eventlet_blocking_detection(-1), EINVAL);
    fails(eventlet_blocking_detection(0.0 / 0.0), EINVAL);
    int saved = dup(2), pair[2];
    check(pipe(pair) == 0 && dup2(pair[1], 2) == 2);
    check(eventlet_blocking_detection(0.02) == 0);
    /* Idle and busy in short turns: nothing is said. */
    for (int i = 0; i < 20; i++) eventlet_sleep(0.003);
    eventlet_sleep(0.08);
    /* A system call of the program's own, then computing. */
    nanosleeps(100000000);
    eventlet_sleep(0);
    for (struct timespec end = from_now(CLOCK_MONOTONIC, 100), now; clock_gettime(CLOCK_MONOTONIC, &now), now.tv_sec * 1000000000 + now.tv_nsec < end.tv_sec * 1000000000 + end.tv_nsec;) {}
    check(eventlet_blocking_detection(0) == 0);
    eventlet_sleep(0);
    nanosleeps(100000000);
    check(dup2(saved, 2) == 2);
    close(pair[1]);
    char said[4096];
    int length = read(pair[0], said, sizeof said - 1);
    check(length > 0);
    said[length] = 0;
    if (!strstr(said, "in system call 35 (nanosleep)\n") || !strstr(said, "computing\n")) die(said);
}

int main(int argc, char **argv) {
    struct test tests[] = {CASE(dump), CASE(hogs)};
    return RUN(argc, argv, tests);
}
