/* Waits in io_uring: by liburing, by syscall(), and by the program itself. What ends each comes from another thread of the
 * program: it gets on meanwhile. */
#include "prog.h"
#include <liburing.h>
#include <sys/syscall.h>

enum { SETS = 8, ENTRIES = 8 };

static struct io_uring ring;
static struct io_uring_cqe *cqe;
static int ends[2], asks[2];
static char bytes[ENTRIES];

/* Main answers each byte that it is asked for, after a while. */
static void ask(int count) { send_all(asks[1], &(char){count}, 1); }

static void *served(void *(*run)(void *)) {
    char count;
    must(pipe(ends));
    must(pipe(asks));
    pthread_t thread = spawn(run, NULL);
    for (read_all(asks[0], &count, 1); count; read_all(asks[0], &count, 1))
        for (int i = 0; i < count; i++) {
            for (int turn = 0; turn < 3; turn++) breathe();
            send_all(ends[1], "x", 1);
        }
    return join(thread);
}

static struct __kernel_timespec minute = {60, 0}, little = {0, 5000000}, nothing;

static void begin(void) { zero(-io_uring_queue_init(ENTRIES, &ring, 0)); }

/* Requests for one byte each. */
static void wanted(int count) {
    for (int i = 0; i < count; i++) {
        struct io_uring_sqe *sqe = io_uring_get_sqe(&ring);
        check(sqe);
        io_uring_prep_read(sqe, ends[0], bytes + i, 1, -1);
        io_uring_sqe_set_data64(sqe, i);
    }
}

static void asked(int count) {
    wanted(count);
    check(io_uring_submit(&ring) == count);
    ask(count);
}

/* Takes all that is there. */
static void took(const char *what, long answer) {
    int count = 0, sum = 0;
    while (!io_uring_peek_cqe(&ring, &cqe)) count++, sum += cqe->res, io_uring_cqe_seen(&ring, cqe);
    printf("%s: %ld, %d of them, %d bytes\n", what, answer, count, sum);
}

#define TOOK(call) ({ long answer_ = (call); took(#call, answer_); })

static void *end(void) {
    ask(0);
    io_uring_queue_exit(&ring);
    return NULL;
}

static void *library_waits(void *arg) {
    (void)arg;
    begin();
    asked(1), TOOK(io_uring_wait_cqe(&ring, &cqe));
    asked(3), TOOK(io_uring_wait_cqe_nr(&ring, &cqe, 3));
    asked(2), TOOK(io_uring_wait_cqes(&ring, &cqe, 2, &minute, NULL));
    asked(1), TOOK(io_uring_wait_cqes(&ring, &cqe, 1, NULL, NULL));
    asked(1), TOOK(io_uring_wait_cqe_timeout(&ring, &cqe, &minute));
    TOOK(io_uring_wait_cqe_timeout(&ring, &cqe, &little));
    TOOK(io_uring_wait_cqe_timeout(&ring, &cqe, &nothing));
    printf("none %d\n", cqe == NULL);
    TOOK(io_uring_wait_cqes(&ring, &cqe, 2, &little, NULL));
    return end();
}

static void waits(void) { served(library_waits); }

static void *library_submits(void *arg) {
    (void)arg;
    begin();
    wanted(1), ask(1), TOOK(io_uring_submit_and_wait(&ring, 1));
    wanted(4), ask(4), TOOK(io_uring_submit_and_wait(&ring, 4));
    asked(2), TOOK(io_uring_submit_and_wait(&ring, 2));
    wanted(1), ask(1), TOOK(io_uring_submit_and_wait(&ring, 0)), TOOK(io_uring_wait_cqe(&ring, &cqe));
    wanted(2), ask(2), TOOK(io_uring_submit_and_wait_timeout(&ring, &cqe, 2, &minute, NULL));
    asked(1), TOOK(io_uring_submit_and_wait_timeout(&ring, &cqe, 1, &minute, NULL));
    TOOK(io_uring_submit_and_wait_timeout(&ring, &cqe, 1, &little, NULL));
    wanted(1), TOOK(io_uring_submit_and_wait_timeout(&ring, &cqe, 1, &little, NULL));
    ask(1), TOOK(io_uring_wait_cqe(&ring, &cqe));
    /* One that the kernel refuses ends the submission, and there is no wait. */
    struct io_uring_sqe *sqe = io_uring_get_sqe(&ring);
    io_uring_prep_nop(sqe);
    sqe->opcode = 250;
    io_uring_prep_nop(io_uring_get_sqe(&ring));
    TOOK(io_uring_submit_and_wait(&ring, 2));
    TOOK(io_uring_submit_and_wait(&ring, 1));
    return end();
}

