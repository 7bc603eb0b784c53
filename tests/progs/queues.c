/* POSIX message queues. */
#include "prog.h"
#include <mqueue.h>

static mqd_t queue;
static char text[64], name[64];

static void opened(void) {
    struct mq_attr attributes = {.mq_maxmsg = 2, .mq_msgsize = sizeof text};
    snprintf(name, sizeof name, "/eventlet-%d", getpid());
    queue = must(mq_open(name, O_RDWR | O_CREAT | O_EXCL, 0600, &attributes));
    must(mq_unlink(name));
}

static void *send_one(void *arg) {
    tick();
    must(mq_send(queue, arg, strlen(arg) + 1, 3));
    return NULL;
}

static void *take_one(void *arg) {
    unsigned priority;
    char text[64];
    tick();
    must(mq_receive(queue, text, sizeof text, &priority));
    return arg;
}

static void received(void) {
    unsigned priority = 0;
    struct timespec later = from_now(CLOCK_REALTIME, 60000);
    opened();
    pthread_t sender = spawn(send_one, "one");
    show(mq_receive(queue, text, sizeof text, &priority));
    join(sender);
    printf("%s %u\n", text, priority);
    sender = spawn(send_one, "two");
    show(mq_timedreceive(queue, text, sizeof text, &priority, &later));
    join(sender);
    printf("%s\n", text);
}

static void sent(void) {
    struct timespec later = from_now(CLOCK_REALTIME, 60000);
    opened();
    for (int i = 0; i < 2; i++) must(mq_send(queue, "full", 5, 1));
    pthread_t taker = spawn(take_one, NULL);
    show(mq_send(queue, "one more", 9, 2));
    join(taker);
    taker = spawn(take_one, NULL);
    show(mq_timedsend(queue, "another", 8, 2, &later));
    join(taker);
    for (int i = 0; i < 2; i++) must(mq_receive(queue, text, sizeof text, NULL)), puts(text);
}

static void *wrong_calls(void *arg) {
    struct timespec soon = from_now(CLOCK_REALTIME, 5), past = {0, 0}, bad = {5, 1000000000}, negative = {-1, 0};
    opened();
    show(mq_timedreceive(queue, text, sizeof text, NULL, &soon));
    show(mq_timedreceive(queue, text, sizeof text, NULL, &past));
    show(mq_timedreceive(queue, text, sizeof text, NULL, &bad));
    show(mq_timedreceive(queue, text, sizeof text, NULL, &negative));
    show(mq_receive(queue, text, 3, NULL));
    show(mq_receive(-1, text, sizeof text, NULL));
    show(mq_send(0, text, 1, 0));
    for (int i = 0; i < 2; i++) must(mq_send(queue, "full", 5, 1));
    show(mq_timedsend(queue, "x", 2, 0, &soon));
    show(mq_timedsend(queue, "x", 2, 0, &bad));
    show(mq_send(queue, "x", 100, 0));
    must(mq_setattr(queue, &(struct mq_attr){.mq_flags = O_NONBLOCK}, NULL));
    show(mq_send(queue, "x", 2, 0));
    show(mq_timedreceive(queue, text, sizeof text, NULL, &past));
    show(mq_timedreceive(queue, text, sizeof text, NULL, &bad));
    must(mq_receive(queue, text, sizeof text, NULL));
    show(mq_receive(queue, text, sizeof text, NULL));
    return arg;
}

static void wrong(void) { join(spawn(wrong_calls, NULL)); }

/* A message for which somebody waits is not told to others. */
static void *wait_here(void *arg) {
    show(mq_receive(queue, text, sizeof text, NULL));
    return arg;
}

static volatile int notified;
static void handler(int sig) { notified += sig == SIGUSR2; }

static void notify(void) {
    struct sigevent event = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGUSR2};
    signal(SIGUSR2, handler);
    opened();
    must(mq_notify(queue, &event));
    pthread_t taker = spawn(wait_here, NULL);
    tick();
    must(mq_send(queue, "for the waiter", 15, 0));
    join(taker);
    printf("notified %d\n", notified);
    must(mq_send(queue, "for nobody", 11, 0));
    while (!notified) breathe();
    printf("notified %d\n", notified);
}

static volatile sig_atomic_t left;

static void *interrupted_wait(void *arg) {
    show(mq_receive(queue, text, sizeof text, NULL));
    left = 1;
    return arg;
}

static void interrupted(void) {
    struct sigaction action = {.sa_handler = handler};
    must(sigaction(SIGUSR1, &action, NULL));
    opened();
    pthread_t thread = spawn(interrupted_wait, NULL);
    tick();
    while (!left) zero(pthread_kill(thread, SIGUSR1)), breathe();
    join(thread);
    thread = spawn(wait_here, NULL);
    tick();
    zero(pthread_cancel(thread));
    printf("cancelled %d\n", join(thread) == PTHREAD_CANCELED);
    must(mq_send(queue, "still there", 12, 0));
    must(mq_receive(queue, text, sizeof text, NULL));
    puts(text);
}

int main(int argc, char **argv) {
    struct test tests[] = {CASE(received), CASE(sent), CASE(wrong), CASE(notify), CASE(interrupted)};
    return RUN(argc, argv, tests);
}
