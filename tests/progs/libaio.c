/* Waits for the kernel's AIO: by libaio, and by syscall(). What ends each comes from another thread of the program. */
#include "prog.h"
#include <libaio.h>
#include <poll.h>
#include <sys/syscall.h>

enum { ROOM = 8, SETS = 8 };

static io_context_t context;
static int ends[ROOM][2], asks[2];
static struct iocb blocks[ROOM];
static struct io_event events[ROOM];

/* Main lets so many of the pipes become readable, one after the other. */
static void ask(int count) { send_all(asks[1], &(char){count}, 1); }

static void served(void *(*run)(void *)) {
    char count;
    for (int i = 0; i < ROOM; i++) must(pipe(ends[i]));
    must(pipe(asks));
    zero(-io_setup(ROOM, &context));
    pthread_t thread = spawn(run, NULL);
    for (read_all(asks[0], &count, 1); count; read_all(asks[0], &count, 1))
        for (int i = 0; i < count; i++) {
            for (int turn = 0; turn < 3; turn++) breathe();
            send_all(ends[i][1], "x", 1);
        }
    join(thread);
    zero(-io_destroy(context));
}

static void asked(int count) {
    struct iocb *list[ROOM];
    for (int i = 0; i < count; i++) io_prep_poll(list[i] = blocks + i, ends[i][0], POLLIN);
    check(io_submit(context, count, list) == count);
    ask(count);
}

static void took(const char *what, long answer) {
    int errno_ = errno, sum = 0;
    char byte;
    for (long i = 0; i < answer; i++) {
        int place = events[i].obj - blocks;
        check(place >= 0 && place < ROOM && events[i].res & POLLIN);
        read_all(ends[place][0], &byte, 1);
        sum += place;
    }
    printf("%s: %ld %s, sum %d\n", what, answer, answer == -1 ? strerrorname_np(errno_) : "", sum);
}

#define TOOK(call) ({ long answer_ = (call); took(#call, answer_); })

static struct timespec minute = {60, 0}, little = {0, 5000000}, nothing;

static void *library(void *arg) {
    sigset_t none;
    sigemptyset(&none);
    asked(1), TOOK(io_getevents(context, 1, ROOM, events, NULL));
    asked(4), TOOK(io_getevents(context, 4, ROOM, events, &minute));
    asked(2), TOOK(io_pgetevents(context, 2, ROOM, events, &minute, &none));
    asked(1), TOOK(io_pgetevents(context, 1, 1, events, NULL, NULL));
    TOOK(io_getevents(context, 1, ROOM, events, &little));
    TOOK(io_getevents(context, 1, ROOM, events, &nothing));
    TOOK(io_getevents(context, 0, ROOM, events, NULL));
    TOOK(io_getevents(context, 5, 2, events, NULL));
    TOOK(io_getevents((io_context_t)ends, 1, ROOM, events, &minute));
    ask(0);
    return arg;
}

static void by_library(void) { served(library); }

static void *numbers(void *arg) {
    enum { PGETEVENTS = 333 };
    sigset_t none;
    sigemptyset(&none);
    struct { sigset_t *set; size_t size; } mask = {&none, SETS}, wrong = {&none, 3};
    asked(1), TOOK(syscall(SYS_io_getevents, context, 1, ROOM, events, NULL));
    asked(3), TOOK(syscall(SYS_io_getevents, context, 3, ROOM, events, &minute));
    asked(2), TOOK(syscall(PGETEVENTS, context, 2, ROOM, events, &minute, &mask));
    asked(1), TOOK(syscall(PGETEVENTS, context, 1, ROOM, events, NULL, NULL));
    TOOK(syscall(PGETEVENTS, context, 1, ROOM, events, NULL, &wrong));
    TOOK(syscall(SYS_io_getevents, context, 1, ROOM, events, &little));
    TOOK(syscall(SYS_io_getevents, context, 5, 2, events, NULL));
    ask(0);
    return arg;
}

static void by_number(void) { served(numbers); }

/* A handler ends the wait, whatever it says of restarting. */
static int came;
static void handler(int signal) { came += signal == SIGUSR1; }

static void *interrupts(void *arg) {
    printf("%d\n", io_getevents(context, 1, ROOM, events, &minute));
    ask(0);
    return arg;
}

static void interrupted(void) {
    struct sigaction action = {.sa_handler = handler, .sa_flags = SA_RESTART};
    char done;
    must(sigaction(SIGUSR1, &action, NULL));
    must(pipe(asks));
    zero(-io_setup(ROOM, &context));
    fcntl(asks[0], F_SETFL, O_NONBLOCK);
    pthread_t thread = spawn(interrupts, NULL);
    for (breathe(); read(asks[0], &done, 1) < 0; breathe()) pthread_kill(thread, SIGUSR1);
    join(thread);
    printf("came %d\n", came > 0);
}

int main(int argc, char **argv) {
    struct test tests[] = {CASE(by_library), CASE(by_number), CASE(interrupted)};
    return RUN(argc, argv, tests);
}
