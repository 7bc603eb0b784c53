/* Stands on musl, and is started by programs that do not. */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

static void *runs(void *arg) { return arg; }

int main(int argc, char **argv) {
    char line[64] = "nothing";
    pthread_t thread;
    pthread_create(&thread, NULL, runs, argv);
    pthread_join(thread, NULL);
    if (argc < 2 && !fgets(line, sizeof line, stdin)) return 1;
    printf("%s %s\n", getenv("MARK"), argc > 1 ? argv[1] : line);
    return 6;
}