static void submits(void) { served(library_submits); }

static void *enters(void *arg) {
    (void)arg;
    sigset_t none;
    sigemptyset(&none);
    begin();
    struct io_uring_getevents_arg lasts = {.sigmask = (long)&none, .sigmask_sz = SETS, .ts = (long)&minute}, ends_soon = {.ts = (long)&little};
    asked(2), TOOK(io_uring_enter(ring.ring_fd, 0, 2, IORING_ENTER_GETEVENTS, NULL));
    asked(1), TOOK(io_uring_enter2(ring.ring_fd, 0, 1, IORING_ENTER_GETEVENTS | IORING_ENTER_EXT_ARG, (sigset_t *)&lasts, sizeof lasts));
    TOOK(io_uring_enter2(ring.ring_fd, 0, 1, IORING_ENTER_GETEVENTS | IORING_ENTER_EXT_ARG, (sigset_t *)&ends_soon, sizeof ends_soon));
    TOOK(io_uring_enter(ring.ring_fd, 0, 0, IORING_ENTER_GETEVENTS, NULL));
    TOOK(io_uring_enter(9999, 0, 1, IORING_ENTER_GETEVENTS, NULL));
    return end();
}

static void by_enter(void) { served(enters); }

/* Hands in without liburing, and waits in the same call. */
static unsigned handed(int count) {
    wanted(count);
    unsigned tail = *ring.sq.ktail;
    for (; ring.sq.sqe_head != ring.sq.sqe_tail; ring.sq.sqe_head++) ring.sq.array[tail++ & *ring.sq.kring_mask] = ring.sq.sqe_head & *ring.sq.kring_mask;
    __atomic_store_n(ring.sq.ktail, tail, __ATOMIC_RELEASE);
    ask(count);
    return count;
}

