/* Who a thread is to the kernel. Only the privileged can be somebody else: the others are told so, and that is all. */
#include "real.h"
#include <grp.h>
#include <linux/capability.h>
#include <sys/fsuid.h>
#include <sys/stat.h>
#include <sys/syscall.h>

enum { THREADS = 5, ROUNDS = 3 };
static char folder[64];
static pthread_barrier_t meeting;

/* The owner of a file that is made now. */
static void make_file(const char *who, int number) {
    char path[128];
    struct stat stat;
    snprintf(path, sizeof path, "%s/%s-%d", folder, who, number);
    must(close(must(open(path, O_CREAT | O_EXCL | O_WRONLY, 0600))));
    must(lstat(path, &stat));
    check(stat.st_uid == 1000u + number && stat.st_gid == 2000u + number);
    must(unlink(path));
}

static void *for_files(void *arg) {
    int number = (intptr_t)arg;
    int before = setfsgid(2000 + number);
    check(setfsuid(1000 + number) == 0 && before == 0);
    for (int round = 0; round < ROUNDS; round++) {
        pthread_barrier_wait(&meeting);
        make_file("files", number);
        usleep(100);
        check(setfsuid(-1) == 1000 + number && setfsgid(-1) == 2000 + number && geteuid() == 0);
    }
    return arg;
}

static void *by_number(void *arg) {
    int number = (intptr_t)arg;
    must(syscall(SYS_setresgid, -1, 2000 + number, -1));
    must(syscall(SYS_setresuid, -1, 1000 + number, -1));
    for (int round = 0; round < ROUNDS; round++) {
        pthread_barrier_wait(&meeting);
        make_file("number", number);
        usleep(100);
        check(geteuid() == 1000u + number && getegid() == 2000u + number && getuid() == 0 && getgid() == 0);
    }
    return arg;
}

/* Supplementary groups: libc's are everybody's, the system call's one thread's. */
static void *with_groups(void *arg) {
    int number = (intptr_t)arg;
    gid_t own[] = {3000 + number, 4000}, now[8];
    must(syscall(SYS_setgroups, 1 + number % 2, own));
    must(syscall(SYS_setresuid, -1, 1000 + number, -1));
    for (int round = 0; round < ROUNDS; round++) {
        pthread_barrier_wait(&meeting);
        check(getgroups(8, now) == 1 + number % 2 && now[0] == own[0] && geteuid() == 1000u + number);
        usleep(100);
    }
    return arg;
}

int capset(cap_user_header_t header, const cap_user_data_t data);
int capget(cap_user_header_t header, cap_user_data_t data);
static struct __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};

/* Lays a capability down, one that it may take up again. */
static void *without_capability(void *arg) {
    int number = (intptr_t)arg;
    struct __user_cap_data_struct all[2], now[2];
    must(capget(&header, all));
    all[0].effective &= ~(1u << number);
    if (number % 2) must(capset(&header, all));
    else must(syscall(SYS_capset, &header, all));
    for (int round = 0; round < ROUNDS; round++) {
        pthread_barrier_wait(&meeting);
        must(capget(&header, now));
        check(!memcmp(now, all, sizeof all));
        usleep(100);
    }
    return arg;
}

static void *inherits(void *arg) {
    check(setfsuid(-1) == 77);
    return arg;
}

static void *has_heirs(void *arg) {
    setfsuid(77);
    join(spawn(inherits, NULL));
    if (!must(fork())) _exit(setfsuid(-1));
    int status;
    must(wait(&status));
    show(WEXITSTATUS(status));
    show(setfsuid(-1));
    /* libc changes all threads', and by that what was this one's alone. */
    must(seteuid(5));
    show(setfsuid(-1));
    usleep(100);
    return arg;
}

static void *bystander(void *arg) {
    struct __user_cap_data_struct before[2], now[2];
    gid_t group;
    must(capget(&header, before));
    for (int round = 0; round < ROUNDS; round++) {
        pthread_barrier_wait(&meeting);
        check(setfsuid(-1) == 0 && setfsgid(-1) == 0 && geteuid() == 0 && getegid() == 0);
        check(must(capget(&header, now)) == 0 && !memcmp(now, before, sizeof now));
        check(getgroups(1, &group) <= 1 && group == 7);
    }
    return arg;
}

static void each(void *(*run)(void *)) {
    pthread_t threads[THREADS + 1];
    gid_t seven = 7;
    must(setgroups(1, &seven));
    zero(pthread_barrier_init(&meeting, NULL, THREADS + 1));
    for (intptr_t i = 0; i < THREADS; i++) threads[i] = spawn(run, (void *)i);
    threads[THREADS] = spawn(bystander, NULL);
    for (int i = 0; i <= THREADS; i++) join(threads[i]);
    show(setfsuid(-1));
    show(geteuid());
}

