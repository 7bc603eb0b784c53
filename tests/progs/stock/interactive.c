// A threaded program at a terminal: one thread reads lines, others tick, main takes Ctrl-C and SIGCONT by handlers.
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static atomic_int ticks[4];
static volatile sig_atomic_t interrupts, continued;

static void on_interrupt(int signal) {
    (void)signal;
    interrupts++;
}

static void on_continue(int signal) {
    (void)signal;
    continued = 1;
}

static void *tick(void *counter) {
    for (;;) {
        usleep(1000);
        atomic_fetch_add((atomic_int *)counter, 1);
    }
    return NULL;
}

// Whether every ticker goes on from here.
static void all_tick(void) {
    for (int i = 0; i < 4; i++)
        for (int now = ticks[i]; ticks[i] < now + 3;)
            usleep(1000);
}

static void *listen_to(void *unused) {
    char line[200];
    while (fgets(line, sizeof line, stdin)) {
        line[strcspn(line, "\n")] = 0;
        all_tick();
        printf("heard <%s>\n", line);
    }
    puts("end of input");
    return unused;
}

int main(void) {
    setvbuf(stdout, NULL, _IOLBF, 0);
    sigaction(SIGINT, &(struct sigaction){.sa_handler = on_interrupt}, NULL);
    sigaction(SIGCONT, &(struct sigaction){.sa_handler = on_continue, .sa_flags = SA_RESTART | SA_RESETHAND}, NULL);
    pthread_t thread;
    for (int i = 0; i < 4; i++)
        pthread_create(&thread, NULL, tick, &ticks[i]);
    pthread_create(&thread, NULL, listen_to, NULL);
    puts("ready");
    for (int seen = 0; seen < 2;) {
        usleep(1000);
        if (continued) {
            continued = 0;
            all_tick();
            puts("continued");
        }
        if (interrupts > seen) {
            seen = interrupts;
            all_tick();
            printf("interrupted %d\n", seen);
        }
    }
    return 5;
}
