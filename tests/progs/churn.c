/* Threads by the ten thousand, made and joined ten times over: memory is flat after the first round. */
#include "prog.h"
#include <dlfcn.h>
#include <netdb.h>

enum { THREADS = 10000, BATCH = 100, ROUNDS = 10 };

static void *nothing(void *arg) { return arg; }

/* Things for which libc keeps memory per thread: a message, a failure of the loader, the resolver's state. */
static void *libc_memory(void *arg) {
    char expected[64];
    snprintf(expected, sizeof expected, "Unknown error %ld", 5000 + (long)(intptr_t)arg);
    check(strcmp(strerror(5000 + (intptr_t)arg), expected) == 0);
    check(dlopen("/nonexistent.so", RTLD_NOW) == NULL && strstr(dlerror(), "nonexistent"));

    struct addrinfo hints = {.ai_family = AF_INET, .ai_socktype = SOCK_STREAM}, *found;
    check(getaddrinfo((intptr_t)arg % 2 ? "localhost" : "127.0.0.1", "80", &hints, &found) == 0);
    check(((struct sockaddr_in *)found->ai_addr)->sin_addr.s_addr == htonl(INADDR_LOOPBACK));
    freeaddrinfo(found);
    hints.ai_flags = AI_NUMERICHOST;
    check(getaddrinfo("no number", "80", &hints, &found) == EAI_NONAME);
    return arg;
}

static long resident(void) {
    char line[100] = "";
    long size, pages;
    int fd = must(open("/proc/self/statm", O_RDONLY));
    check(must(read(fd, line, sizeof line - 1)) > 0 && sscanf(line, "%ld %ld", &size, &pages) == 2);
    must(close(fd));
    return pages * (sysconf(_SC_PAGESIZE) / 1024);
}

/* Tells on stderr how many KiB were resident after the first round and after the last. */
static void churn(void *(*run)(void *)) {
    pthread_t batch[BATCH];
    for (int round = 0; round < ROUNDS; round++) {
        for (int made = 0; made < THREADS; made += BATCH) {
            for (intptr_t i = 0; i < BATCH; i++) batch[i] = spawn(run, (void *)i);
            for (intptr_t i = 0; i < BATCH; i++) check(join(batch[i]) == (void *)i);
        }
        if (round == 0) fprintf(stderr, "resident %ld", resident());
    }
    fprintf(stderr, " %ld\n", resident());
    printf("%d rounds of %d\n", ROUNDS, THREADS);
}

static void plain(void) { churn(nothing); }
static void with_libc(void) { churn(libc_memory); }

int main(int argc, char **argv) {
    struct test tests[] = {CASE(plain), CASE(with_libc)};
    return RUN(argc, argv, tests);
}