static void files(void) { each(for_files); }
static void numbers(void) { each(by_number); }
static void groups(void) { each(with_groups); }
static void capabilities(void) { each(without_capability); }

static void heirs(void) {
    join(spawn(has_heirs, NULL));
    show(geteuid());
    show(setfsuid(-1));
    must(seteuid(0));
}

/* Given up for good, by libc: everybody's. */
static void *give_up(void *arg) {
    must(setresuid(9, 9, 9));
    return arg;
}

static void given_up(void) {
    must(rmdir(folder));
    join(spawn(give_up, NULL));
    show(getuid());
    show(setuid(0));
}

static void *same(void *arg) { return arg; }

static void *all_calls(void *arg) {
    uid_t user = getuid();
    gid_t group = getgid();
    show(setuid(user)), show(seteuid(user)), show(setreuid(user, -1)), show(setresuid(-1, user, -1));
    show(setgid(group)), show(setegid(group)), show(setregid(-1, group)), show(setresgid(-1, group, -1));
    show(setgroups(0, NULL)), show(initgroups("nobody", group));
    show(setuid(-1));
    usleep(1);
    return arg;
}

/* What changes all threads, called by one that is not the first. */
static void for_everybody(void) { join(spawn(all_calls, NULL)); }

/* The same by many at once, while others compute, are made and end; and each has its own in between. */
enum { CROWD = 40 };
static volatile int over;
static void *in_a_crowd(void *arg) {
    int number = (intptr_t)arg;
    for (int round = 0; round < 2; round++) {
        if (number % 4 == 0) {
            must(setresuid(-1, round % 2 ? 0 : 5, 0));
        } else if (number % 4 == 1) {
            join(spawn(same, arg));
        } else {
            for (volatile int i = 0; i < 20000; i++) {}
        }
        uid_t real, effective, saved;
        must(getresuid(&real, &effective, &saved));
        check(real == 0 && saved == 0 && (effective == 0 || effective == 5));
        sched_yield();
    }
    return arg;
}
static void *real_one(void *arg) {
    while (!over) must(setresgid(-1, -1, 0)), usleep(5000);
    return arg;
}
static void crowd(void) {
    static pthread_t threads[CROWD];
    static struct task task = {real_one, NULL};
    must(sem_init(&done, 0, 0));
    for (intptr_t i = 0; i < CROWD; i++) threads[i] = spawn(in_a_crowd, (void *)i);
    on_real_thread(&task);
    for (int i = 0; i < CROWD; i++) join(threads[i]);
    must(setresuid(-1, 0, 0));
    /* And in a child, whose first thread is one of these. */
    if (!must(fork())) {
        join(spawn(all_calls, NULL));
        each(by_number);
        fflush(stdout);
        _exit(0);
    }
    int status;
    must(wait(&status));
    show(status);
    over = 1;
    must(sem_wait(&done));
    each(by_number);
}

/* A real thread changes all while a thread computes that makes no call until then: whoever computes is told. */
static volatile int computing, changed;
static void *changes(void *arg) {
    while (!computing) sched_yield();
    changed = setuid(getuid()) == 0 ? 1 : -1;
    return arg;
}
static void *computes(void *arg) {
    computing = 1;
    while (!changed) {}
    return arg;
}
static void told_while_computing(void) {
    static struct task task = {changes, NULL};
    must(sem_init(&done, 0, 0));
    pthread_t thread = spawn(computes, NULL);
    on_real_thread(&task);
    join(thread);
    must(sem_wait(&done));
    printf("changed %d\n", changed);
}

static void *nobody(void *arg) {
    usleep(1);
    puts("not for us");
    return arg;
}

int main(int argc, char **argv) {
    struct test tests[] = {CASE(files), CASE(numbers), CASE(groups), CASE(capabilities), CASE(heirs),
                           CASE(given_up), CASE(for_everybody), CASE(crowd), CASE(told_while_computing)};
    if (geteuid() != 0 && argc > 1 && strcmp(argv[1], "for_everybody") &&
        strcmp(argv[1], "told_while_computing")) {
        join(spawn(nobody, NULL));
        return 0;
    }
    strcpy(folder, "/tmp/credentials-XXXXXX");
    check(mkdtemp(folder) && chmod(folder, 0777) == 0);
    int answer = RUN(argc, argv, tests);
    rmdir(folder);
    return answer;
}
