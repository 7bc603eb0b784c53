/* What libc does by threads of its own, while the caller waits: POSIX AIO, getaddrinfo_a. */
#include "prog.h"
#include <aio.h>
#include <netdb.h>

static int ends[2];
static char bytes[2][8];
static struct aiocb requests[2];

static void *feed(void *arg) {
    for (int i = 0; i < 5; i++) breathe();
    send_all(ends[1], "abcdefgh", 8);
    return arg;
}

static void prepare(void) {
    must(pipe(ends));
    for (int i = 0; i < 2; i++)
        requests[i] = (struct aiocb){.aio_fildes = ends[0], .aio_buf = bytes[i], .aio_nbytes = 4, .aio_lio_opcode = LIO_READ};
}

static void suspended(void) {
    const struct aiocb *list[] = {NULL, &requests[0]};
    struct timespec little = {0, 3000000}, none = {0, 0}, long_time = {60, 0};
    prepare();
    must(aio_read(&requests[0]));
    show(aio_suspend(list, 2, &none));
    show(aio_suspend(list, 2, &little));
    show(aio_suspend(list, -1, NULL));
    pthread_t feeder = spawn(feed, NULL);
    show(aio_suspend(list, 2, NULL));
    join(feeder);
    show(aio_error(&requests[0]));
    show(aio_return(&requests[0]));
    show(aio_suspend(list, 2, &long_time));
}

static void listed(void) {
    struct aiocb bad = {.aio_fildes = -1, .aio_buf = bytes[0], .aio_nbytes = 4, .aio_lio_opcode = LIO_READ};
    struct aiocb never = {.aio_fildes = ends[0], .aio_reqprio = -5, .aio_lio_opcode = LIO_READ};
    struct aiocb *list[] = {&requests[0], NULL, &requests[1]}, *bad_list[] = {&bad}, *never_list[] = {&never};
    prepare();
    pthread_t feeder = spawn(feed, NULL);
    show(lio_listio(LIO_WAIT, list, 3, NULL));
    join(feeder);
    printf("%.4s%.4s\n", bytes[0], bytes[1]);
    show(lio_listio(LIO_WAIT, bad_list, 1, NULL));
    show(lio_listio(LIO_WAIT, never_list, 1, NULL));
    show(lio_listio(LIO_WAIT, list, 0, NULL));
    show(lio_listio(77, list, 1, NULL));
    show(lio_listio(LIO_WAIT, list + 1, 1, NULL));
}

static volatile sig_atomic_t left;
static void handler(int sig) { (void)sig; }

static void *wait_long(void *arg) {
    const struct aiocb *list[] = {&requests[0]};
    show(aio_suspend(list, 1, NULL));
    left = 1;
    return arg;
}

static void ended(void) {
    struct sigaction action = {.sa_handler = handler};
    must(sigaction(SIGUSR1, &action, NULL));
    prepare();
    must(aio_read(&requests[0]));
    pthread_t thread = spawn(wait_long, NULL);
    while (!left) breathe(), zero(pthread_kill(thread, SIGUSR1));
    join(thread);
    thread = spawn(wait_long, NULL);
    breathe();
    zero(pthread_cancel(thread));
    printf("cancelled: %d\n", join(thread) == PTHREAD_CANCELED);
}

/* A name that is known without asking, one that is none; in a thread, so that another gets on. */
static void *resolve(void *arg) {
    struct gaicb one = {.ar_name = "127.0.0.1"}, two = {.ar_name = "no address", .ar_request = &(struct addrinfo){.ai_flags = AI_NUMERICHOST}};
    struct gaicb *list[] = {&one, &two, NULL};
    const struct gaicb *waited[] = {&one};
    struct timespec long_time = {60, 0};
    printf("%d\n", getaddrinfo_a(GAI_WAIT, list, 3, NULL));
    printf("%d %d\n", gai_error(&one), gai_error(&two));
    printf("%d\n", gai_suspend(waited, 1, &long_time));
    printf("%d %d\n", getaddrinfo_a(77, list, 1, NULL), getaddrinfo_a(GAI_WAIT, list, 0, NULL));
    freeaddrinfo(one.ar_result);
    printf("%d\n", getaddrinfo_a(GAI_NOWAIT, list, 1, NULL));
    while (gai_error(&one) == EAI_INPROGRESS) gai_suspend(waited, 1, NULL);
    printf("%d\n", gai_error(&one));
    return arg;
}

static void resolved(void) { join(spawn(resolve, NULL)); }

int main(int argc, char **argv) {
    struct test tests[] = {CASE(suspended), CASE(listed), CASE(ended), CASE(resolved)};
    return RUN(argc, argv, tests);
}
