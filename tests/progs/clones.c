/* Children of libc's clone(), on stacks of their own. */
#include "prog.h"

#include <sched.h>
#include <sys/syscall.h>
#include <sys/wait.h>

static char stack[256 * 1024] __attribute__((aligned(16)));
static int ends[2], back[2];
static pthread_mutex_t held = PTHREAD_MUTEX_INITIALIZER;
static volatile int seen;

static void *sleeps(void *arg) {
    usleep(3000);
    return arg;
}

static void *reads(void *arg) {
    char byte;
    read_all(ends[0], &byte, 1);
    send_all(back[1], &byte, 1);
    return arg;
}

/* A process with a memory of its own: it waits, and has threads, which wait for each other. */
static int lives(void *arg) {
    check(getpid() == syscall(SYS_getpid) && gettid() == getpid());
    usleep(2000);
    zero(pthread_mutex_unlock(&held));
    pthread_t reader = spawn(reads, NULL);
    void *value;
    zero(pthread_join(spawn(sleeps, arg), &value));
    check(value == arg);
    send_all(ends[1], "x", 1);
    join(reader);
    errno = ENOLINK;
    seen = 1;
    return 7;
}

static void end(pid_t child, int code) {
    int status;
    check(must(waitpid(child, &status, 0)) == child);
    printf("%s %d\n", WIFEXITED(status) ? "exited" : "ended", WEXITSTATUS(status));
    check(WIFEXITED(status) && WEXITSTATUS(status) == code);
}

static void *makes(void *arg) {
    char byte;
    must(pipe(ends)), must(pipe(back));
    zero(pthread_mutex_lock(&held));
    errno = 0;
    pid_t child = must(clone(lives, stack + sizeof stack, SIGCHLD, "argument"));
    usleep(1000);
    zero(pthread_mutex_unlock(&held));
    read_all(back[0], &byte, 1);
    end(child, 7);
    printf("seen %d\n", seen);
    return arg;
}

static void own_memory(void) {
    pthread_t others[100];
    for (int i = 0; i < 100; i++) others[i] = spawn(sleeps, NULL);
    join(spawn(makes, NULL));
    makes(NULL);
    for (int i = 0; i < 100; i++) join(others[i]);
}

/* As posix_spawn does it: the child shares our memory until it is another program. */
static int becomes(void *arg) {
    char byte;
    seen = 2;
    close(ends[1]);
    read_all(ends[0], &byte, 1);
    usleep(1000);
    dup2(back[1], 1);
    execlp("sh", "sh", "-c", arg, NULL);
    return 127;
}

static void *starts(void *arg) {
    char said[16] = "";
    must(pipe(ends)), must(pipe(back));
    send_all(ends[1], "x", 1);
    pid_t child = must(clone(becomes, stack + sizeof stack, CLONE_VM | CLONE_VFORK | SIGCHLD, "echo here; exit 5"));
    printf("seen %d\n", seen);
    must(close(ends[1]));
    read_all(back[0], said, 5);
    printf("%s", said);
    end(child, 5);
    return arg;
}

static void our_memory(void) {
    pthread_t other = spawn(sleeps, NULL);
    join(spawn(starts, NULL));
    starts(NULL);
    join(other);
}

static void wrong(void) {
    join(spawn(sleeps, NULL));
    show(clone(lives, NULL, SIGCHLD, NULL));
    show(clone(NULL, stack + sizeof stack, SIGCHLD, NULL));
    show(clone(lives, stack + sizeof stack, CLONE_SIGHAND | SIGCHLD, NULL));
}

int main(int argc, char **argv) {
    struct test tests[] = {CASE(own_memory), CASE(our_memory), CASE(wrong)};
    return RUN(argc, argv, tests);
}
