/* Children of threaded programs in the ways that servers and shells make them. */
#include "prog.h"
#include <poll.h>
#include <pty.h>
#include <sched.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <termios.h>

static sem_t gate;
static atomic_int parked;
static int reap(pid_t pid) {
    int status;
    pid_t got;
    while ((got = waitpid(pid, &status, 0)) < 0) check(errno == EINTR);
    check(got == pid);
    return status;
}
static void *parks(void *arg) {
    parked++;
    while (sem_wait(&gate)) check(errno == EINTR);
    return arg;
}
static void *doubled(void *arg) { return usleep(200), (void *)((intptr_t)arg * 2); }
/* Alone at first, then with threads of its own. */
static void life(void) {
    pthread_t threads[3];
    for (intptr_t i = 0; i < 3; i++) threads[i] = spawn(doubled, (void *)i);
    for (intptr_t i = 0; i < 3; i++) check(join(threads[i]) == (void *)(i * 2));
}

/* Three generations, with hundreds parked in the first. */
enum { MANY = 300 };
static void *nests(void *depth) {
    pid_t pid = must(fork());
    if (!pid) {
        life();
        if ((intptr_t)depth) join(spawn(nests, (char *)depth - 1));
        _exit(20 + (intptr_t)depth);
    }
    check(reap(pid) == (20 + (intptr_t)depth) << 8);
    return depth;
}
static void hundreds(void) {
    static pthread_t threads[MANY];
    must(sem_init(&gate, 0, 0));
    for (int i = 0; i < MANY; i++) threads[i] = spawn(parks, NULL);
    while (parked < MANY) usleep(500);
    join(spawn(nests, (void *)2));
    nests((void *)1);
    for (int i = 0; i < MANY; i++) must(sem_post(&gate));
    for (int i = 0; i < MANY; i++) join(threads[i]);
    puts("all woke in the parent");
}

/* Many threads fork again and again. */
static void *forks(void *arg) {
    for (int i = 0; i < 15; i++) {
        pid_t pid = must(fork());
        if (!pid) {
            if (i % 5 == 0) life();
            _exit(i);
        }
        check(reap(pid) == i << 8);
    }
    return arg;
}
static void storms(void) {
    pthread_t threads[8];
    for (int i = 0; i < 8; i++) threads[i] = spawn(forks, NULL);
    for (int i = 0; i < 8; i++) join(threads[i]);
    puts("120 children");
}

/* What the caller holds, the child holds; what others hold stays held; stdio's buffers are copied. */
static pthread_mutex_t mine = PTHREAD_MUTEX_INITIALIZER, theirs = PTHREAD_MUTEX_INITIALIZER;
static void *holds(void *arg) {
    zero(pthread_mutex_lock(&theirs));
    parks(NULL);
    zero(pthread_mutex_unlock(&theirs));
    return arg;
}
static void *forks_with_lock(void *arg) {
    zero(pthread_mutex_lock(&mine));
    printf("buffered, ");
    pid_t pid = must(fork());
    if (!pid) {
        printf("%s %s, ", strerrorname_np(pthread_mutex_trylock(&mine)), strerrorname_np(pthread_mutex_trylock(&theirs)));
        zero(pthread_mutex_unlock(&mine)), zero(pthread_mutex_lock(&mine));
        life();
        exit(3);
    }
    printf("%x\n", reap(pid));
    zero(pthread_mutex_unlock(&mine));
    return arg;
}
static void held(void) {
    must(sem_init(&gate, 0, 0));
    pthread_t holder = spawn(holds, NULL);
    while (!parked) usleep(500);
    join(spawn(forks_with_lock, NULL));
    must(sem_post(&gate)), join(holder);
}

/* Handlers of pthread_atfork: the last one's prepare first, the others in order; a lock that they keep consistent. */
static void say(const char *what) { fputs(what, stdout); }
static void p1(void) { say("p1 "), zero(pthread_mutex_lock(&mine)); }
static void p2(void) { say("p2 "); }
static void a1(void) { say("a1 "), zero(pthread_mutex_unlock(&mine)); }
static void a2(void) { say("a2 "); }
static void c1(void) { say("c1 "), zero(pthread_mutex_unlock(&mine)); }
static void c2(void) { say("c2 "); }
static void *uses_lock(void *arg) {
    for (int i = 0; i < 30; i++) zero(pthread_mutex_lock(&mine)), usleep(100), zero(pthread_mutex_unlock(&mine));
    return arg;
}
static void *forks_once(void *arg) {
    pid_t pid = must(fork());
    if (!pid) say("child\n"), zero(pthread_mutex_lock(&mine)), exit(0);
    int status = reap(pid);
    printf("parent %x\n", status);
    return arg;
}
static void ordered(void) {
    zero(pthread_atfork(p1, a1, c1)), zero(pthread_atfork(p2, a2, c2));
    pthread_t user = spawn(uses_lock, NULL);
    join(spawn(forks_once, NULL));
    fflush(stdout);
    forks_once(NULL);
    join(user);
}

