/* What fork, vfork, posix_spawn and exec keep, give and leave alone, beside threads that wait. */
#include "prog.h"
#include <sched.h>
#include <semaphore.h>
#include <spawn.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/time.h>

extern char **environ;
static char *self;
static sem_t gate;
static int reap(pid_t pid) {
    int status;
    check(must(waitpid(pid, &status, 0)) == pid);
    return status;
}
static void *parks(void *arg) {
    while (sem_wait(&gate)) check(errno == EINTR);
    return arg;
}
static pthread_t beside(void) {
    must(sem_init(&gate, 0, 0));
    pthread_t thread = spawn(parks, NULL);
    breathe();
    return thread;
}
static void alone(pthread_t thread) {
    must(sem_post(&gate));
    join(thread);
}
/* In a thread, then in main, while one waits. */
static void both(void *(*run)(void *)) {
    pthread_t other = beside();
    join(spawn(run, NULL));
    run(NULL);
    alone(other);
}

/* What the caller held: the child lets go of it, and it is usable there. */
static void *forks_with_locks(void *arg) {
    static const int kinds[] = {PTHREAD_MUTEX_NORMAL, PTHREAD_MUTEX_RECURSIVE, PTHREAD_MUTEX_ERRORCHECK, PTHREAD_MUTEX_ADAPTIVE_NP};
    pthread_mutex_t mutexes[4];
    pthread_mutexattr_t attributes;
    pthread_rwlock_t written = PTHREAD_RWLOCK_INITIALIZER, read = PTHREAD_RWLOCK_INITIALIZER;
    pthread_spinlock_t spin;
    sem_t sem;
    zero(pthread_mutexattr_init(&attributes));
    for (int i = 0; i < 4; i++) {
        zero(pthread_mutexattr_settype(&attributes, kinds[i]));
        zero(pthread_mutex_init(&mutexes[i], &attributes)), zero(pthread_mutex_lock(&mutexes[i]));
    }
    zero(pthread_rwlock_wrlock(&written)), zero(pthread_rwlock_rdlock(&read));
    zero(pthread_spin_init(&spin, 0)), zero(pthread_spin_lock(&spin)), must(sem_init(&sem, 0, 0));
    flockfile(stdout);
    fflush(stdout);
    pid_t pid = must(fork());
    if (!pid) {
        funlockfile(stdout);
        for (int i = 0; i < 4; i++) {
            tell(pthread_mutex_trylock(&mutexes[i]));
            tell(pthread_mutex_unlock(&mutexes[i]));
        }
        tell(pthread_rwlock_tryrdlock(&written)), tell(pthread_rwlock_trywrlock(&read));
        tell(pthread_rwlock_unlock(&written)), tell(pthread_rwlock_unlock(&read));
        tell(pthread_rwlock_trywrlock(&written)), tell(pthread_rwlock_trywrlock(&read));
        tell(pthread_spin_trylock(&spin)), tell(pthread_spin_unlock(&spin));
        show(sem_trywait(&sem)), show(sem_post(&sem)), show(sem_wait(&sem));
        exit(3);
    }
    funlockfile(stdout);
    printf("%x\n", reap(pid));
    for (int i = 0; i < 4; i++) zero(pthread_mutex_unlock(&mutexes[i]));
    zero(pthread_rwlock_unlock(&written)), zero(pthread_rwlock_unlock(&read)), zero(pthread_spin_unlock(&spin));
    return arg;
}
static void locks(void) { both(forks_with_locks); }

