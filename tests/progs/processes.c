/* Children of a program with threads: they start, and waiting for them gives way. */
#include "prog.h"
#include <spawn.h>
#include <sys/resource.h>

extern char **environ;
static int ends[2];
static volatile int ticks;
static char *self;

/* Ends the child, which waits for a byte: whoever waits for the child must have given way. */
static void *release(void *arg) {
    for (int i = 0; i < 10; i++) usleep(500), ticks++;
    send_all(ends[1], "x", 1);
    return arg;
}

static void child_waits(void) {
    char byte;
    read_all(ends[0], &byte, 1);
    _exit(7);
}

static pid_t child(void) {
    must(pipe(ends));
    pid_t pid = must(fork());
    if (pid == 0) child_waits();
    return pid;
}

static void told(const char *how, int status) {
    printf("%s: exit %d ticks %d\n", how, WIFEXITED(status) ? WEXITSTATUS(status) : -1, ticks);
    ticks = 0;
}

static void waits(void) {
    struct rusage usage;
    siginfo_t info;
    int status = 0;
    pid_t pid = child();
    pthread_t other = spawn(release, NULL);
    check(must(waitpid(pid, &status, 0)) == pid);
    told("waitpid", status), join(other);
    pid = child(), other = spawn(release, NULL);
    check(must(wait(&status)) == pid);
    told("wait", status), join(other);
    pid = child(), other = spawn(release, NULL);
    check(must(wait3(&status, 0, &usage)) == pid);
    told("wait3", status), join(other);
    pid = child(), other = spawn(release, NULL);
    check(must(wait4(pid, &status, 0, NULL)) == pid);
    told("wait4", status), join(other);
    pid = child(), other = spawn(release, NULL);
    must(waitid(P_PID, pid, &info, WEXITED));
    printf("waitid: exit %d ticks %d\n", info.si_status, ticks), join(other);
    show(waitpid(-1, &status, 0));
    show(wait(NULL));
}

static void *wait_for(void *arg) {
    int status;
    check(must(waitpid((intptr_t)arg, &status, 0)) == (intptr_t)arg);
    return (void *)(intptr_t)WEXITSTATUS(status);
}

/* Each thread waits for a child of its own. */
static void each_its_own(void) {
    enum { CHILDREN = 8 };
    pthread_t threads[CHILDREN];
    for (int i = 0; i < CHILDREN; i++) {
        pid_t pid = must(fork());
        if (pid == 0) {
            usleep(1000 * (CHILDREN - i));
            _exit(i);
        }
        threads[i] = spawn(wait_for, (void *)(intptr_t)pid);
    }
    for (int i = 0; i < CHILDREN; i++) printf("%d ", (int)(intptr_t)join(threads[i]));
    puts("");
}

static void *forever(void *arg) {
    char byte;
    must(read(ends[0], &byte, 1));
    return arg;
}

static void *doubled(void *arg) { return (void *)(2 * (intptr_t)arg); }

/* The child of a thread has that thread alone; it can make threads of its own. */
static void *fork_here(void *arg) {
    int status;
    pid_t pid = must(arg ? _Fork() : fork());
    if (pid == 0) {
        check(gettid() == getpid());
        pthread_t other = spawn(doubled, (void *)21);
        usleep(1000);
        _exit((intptr_t)join(other));
    }
    check(must(waitpid(pid, &status, 0)) == pid);
    printf("child of a thread: %d\n", WEXITSTATUS(status));
    return arg;
}

static void forked(void) {
    must(pipe(ends));
    for (int i = 0; i < 3; i++) spawn(forever, NULL);
    breathe();
    join(spawn(fork_here, NULL)), join(spawn(fork_here, "_Fork"));
    fork_here(NULL), fork_here("_Fork");
}

static int prepared, in_parent, in_child;
static void prepare(void) { prepared++; }
static void parent(void) { in_parent++; }
static void after_in_child(void) { in_child++; }

