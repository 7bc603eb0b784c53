/* fork, vfork and what starts programs, from threaded programs. */
#include "prog.h"
#include <poll.h>
#include <semaphore.h>
#include <setjmp.h>
#include <spawn.h>
#include <sys/syscall.h>

static sem_t go, ready;
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static volatile int handled, alive;
static __thread int mine;
static pthread_key_t key;
extern char **environ;

static void down(sem_t *sem) {
    while (sem_wait(sem)) check(errno == EINTR);
}
static void handler(int signal) { handled += signal != 0; }
static void handle(int signal, int flags) {
    struct sigaction action = {.sa_handler = handler, .sa_flags = flags};
    must(sigaction(signal, &action, NULL));
}
static int tasks(void) {
    char line[256];
    int count = 0;
    FILE *file = fopen("/proc/self/status", "r");
    while (fgets(line, sizeof line, file)) sscanf(line, "Threads: %d", &count);
    fclose(file);
    return count;
}
static int reap(pid_t pid) {
    int status;
    check(must(waitpid(pid, &status, 0)) == pid);
    return status;
}
static void *idle(void *arg) {
    down(&go);
    return arg;
}
static void *ticker(void *arg) {
    for (;;) usleep(1000), alive++;
    return arg;
}
static void crowd(void) {
    must(sem_init(&go, 0, 0)), must(sem_init(&ready, 0, 0));
    for (int i = 0; i < 4; i++) spawn(idle, NULL);
    spawn(ticker, NULL);
    breathe();
}

/* What a child does: blocks, sleeps, gets signals, alone. */
static void *grand(void *arg) {
    mine = 11;
    usleep(2000);
    char byte;
    must(read(*(int *)arg, &byte, 1));
    printf("thread in the child read %c, %d\n", byte, mine);
    return arg;
}
static void life(const char *who) {
    int ends[2];
    int before = alive;
    printf("%s: one thread %d, tid is pid %d\n", who, tasks() == 1, gettid() == getpid());
    usleep(20000);
    printf("no ghost %d\n", alive == before);
    handle(SIGUSR1, 0);
    must(raise(SIGUSR1));
    printf("handled %d\n", handled > 0);
    handle(SIGALRM, 0), ualarm(2000, 2000);
    must(pipe(ends));
    char byte;
    show(read(ends[0], &byte, 1));
    ualarm(0, 0);
    /* green again */
    pthread_t thread = spawn(grand, ends);
    printf("mine %d\n", mine);
    breathe();
    must(write(ends[1], "x", 1));
    join(thread);
    zero(pthread_mutex_lock(&mutex)), zero(pthread_mutex_unlock(&mutex));
    fflush(stdout);
}
static void from_main(void) {
    crowd();
    fflush(stdout);
    pid_t pid = must(fork());
    if (!pid) life("child"), exit(3);
    printf("%x\n", reap(pid));
    printf("parent goes on %d\n", usleep(2000) == 0 && alive > 0);
}
static void destroyed(void *value) { printf("key destroyed %s\n", (char *)value), fflush(stdout); }
static void *forker(void *arg) {
    mine = 5;
    zero(pthread_setspecific(key, "here"));
    pid_t pid = must(fork());
    if (!pid) {
        life("child of a thread");
        pid_t again = must(fork());
        if (!again) life("grandchild"), _exit(4);
        printf("%x\n", reap(again));
        if (arg) return NULL; /* the last thread ends: exit status 0 */
        exit(3);
    }
    printf("%x\n", reap(pid));
    return arg;
}
static void from_thread(void) {
    crowd();
    zero(pthread_key_create(&key, destroyed));
    fflush(stdout);
    join(spawn(forker, NULL));
    printf("parent goes on %d\n", usleep(2000) == 0 && alive > 0);
}
static void thread_ends(void) {
    crowd();
    zero(pthread_key_create(&key, destroyed));
    fflush(stdout);
    join(spawn(forker, "end"));
}
static void *lingers(void *arg) {
    usleep(30000);
    puts("the last one"), fflush(stdout);
    return arg;
}
static void *outlived(void *arg) {
    pid_t pid = must(fork());
    if (!pid) {
        spawn(lingers, NULL);
        return arg;
    }
    printf("%x\n", reap(pid));
    return arg;
}
static void outlives(void) {
    crowd();
    fflush(stdout);
    join(spawn(outlived, NULL));
}

