/* What the programs of the C API share. Each sentence of the contract is a check that dies at its line. */
#define _GNU_SOURCE
#include "../../../shim/include/eventlet.h"

#include <stdarg.h>

#include "../prog.h"

/* Words of what happened, in order. */
static char trace[4096];
static inline void note(const char *word) { strcat(strcat(trace, trace[0] ? " " : ""), word); }
#define traced(words) (strcmp(trace, words) ? (fprintf(stderr, "trace: %s\n", trace), die(words)) : (trace[0] = 0, (void)0))
/* A call that fails with that errno. */
#define fails(call, code) (errno = 0, check((call) == -1), check(errno == (code)))
#define null(call, code) (errno = 0, check((call) == NULL), check(errno == (code)))
#define N(number) ((void *)(intptr_t)(number))

static inline void *same(void *arg) { return arg; }
static inline void *noted(void *arg) { note(arg); return arg; }
static inline void *sleeps(void *arg) { eventlet_sleep(arg ? 0.002 * (intptr_t)arg : -1); return arg; }
static inline void *raises(void *arg) { eventlet_raise((int)(intptr_t)arg); }
/* Time, in which nobody else has a turn. */
static inline void passes(int milliseconds) {
    struct timespec end = from_now(CLOCK_MONOTONIC, milliseconds), now;
    do clock_gettime(CLOCK_MONOTONIC, &now);
    while (now.tv_sec < end.tv_sec || (now.tv_sec == end.tv_sec && now.tv_nsec < end.tv_nsec));
}
/* Waits for a thread and drops it; the code it ended with. */
static inline int ended(eventlet_thread *thread) {
    int code = eventlet_wait(thread, NULL) ? errno : 0;
    eventlet_release(thread);
    return code;
}
