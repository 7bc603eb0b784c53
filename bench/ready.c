/* ready THREADS: prints the nanoseconds of CPU of one read of a byte from a socket that has some, in a process with
 * THREADS further threads that wait for ever. */
#include "bench.h"
#include <arpa/inet.h>
#include <pthread.h>
#include <sys/socket.h>

static void *wait_for_ever(void *arg)
{
    pause();
    return arg;
}

int main(int argc, char **argv)
{
    const long rounds = 64, each = 16384;
    static char bytes[16384];
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t length = sizeof address;
    uint64_t spent = 0;
    int listener = socket(AF_INET, SOCK_STREAM, 0), to = socket(AF_INET, SOCK_STREAM, 0);
    pthread_t thread;

    check(argc == 2, "usage: ready THREADS");
    for (long i = number(argv[1]); i > 0; i--)
        check((errno = pthread_create(&thread, NULL, wait_for_ever, NULL)) == 0, "pthread_create");
    check(listener >= 0 && to >= 0 && listen(listener, 1) == 0, "listen");
    check(getsockname(listener, (struct sockaddr *)&address, &length) == 0, "getsockname");
    check(connect(to, (struct sockaddr *)&address, sizeof address) == 0, "connect");
    int from = accept(listener, NULL, NULL);
    check(from >= 0, "accept");
    for (long round = 0; round < rounds; round++) {
        check(write(to, bytes, (size_t)each) == each, "write");
        /* All of it is there, and the threads wait. */
        check(recv(from, bytes, (size_t)each, MSG_PEEK | MSG_WAITALL) == each, "recv");
        uint64_t start = now_ns(CLOCK_THREAD_CPUTIME_ID);
        for (long i = 0; i < each; i++)
            check(read(from, bytes, 1) == 1, "read");
        spent += now_ns(CLOCK_THREAD_CPUTIME_ID) - start;
    }
    printf("%.1f\n", (double)spent / (double)(rounds * each));
    return 0;
}
