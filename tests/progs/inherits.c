/* What a thread has of its own, processes have that it makes: nice value, processors, name. */
#include "prog.h"

#include <sched.h>
#include <spawn.h>
#include <sys/prctl.h>
#include <sys/resource.h>

extern char **environ;
static char *const shell[] = {"sh", "-c", "echo $(nice) $(nproc)", NULL};

static void ends(pid_t child) {
    int status;
    check(must(waitpid(child, &status, 0)) == child && status == 0);
}

static void *starts(void *arg) {
    cpu_set_t one;
    char name[16];
    pid_t child;
    CPU_ZERO(&one);
    CPU_SET(0, &one);
    must(nice(3));
    must(sched_setaffinity(0, sizeof one, &one));
    zero(pthread_setname_np(pthread_self(), "namesake"));
    fflush(stdout);
    check(system("echo $(nice) $(nproc)") == 0);
    FILE *stream = popen("echo $(nice) $(nproc)", "r");
    check(stream && fgets(name, sizeof name, stream) && pclose(stream) == 0);
    printf("popen: %s", name);
    fflush(stdout);
    zero(posix_spawnp(&child, "sh", NULL, NULL, shell, environ));
    ends(child);
    child = must(vfork());
    if (!child) {
        execvp("sh", shell);
        _exit(1);
    }
    ends(child);
    child = must(fork());
    if (!child) {
        must(prctl(PR_GET_NAME, name));
        printf("fork: %d, %s\n", getpriority(PRIO_PROCESS, 0), name);
        fflush(stdout);
        execvp("sh", shell);
        _exit(1);
    }
    ends(child);
    show(execvp("/nowhere", shell));
    printf("still %d\n", getpriority(PRIO_PROCESS, 0));
    return arg;
}

static void *has(void *arg) {
    cpu_set_t set;
    must(sched_getaffinity(0, sizeof set, &set));
    printf("another: %d, %d\n", getpriority(PRIO_PROCESS, 0), CPU_COUNT(&set) == *(int *)arg);
    fflush(stdout);
    check(system("echo $(nice)") == 0);
    return arg;
}

static void given(void) {
    cpu_set_t set;
    must(sched_getaffinity(0, sizeof set, &set));
    int processors = CPU_COUNT(&set);
    join(spawn(starts, NULL));
    join(spawn(has, &processors));
}

static void *becomes(void *arg) {
    must(nice(4));
    fflush(stdout);
    execvp("sh", shell);
    return arg;
}
static void becoming(void) { join(spawn(becomes, NULL)); }

int main(int argc, char **argv) {
    struct test tests[] = {CASE(given), CASE(becoming)};
    return RUN(argc, argv, tests);
}
