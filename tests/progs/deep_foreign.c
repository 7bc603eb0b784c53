/* Real threads beside green ones inside libc. */
#include "real.h"
#include <dlfcn.h>

enum { THREADS = 3, LINES = 2000 };
static int ends[2];
static FILE *shared;

static void *nothing(void *arg) { return arg; }

/* From here on there are green threads, and libc is changed. */
static void begin(void) {
    must(sem_init(&done, 0, 0));
    join(spawn(nothing, NULL));
}

static void *print_lines(void *name) {
    for (int i = 0; i < LINES; i++) {
        if (i % 2) check(fprintf(shared, "%s %d\n", (char *)name, i) > 0);
        else check(fputs("even, and longer by some words\n", shared) >= 0);
    }
    check(fflush(shared) == 0);
    return NULL;
}

/* One FILE for all, on a pipe that is full most of the time: its lock is held over waits. */
static void lines(void) {
    struct task tasks[THREADS];
    pthread_t threads[THREADS];
    begin();
    must(pipe(ends));
    shared = fdopen(ends[1], "w");
    FILE *in = fdopen(ends[0], "r");
    check(shared && in);
    for (int i = 0; i < THREADS; i++) {
        tasks[i] = (struct task){print_lines, "real"};
        on_real_thread(&tasks[i]);
        threads[i] = spawn(print_lines, "green");
    }
    long real = 0, green = 0, even = 0;
    char line[64];
    for (int i = 0; i < 2 * THREADS * LINES; i++) {
        check(fgets(line, sizeof line, in));
        if (!strncmp(line, "real ", 5)) real++;
        else if (!strncmp(line, "green ", 6)) green++;
        else if (!strcmp(line, "even, and longer by some words\n")) even++;
        else die(line);
        if (i == 2 * THREADS * LINES - LINES / 2) check(fflush(NULL) == 0);
        if (i % 1000 == 0) breathe();
    }
    for (int i = 0; i < THREADS; i++) join(threads[i]);
    for (int i = 0; i < THREADS; i++) must(sem_wait(&done));
    printf("%ld real, %ld green, %ld even\n", real, green, even);
}

/* Each waits in a stream for the other. */
static int there[2], back[2];

static void *echo_lines(void *arg) {
    FILE *in = fdopen(there[0], "r"), *out = fdopen(back[1], "w");
    char line[32];
    check(in && out);
    while (fgets(line, sizeof line, in)) {
        fputs(line, out);
        check(fflush(out) == 0);
    }
    check(fclose(out) == 0 && fclose(in) == 0);
    return arg;
}

static void ping(void) {
    struct task task = {echo_lines, NULL};
    begin();
    must(pipe(there));
    must(pipe(back));
    on_real_thread(&task);
    FILE *out = fdopen(there[1], "w"), *in = fdopen(back[0], "r");
    char line[32];
    check(in && out);
    for (int i = 0; i < 200; i++) {
        check(fprintf(out, "%d\n", i) > 0 && fflush(out) == 0);
        check(fgets(line, sizeof line, in) && atoi(line) == i);
    }
    check(fclose(out) == 0);
    check(!fgets(line, sizeof line, in));
    must(sem_wait(&done));
}

static void *use_loader(void *arg) {
    for (int i = 0; i < 300; i++) {
        void *libm = dlopen("libm.so.6", RTLD_NOW);
        if (!libm) die(dlerror());
        check(dlsym(libm, "cos"));
        check(dlclose(libm) == 0);
    }
    return arg;
}

static void loader(void) {
    struct task tasks[THREADS];
    pthread_t threads[THREADS];
    begin();
    for (int i = 0; i < THREADS; i++) {
        tasks[i] = (struct task){use_loader, NULL};
        on_real_thread(&tasks[i]);
        threads[i] = spawn(use_loader, NULL);
    }
    for (int i = 0; i < THREADS; i++) join(threads[i]);
    for (int i = 0; i < THREADS; i++) must(sem_wait(&done));
}

/* A real thread is cancelled while it waits: in read itself, in a stream, in a sleep. */
static pthread_t victim;
static volatile int waits;

static void cleaned(void *what) {
    printf("cancelled in %s\n", (char *)what);
    zero(sem_post(&done));
}

static void *wait_in(void *what) {
    char byte[8];
    victim = pthread_self();
    waits = 1;
    pthread_cleanup_push(cleaned, what);
    if (!strcmp(what, "read")) read(ends[0], byte, 1);
    else if (!strcmp(what, "fgets")) fgets(byte, sizeof byte, shared);
    else sleep(60);
    pthread_cleanup_pop(0);
    return NULL;
}

static void cancel(void) {
    begin();
    must(pipe(ends));
    shared = fdopen(ends[0], "r");
    check(shared);
    char *all[] = {"read", "fgets", "sleep"};
    for (int i = 0; i < 3; i++) {
        struct task task = {wait_in, all[i]};
        waits = 0;
        on_real_thread(&task);
        while (!waits) breathe();
        breathe();
        zero(pthread_cancel(victim));
        must(sem_wait(&done));
    }
    check(ftrylockfile(shared) == 0);
}

/* Real threads already run, and wait inside libc, when libc is changed. */
static void before(void) {
    struct task tasks[THREADS];
    must(sem_init(&done, 0, 0));
    must(pipe(ends));
    shared = fdopen(ends[0], "r");
    check(shared);
    for (int i = 0; i < THREADS; i++) {
        tasks[i] = (struct task){i ? nothing : use_loader, NULL};
        on_real_thread(&tasks[i]);
    }
    join(spawn(use_loader, NULL));
    for (int i = 0; i < THREADS; i++) must(sem_wait(&done));
    must(write(ends[1], "late\n", 5));
    char line[8];
    check(fgets(line, sizeof line, shared));
    join(spawn(nothing, NULL));
}

int main(int argc, char **argv) {
    struct test tests[] = {CASE(lines), CASE(ping), CASE(loader), CASE(cancel), CASE(before)};
    return RUN(argc, argv, tests);
}
