/* sendmmsg and recvmmsg. */
#include "prog.h"

enum { MOST = 8 };
static int ends[2];
static char bytes[MOST][64];
static struct iovec vectors[MOST];
static struct mmsghdr messages[MOST];

static void prepare(size_t size) {
    for (int i = 0; i < MOST; i++) {
        vectors[i] = (struct iovec){bytes[i], size};
        messages[i] = (struct mmsghdr){.msg_hdr = {.msg_iov = &vectors[i], .msg_iovlen = 1}};
    }
}

static void tell_all(int count) {
    for (int i = 0; i < count; i++) printf("%u %.*s\n", messages[i].msg_len, (int)messages[i].msg_len, bytes[i]);
}

static void *send_words(void *words) {
    for (char **word = words; *word; word++) {
        breathe();
        send_all(ends[1], *word, strlen(*word));
    }
    return NULL;
}

static char *words[] = {"one", "three", "five", NULL};

/* Waits until all three are there. */
static void all(void) {
    must(socketpair(AF_UNIX, SOCK_DGRAM, 0, ends));
    prepare(64);
    pthread_t thread = spawn(send_words, words);
    show(recvmmsg(ends[0], messages, 3, 0, NULL));
    tell_all(3);
    join(thread);
}

/* Waits for the first alone. */
static void for_one(void) {
    must(socketpair(AF_UNIX, SOCK_DGRAM, 0, ends));
    prepare(64);
    pthread_t thread = spawn(send_words, (char *[]){"lonely", NULL});
    show(recvmmsg(ends[0], messages, MOST, MSG_WAITFORONE, NULL));
    tell_all(1);
    join(thread);
}

static void stream(void) {
    tcp_pair(ends);
    prepare(3);
    pthread_t thread = spawn(send_words, (char *[]){"abc", "def", NULL});
    show(recvmmsg(ends[0], messages, 2, MSG_WAITALL, NULL));
    tell_all(2);
    join(thread);
    prepare(64);
    memset(bytes, 'x', sizeof bytes);
    show(sendmmsg(ends[0], messages, 3, 0));
    char whole[192];
    read_all(ends[1], whole, sizeof whole);
}

static void *take_all(void *arg) {
    char byte[64];
    breathe();
    for (int i = 0; i < 100 * MOST; i++) must(recv(ends[0], byte, sizeof byte, 0));
    return arg;
}

/* More than the receiver's queue holds. */
static void full(void) {
    must(socketpair(AF_UNIX, SOCK_DGRAM, 0, ends));
    prepare(64);
    pthread_t thread = spawn(take_all, NULL);
    int sent = 0;
    for (int i = 0; i < 100; i++) sent += must(sendmmsg(ends[1], messages, MOST, 0));
    printf("%d, each %u\n", sent, messages[MOST - 1].msg_len);
    join(thread);
}

static void *wrong_calls(void *arg) {
    struct timespec bad = {0, 1000000000}, little = {0, 5000000};
    must(socketpair(AF_UNIX, SOCK_DGRAM, 0, ends));
    prepare(64);
    show(sendmmsg(-1, messages, 1, 0));
    show(recvmmsg(-1, messages, 1, 0, NULL));
    show(recvmmsg(ends[0], messages, 1, MSG_DONTWAIT, NULL));
    show(recvmmsg(ends[0], messages, 1, 0, &bad));
    show(sendmmsg(ends[1], messages, 2, 0));
    show(recvmmsg(ends[0], messages, MOST, MSG_DONTWAIT, &little));
    must(close(ends[0]));
    show(sendmmsg(ends[1], messages, 2, MSG_NOSIGNAL));
    return arg;
}

static void wrong(void) { join(spawn(wrong_calls, NULL)); }

int main(int argc, char **argv) {
    struct test tests[] = {CASE(all), CASE(for_one), CASE(stream), CASE(full), CASE(wrong)};
    return RUN(argc, argv, tests);
}
