/* A call that has moved a part of what it was given ends with a signal, and says how much, also where handlers restart calls. */
#include "prog.h"

#include <sys/sendfile.h>
#include <sys/uio.h>

static char much[4 << 20];
static int near, far;
static volatile int handled;
static void handler(int sig) { (void)sig, handled++; }

static ssize_t by_write(void) { return write(near, much, sizeof much); }
static ssize_t by_send(void) { return send(near, much, sizeof much, 0); }
static ssize_t by_writev(void) { return writev(near, &(struct iovec){much, sizeof much}, 1); }
static ssize_t by_sendmsg(void) { return sendmsg(near, &(struct msghdr){.msg_iov = &(struct iovec){much, sizeof much}, .msg_iovlen = 1}, 0); }
static ssize_t by_recv(void) { return recv(near, much, 5, MSG_WAITALL); }
static ssize_t by_recvmsg(void) { return recvmsg(near, &(struct msghdr){.msg_iov = &(struct iovec){much, 5}, .msg_iovlen = 1}, MSG_WAITALL); }

static const struct way {
    const char *name;
    ssize_t (*call)(void);
    ssize_t whole;
} writes[] = {{"write", by_write, sizeof much}, {"send", by_send, sizeof much}, {"writev", by_writev, sizeof much}, {"sendmsg", by_sendmsg, sizeof much}},
  reads[] = {{"recv", by_recv, 5}, {"recvmsg", by_recvmsg, 5}};

static void *calls(void *arg) {
    const struct way *way = arg;
    ssize_t count = way->call();
    printf("%s: %s, handled %d\n", way->name, count <= 0 ? "none" : count < way->whole ? "a part" : "all", handled);
    return NULL;
}

static void with(const struct way *way) {
    handled = 0;
    pthread_t thread = spawn(calls, (void *)way);
    tick();
    zero(pthread_kill(thread, SIGUSR1));
    join(thread);
    must(close(near)), must(close(far));
}

static void all(int flags) {
    struct sigaction action = {.sa_handler = handler, .sa_flags = flags};
    int ends[2];
    must(sigaction(SIGUSR1, &action, NULL));
    must(pipe(ends));
    near = ends[1], far = ends[0];
    with(&writes[0]);
    must(pipe(ends));
    near = ends[1], far = ends[0];
    with(&writes[2]);
    for (int kind = 0; kind < 2; kind++) {
        for (int i = 0; i < 4; i++) {
            if (kind) tcp_pair(ends);
            else must(socketpair(AF_UNIX, SOCK_STREAM, 0, ends));
            near = ends[0], far = ends[1];
            with(&writes[i]);
        }
        for (int i = 0; i < 2; i++) {
            if (kind) tcp_pair(ends);
            else must(socketpair(AF_UNIX, SOCK_STREAM, 0, ends));
            near = ends[0], far = ends[1];
            send_all(far, "ab", 2);
            with(&reads[i]);
        }
    }
}

static void restarting(void) { all(SA_RESTART); }
static void ending(void) { all(0); }

int main(int argc, char **argv) {
    struct test tests[] = {CASE(restarting), CASE(ending)};
    return RUN(argc, argv, tests);
}
