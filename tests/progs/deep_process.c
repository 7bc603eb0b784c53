/* system, popen and pclose wait inside libc for a child that waits for a word from another thread of ours. */
#include "prog.h"
#include <spawn.h>
#include <wordexp.h>

static int ends[2];

static void *say(void *word) {
    breathe();
    send_all(ends[1], word, strlen(word));
    return NULL;
}

static char *command(const char *form) {
    static char text[128];
    snprintf(text, sizeof text, form, ends[0]);
    return text;
}

/* The child inherits the pipe. */
static void run_system(void) {
    must(pipe(ends));
    pthread_t thread = spawn(say, "7\n");
    int status = must(system(command("read x <&%d; exit $x")));
    printf("exit %d\n", WEXITSTATUS(status));
    join(thread);
    printf("shell %d\n", system(NULL) != 0);
}

static void run_popen(void) {
    char line[32];
    must(pipe(ends));
    pthread_t thread = spawn(say, "word\n");
    FILE *stream = popen(command("read x <&%d; echo $x; echo again"), "r");
    check(stream);
    while (fgets(line, sizeof line, stream)) fputs(line, stdout);
    printf("status %d\n", pclose(stream));
    join(thread);
}

static void run_pclose(void) {
    char line[32];
    must(pipe(ends));
    FILE *stream = popen(command("exec >&-; read x <&%d; exit $x"), "r");
    check(stream);
    check(!fgets(line, sizeof line, stream));
    pthread_t thread = spawn(say, "5\n");
    printf("exit %d\n", WEXITSTATUS(must(pclose(stream))));
    join(thread);
}

static void run_write(void) {
    must(pipe(ends));
    FILE *stream = popen(command("while read x; do echo got $x; done"), "w");
    check(stream);
    pthread_t thread = spawn(say, "unread\n");
    for (int i = 0; i < 3; i++) check(fprintf(stream, "%d\n", i) > 0);
    printf("status %d\n", pclose(stream));
    join(thread);
}

/* Many at once, in threads. */
static void *each(void *arg) {
    char line[64] = "", text[64];
    snprintf(text, sizeof text, "sleep 0.01; echo number %d", (int)(intptr_t)arg);
    FILE *stream = popen(text, "r");
    check(stream && fgets(line, sizeof line, stream));
    check(pclose(stream) == 0);
    int number = -1;
    check(sscanf(line, "number %d", &number) == 1 && number == (int)(intptr_t)arg);
    check(system("exit 3") == 3 << 8);
    return NULL;
}

static void many(void) {
    pthread_t threads[8];
    for (int i = 0; i < 8; i++) threads[i] = spawn(each, (void *)(intptr_t)i);
    for (int i = 0; i < 8; i++) join(threads[i]);
}

/* A child of posix_spawn closes and duplicates descriptors on which our threads wait. */
static void *wait_for_byte(void *arg) {
    char byte;
    read_all(ends[0], &byte, 1);
    return (void *)(intptr_t)byte;
}

static void children(void) {
    must(socketpair(AF_UNIX, SOCK_STREAM, 0, ends));
    pthread_t thread = spawn(wait_for_byte, NULL);
    breathe();
    char line[32];
    FILE *stream = popen(command("exec %d<&-; echo closed"), "r");
    check(stream && fgets(line, sizeof line, stream));
    fputs(line, stdout);
    check(pclose(stream) == 0);
    wordexp_t words;
    check(wordexp("$(echo three words here)", &words, 0) == 0);
    printf("%zu %s\n", words.we_wordc, words.we_wordv[2]);
    wordfree(&words);
    breathe();
    send_all(ends[1], "z", 1);
    printf("%c\n", (char)(intptr_t)join(thread));
}

/* A thread's mask is its own again after its children, and while it waits. */
static void *masked(void *arg) {
    sigset_t set, after;
    char line[64];
    sigemptyset(&set);
    sigaddset(&set, SIGUSR1);
    sigaddset(&set, SIGRTMIN + 3);
    zero(pthread_sigmask(SIG_SETMASK, &set, NULL));
    FILE *stream = popen("echo from a child", "r");
    check(stream && fgets(line, sizeof line, stream));
    fputs(line, stdout);
    check(pclose(stream) == 0);
    check(system("exit 0") == 0);
    zero(pthread_sigmask(SIG_SETMASK, NULL, &after));
    for (int sig = 1; sig < 65; sig++)
        if (sigismember(&after, sig) == 1) printf("%d is blocked\n", sig);
    return arg;
}

static void masks(void) {
    pthread_t one = spawn(masked, NULL);
    join(one);
    must(pipe(ends));
    pthread_t thread = spawn(say, "0\n");
    masked(NULL);
    check(system(command("read x <&%d; exit $x")) == 0);
    join(thread);
}

int main(int argc, char **argv) {
    struct test tests[] = {CASE(run_system), CASE(run_popen), CASE(run_pclose),
                           CASE(run_write),  CASE(many),      CASE(children), CASE(masks)};
    return RUN(argc, argv, tests);
}
