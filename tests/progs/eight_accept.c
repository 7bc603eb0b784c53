/* Trap: connections that arrive together give a listener one edge, though eight threads wait in accept. */
#include "prog.h"

enum { THREADS = 8, ROUNDS = 20 };
static int server;

/* Serves one connection and holds it: no thread can serve two. */
static void *serve(void *arg) {
    int fd = must(arg ? accept(server, NULL, NULL) : accept4(server, NULL, NULL, SOCK_CLOEXEC));
    char byte;
    send_all(fd, "x", 1);
    check(must(read(fd, &byte, 1)) == 0);
    must(close(fd));
    return arg;
}

int main(void) {
    struct sockaddr_in address;
    int served = 0;
    server = listener(64, &address);
    for (int round = 0; round < ROUNDS; round++) {
        pthread_t threads[THREADS];
        int clients[THREADS];
        char byte;
        for (int i = 0; i < THREADS; i++) threads[i] = spawn(serve, i % 2 ? &server : NULL);
        breathe();
        for (int i = 0; i < THREADS; i++) clients[i] = dial(&address);
        for (int i = 0; i < THREADS; i++) read_all(clients[i], &byte, 1), served++;
        for (int i = 0; i < THREADS; i++) must(close(clients[i]));
        for (int i = 0; i < THREADS; i++) join(threads[i]);
    }
    printf("served %d\n", served);
}
