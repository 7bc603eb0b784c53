/* What threaded programs do that is rare and right. */
#include "../prog.h"
#include <dlfcn.h>
#include <limits.h>
#include <sched.h>
#include <semaphore.h>
#include <setjmp.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <ucontext.h>

static sem_t go, gone;
static int gate[2];
static __thread int own = 7;

static void *through_gate(void *arg) {
    char byte;
    check(must(read(gate[0], &byte, 1)) == 1);
    return arg;
}

/* pthread_attr_setstack: the thread stands on that memory, its thread-locals lie in it, and it can be used again. */
static char *given;
enum { GIVEN = 256 << 10 };

static void *on_given(void *arg) {
    char here;
    own++;
    breathe();
    printf("stack %d, locals %d, own %d\n", &here > given && &here < given + GIVEN,
           (char *)&own > given && (char *)&own < given + GIVEN, own);
    return arg;
}

static void given_stack(void) {
    pthread_attr_t attr;
    pthread_t thread;
    given = mmap(NULL, GIVEN, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    zero(pthread_attr_init(&attr));
    tell(pthread_attr_setstack(&attr, given, PTHREAD_STACK_MIN - 1));
    zero(pthread_attr_setstack(&attr, given, GIVEN));
    for (int i = 0; i < 3; i++) {
        memset(given, 0xa5, GIVEN);
        zero(pthread_create(&thread, &attr, on_given, NULL));
        join(thread);
    }
    must(munmap(given, GIVEN));
    join(spawn(through_gate, (send_all(gate[1], "x", 1), NULL)));
}

/* mlockall(MCL_FUTURE): threads can be made all the same. */
static void locked_memory(void) {
    must(mlockall(MCL_CURRENT | MCL_FUTURE));
    pthread_attr_t attr;
    pthread_t threads[20];
    zero(pthread_attr_init(&attr));
    zero(pthread_attr_setstacksize(&attr, 64 << 10));
    for (intptr_t i = 0; i < 20; i++) zero(pthread_create(&threads[i], &attr, through_gate, (void *)i));
    long sum = 0;
    breathe();
    send_all(gate[1], "xxxxxxxxxxxxxxxxxxxx", 20);
    for (int i = 0; i < 20; i++) sum += (intptr_t)join(threads[i]);
    printf("sum %ld\n", sum);
}

/* makecontext, swapcontext: coroutines of the program's own, which wait on their stacks, inside several threads. */
struct task {
    ucontext_t main, parts[3];
    char stacks[3][64 << 10];
    int steps, id;
};

static void part(unsigned high, unsigned low, int index) {
    struct task *task = (struct task *)((uintptr_t)high << 32 | low);
    for (int i = 0; i < 20; i++) {
        usleep(50);
        must(sem_wait(&go));
        task->steps++;
        check(own == 100 + task->id);
        must(sem_post(&go));
        must(swapcontext(&task->parts[index], &task->parts[(index + 1) % 3]));
    }
}

static void *contexts(void *arg) {
    struct task *task = arg;
    own = 100 + task->id;
    for (int i = 0; i < 3; i++) {
        must(getcontext(&task->parts[i]));
        task->parts[i].uc_stack.ss_sp = task->stacks[i];
        task->parts[i].uc_stack.ss_size = sizeof task->stacks[i];
        task->parts[i].uc_link = &task->main;
        uintptr_t where = (uintptr_t)task;
        makecontext(&task->parts[i], (void (*)(void))part, 3, (unsigned)(where >> 32), (unsigned)where, i);
    }
    must(swapcontext(&task->main, &task->parts[0]));
    return (void *)(intptr_t)task->steps;
}

static void coroutines(void) {
    enum { TASKS = 4 };
    struct task *tasks = calloc(TASKS, sizeof *tasks);
    pthread_t threads[TASKS];
    must(sem_init(&go, 0, 1));
    for (int i = 0; i < TASKS; i++) tasks[i].id = i, threads[i] = spawn(contexts, &tasks[i]);
    for (int i = 0; i < TASKS; i++) printf("steps %ld\n", (long)join(threads[i]));
    free(tasks);
}

/* siglongjmp out of a handler that interrupted a wait: the wait is over, and so are those that follow in order. */
static sigjmp_buf out;
static void leave(int sig) { siglongjmp(out, sig); }

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static volatile int waiting;

static void by_read(void) { read(gate[0], &(char){0}, 1); }
static void by_sleep(void) { sleep(100); }
static void by_sem(void) { sem_wait(&gone); }
static void by_mutex(void) { pthread_mutex_lock(&lock); }
static void (*waits[])(void) = {by_read, by_sleep, by_sem, by_mutex};

static void *jump_out(void *arg) {
    for (int i = 0; i < 10; i++) {
        if (sigsetjmp(out, 1) == 0) {
            waiting = 1;
            waits[i % 4]();
            die("the wait ended");
        }
        printf("out of %d\n", i % 4);
        usleep(100);
    }
    return arg;
}

static void jumps(void) {
    must(sem_init(&gone, 0, 0));
    signal(SIGUSR1, leave);
    zero(pthread_mutex_lock(&lock));
    pthread_t thread = spawn(jump_out, NULL);
    for (int i = 0; i < 10; i++) {
        while (!waiting) usleep(100);
        breathe();
        waiting = 0;
        zero(pthread_kill(thread, SIGUSR1));
    }
    join(thread);
    /* Nothing is left of the waits: what they waited for goes to others. */
    must(sem_post(&gone)), must(sem_wait(&gone));
    zero(pthread_mutex_unlock(&lock)), zero(pthread_mutex_lock(&lock));
    send_all(gate[1], "x", 1), through_gate(NULL);
}

/* SIGEV_THREAD: the callbacks make threads, and join them. */
static void *add_one(void *arg) {
    usleep(50);
    __atomic_add_fetch((int *)arg, 1, __ATOMIC_SEQ_CST);
    return arg;
}

static int made;
static void expired(union sigval value) {
    join(spawn(add_one, &made));
    must(sem_post(&go));
}

static void timers(void) {
    must(sem_init(&go, 0, 0));
    pthread_t waiter = spawn(through_gate, NULL);
    timer_t timer;
    struct sigevent event = {.sigev_notify = SIGEV_THREAD, .sigev_notify_function = expired};
    must(timer_create(CLOCK_MONOTONIC, &event, &timer));
    must(timer_settime(timer, 0, &(struct itimerspec){{0, 1000000}, {0, 1000000}}, NULL));
    for (int i = 0; i < 20; i++) must(sem_wait(&go));
    must(timer_delete(timer));
    send_all(gate[1], "x", 1);
    join(waiter);
    printf("made enough %d\n", made >= 20);
}

/* Ruby's way to stop a thread: pthread_kill until it has left the call. */
static volatile int left;
static void nothing(int sig) { }
static void *in_call(void *arg) {
    must(sem_post(&go));
    check(read(gate[0], &(char){0}, 1) == -1 && errno == EINTR);
    left = 1;
    return arg;
}

static void kill_until_gone(void) {
    must(sem_init(&go, 0, 0));
    must(sigaction(SIGUSR1, &(struct sigaction){.sa_handler = nothing}, NULL));
    pthread_t thread = spawn(in_call, NULL);
    must(sem_wait(&go));
    while (!left) {
        zero(pthread_kill(thread, SIGUSR1));
        usleep(500);
    }
    join(thread);
    puts("gone");
}

/* Thread numbers: distinct, those of gettid, and found in pthread_getcpuclockid and tgkill. */
static void *number(void *arg) {
    *(pid_t *)arg = gettid();
    check(gettid() == syscall(SYS_gettid));
    through_gate(NULL);
    return arg;
}

static void numbers(void) {
    pid_t tids[10];
    pthread_t threads[10];
    memset(tids, 0, sizeof tids);
    for (int i = 0; i < 10; i++) threads[i] = spawn(number, &tids[i]);
    for (int i = 0; i < 10; i++) while (!*(volatile pid_t *)&tids[i]) sched_yield();
    for (int i = 0; i < 10; i++) for (int j = 0; j < i; j++) check(tids[i] != tids[j] && tids[i] != getpid());
    for (int i = 0; i < 10; i++) must(tgkill(getpid(), tids[i], 0));
    send_all(gate[1], "xxxxxxxxxx", 10);
    for (int i = 0; i < 10; i++) join(threads[i]);
    printf("%d\n", tgkill(getpid(), tids[0], 0) == -1 && errno == ESRCH);
}

/* pthread_atfork: prepare in reverse, parent and child in order, from a thread. */
static void prepare1(void) { puts("prepare 1"); }
static void prepare2(void) { puts("prepare 2"); }
static int in_parent;
static void parent1(void) { in_parent = 1; } /* the child speaks meanwhile */
static void child1(void) { puts("child 1"); }
static void child2(void) { puts("child 2"); }

static void *fork_here(void *arg) {
    fflush(stdout);
    pid_t child = must(fork());
    if (child == 0) {
        puts(join(spawn(through_gate, "a thread of the child")));
        fflush(stdout);
        _exit(3);
    }
    int status;
    check(must(waitpid(child, &status, 0)) == child);
    printf("status %d, parent 1 %d\n", WEXITSTATUS(status), in_parent);
    return arg;
}

static void atfork(void) {
    setvbuf(stdout, NULL, _IONBF, 0);
    zero(pthread_atfork(prepare1, parent1, child1));
    zero(pthread_atfork(prepare2, NULL, child2));
    send_all(gate[1], "x", 1);
    pthread_t thread = spawn(fork_here, NULL);
    join(thread);
}

int main(int argc, char **argv) {
    must(pipe(gate));
    struct test tests[] = {CASE(given_stack), CASE(locked_memory), CASE(coroutines),      CASE(jumps),
                           CASE(timers),      CASE(kill_until_gone), CASE(numbers), CASE(atfork)};
    return RUN(argc, argv, tests);
}
