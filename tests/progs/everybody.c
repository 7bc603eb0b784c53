/* What the kernel keeps by thread, changed by one that is not alone. Each call is made twice, and each case is a line. */
#include "prog.h"
#include <linux/filter.h>
#include <linux/keyctl.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <sys/personality.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

static void *twice(void *arg) {
    int (*call)(void) = arg;
    /* The others wait meanwhile. */
    breathe();
    int answer = call();
    breathe();
    if (answer != -1) answer = call() == -1 ? -1 : 0;
    show(answer);
    return arg;
}

static void by_one(int (*call)(void)) { join(spawn(twice, call)); }

static int unshares(void) { return unshare(CLONE_FS); }
static int unshares_by_number(void) { return syscall(SYS_unshare, CLONE_FS); }
static int enters(void) {
    int fd = must(open("/proc/self/ns/uts", O_RDONLY));
    int answer = setns(fd, 0);
    must(close(fd));
    return answer;
}
static int changes_domain(void) { return personality(ADDR_NO_RANDOMIZE); }
static int by_prctl(void) { return prctl(PR_SET_TIMERSLACK, 1000UL, 0UL, 0UL, 0UL); }
static int by_number(void) { return syscall(SYS_prctl, PR_SET_PDEATHSIG, 0UL, 0UL, 0UL, 0UL); }
static int joins_keyring(void) { return syscall(SYS_keyctl, KEYCTL_JOIN_SESSION_KEYRING, NULL) == -1 ? -1 : 0; }
static int sets_io_priority(void) { return syscall(SYS_ioprio_set, 1, 0, 2 << 13 | 5); }
static int opens_ports(void) { return syscall(SYS_ioperm, 0x80UL, 1UL, 0); }
static int filters(void) {
    struct sock_filter all[] = {BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW)};
    struct sock_fprog program = {1, all};
    if (prctl(PR_SET_NO_NEW_PRIVS, 1UL, 0UL, 0UL, 0UL) == -1) return -1;
    return syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &program);
}
/* These ask, or change what is the process's. */
static int changes_nothing(void) {
    must(personality(0xffffffff));
    must(unshare(0));
    must(prctl(PR_GET_TIMERSLACK, 0UL, 0UL, 0UL, 0UL));
    must(prctl(PR_SET_DUMPABLE, 1UL, 0UL, 0UL, 0UL));
    must(prctl(PR_SET_NAME, "me", 0UL, 0UL, 0UL));
    return syscall(SYS_keyctl, KEYCTL_GET_KEYRING_ID, KEY_SPEC_PROCESS_KEYRING, 1) == -1 ? -1 : 0;
}

#define ONE(name, call) static void name(void) { by_one(call); }
ONE(unshared, unshares)
ONE(unshared_by_number, unshares_by_number)
ONE(entered, enters)
ONE(domain, changes_domain)
ONE(slack, by_prctl)
ONE(parent, by_number)
ONE(keyring, joins_keyring)
ONE(io_priority, sets_io_priority)
ONE(ports, opens_ports)
ONE(filtered, filters)
ONE(nothing, changes_nothing)

/* Alone, a thread changes nobody else's. */
static void *same(void *arg) { return arg; }
static void alone(void) {
    join(spawn(same, NULL));
    show(unshares());
}

int main(int argc, char **argv) {
    struct test tests[] = {CASE(unshared), CASE(unshared_by_number), CASE(entered), CASE(domain), CASE(slack),
                           CASE(parent),   CASE(keyring),            CASE(io_priority), CASE(ports), CASE(filtered),
                           CASE(nothing),  CASE(alone)};
    return RUN(argc, argv, tests);
}
