/* Programs that are started in every way there is, by a thread while others wait; what they find. */
#include "prog.h"
#include <dirent.h>
#include <spawn.h>

extern char **environ;
static char *self;
static int ends[2];

/* What the started program says of itself. */
static void as_child(const char *what) {
    char line[512];
    int entered = 0;
    FILE *file = fopen("/proc/self/maps", "r");
    while (fgets(line, sizeof line, file)) entered |= strstr(line, "libeventlet") != NULL;
    fclose(file);
    if (!strcmp(what, "library")) {
        const char *preload = getenv("LD_PRELOAD");
        printf("%s, LD_PRELOAD %s, entered %d\n", getenv("MARK"), preload ? preload : "none", entered);
    } else {
        file = fopen("/proc/self/status", "r");
        while (fgets(line, sizeof line, file))
            if (!strncmp(line, "SigBlk", 6) || !strncmp(line, "SigIgn", 6) || !strncmp(line, "SigPnd", 6))
                printf("%.6s %lx\n", line, strtoul(line + 7, NULL, 16) & ~(3ul << 31)); /* glibc's own are its matter */
        fclose(file);
        DIR *numbers = opendir("/proc/self/fd");
        int open[16] = {0};
        for (struct dirent *entry; (entry = readdir(numbers));) {
            int number = atoi(entry->d_name);
            if (entry->d_name[0] != '.' && number < 16 && number != dirfd(numbers)) open[number] = 1;
        }
        for (int i = 0; i < 16; i++) printf("%s%d", open[i] ? " " : " no ", i);
        puts("");
        sigset_t none;
        sigemptyset(&none);
        fflush(stdout);
        sigprocmask(SIG_SETMASK, &none, NULL);
    }
    fflush(stdout);
}

static char *words[] = {NULL, "child", NULL, NULL};
static char command[512];
static char *marked[] = {"MARK=own", NULL, NULL};

static void by_execve(void) { execve(self, words, environ); }
static void by_execve_own(void) { execve(self, words, marked); }
static void by_execv(void) { execv(self, words); }
static void by_execvp(void) { execvp(self, words); }
static void by_execvpe(void) { execvpe(self, words, environ); }
static void by_execl(void) { execl(self, self, words[1], words[2], (char *)NULL); }
static void by_execle(void) { execle(self, self, words[1], words[2], (char *)NULL, environ); }
static void by_execlp(void) { execlp(self, self, words[1], words[2], (char *)NULL); }
static void by_fexecve(void) { fexecve(open(self, O_RDONLY | O_CLOEXEC), words, environ); }
static void by_execveat(void) { execveat(AT_FDCWD, self, words, environ, 0); }

static void reaped(pid_t pid) {
    int status;
    check(must(waitpid(pid, &status, 0)) == pid);
    printf("%x\n", status);
    fflush(stdout);
}
static void by_fork(void (*become)(void)) {
    pid_t pid = must(fork());
    if (!pid) become(), _exit(127);
    reaped(pid);
}
static void by_vfork(void) {
    pid_t pid = must(vfork());
    if (!pid) execv(self, words), _exit(127);
    reaped(pid);
}
static void by_spawn(void) {
    pid_t pid;
    zero(posix_spawn(&pid, self, NULL, NULL, words, environ));
    reaped(pid);
    zero(posix_spawnp(&pid, self, NULL, NULL, words, environ));
    reaped(pid);
}
static void by_shell(void) {
    char line[512];
    printf("system %x\n", system(command));
    fflush(stdout);
    FILE *pipe = popen(command, "r");
    while (fgets(line, sizeof line, pipe)) printf("popen: %s", line);
    printf("pclose %x\n", pclose(pipe));
    fflush(stdout);
}

static void *waits(void *arg) {
    char byte;
    read_all(ends[0], &byte, 1);
    return arg;
}

static void *every_way(void *what) {
    void (*const ways[])(void) = {by_execve, by_execv,  by_execvp,  by_execvpe, by_execl,
                                  by_execle, by_execlp, by_fexecve, by_execveat};
    words[0] = self, words[2] = what;
    snprintf(command, sizeof command, "%s child %s", self, (char *)what);
    for (size_t i = 0; i < sizeof ways / sizeof *ways; i++) by_fork(ways[i]);
    by_vfork();
    by_spawn();
    by_shell();
    if (!strcmp(what, "library")) by_fork(by_execve_own);
    return what;
}

static pthread_t reader;
static void begin(void) {
    must(pipe2(ends, O_CLOEXEC));
    reader = spawn(waits, NULL);
    breathe();
    must(setenv("MARK", "program's", 1));
    fflush(stdout);
}
static void end(void) {
    send_all(ends[1], "x", 1);
    join(reader);
}

/* Whether the library comes along. */
static void library(void) {
    begin();
    join(spawn(every_way, "library"));
    every_way("library");
    end();
}

