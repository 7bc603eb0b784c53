/* SIGCHLD comes to the thread that made the child, if it does not block it: its wait ends, and no other's. */
#include "prog.h"

#include <spawn.h>
#include <sys/syscall.h>
#include <sys/wait.h>

static pthread_t maker;
static volatile sig_atomic_t handled;
static int start[2], last[2];
static pthread_t reader;

static void on_child(int sig) {
    (void)sig;
    handled += pthread_equal(pthread_self(), maker) ? 1 : 100;
}

static void ends(void) {
    char byte;
    read_all(start[0], &byte, 1);
    _exit(3);
}

static pid_t by_fork(void) {
    pid_t child = must(fork());
    if (!child) ends();
    return child;
}

static pid_t by_number(void) {
    pid_t child = must(syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0));
    if (!child) ends();
    return child;
}

static pid_t by_spawn(void) {
    pid_t child;
    char *command[] = {"head", "-c1", NULL};
    posix_spawn_file_actions_t actions;
    zero(posix_spawn_file_actions_init(&actions));
    zero(posix_spawn_file_actions_adddup2(&actions, start[0], 0));
    zero(posix_spawn_file_actions_addopen(&actions, 1, "/dev/null", O_WRONLY, 0));
    zero(posix_spawnp(&child, "head", &actions, NULL, command, environ));
    zero(posix_spawn_file_actions_destroy(&actions));
    return child;
}

static pid_t by_vfork(void) {
    pid_t child = must(vfork());
    if (!child) {
        dup2(start[0], 0);
        execlp("sh", "sh", "-c", "head -c1 >/dev/null; exit 3", NULL);
        _exit(127);
    }
    return child;
}

static void *starts(void *arg) {
    usleep(2000);
    send_all(start[1], "x", 1);
    return arg;
}

static pid_t (*way)(void);

static void *makes(void *arg) {
    maker = pthread_self();
    pid_t child = way();
    struct timespec long_time = {20, 0};
    pthread_t thread = spawn(starts, NULL);
    show(nanosleep(&long_time, NULL));
    printf("handled %d\n", handled);
    join(thread);
    check(must(waitpid(child, NULL, 0)) == child);
    send_all(last[1], "x", 1);
    join(reader);
    /* Blocked here, it is main's, which alone is left. */
    sigset_t set;
    sigemptyset(&set), sigaddset(&set, SIGCHLD);
    zero(pthread_sigmask(SIG_BLOCK, &set, NULL));
    child = way();
    send_all(start[1], "x", 1);
    check(must(waitpid(child, NULL, 0)) == child);
    while (handled == 1) usleep(1000);
    printf("handled %d\n", handled);
    return arg;
}

static void *waits(void *arg) {
    char byte;
    show(read(last[0], &byte, 1));
    return arg;
}

static void run(pid_t (*which)(void)) {
    struct sigaction action = {.sa_handler = on_child};
    way = which;
    must(pipe(start)), must(pipe(last));
    must(sigaction(SIGCHLD, &action, NULL));
    reader = spawn(waits, NULL);
    join(spawn(makes, NULL));
}

static void forked(void) { run(by_fork); }
static void numbered(void) { run(by_number); }
static void spawned(void) { run(by_spawn); }
static void vforked(void) { run(by_vfork); }

int main(int argc, char **argv) {
    struct test tests[] = {CASE(forked), CASE(numbered), CASE(spawned), CASE(vforked)};
    return RUN(argc, argv, tests);
}
