/* Waits that no descriptor's edge ends. What ends each is done by another thread of the program: it gets on meanwhile. */
#include "prog.h"

#include <setjmp.h>
#include <sys/file.h>
#include <sys/ipc.h>
#include <sys/msg.h>
#include <sys/sem.h>
#include <sys/stat.h>

static char path[64];

/* What a run that was killed has left there goes. */
static void make_path(void) {
    snprintf(path, sizeof path, "/tmp/offload-%d", getpid());
    unlink(path);
}

static int opened(void) {
    make_path();
    return must(open(path, O_RDWR | O_CREAT, 0600));
}

/* Lets the other one come to its wait, by going on itself. */
/* Signals a thread until it has left its wait. */
static volatile sig_atomic_t waits, left;

static void disturb(pthread_t thread) {
    while (!waits) breathe();
    while (!left) {
        zero(pthread_kill(thread, SIGUSR1));
        tick();
    }
}

/* flock, F_OFD_SETLKW: held by another description of the same process. */
static void *wait_flock(void *arg) {
    int fd = must(open(path, O_RDWR));
    show(flock(fd, LOCK_EX | LOCK_NB));
    show(flock(fd, LOCK_EX));
    must(close(fd));
    return arg;
}

static void flocked(void) {
    int fd = opened();
    must(flock(fd, LOCK_EX));
    pthread_t thread = spawn(wait_flock, NULL);
    tick();
    must(flock(fd, LOCK_UN));
    join(thread);
    must(unlink(path));
}

static void *wait_ofd(void *arg) {
    struct flock lock = {.l_type = F_WRLCK};
    int fd = must(open(path, O_RDWR));
    show(fcntl(fd, F_OFD_SETLK, &lock));
    show(fcntl(fd, F_OFD_SETLKW, &lock));
    must(close(fd));
    return arg;
}

static void ofd(void) {
    struct flock lock = {.l_type = F_WRLCK};
    int fd = opened();
    must(fcntl(fd, F_OFD_SETLK, &lock));
    pthread_t thread = spawn(wait_ofd, NULL);
    tick();
    lock.l_type = F_UNLCK;
    must(fcntl(fd, F_OFD_SETLK, &lock));
    join(thread);
    must(unlink(path));
}

/* Locks of POSIX: a child holds them until it is told by a pipe. */
static int tells[2];

static void held_by_child(int fd) {
    int is_held[2];
    char byte;
    must(pipe(tells));
    must(pipe(is_held));
    if (!must(fork())) {
        must(lockf(fd, F_LOCK, 10));
        send_all(is_held[1], "x", 1);
        read_all(tells[0], &byte, 1);
        _exit(0);
    }
    read_all(is_held[0], &byte, 1);
}

static int held;

static void *wait_posix(void *arg) {
    struct flock lock = {.l_type = F_WRLCK, .l_len = 5};
    show(fcntl(held, F_SETLK, &lock));
    show(fcntl(held, F_SETLKW, &lock));
    return arg;
}

static void *wait_lockf(void *arg) {
    show(lockf(held, F_TEST, 10));
    show(lockf(held, F_TLOCK, 10));
    show(lockf(held, F_LOCK, 10));
    show(lockf(held, F_ULOCK, 10));
    return arg;
}

static void with_child(void *(*wait_for)(void *)) {
    held = opened();
    held_by_child(held);
    pthread_t thread = spawn(wait_for, NULL);
    tick();
    send_all(tells[1], "x", 1);
    join(thread);
    must(wait(NULL));
    must(unlink(path));
}

static void posix(void) { with_child(wait_posix); }

static void lockfed(void) { with_child(wait_lockf); }

/* A FIFO: each end waits for the other one. */
static void *write_fifo(void *arg) {
    int fd = must(open(path, O_WRONLY));
    send_all(fd, "hello\n", 6);
    must(close(fd));
    return arg;
}

static void *read_fifo(void *arg) {
    char line[16];
    if (arg) {
        FILE *stream = fopen(path, "r");
        check(stream && fgets(line, sizeof line, stream));
        printf("%s", line);
        fclose(stream);
        return NULL;
    }
    int fd = must(open(path, O_RDONLY));
    printf("%zd\n", must(read(fd, line, sizeof line)));
    must(close(fd));
    return NULL;
}

static void fifo_with(void *(*first)(void *), void *arg, void *(*second)(void *), void *arg2) {
    make_path();
    must(mkfifo(path, 0600));
    pthread_t thread = spawn(first, arg);
    tick();
    second(arg2);
    join(thread);
    int fd = must(open(path, O_RDWR));
    show(fcntl(fd, F_GETFL) & O_NONBLOCK);
    must(close(fd));
    errno = 0;
    show(open(path, O_WRONLY | O_NONBLOCK));
    must(unlink(path));
}

static void fifo_reader(void) { fifo_with(read_fifo, NULL, write_fifo, NULL); }

static void fifo_writer(void) { fifo_with(write_fifo, NULL, read_fifo, NULL); }