/* What is started has another libc. */
static void another(void) {
    self = getenv("ANOTHER");
    begin();
    join(spawn(every_way, "another"));
    every_way("another");
    end();
}

/* Masks, ignored and pending signals and descriptors come along. */
static void handler(int signal) { (void)signal; }
static sigset_t most(void) {
    sigset_t set;
    sigfillset(&set), sigdelset(&set, SIGUSR1);
    zero(pthread_sigmask(SIG_SETMASK, &set, NULL));
    return set;
}
static void *masked(void *what) {
    sigset_t set = most();
    every_way(what);
    zero(pthread_sigmask(SIG_UNBLOCK, &set, NULL));
    return what;
}
static void heirs(void) {
    begin();
    must(dup2(1, 7)), must(dup2(1, 9)), must(fcntl(9, F_SETFD, FD_CLOEXEC));
    signal(SIGUSR2, SIG_IGN), signal(SIGHUP, SIG_IGN), signal(SIGTERM, handler), signal(SIGSEGV, SIG_IGN);
    signal(SIGSTKFLT, SIG_IGN);
    join(spawn(masked, "heirs"));
    every_way("heirs");
    end();
}

static void *spawns(void *arg) {
    most();
    words[0] = self, words[2] = "heirs";
    by_spawn();
    return arg;
}
static void *by_shell_alone(void *arg) {
    snprintf(command, sizeof command, "%s child heirs", self);
    by_shell();
    return arg;
}
/* A shell blocks nothing, but what is ignored stays so. */
static void by_shells(void) {
    begin();
    signal(SIGSTKFLT, SIG_IGN), signal(SIGUSR2, SIG_IGN);
    join(spawn(by_shell_alone, NULL));
    end();
}
static void spawned(void) {
    begin();
    join(spawn(spawns, NULL));
    end();
}

/* The same of the process itself, by exec of a thread. */
static void *becomes(void *way) {
    sigset_t set = most();
    must(raise(SIGINT));
    show(execv("/nonexistent", words));
    sigpending(&set), printf("pending %d\n", sigismember(&set, SIGINT));
    words[0] = self, words[2] = "heirs";
    fflush(stdout);
    ((void (*)(void))way)();
    return NULL;
}
static void replaced(void) {
    begin();
    must(dup2(1, 7)), must(dup2(1, 9)), must(fcntl(9, F_SETFD, FD_CLOEXEC));
    signal(SIGUSR2, SIG_IGN), signal(SIGTERM, handler), signal(SIGSEGV, SIG_IGN);
    join(spawn(becomes, by_execv));
}
static void replaced_by_main(void) {
    begin();
    becomes(by_execl);
}

/* A child with threads becomes another program. */
static void child_becomes(void (*way)(void)) {
    begin();
    pid_t pid = must(fork());
    if (!pid) {
        spawn(waits, NULL);
        join(spawn(becomes, way));
        exit(127);
    }
    reaped(pid);
    end();
}
static void becomes_by_execve(void) { child_becomes(by_execve); }
static void becomes_by_fexecve(void) { child_becomes(by_fexecve); }
static void becomes_by_execveat(void) { child_becomes(by_execveat); }

/* An exec that fails leaves the process, its threads and its waits as they were. */
static volatile int handled;
static void count(int signal) { handled += signal != 0; }
static void *fails(void *arg) {
    char *none[] = {"none", NULL};
    show(execv("/nonexistent", none));
    show(execve("/", none, environ));
    show(execvp("no such program", none));
    show(fexecve(ends[0], none, environ));
    show(execve("/proc/self/maps", none, environ));
    pid_t pid = 5;
    tell(posix_spawn(&pid, "/nonexistent", NULL, NULL, none, environ));
    tell(posix_spawnp(&pid, "no such program", NULL, NULL, none, environ));
    pid_t child = must(vfork());
    if (!child) execv("/nonexistent", none), _exit(errno);
    reaped(child);
    printf("system %x\n", system("/nonexistent 2>/dev/null"));
    return arg;
}
static void failing(void) {
    begin();
    signal(SIGUSR1, count);
    join(spawn(fails, NULL));
    fails(NULL);
    must(kill(getpid(), SIGUSR1));
    printf("handled %d\n", handled);
    end();
}

int main(int argc, char **argv) {
    self = argv[0];
    if (argc > 2 && strcmp(argv[1], "child") == 0) return as_child(argv[2]), 6;
    struct test tests[] = {CASE(library), CASE(heirs), CASE(replaced), CASE(replaced_by_main), CASE(failing),
                           CASE(spawned), CASE(becomes_by_execve), CASE(becomes_by_fexecve), CASE(becomes_by_execveat),
                           CASE(another), CASE(by_shells)};
    return RUN(argc, argv, tests);
}
