/* A conservative collector: it stops all threads by signals, and looks for pointers in their stacks and registers. */
#define GC_THREADS
#include <gc.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { THREADS = 20, LENGTH = 2000, ROUNDS = 30 };

struct node {
    struct node *next;
    long value;
};

static void *work(void *arg) {
    for (int round = 0; round < ROUNDS; round++) {
        struct node *list = NULL;
        for (long i = 0; i < LENGTH; i++) {
            struct node *node = GC_MALLOC(sizeof *node);
            *node = (struct node){list, i};
            list = node;
        }
        if (round % 10 == 0) usleep(1000);
        long expected = LENGTH;
        for (struct node *node = list; node; node = node->next)
            if (node->value != --expected) abort();
        if (expected != 0) abort();
    }
    return arg;
}

int main(void) {
    GC_INIT();
    pthread_t threads[THREADS];
    for (long i = 0; i < THREADS; i++) pthread_create(&threads[i], NULL, work, (void *)i);
    for (long i = 0; i < THREADS; i++) {
        void *result;
        pthread_join(threads[i], &result);
        if (result != (void *)i) abort();
    }
    puts(GC_get_gc_no() > 0 ? "collected" : "not collected");
    return 0;
}