/* Handlers and masks in the child are those of the thread that forked. */
static void *masked(void *arg) {
    sigset_t set, now;
    sigemptyset(&set), sigaddset(&set, SIGUSR2);
    zero(pthread_sigmask(SIG_BLOCK, &set, NULL));
    pid_t pid = must(fork());
    if (!pid) {
        struct sigaction action;
        must(sigaction(SIGUSR1, NULL, &action));
        must(sigprocmask(SIG_BLOCK, NULL, &now));
        printf("handler kept %d, masked %d %d\n", action.sa_handler == handler, sigismember(&now, SIGUSR2),
               sigismember(&now, SIGUSR1));
        must(raise(SIGUSR1)), must(raise(SIGUSR2));
        must(sigpending(&now));
        printf("handled %d pending %d\n", handled, sigismember(&now, SIGUSR2));
        fflush(stdout), _exit(0);
    }
    printf("%x\n", reap(pid));
    return arg;
}
static void masks(void) {
    crowd();
    handle(SIGUSR1, 0), handle(SIGUSR2, 0);
    fflush(stdout);
    join(spawn(masked, NULL));
}

/* vfork: the parent's tables and mask stay as they are. */
static void *vforker(void *arg) {
    sigset_t all, old, now;
    mine = 9;
    for (int i = 0; i < 20; i++) {
        sigfillset(&all);
        zero(pthread_sigmask(SIG_SETMASK, &all, &old));
        pid_t pid = vfork();
        if (!pid) {
            signal(SIGUSR1, SIG_DFL);
            sigprocmask(SIG_SETMASK, &old, NULL);
            close(0);
            execl("/bin/sh", "sh", "-c", "kill -USR1 $$", NULL);
            _exit(1);
        }
        check(pid > 0);
        zero(pthread_sigmask(SIG_SETMASK, &old, &now));
        check(sigismember(&now, SIGTERM));
        int status = reap(pid);
        if (!i) printf("killed by %d\n", WTERMSIG(status) == SIGUSR1);
        check(WIFSIGNALED(status));
        struct sigaction action;
        must(sigaction(SIGUSR1, NULL, &action));
        check(action.sa_handler == handler && mine == 9);
        must(raise(SIGUSR1));
    }
    printf("handled %d\n", handled);
    pid_t failed = vfork();
    if (!failed) execl("/nonexistent", "x", NULL), _exit(errno);
    printf("%d\n", WEXITSTATUS(reap(failed)));
    return arg;
}
static void vforks(void) {
    crowd();
    handle(SIGUSR1, 0);
    join(spawn(vforker, NULL));
    printf("parent goes on %d\n", usleep(2000) == 0 && alive > 0);
}

/* posix_spawn, system, popen. */
static void *spawner(void *arg) {
    char *words[] = {"sh", "-c", "grep -q '^SigBlk:.*0000000000$' /proc/self/status; exit $((7 + $?))", NULL};
    pid_t pid;
    zero(posix_spawn(&pid, "/bin/sh", NULL, NULL, words, environ));
    printf("%x\n", reap(pid));
    zero(posix_spawnp(&pid, "sh", NULL, NULL, words, environ));
    printf("%x\n", reap(pid));
    tell(posix_spawn(&pid, "/nonexistent", NULL, NULL, words, environ));
    printf("system %x\n", system("exit 5"));
    FILE *pipe = popen("echo popen", "r");
    char line[64] = "";
    check(fgets(line, sizeof line, pipe));
    printf("%s%x\n", line, pclose(pipe));
    return arg;
}
static void spawns(void) {
    crowd();
    join(spawn(spawner, NULL));
    spawner(NULL);
}

/* Waiting for children keeps nobody else from running. */
static pid_t sleeper(int code) {
    pid_t pid = must(fork());
    if (!pid) usleep(30000), _exit(code);
    return pid;
}
static void waits(void) {
    int status, before;
    siginfo_t info = {0};
    crowd();
    before = alive;
    pid_t pid = sleeper(1);
    printf("%d", must(waitpid(pid, &status, 0)) == pid), printf(" %x, others ran %d\n", status, alive > before), before = alive;
    pid = sleeper(2);
    printf("%d", must(wait(&status)) == pid), printf(" %x, others ran %d\n", status, alive > before), before = alive;
    pid = sleeper(3);
    must(waitid(P_PID, pid, &info, WEXITED | WNOWAIT));
    printf("%d %d, others ran %d\n", info.si_pid == pid, info.si_status, alive > before);
    must(waitid(P_PID, pid, NULL, WEXITED));
    pid = must(fork());
    if (!pid) pause();
    show(waitpid(pid, &status, WNOHANG));
    handle(SIGALRM, 0), ualarm(2000, 2000);
    show(waitpid(pid, &status, 0));
    ualarm(0, 0);
    must(kill(pid, SIGTERM));
    printf("%d", must(waitpid(pid, &status, 0)) == pid), printf(" %x\n", status);
    pid = sleeper(4);
    handle(SIGALRM, SA_RESTART), ualarm(2000, 2000);
    printf("%d", must(waitpid(pid, &status, 0)) == pid), printf(" %x, handled %d\n", status, handled > 0);
    ualarm(0, 0);
    pid = must(fork());
    if (!pid) raise(SIGSTOP), _exit(5);
    printf("%d", must(waitpid(pid, &status, WUNTRACED)) == pid), printf(" stopped %d\n", WIFSTOPPED(status));
    must(kill(pid, SIGCONT));
    printf("%d", must(wait4(pid, &status, 0, NULL)) == pid), printf(" %x\n", status);
    show(wait(&status)), show(waitpid(getppid(), &status, 0)), show(waitid(P_ALL, 0, &info, WEXITED));
    show(waitid(P_PID, 1, &info, 0));
}

