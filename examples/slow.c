/* A timeout around something slow: reads a line from stdin, but waits for a second at most.
 *
 *     cc slow.c -leventlet -o slow && (sleep 2; echo late) | ./slow
 */
#include <errno.h>
#include <eventlet.h>
#include <stdio.h>

static void *ask(void *line) { return fgets(line, 256, stdin); }

int main(void) {
    eventlet_monkey_patch(EVENTLET_ALL);
    char line[256];
    void *got;
    if (eventlet_with_timeout(1, ask, line, &got) == 0) {
        printf("in time: %s", got ? line : "nothing\n");
    } else {
        printf("%s\n", errno == ETIMEDOUT ? "too late" : "failed");
    }
    return 0;
}