static void fifo_stream(void) { fifo_with(read_fifo, path, write_fifo, NULL); }

/* Every name that opens. */
int __open_2(const char *, int), __open64_2(const char *, int), __openat_2(int, const char *, int), __openat64_2(int, const char *, int);

static int by_openat(void) { return openat(AT_FDCWD, path, O_WRONLY); }
static int by_creat(void) { return creat(path, 0600); }
static int by_open_2(void) { return __open_2(path, O_WRONLY); }
static int by_open64_2(void) { return __open64_2(path, O_WRONLY); }
static int by_openat_2(void) { return __openat_2(AT_FDCWD, path, O_WRONLY); }
static int by_openat64_2(void) { return __openat64_2(AT_FDCWD, path, O_WRONLY); }

static void *write_by(void *opener) {
    int fd = must(((int (*)(void))opener)());
    send_all(fd, "hello\n", 6);
    must(close(fd));
    return NULL;
}

static void fifo_openat(void) { fifo_with(write_by, by_openat, read_fifo, NULL); }
static void fifo_creat(void) { fifo_with(write_by, by_creat, read_fifo, NULL); }
static void fifo_open_2(void) { fifo_with(write_by, by_open_2, read_fifo, NULL); }
static void fifo_open64_2(void) { fifo_with(write_by, by_open64_2, read_fifo, NULL); }
static void fifo_openat_2(void) { fifo_with(write_by, by_openat_2, read_fifo, NULL); }
static void fifo_openat64_2(void) { fifo_with(write_by, by_openat64_2, read_fifo, NULL); }

/* Queues. */
struct message {
    long kind;
    char text[1000];
};

static int queue;

static void receive_one(void) {
    struct message message;
    show(msgrcv(queue, &message, sizeof message.text, 7, 0));
    printf("%s\n", message.text);
}

static void *disturbed(void *arg) {
    struct message message;
    int fd = opened();
    waits = 1;
    show(msgrcv(queue, &message, sizeof message.text, 7, 0));
    left = 1;
    while (left) breathe();
    show(flock(fd, LOCK_EX));
    left = 1;
    return arg;
}

static void *receive(void *arg) {
    struct message message;
    show(msgrcv(queue, &message, sizeof message.text, 7, IPC_NOWAIT));
    show(msgrcv(queue, &message, sizeof message.text, 7, 0));
    printf("%s\n", message.text);
    return arg;
}

static void received(void) {
    struct message message = {7, "seven"};
    queue = must(msgget(IPC_PRIVATE, 0600));
    pthread_t thread = spawn(receive, NULL);
    tick();
    must(msgsnd(queue, &message, 6, 0));
    join(thread);
    must(msgctl(queue, IPC_RMID, NULL));
}

static void *fill(void *arg) {
    struct message message = {7, "full"};
    int sent = 0;
    while (!msgsnd(queue, &message, sizeof message.text, IPC_NOWAIT)) sent++;
    printf("full after %d: %s\n", sent, strerrorname_np(errno));
    show(msgsnd(queue, &message, sizeof message.text, 0));
    return arg;
}

static void sent(void) {
    struct message message;
    queue = must(msgget(IPC_PRIVATE, 0600));
    pthread_t thread = spawn(fill, NULL);
    tick();
    must(msgrcv(queue, &message, sizeof message.text, 0, 0));
    join(thread);
    must(msgctl(queue, IPC_RMID, NULL));
}

/* A queue that goes while somebody waits. */
static void removed(void) {
    queue = must(msgget(IPC_PRIVATE, 0600));
    pthread_t thread = spawn(receive, NULL);
    tick();
    must(msgctl(queue, IPC_RMID, NULL));
    join(thread);
}

/* Semaphores. */
static int set;

static void *take(void *arg) {
    struct sembuf now = {0, -1, IPC_NOWAIT}, one = {0, -1, 0};
    struct timespec little = {0, 5000000}, wrong = {0, -1};
    show(semop(set, &now, 1));
    show(semtimedop(set, &one, 1, &little));
    show(semtimedop(set, &one, 1, &wrong));
    show(semop(set, NULL, 1));
    show(semop(set, &one, 0));
    show(semop(set, &one, 1));
    return arg;
}

static void *take_in_time(void *arg) {
    struct sembuf one = {0, -1, 0};
    struct timespec long_time = {60, 0};
    show(semtimedop(set, &one, 1, &long_time));
    return arg;
}

/* One takes what another posts once it waits. */
static void posted(void *(*taker)(void *)) {
    struct sembuf post = {0, 1, 0};
    set = must(semget(IPC_PRIVATE, 1, 0600));
    pthread_t thread = spawn(taker, NULL);
    tick();
    tick();
    must(semop(set, &post, 1));
    join(thread);
    must(semctl(set, 0, IPC_RMID));
}

static void semaphore(void) { posted(take); }
static void timed(void) { posted(take_in_time); }

/* Many, each behind the one before: no limit of helpers may stand in their way. */
#define MANY 40