/* A fork that is refused: the parent's handlers run, the threads go on, and the next one works. */
static void prepare(void) { printf("prepare "); }
static void in_parent(void) { printf("parent\n"); }
static void in_child(void) { printf("child\n"); }
static void *is_refused(void *arg) {
    pid_t pid;
    struct rlimit limit, none;
    must(getrlimit(RLIMIT_NPROC, &limit)), none = limit, none.rlim_cur = 0;
    must(setrlimit(RLIMIT_NPROC, &none));
    show(fork()), show(vfork()), show(_Fork());
    tell(posix_spawn(&pid, "/bin/true", NULL, NULL, (char *[]){"true", NULL}, environ));
    show(system("true"));
    check(!popen("true", "r")), printf("popen %s\n", strerrorname_np(errno));
    must(setrlimit(RLIMIT_NPROC, &limit));
    fflush(stdout);
    if (!(pid = must(fork()))) fflush(stdout), _exit(5);
    printf("%x\n", reap(pid));
    show(waitpid(-1, NULL, 0));
    return arg;
}
static void refused(void) {
    /* The limit is not for root. */
    if (!getuid()) must(setgid(65534)), must(setuid(65533));
    zero(pthread_atfork(prepare, in_parent, in_child));
    both(is_refused);
}

/* vfork's child has its parent's memory: errno and locals are the same ones; the others' are left alone. */
static __thread int mine = 1;
static void *shares(void *arg) {
    volatile int local = 1;
    errno = 0;
    pid_t pid = vfork();
    if (!pid) {
        errno = 77, local = 2, mine = 3;
        _exit(4);
    }
    int error = errno;
    printf("errno %d, local %d, own %d, %x\n", error, local, mine, reap(pid));
    errno = 0;
    pid = vfork();
    if (!pid) {
        close(-1);
        execl("/nonexistent", "none", NULL);
        _exit(errno);
    }
    error = errno;
    printf("errno %d, %x\n", error, reap(pid));
    return arg;
}
static void shared_errno(void) {
    both(shares);
    printf("of main %d\n", mine);
}

/* What a started program says of itself. */
static int tells(void) {
    sigset_t now;
    struct sigaction action;
    char place[256], name[32];
    must(sigprocmask(SIG_BLOCK, NULL, &now));
    must(sigaction(SIGUSR2, NULL, &action));
    must(prctl(PR_GET_NAME, name));
    printf("masked %d %d, ignored %d, leader of group %d, of session %d, ", sigismember(&now, SIGUSR1), sigismember(&now, SIGTERM),
           action.sa_handler == SIG_IGN, getpgrp() == getpid(), getsid(0) == getpid());
    printf("policy %d, in %s, 5 %d, 6 %d, 20 %d, named %d\n", sched_getscheduler(0), getcwd(place, sizeof place), fcntl(5, F_GETFD),
           fcntl(6, F_GETFD), fcntl(20, F_GETFD), !!*name);
    return 7;
}
static void *by_attributes(void *arg) {
    char *words[] = {self, "tells", NULL};
    const short flags[] = {0, POSIX_SPAWN_SETSIGMASK, POSIX_SPAWN_SETSIGDEF, POSIX_SPAWN_SETPGROUP, POSIX_SPAWN_SETSID,
                           POSIX_SPAWN_RESETIDS, POSIX_SPAWN_SETSCHEDULER | POSIX_SPAWN_SETSCHEDPARAM};
    sigset_t set;
    sigemptyset(&set), sigaddset(&set, SIGUSR1);
    zero(pthread_sigmask(SIG_BLOCK, &set, NULL));
    sigemptyset(&set), sigaddset(&set, SIGTERM), sigaddset(&set, SIGUSR2);
    for (size_t i = 0; i < sizeof flags / sizeof *flags; i++) {
        pid_t pid;
        posix_spawnattr_t attributes;
        posix_spawn_file_actions_t actions;
        zero(posix_spawnattr_init(&attributes)), zero(posix_spawnattr_setflags(&attributes, flags[i]));
        zero(posix_spawnattr_setsigmask(&attributes, &set)), zero(posix_spawnattr_setsigdefault(&attributes, &set));
        zero(posix_spawnattr_setpgroup(&attributes, 0));
        zero(posix_spawnattr_setschedpolicy(&attributes, SCHED_OTHER));
        zero(posix_spawnattr_setschedparam(&attributes, &(struct sched_param){0}));
        zero(posix_spawn_file_actions_init(&actions));
        zero(posix_spawn_file_actions_adddup2(&actions, 1, 5));
        zero(posix_spawn_file_actions_addopen(&actions, 6, "/dev/null", O_RDONLY, 0));
        zero(posix_spawn_file_actions_addclosefrom_np(&actions, 10));
        zero(posix_spawn_file_actions_addchdir_np(&actions, i % 2 ? "/" : "/dev"));
        fflush(stdout);
        zero(i % 2 ? posix_spawn(&pid, self, &actions, &attributes, words, environ)
                   : posix_spawnp(&pid, self, &actions, &attributes, words, environ));
        printf("%x\n", reap(pid));
        zero(posix_spawn_file_actions_addchdir_np(&actions, "/nonexistent"));
        tell(posix_spawn(&pid, self, &actions, &attributes, words, environ));
        zero(posix_spawn_file_actions_destroy(&actions)), zero(posix_spawnattr_destroy(&attributes));
    }
    sigemptyset(&set), sigaddset(&set, SIGUSR1);
    zero(pthread_sigmask(SIG_UNBLOCK, &set, NULL));
    return arg;
}
static void attributes(void) {
    must(dup2(1, 20));
    signal(SIGUSR2, SIG_IGN);
    both(by_attributes);
}

