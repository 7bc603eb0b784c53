/* A listener under load, shared with children that stay single-threaded and accept natively: they must never see it
 * non-blocking (EAGAIN), nor may an accept of the threads wait for a connection that a child took. */
#include "prog.h"

enum { CHILDREN = 2, THREADS = 4, CONNECTIONS = 4000 };
static int shared;

static _Noreturn void serve(void) {
    for (;;) {
        int fd = must(accept(shared, NULL, NULL));
        send_all(fd, "x", 1);
        must(close(fd));
    }
}

static void *serving(void *arg) {
    (void)arg;
    serve();
}

static void *talking(void *arg) {
    int *ends = arg;
    for (int i = 0; i < 10; i++) {
        char byte;
        read_all(ends[0], &byte, 1);
        send_all(ends[0], &byte, 1);
    }
    return NULL;
}

int main(void) {
    struct sockaddr_in address;
    shared = listener(512, &address);
    pid_t children[CHILDREN];
    for (int i = 0; i < CHILDREN; i++)
        if (!(children[i] = must(fork()))) serve();
    pid_t client = must(fork());
    if (!client) {
        for (int i = 0; i < CONNECTIONS; i++) {
            char byte;
            int fd = dial(&address);
            read_all(fd, &byte, 1);
            must(close(fd));
        }
        _exit(0);
    }
    for (int i = 0; i < THREADS; i++) spawn(serving, NULL);
    /* Meanwhile others get their turns. */
    int ends[2], status;
    must(socketpair(AF_UNIX, SOCK_STREAM, 0, ends));
    pthread_t talker = spawn(talking, ends);
    for (int i = 0; i < 10; i++) {
        char byte;
        breathe();
        send_all(ends[1], "y", 1);
        read_all(ends[1], &byte, 1);
    }
    join(talker);
    while (must(waitpid(client, &status, WNOHANG)) == 0) breathe();
    check(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    for (int i = 0; i < CHILDREN; i++) {
        check(waitpid(children[i], &status, WNOHANG) == 0);
        must(kill(children[i], SIGKILL));
        must(waitpid(children[i], &status, 0));
    }
    puts("all served");
    exit(0);
}