static void handlers(void) {
    int status;
    zero(pthread_atfork(prepare, parent, after_in_child));
    join(spawn(doubled, NULL));
    pid_t pid = must(fork());
    if (pid == 0) _exit(10 * prepared + in_child);
    must(waitpid(pid, &status, 0));
    printf("prepared %d parent %d child %d\n", prepared, in_parent, WEXITSTATUS(status));
}

/* Programs started from a thread, in each way. */
static void *start(void *arg) {
    char *words[] = {self, "child", NULL};
    int status;
    pid_t pid;
    zero(posix_spawn(&pid, self, NULL, NULL, words, environ));
    check(must(waitpid(pid, &status, 0)) == pid);
    printf("posix_spawn: %d\n", WEXITSTATUS(status));
    zero(posix_spawnp(&pid, self, NULL, NULL, words, environ));
    check(must(waitpid(pid, &status, 0)) == pid);
    printf("posix_spawnp: %d\n", WEXITSTATUS(status));
    tell(posix_spawn(&pid, "/nonexistent", NULL, NULL, words, environ));
    pid = must(vfork());
    if (pid == 0) {
        execv(self, words);
        _exit(127);
    }
    check(must(waitpid(pid, &status, 0)) == pid);
    printf("vfork: %d\n", WEXITSTATUS(status));
    fflush(stdout);
    pid = must(fork());
    if (pid == 0) {
        execv(self, words);
        _exit(127);
    }
    check(must(waitpid(pid, &status, 0)) == pid);
    printf("fork and exec: %d\n", WEXITSTATUS(status));
    return arg;
}

static void started(void) {
    must(pipe(ends));
    spawn(forever, NULL);
    breathe();
    join(spawn(start, NULL));
}

static void *read_byte(void *arg) {
    char byte;
    read_all(ends[0], &byte, 1);
    return arg;
}

static pid_t by_vfork(char **words) {
    pid_t pid = must(vfork());
    if (pid) return pid;
    close(ends[0]);
    execv(self, words);
    _exit(127);
}

static pid_t by_spawn(char **words) {
    posix_spawn_file_actions_t actions;
    pid_t pid;
    zero(posix_spawn_file_actions_init(&actions));
    zero(posix_spawn_file_actions_addclose(&actions, ends[0]));
    zero(posix_spawn(&pid, self, &actions, NULL, words, environ));
    zero(posix_spawn_file_actions_destroy(&actions));
    return pid;
}

/* A child that shares our memory for a while closes a descriptor where a thread waits: that is the child's matter. */
static void untouched(pid_t (*start_child)(char **words)) {
    int status;
    char *words[] = {self, "child", NULL};
    must(pipe(ends));
    pthread_t reader = spawn(read_byte, NULL);
    breathe();
    pid_t pid = start_child(words);
    check(must(waitpid(pid, &status, 0)) == pid && WEXITSTATUS(status) == 8);
    breathe();
    send_all(ends[1], "x", 1);
    join(reader);
}

static void vfork_closes(void) { untouched(by_vfork); }
static void spawn_closes(void) { untouched(by_spawn); }

/* What a started program does: threads of its own. */
static void as_child(void) {
    pthread_t other = spawn(doubled, (void *)4);
    usleep(1000);
    _exit((intptr_t)join(other));
}

/* exec replaces the program, threads and all. */
static void replaced(void) {
    must(pipe(ends));
    for (int i = 0; i < 3; i++) spawn(forever, NULL);
    breathe();
    must(execl(self, self, "child", (char *)NULL));
}

int main(int argc, char **argv) {
    self = argv[0];
    if (argc > 1 && strcmp(argv[1], "child") == 0) as_child();
    struct test tests[] = {CASE(waits), CASE(each_its_own), CASE(forked), CASE(handlers), CASE(started), CASE(vfork_closes), CASE(spawn_closes), CASE(replaced)};
    return RUN(argc, argv, tests);
}