/* Servers with a listener from before the fork. */
static struct sockaddr_in address;
static void *answers(void *connection) {
    char line[16];
    int fd = (intptr_t)connection;
    read_all(fd, line, 5);
    send_all(fd, line, 5);
    must(close(fd));
    return NULL;
}
static void serve(int server) {
    for (;;) spawn(answers, (void *)(intptr_t)must(accept(server, NULL, NULL)));
}
static void *asks(void *arg) {
    for (int i = 0; i < 10; i++) {
        char line[6] = "";
        int fd = dial(&address);
        send_all(fd, "hello", 5);
        read_all(fd, line, 5);
        check(!strcmp(line, "hello"));
        must(close(fd));
    }
    return arg;
}
static void preforked(void) {
    pid_t workers[4];
    pthread_t clients[8];
    int server = listener(64, &address);
    join(spawn(doubled, NULL)); /* the parent is green already */
    for (int i = 0; i < 4; i++)
        if (!(workers[i] = must(fork()))) prctl(PR_SET_PDEATHSIG, SIGKILL), serve(server);
    for (int i = 0; i < 8; i++) clients[i] = spawn(asks, NULL);
    for (int i = 0; i < 8; i++) join(clients[i]);
    for (int i = 0; i < 4; i++) must(kill(workers[i], SIGTERM)), check(WTERMSIG(reap(workers[i])) == SIGTERM);
    puts("80 answers");
}

/* daemon: the parent ends, the child goes on without a terminal. */
static void daemonized(void) {
    int ends[2];
    char line[64] = "";
    join(spawn(doubled, NULL));
    must(pipe(ends));
    fflush(stdout);
    pid_t pid = must(fork());
    if (!pid) {
        join(spawn(doubled, NULL));
        pid_t before = getpid();
        must(daemon(1, 1));
        life();
        must(close(ends[0]));
        dprintf(ends[1], "daemon %d, own session %d\n", getpid() != before, getsid(0) != before);
        exit(0);
    }
    must(close(ends[1]));
    printf("%x\n", reap(pid));
    FILE *file = fdopen(ends[0], "r");
    check(fgets(line, sizeof line, file));
    fputs(line, stdout);
}

/* A child on a terminal of its own, as terminals and expect make it. */
static void *in_pty(void *arg) {
    int master;
    char line[256];
    struct winsize size = {33, 44, 0, 0};
    fflush(stdout);
    pid_t pid = must(forkpty(&master, NULL, NULL, &size));
    if (!pid) {
        life();
        must(ioctl(0, TIOCGWINSZ, &size));
        check(fgets(line, sizeof line, stdin));
        printf("got %s, %d x %d, tty %d, leader %d\n", strtok(line, "\n"), size.ws_row, size.ws_col, isatty(1), tcgetpgrp(0) == getpid());
        fflush(stdout);
        for (;;) pause();
    }
    send_all(master, "word\n", 5);
    FILE *file = fdopen(master, "r+");
    while (fgets(line, sizeof line, file) && !strstr(line, "got")) {}
    fputs(line, stdout);
    send_all(master, "\003", 1); /* Ctrl-C */
    int status = reap(pid);
    printf("killed by %d\n", WTERMSIG(status));
    fclose(file);
    return arg;
}
static void on_pty(void) {
    must(sem_init(&gate, 0, 0));
    spawn(parks, NULL);
    join(spawn(in_pty, NULL));
    in_pty(NULL);
}

/* How other runtimes start programs: clone with a stack in shared memory, and the system call alone. */
static int starts(void *arg) {
    execl("/bin/sh", "sh", "-c", arg, NULL);
    _exit(127);
}
static void *clones(void *arg) {
    static char stack[65536] __attribute__((aligned(16)));
    pid_t pid = must(clone(starts, stack + sizeof stack, CLONE_VM | CLONE_VFORK | SIGCHLD, "exit 4"));
    printf("%x\n", reap(pid));
    pid = must(clone(starts, stack + sizeof stack, SIGCHLD, "exit 5"));
    printf("%x\n", reap(pid));
    pid = must((int)syscall(SYS_clone, SIGCHLD, NULL, NULL, NULL, NULL));
    if (!pid) execl("/bin/sh", "sh", "-c", "exit 6", NULL), _exit(127);
    printf("%x\n", reap(pid));
    pid = must((int)syscall(SYS_fork));
    if (!pid) _exit(7);
    printf("%x\n", reap(pid));
    return arg;
}
static void cloned(void) {
    must(sem_init(&gate, 0, 0));
    pthread_t other = spawn(parks, NULL);
    join(spawn(clones, NULL));
    clones(NULL);
    must(sem_post(&gate)), join(other);
}

int main(int argc, char **argv) {
    struct test tests[] = {CASE(hundreds),  CASE(storms), CASE(held),  CASE(ordered), CASE(preforked),
                           CASE(daemonized), CASE(on_pty), CASE(cloned)};
    return RUN(argc, argv, tests);
}