/* An exec that fails leaves all as it was. */
static void handler(int signal) { (void)signal; }
static void describe(const char *when) {
    sigset_t mask, pending;
    stack_t stack;
    struct itimerval timer;
    struct sigaction ignored, handled;
    zero(pthread_sigmask(SIG_BLOCK, NULL, &mask));
    must(sigpending(&pending)), must(sigaltstack(NULL, &stack)), must(getitimer(ITIMER_REAL, &timer));
    must(sigaction(SIGUSR2, NULL, &ignored)), must(sigaction(SIGTERM, NULL, &handled));
    char name[32];
    must(prctl(PR_GET_NAME, name));
    printf("%s: masked %d, pending %d, ignored %d, handled %d %x, ", when, sigismember(&mask, SIGUSR1), sigismember(&pending, SIGUSR1),
           ignored.sa_handler == SIG_IGN, handled.sa_handler == handler, handled.sa_flags);
    printf("stack %zu, timer %d, flags %d %d, name %s\n", stack.ss_size, timer.it_value.tv_sec > 10, fcntl(8, F_GETFD), fcntl(9, F_GETFD),
           name);
}
static void *fails(void *arg) {
    char *words[] = {"none", NULL}, room[40000], *volatile nowhere = (char *)8;
    sigset_t set;
    sigemptyset(&set), sigaddset(&set, SIGUSR1);
    zero(pthread_sigmask(SIG_BLOCK, &set, NULL));
    must(raise(SIGUSR1));
    must(sigaltstack(&(stack_t){.ss_sp = room, .ss_size = sizeof room}, NULL));
    must(prctl(PR_SET_NAME, arg ? "other" : "first"));
    describe("before");
    show(execve("/nonexistent", words, environ)), show(execv("/dev/null", words)), show(execvp("", words));
    show(execveat(-1, "none", words, environ, 0)), show(execve(nowhere, words, environ));
    describe("after");
    must(sigaltstack(&(stack_t){.ss_flags = SS_DISABLE}, NULL));
    sigwaitinfo(&set, NULL);
    return NULL;
}
static void unchanged(void) {
    must(dup2(1, 8)), must(dup2(1, 9)), must(fcntl(9, F_SETFD, FD_CLOEXEC));
    signal(SIGUSR2, SIG_IGN), signal(SIGUSR1, handler);
    must(sigaction(SIGTERM, &(struct sigaction){.sa_handler = handler, .sa_flags = SA_NODEFER}, NULL));
    must(setitimer(ITIMER_REAL, &(struct itimerval){{0}, {1000, 0}}, NULL));
    pthread_t other = beside();
    join(spawn(fails, "other")), fails(NULL);
    alone(other);
}

int main(int argc, char **argv) {
    self = argv[0];
    if (argc > 1 && !strcmp(argv[1], "tells")) return tells();
    struct test tests[] = {CASE(locks), CASE(refused), CASE(shared_errno), CASE(attributes), CASE(unchanged)};
    return RUN(argc, argv, tests);
}
