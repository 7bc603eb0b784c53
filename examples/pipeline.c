/* Producer and consumers: one green thread reads numbers from stdin into a bounded queue, four square them, and the sum
 * of all squares is printed.
 *
 *     cc pipeline.c -leventlet -o pipeline && seq 1 1000 | ./pipeline
 */
#include <eventlet.h>
#include <stdio.h>
#include <stdlib.h>

static eventlet_queue *numbers;
static long long sum; /* no lock: green threads change hands only in calls that wait */

static void *consume(void *unused) {
    void *number;
    while (eventlet_queue_get(numbers, &number, -1) == 0) {
        sum += *(long *)number * *(long *)number;
        free(number);
        eventlet_queue_task_done(numbers);
    }
    return unused;
}

static void *produce(void *unused) {
    long number;
    while (scanf("%ld", &number) == 1) {
        long *item = malloc(sizeof *item);
        if (!item) break;
        *item = number;
        eventlet_queue_put(numbers, item, -1); /* waits while sixteen are under way */
    }
    return unused;
}

int main(void) {
    eventlet_monkey_patch(EVENTLET_ALL); /* so that scanf does not keep the others waiting */
    numbers = eventlet_queue_new(16);
    for (int i = 0; i < 4; i++) eventlet_spawn_n(consume, NULL);
    eventlet_thread *producer = eventlet_spawn(produce, NULL);
    eventlet_wait(producer, NULL);
    eventlet_release(producer);
    eventlet_queue_join(numbers, -1);
    printf("%lld\n", sum);
    return 0;
}
