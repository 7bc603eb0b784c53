/* Trap: a listener shared with a child that does not have the library. The child must find a blocking descriptor, and
 * a connection that it takes away must not leave us in accept. */
#include "prog.h"

enum { CLIENTS = 300 };
static int server;

/* Accepts for ever, one letter to each. */
static void *serve(void *letter) {
    for (int fd;;) {
        if ((fd = accept(server, NULL, NULL)) < 0) die("accept");
        send_all(fd, letter, 1);
        must(close(fd));
    }
}

static pid_t child_without_library(char *self) {
    pid_t child = must(fork());
    if (child) return child;
    must(unsetenv("LD_PRELOAD"));
    char number[16];
    snprintf(number, sizeof number, "%d", server);
    must(execl(self, self, number, (char *)NULL));
    return -1;
}

static int ask(const struct sockaddr_in *address) {
    char letter;
    int fd = dial(address);
    read_all(fd, &letter, 1);
    must(close(fd));
    check(letter == 'p' || letter == 'c');
    return letter == 'c';
}

int main(int argc, char **argv) {
    if (argc > 1) {
        server = atoi(argv[1]);
        serve("c");
    }
    struct sockaddr_in address;
    server = listener(64, &address);
    pid_t child = child_without_library(argv[0]);
    spawn(serve, "p");
    int served = 0, by_child = 0, status;
    for (; served < CLIENTS || !by_child; served++) by_child += ask(&address);
    printf("all served, some by the child\n");
    printf("blocking %d\n", !(must(fcntl(server, F_GETFL)) & O_NONBLOCK));
    must(kill(child, SIGTERM));
    check(must(waitpid(child, &status, 0)) == child);
    printf("child ended by signal %d\n", WIFSIGNALED(status) ? WTERMSIG(status) : -1);
}
