/* Behaves badly in the ways the test house must notice. */
#include "prog.h"

static void hang(void) {
    puts("before the hang");
    fflush(stdout);
    pause();
}

/* A child keeps stdout open after its parent's end. */
static void orphan(void) {
    if (must(fork()) == 0) pause();
}

/* Differs under a library. */
static void differ(void) { puts(getenv("LD_PRELOAD") ? "preloaded" : "bare"); }

static void fall(void) { raise(SIGUSR1); }

static void cat(void) {
    char buffer[4096];
    for (ssize_t n; (n = must(read(0, buffer, sizeof buffer))) > 0;) send_all(1, buffer, n);
}

int main(int argc, char **argv) {
    struct test tests[] = {CASE(hang), CASE(orphan), CASE(differ), CASE(fall), CASE(cat)};
    return RUN(argc, argv, tests);
}
