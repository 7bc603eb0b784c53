/* How threads and the process end. */
#include "prog.h"
#include <sched.h>
#include <threads.h>

static int gate[2];

static void in_handler(void) { puts("atexit"); }
static void at_thread_end(void *what) { printf("%s\n", (char *)what); }

static void *leave(void *arg) {
    pthread_cleanup_push(at_thread_end, "cleanup of the thread");
    breathe();
    pthread_exit(arg);
    pthread_cleanup_pop(0);
    return "not reached";
}

static void deep(int frames) {
    char room[512];
    memset(room, frames, sizeof room);
    if (frames == 0) pthread_exit("from deep down");
    if (frames > 0) deep(frames - 1);
    check(room[0] == frames);
}

static void *leave_deep(void *arg) {
    deep(100);
    return arg;
}

static void thread_exit(void) {
    puts(join(spawn(leave, "left")));
    puts(join(spawn(leave_deep, NULL)));
}

static void *outlive(void *main_thread) {
    char byte;
    check(must(read(gate[0], &byte, 1)) == 1);
    puts(join((pthread_t)main_thread));
    puts("the last thread ends the process");
    return NULL;
}

/* main leaves while others live: its cleanups run, and the process goes on until the last thread ends, with status 0. */
static void main_exit(void) {
    atexit(in_handler);
    pthread_cleanup_push(at_thread_end, "cleanup of main");
    spawn(outlive, (void *)pthread_self());
    breathe();
    send_all(gate[1], "x", 1);
    pthread_exit("main left");
    pthread_cleanup_pop(0);
}

static void *wait_for_ever(void *arg) {
    char byte;
    must(read(gate[0], &byte, 1));
    return arg;
}

static void *end_process(void *arg) {
    puts("exit from a thread");
    exit(3);
    return arg;
}

static void *take_result(void *main_thread) {
    char byte;
    check(must(read(gate[0], &byte, 1)) == 1);
    printf("main left with %ld\n", (long)(intptr_t)join((pthread_t)main_thread));
    return NULL;
}

/* The same by the C11 name. */
static void main_thrd_exit(void) {
    spawn(take_result, (void *)pthread_self());
    breathe();
    send_all(gate[1], "x", 1);
    thrd_exit(5);
}

/* exit() in a thread while main waits for another. */
static void exit_from_thread(void) {
    atexit(in_handler);
    pthread_t other = spawn(wait_for_ever, NULL);
    spawn(end_process, NULL);
    join(other);
}

/* main returns though threads wait. */
static void main_returns(void) {
    atexit(in_handler);
    for (int i = 0; i < 10; i++) spawn(wait_for_ever, NULL);
    breathe();
}

static void *quick_end(void *arg) {
    puts("_exit from a thread");
    fflush(stdout);
    _exit(4);
    return arg;
}

static void quick_exit_from_thread(void) {
    atexit(in_handler);
    spawn(quick_end, NULL);
    wait_for_ever(NULL);
}

static void *aborting(void *arg) {
    puts("abort from a thread");
    fflush(stdout);
    abort();
    return arg;
}

static void abort_from_thread(void) {
    spawn(aborting, NULL);
    wait_for_ever(NULL);
}

static volatile int turn;

static void *other_turn(void *arg) {
    breathe();
    for (int i = 0; i < 100; i++) {
        while (turn != 1) sched_yield();
        turn = 0;
    }
    return arg;
}

/* Two that hand over by sched_yield alone. */
static void yielding(void) {
    pthread_t other = spawn(other_turn, NULL);
    for (int i = 0; i < 100; i++) {
        turn = 1;
        while (turn != 0) sched_yield();
    }
    join(other);
}

int main(int argc, char **argv) {
    must(pipe(gate));
    struct test tests[] = {CASE(thread_exit), CASE(main_exit), CASE(main_thrd_exit), CASE(exit_from_thread), CASE(main_returns),
                           CASE(quick_exit_from_thread), CASE(abort_from_thread), CASE(yielding)};
    return RUN(argc, argv, tests);
}
