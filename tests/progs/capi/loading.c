/* What is raised while a library is loaded or closed comes when that is over: the loader would stay locked. */
#include "capi.h"

#include <dlfcn.h>

static int ends;
void during(const char *word) {
    if (!ends) note(word);
}

static void *opens(void *arg) {
    void *library = dlopen(getenv("LIBRARY"), RTLD_NOW);
    check(library);
    note("open");
    if (arg) eventlet_sleep(0);
    return library;
}
static void *imports(void *arg) {
    check(eventlet_import_patched(getenv("LIBRARY"), RTLD_NOW, EVENTLET_TIME));
    note("open");
    eventlet_sleep(0);
    return arg;
}
static void *shuts(void *library) {
    zero(dlclose(library));
    note("shut");
    eventlet_sleep(0);
    return NULL;
}

/* Others can load. */
static void *other(void) {
    void *library;
    eventlet_thread *thread = eventlet_spawn(opens, NULL);
    check(eventlet_wait(thread, &library) == 0);
    eventlet_release(thread);
    return library;
}
/* As often as it was opened. */
static void shut(void *library, int times) {
    while (times-- > 0) zero(dlclose(library));
}

static void kills(void *(*run)(void *), void *arg) {
    eventlet_thread *victim = eventlet_spawn(run, arg);
    eventlet_sleep(0);
    check(eventlet_kill(victim, EVENTLET_USER) == 0 && !eventlet_dead(victim));
    check(ended(victim) == EVENTLET_USER);
    other();
}

static void killed(void) {
    eventlet_hub_exceptions(0);
    kills(opens, N(1));
    traced("comes is there open open");
    void *library = opens(NULL);
    shut(library, 2);
    kills(shuts, library);
    traced("open goes is gone shut comes is there open");
    shut(opens(NULL), 2);
    traced("open goes is gone");
    kills(imports, NULL);
    traced("comes is there open open");
    ends = 1;
}

static void timed(void) {
    fails(eventlet_with_timeout(0, opens, N(1), NULL), ETIMEDOUT);
    void *library = other();
    traced("comes is there open open");
    shut(library, 1);
    fails(eventlet_with_timeout(0, shuts, library, NULL), ETIMEDOUT);
    traced("goes is gone shut");
    shut(other(), 1);
    traced("comes is there open goes is gone");
    ends = 1;
}

int main(int argc, char **argv) {
    struct test tests[] = {CASE(killed), CASE(timed)};
    return RUN(argc, argv, tests);
}