/* Handlers of pthread_atfork, and fork in a handler. */
static void prepare(void) { puts("prepare"); }
static void in_parent(void) { puts("parent"); }
static void in_child(void) { puts("child"); }
static void fork_here(int signal) {
    pid_t pid = fork();
    if (!pid) {
        usleep(1000);
        check(write(1, "forked in a handler\n", 20) == 20);
        _exit(signal);
    }
    int status;
    while (waitpid(pid, &status, 0) < 0) check(errno == EINTR);
    handled = WEXITSTATUS(status);
}
static void around(void) {
    crowd();
    zero(pthread_atfork(prepare, in_parent, in_child));
    fflush(stdout);
    pid_t pid = must(fork());
    if (!pid) fflush(stdout), _exit(0);
    printf("%x\n", reap(pid));
    fflush(stdout);
    signal(SIGUSR1, fork_here);
    must(raise(SIGUSR1));
    printf("%d\n", handled == SIGUSR1);
    fflush(stdout);
    handled = 0;
    must(kill(getpid(), SIGUSR1));
    usleep(1000);
    printf("%d\n", handled == SIGUSR1);
}

/* Handlers that are older than any constructor: in the child nobody else runs, whatever they call. */
static volatile int lets_others;
static void let_others(void) {
    if (lets_others) usleep(1000), sched_yield();
}
static void very_early(int argc, char **argv, char **env) { (void)argc, (void)argv, (void)env, pthread_atfork(NULL, NULL, let_others); }
__attribute__((section(".preinit_array"), used)) static void (*const first_of_all)(int, char **, char **) = very_early;
static void *stays(void *parent) {
    for (lets_others = 1; lets_others; sched_yield())
        if (getpid() != *(pid_t *)parent) _exit(9);
    return NULL;
}
static void ahead(void) {
    pid_t self = getpid();
    pthread_t other = spawn(stays, &self);
    while (!lets_others) breathe();
    for (int i = 0; i < 5; i++) {
        pid_t pid = must(fork());
        if (!pid) _exit(3);
        printf("%x\n", reap(pid));
    }
    lets_others = 0;
    join(other);
}

/* Leaving waits by a jump out of a handler, as old time-outs do. */
static sigjmp_buf back;
static void jump(int signal) { siglongjmp(back, signal); }
static void late(void) { ualarm(3000, 0); }
static void jumps(void) {
    int ends[2], socket[2], full[2];
    char bytes[70000] = "", *volatile stage = "";
    crowd();
    must(pipe(ends)), must(pipe(full)), tcp_pair(socket);
    signal(SIGALRM, jump);
    for (volatile int round = 0; round < 3; round++) {
        if (!sigsetjmp(back, 1)) stage = "read", late(), read(ends[0], bytes, 1);
        puts(stage);
        if (!sigsetjmp(back, 1)) stage = "recv", late(), recv(socket[0], bytes, 1, 0);
        puts(stage);
        if (!sigsetjmp(back, 1)) stage = "write", late(), write(full[1], bytes, 70000);
        puts(stage);
        if (!sigsetjmp(back, 1)) stage = "sleep", late(), sleep(10);
        puts(stage);
        if (!sigsetjmp(back, 1)) stage = "poll", late(), poll(&(struct pollfd){ends[0], POLLIN, 0}, 1, -1);
        puts(stage);
        if (!sigsetjmp(back, 1)) stage = "sem", late(), sem_wait(&ready);
        puts(stage);
        must(write(ends[1], "x", 1)), must(read(ends[0], bytes, 1));
        must(sem_post(&ready)), must(sem_wait(&ready));
    }
    printf("the others go on %d\n", usleep(3000) == 0 && alive > 0);
}

int main(int argc, char **argv) {
    struct test tests[] = {CASE(from_main), CASE(from_thread), CASE(thread_ends), CASE(outlives), CASE(masks),
                           CASE(vforks),    CASE(spawns),      CASE(around),      CASE(jumps), CASE(waits),
                           CASE(ahead)};
    return RUN(argc, argv, tests);
}