#define ENTER(submit, count, flags, arg, size) \
    ({ long answer_ = call_(SYS_io_uring_enter, ring.ring_fd, submit, count, IORING_ENTER_GETEVENTS | flags, (long)arg, size); \
    took("enter " #submit " " #count " " #flags, answer_); })

static long (*call_)(long, long, long, long, long, long, long);

static void *numbers(void *arg) {
    (void)arg;
    sigset_t none;
    sigemptyset(&none);
    begin();
    struct io_uring_getevents_arg lasts = {.sigmask = (long)&none, .sigmask_sz = SETS, .ts = (long)&minute}, ends_soon = {.ts = (long)&little}, wrong = {.sigmask = (long)&none, .sigmask_sz = 3};
    ENTER(handed(1), 1, 0, NULL, 0);
    ENTER(handed(3), 3, 0, &none, SETS);
    ENTER(handed(1), 1, IORING_ENTER_EXT_ARG, &lasts, sizeof lasts);
    ENTER(0, 1, IORING_ENTER_EXT_ARG, &ends_soon, sizeof ends_soon);
    ENTER(0, 1, IORING_ENTER_EXT_ARG, &ends_soon, 3);
    ENTER(0, 1, IORING_ENTER_EXT_ARG, &wrong, sizeof wrong);
    ENTER(0, 1, 0, &none, 3);
    ENTER(0, 0, 0, NULL, 0);
    show(call_(SYS_io_uring_enter, ends[0], 0, 1, IORING_ENTER_GETEVENTS, 0, 0));
    show(call_(SYS_io_uring_enter, ring.ring_fd, 0, 1, 1 << 30, 0, 0));
    zero(io_uring_register_ring_fd(&ring) != 1);
    struct io_uring_sqe *sqe = io_uring_get_sqe(&ring);
    io_uring_prep_read(sqe, ends[0], bytes, 1, -1);
    check(io_uring_submit(&ring) == 1);
    ask(1);
    long answer = call_(SYS_io_uring_enter, ring.enter_ring_fd, 0, 1, IORING_ENTER_GETEVENTS | IORING_ENTER_REGISTERED_RING, 0, 0);
    took("registered", answer);
    return end();
}

static long by_libc(long number, long a, long b, long c, long d, long e, long f) { return syscall(number, a, b, c, d, e, f); }

static void by_number(void) { call_ = by_libc, served(numbers); }

/* Not libc's. */
static long raw(long number, long a, long b, long c, long d, long e, long f) {
    long answer = number;
    register long r10 __asm__("r10") = d;
    register long r8 __asm__("r8") = e;
    register long r9 __asm__("r9") = f;
    __asm__ volatile("syscall" : "+a"(answer) : "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9) : "rcx", "r11", "memory");
    if (answer < 0) errno = -answer, answer = -1;
    return answer;
}

static void by_itself(void) { call_ = raw, served(numbers); }

/* A ring whose completions are made by the thread that waits for them. */
static void *defers(void *arg) {
    (void)arg;
    struct io_uring_params params = {.flags = IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN};
    zero(-io_uring_queue_init_params(ENTRIES, &ring, &params));
    asked(1), TOOK(io_uring_wait_cqe(&ring, &cqe));
    wanted(3), ask(3), TOOK(io_uring_submit_and_wait(&ring, 3));
    TOOK(io_uring_wait_cqe_timeout(&ring, &cqe, &little));
    return end();
}

static void deferred(void) { served(defers); }

/* A handler ends the wait, whatever it says of restarting. */
static int came;
static void handler(int signal) { came += signal == SIGUSR1; }

static void *interrupts(void *arg) {
    (void)arg;
    begin();
    TOOK(io_uring_wait_cqe_timeout(&ring, &cqe, &minute));
    ask(0);
    TOOK(io_uring_submit_and_wait(&ring, 1));
    ask(0);
    io_uring_queue_exit(&ring);
    return NULL;
}

static void interrupted(void) {
    struct sigaction action = {.sa_handler = handler, .sa_flags = SA_RESTART};
    char done;
    must(sigaction(SIGUSR1, &action, NULL));
    must(pipe(asks));
    fcntl(asks[0], F_SETFL, O_NONBLOCK);
    pthread_t thread = spawn(interrupts, NULL);
    for (int i = 0; i < 2; i++)
        for (breathe(); read(asks[0], &done, 1) < 0; breathe()) pthread_kill(thread, SIGUSR1);
    join(thread);
    printf("came %d\n", came > 0);
}

/* Threads with rings of their own, each of which waits for the one before. */
enum { MANY = 30 };
static int chain[MANY + 1][2];

static void *link_(void *arg) {
    int place = (intptr_t)arg;
    struct io_uring own;
    struct io_uring_cqe *done;
    char byte;
    zero(-io_uring_queue_init(2, &own, 0));
    for (int round = 0; round < 20; round++) {
        io_uring_prep_read(io_uring_get_sqe(&own), chain[place][0], &byte, 1, -1);
        check(io_uring_submit_and_wait(&own, 1) == 1);
        check(io_uring_wait_cqe(&own, &done) == 0 && done->res == 1);
        io_uring_cqe_seen(&own, done);
        io_uring_prep_write(io_uring_get_sqe(&own), chain[place + 1][1], &byte, 1, -1);
        check(io_uring_submit(&own) == 1);
        check(io_uring_wait_cqe(&own, &done) == 0 && done->res == 1);
        io_uring_cqe_seen(&own, done);
    }
    io_uring_queue_exit(&own);
    return arg;
}

static void many(void) {
    pthread_t threads[MANY];
    char byte = 'a';
    for (int i = 0; i <= MANY; i++) must(pipe(chain[i]));
    for (int i = 0; i < MANY; i++) threads[i] = spawn(link_, (void *)(intptr_t)i);
    for (int round = 0; round < 20; round++) {
        send_all(chain[0][1], &byte, 1);
        read_all(chain[MANY][0], &byte, 1);
    }
    for (int i = 0; i < MANY; i++) join(threads[i]);
    printf("%c\n", byte);
}

int main(int argc, char **argv) {
    struct test tests[] = {CASE(waits),     CASE(submits),  CASE(by_enter),    CASE(by_number),
                           CASE(by_itself), CASE(deferred), CASE(interrupted), CASE(many)};
    return RUN(argc, argv, tests);
}
