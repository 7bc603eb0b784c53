/* What else is read: timers, signals, changes of files, terminals. Another thread gets on meanwhile, and ends the wait. */
#include "prog.h"
#include <sys/inotify.h>
#include <sys/ioctl.h>
#include <sys/signalfd.h>
#include <sys/timerfd.h>
#include <termios.h>

static int fd;

static void *set_timer(void *arg) {
    struct itimerspec soon = {.it_value.tv_nsec = 1};
    tick();
    must(timerfd_settime(fd, 0, &soon, NULL));
    return arg;
}

static void timers(void) {
    uint64_t count;
    struct itimerspec often = {{0, 1000000}, {0, 1000000}};
    fd = must(timerfd_create(CLOCK_MONOTONIC, 0));
    pthread_t setter = spawn(set_timer, NULL);
    show(read(fd, &count, sizeof count));
    join(setter);
    must(timerfd_settime(fd, 0, &often, NULL));
    for (int i = 0; i < 5; i++) check(must(read(fd, &count, sizeof count)) == 8 && count > 0);
    must(timerfd_settime(fd, 0, &(struct itimerspec){0}, NULL));
    must(fcntl(fd, F_SETFL, O_NONBLOCK));
    show(read(fd, &count, sizeof count));
    show(read(fd, &count, 4));
    show(write(fd, &count, 8));
}

static void *send_signal(void *arg) {
    tick();
    must(kill(getpid(), SIGUSR1));
    return arg;
}

static void signals(void) {
    struct signalfd_siginfo info;
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGUSR1);
    zero(pthread_sigmask(SIG_BLOCK, &set, NULL));
    fd = must(signalfd(-1, &set, 0));
    for (int i = 0; i < 3; i++) {
        pthread_t sender = spawn(send_signal, NULL);
        show(read(fd, &info, sizeof info));
        printf("%d from here: %d\n", info.ssi_signo, info.ssi_pid == (uint32_t)getpid());
        join(sender);
    }
}

static char path[64];

static void *make_file(void *arg) {
    char name[100];
    tick();
    snprintf(name, sizeof name, "%s/file", path);
    must(close(must(open(name, O_CREAT | O_WRONLY, 0600))));
    must(unlink(name));
    return arg;
}

static void changes(void) {
    char room[4096];
    strcpy(path, "/tmp/readable-XXXXXX");
    check(mkdtemp(path));
    fd = must(inotify_init1(0));
    must(inotify_add_watch(fd, path, IN_CREATE));
    pthread_t maker = spawn(make_file, NULL);
    ssize_t n = must(read(fd, room, sizeof room));
    join(maker);
    struct inotify_event *event = (void *)room;
    printf("%zd %s\n", n, event->name);
    must(rmdir(path));
}

static int master;

static void *type(void *arg) {
    tick();
    send_all(master, "typed\n", 6);
    return arg;
}

static void *drain(void *arg) {
    char room[4096];
    tick();
    for (size_t all = 0; all < 100000;) all += must(read(master, room, sizeof room));
    return arg;
}

static void terminal(void) {
    static char bytes[100000];
    struct termios settings;
    char line[64];
    master = must(posix_openpt(O_RDWR | O_NOCTTY));
    must(grantpt(master)), must(unlockpt(master));
    fd = must(open(ptsname(master), O_RDWR | O_NOCTTY));
    must(tcgetattr(fd, &settings));
    settings.c_lflag &= ~ECHO, settings.c_oflag &= ~OPOST;
    show(tcsetattr(fd, TCSANOW, &settings));
    pthread_t typist = spawn(type, NULL);
    show(read(fd, line, sizeof line));
    join(typist);
    pthread_t reader = spawn(drain, NULL);
    show(write(fd, bytes, sizeof bytes));
    show(tcdrain(fd));
    show(tcsetattr(fd, TCSADRAIN, &settings));
    show(tcsetattr(fd, TCSAFLUSH, &settings));
    show(tcsetattr(fd, 77, &settings));
    show(tcsetattr(-1, TCSADRAIN, &settings));
    show(ioctl(fd, TCSBRK, 1));
    show(ioctl(fd, TCSBRK, 0));
    show(ioctl(-1, TCSBRK, 0));
    show(tcsendbreak(fd, 0));
    show(tcsendbreak(fd, 1));
    show(tcsendbreak(0, 0));
    join(reader);
}

static void *drain_slave(void *arg) {
    char room[4096];
    tick();
    for (size_t all = 0; all < 100000;) all += must(read(fd, room, sizeof room));
    return arg;
}

/* The other side: as much as the slave's reader takes. */
static void master_side(void) {
    static char bytes[100000];
    struct termios settings;
    master = must(posix_openpt(O_RDWR | O_NOCTTY));
    must(grantpt(master)), must(unlockpt(master));
    fd = must(open(ptsname(master), O_RDWR | O_NOCTTY));
    must(tcgetattr(fd, &settings));
    cfmakeraw(&settings);
    must(tcsetattr(fd, TCSANOW, &settings));
    memset(bytes, 'x', sizeof bytes);
    pthread_t reader = spawn(drain_slave, NULL);
    show(write(master, bytes, sizeof bytes));
    join(reader);
}

int main(int argc, char **argv) {
    struct test tests[] = {CASE(timers), CASE(signals), CASE(changes), CASE(terminal), CASE(master_side)};
    return RUN(argc, argv, tests);
}
