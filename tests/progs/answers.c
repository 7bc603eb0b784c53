/* Work goes to and fro through pipes and eventfds: a reader whose answer is on its way lets the others go first. What it
 * reads, and how it ends when its descriptor or its thread ends meanwhile, stays the same. */
#include "prog.h"
#include <sys/eventfd.h>

#define TURNS 20000

static int there[2], back[2];

static void pair(int ends[2], int events) {
    if (events)
        ends[0] = ends[1] = must(eventfd(0, 0));
    else
        must(pipe(ends));
}

static void give(int fd, uint64_t value) { check(must(write(fd, &value, sizeof value)) == sizeof value); }

static uint64_t take(int fd) {
    uint64_t value;
    check(must(read(fd, &value, sizeof value)) == sizeof value);
    return value;
}

static void *answer(void *arg) {
    (void)arg;
    for (uint64_t turn = 1; turn <= TURNS; turn++) {
        check(take(there[0]) == turn);
        give(back[1], turn * 2);
    }
    return NULL;
}

static void ask(int events) {
    pair(there, events);
    pair(back, events);
    pthread_t other = spawn(answer, NULL);
    for (uint64_t turn = 1; turn <= TURNS; turn++) {
        give(there[1], turn);
        check(take(back[0]) == turn * 2);
    }
    join(other);
    printf("%d questions answered\n", TURNS);
}

/* Answers once more than it is asked, and in between closes what the asker reads from, and puts another pipe there. */
static void *swap(void *arg) {
    (void)arg;
    for (int turn = 1; turn <= 10; turn++) {
        check(take(there[0]) == (uint64_t)turn);
        give(back[1], turn);
    }
    check(take(there[0]) == 11);
    int other[2];
    must(pipe(other));
    give(other[1], 12);
    must(dup2(other[0], back[0]));
    return NULL;
}

static void swapped(void) {
    pair(there, 0);
    pair(back, 0);
    pthread_t other = spawn(swap, NULL);
    for (int turn = 1; turn <= 10; turn++) {
        give(there[1], turn);
        check(take(back[0]) == (uint64_t)turn);
    }
    give(there[1], 11);
    join(other); /* bare, a reader that waits in the old pipe would stay there */
    printf("then %d\n", (int)take(back[0]));
}

static pthread_t asker;

static void *cancel(void *arg) {
    (void)arg;
    for (uint64_t turn = 1; turn <= 10; turn++) {
        check(take(there[0]) == turn);
        give(back[1], turn);
    }
    check(take(there[0]) == 11);
    zero(pthread_cancel(asker));
    return NULL;
}

static void say(void *arg) { printf("%s\n", (char *)arg); }

static void *keep_asking(void *arg) {
    (void)arg;
    pthread_cleanup_push(say, "cancelled");
    for (uint64_t turn = 1;; turn++) {
        give(there[1], turn);
        check(take(back[0]) == turn);
    }
    pthread_cleanup_pop(0);
    return NULL;
}

static void cancelled(void) {
    pair(there, 0);
    pair(back, 0);
    asker = spawn(keep_asking, NULL);
    pthread_t other = spawn(cancel, NULL);
    check(join(asker) == PTHREAD_CANCELED);
    join(other);
}

/* Many readers of one pipe, one writer: each piece goes to one of them. */
static uint64_t sum[8];

static void *share(void *arg) {
    uint64_t value;
    while ((value = take(there[0])) != 0) {
        sum[(intptr_t)arg] += value;
        give(back[1], value);
    }
    return NULL;
}

static void shared(void) {
    pthread_t readers[8];
    uint64_t total = 0, heard = 0;
    pair(there, 0);
    pair(back, 0);
    for (intptr_t i = 0; i < 8; i++)
        readers[i] = spawn(share, (void *)i);
    for (uint64_t turn = 1; turn <= 1000; turn++) {
        give(there[1], turn);
        heard += take(back[0]);
    }
    for (int i = 0; i < 8; i++)
        give(there[1], 0);
    for (int i = 0; i < 8; i++) {
        join(readers[i]);
        total += sum[i];
    }
    printf("%lu of %lu heard\n", (unsigned long)heard, (unsigned long)total);
}

int main(int argc, char **argv) {
    check(argc == 2);
    if (strcmp(argv[1], "pipes") == 0)
        ask(0);
    else if (strcmp(argv[1], "events") == 0)
        ask(1);
    else if (strcmp(argv[1], "swapped") == 0)
        swapped();
    else if (strcmp(argv[1], "cancelled") == 0)
        cancelled();
    else if (strcmp(argv[1], "shared") == 0)
        shared();
    return 0;
}