static void *chained(void *arg) {
    int number = (int)(intptr_t)arg;
    struct sembuf wait_for = {number, -1, 0}, pass_on = {number + 1, 1, 0};
    must(semop(set, &wait_for, 1));
    must(semop(set, &pass_on, 1));
    return NULL;
}

static void many(void) {
    pthread_t threads[MANY];
    struct sembuf first = {0, 1, 0};
    set = must(semget(IPC_PRIVATE, MANY + 1, 0600));
    for (int round = 0; round < 3; round++) {
        for (intptr_t i = MANY; i--;) threads[i] = spawn(chained, (void *)i);
        tick();
        must(semop(set, &first, 1));
        for (int i = 0; i < MANY; i++) join(threads[i]);
        printf("%d\n", must(semctl(set, MANY, GETVAL)));
    }
    must(semctl(set, 0, IPC_RMID));
}

/* What ends a wait from outside. */
static void handler(int sig) { (void)sig; }

static sigjmp_buf back;

static void jumper(int sig) { siglongjmp(back, sig); }

static void on_usr1(void (*run)(int), int flags) {
    struct sigaction action = {.sa_handler = run, .sa_flags = flags};
    must(sigaction(SIGUSR1, &action, NULL));
}

static void interrupted(void) {
    on_usr1(handler, 0);
    queue = must(msgget(IPC_PRIVATE, 0600));
    int fd = opened();
    must(flock(fd, LOCK_EX));
    pthread_t thread = spawn(disturbed, NULL);
    disturb(thread);
    left = 0;
    disturb(thread);
    join(thread);
    must(msgctl(queue, IPC_RMID, NULL));
    must(unlink(path));
}

static void restarted(void) {
    on_usr1(handler, SA_RESTART);
    queue = must(msgget(IPC_PRIVATE, 0600));
    int fd = opened();
    must(flock(fd, LOCK_EX));
    pthread_t thread = spawn(disturbed, NULL);
    disturb(thread);
    left = 0;
    for (int i = 0; i < 5; i++) {
        tick();
        zero(pthread_kill(thread, SIGUSR1));
    }
    must(flock(fd, LOCK_UN));
    join(thread);
    must(msgctl(queue, IPC_RMID, NULL));
    must(unlink(path));
}

static void cancelled(void) {
    struct message message = {7, "still there"};
    queue = must(msgget(IPC_PRIVATE, 0600));
    pthread_t thread = spawn(receive, NULL);
    tick();
    zero(pthread_cancel(thread));
    printf("cancelled: %d\n", join(thread) == PTHREAD_CANCELED);
    must(msgsnd(queue, &message, 12, 0));
    receive_one();
    must(msgctl(queue, IPC_RMID, NULL));
}

static void *jump(void *arg) {
    struct message message;
    if (!sigsetjmp(back, 1)) {
        waits = 1;
        msgrcv(queue, &message, sizeof message.text, 7, 0);
        puts("came back");
    } else {
        left = 1;
        puts("jumped");
    }
    receive_one();
    return arg;
}

static void jumped(void) {
    struct message message = {7, "for the second"};
    on_usr1(jumper, 0);
    queue = must(msgget(IPC_PRIVATE, 0600));
    pthread_t thread = spawn(jump, NULL);
    disturb(thread);
    tick();
    must(msgsnd(queue, &message, 15, 0));
    join(thread);
    must(msgctl(queue, IPC_RMID, NULL));
}

/* A fork while somebody waits: the child can wait as well. */
static void forked(void) {
    struct message message = {7, "for the parent"};
    queue = must(msgget(IPC_PRIVATE, 0600));
    pthread_t thread = spawn(receive, NULL);
    tick();
    fflush(stdout);
    if (!must(fork())) {
        set = must(semget(IPC_PRIVATE, 1, 0600));
        struct sembuf post = {0, 1, 0};
        thread = spawn(take, NULL);
        tick();
        tick();
        must(semop(set, &post, 1));
        join(thread);
        must(semctl(set, 0, IPC_RMID));
        fflush(stdout);
        _exit(0);
    }
    must(wait(NULL));
    must(msgsnd(queue, &message, 15, 0));
    join(thread);
    must(msgctl(queue, IPC_RMID, NULL));
}

int main(int argc, char **argv) {
    struct test tests[] = {
        CASE(flocked), CASE(ofd),  CASE(posix),       CASE(lockfed),   CASE(fifo_reader), CASE(fifo_writer), CASE(fifo_stream),
        CASE(received), CASE(sent), CASE(removed),     CASE(semaphore), CASE(many),        CASE(interrupted), CASE(restarted),
        CASE(cancelled), CASE(jumped), CASE(forked), CASE(timed), CASE(fifo_openat), CASE(fifo_creat), CASE(fifo_open_2),
        CASE(fifo_open64_2), CASE(fifo_openat_2), CASE(fifo_openat64_2),
    };
    return RUN(argc, argv, tests);
}
