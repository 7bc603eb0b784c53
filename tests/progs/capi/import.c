/* eventlet_import_patched. */
#include "capi.h"

#include <dlfcn.h>
#include <locale.h>
#include <poll.h>
#include <sys/resource.h>

static const char *path;
static void *library;

static int (*function(const char *name))(int) {
    void *found = dlsym(library, name);
    if (!found) die(name);
    return (int (*)(int))found;
}

struct call { int (*run)(int); int arg; };

static void *calls(void *arg) {
    struct call *call = arg;
    return N(call->run(call->arg));
}

static int pair[2];

static void *tells(void *arg) {
    eventlet_sleep(0.003);
    check(write(pair[1], "k", 1) == 1);
    return arg;
}

/* The call waits for what another green thread of this thread of the kernel does. */
static void waits(const char *name) {
    eventlet_thread *teller = eventlet_spawn(tells, NULL);
    struct call call = {function(name), pair[0]};
    int got = call.run(call.arg);
    check(!strcmp(name, "polls") ? got == 1 : got == 'k');
    if (!strcmp(name, "polls")) check(function("reads")(pair[0]) == 'k');
    check(ended(teller) == 0);
}

/* The program's own calls stay as they are: nobody runs while it is in one. */
static void native(void) {
    eventlet_thread *teller = eventlet_spawn(tells, NULL);
    struct pollfd never = {pair[0], POLLIN, 0};
    check(poll(&never, 1, 30) == 0 && !eventlet_dead(teller) && ended(teller) == 0);
    char c;
    check(read(pair[0], &c, 1) == 1);
}

static void imports(unsigned groups) {
    library = eventlet_import_patched(path, RTLD_LAZY, groups);
    if (!library) die(dlerror());
    check(pipe(pair) == 0);
}

static void descriptors(void) {
    imports(EVENTLET_ALL);
    check(eventlet_patched() == 0);
    waits("reads");
    waits("reads_directly");
    waits("polls");
    native();
}

static void *serves(void *arg) {
    int client = accept((int)(intptr_t)arg, NULL, NULL);
    check(client >= 0);
    eventlet_sleep(0.002);
    check(write(client, "k", 1) == 1);
    close(client);
    return NULL;
}

static void connects(void) {
    imports(EVENTLET_ALL);
    int listener = eventlet_listen("127.0.0.1:0", NULL);
    struct sockaddr_in name;
    socklen_t length = sizeof name;
    check(getsockname(listener, (struct sockaddr *)&name, &length) == 0);
    eventlet_thread *server = eventlet_spawn(serves, N(listener));
    check(function("connects")(ntohs(name.sin_port)) == 'k');
    check(ended(server) == 0);
}

static void locks(void) {
    imports(EVENTLET_ALL);
    struct call one = {function("hands_over"), 0}, two = {one.run, 1};
    eventlet_thread *a = eventlet_spawn(calls, &one), *b = eventlet_spawn(calls, &two);
    check(ended(a) == 0 && ended(b) == 0);
    struct call hold = {function("holds"), 3};
    eventlet_thread *all[5];
    for (int i = 0; i < 5; i++) all[i] = eventlet_spawn(calls, &hold);
    for (int i = 0; i < 5; i++) check(ended(all[i]) == 0);
    check(function("threads")(10) == 10);
}

/* A thread that it makes runs when the program enters the hub, and not before. */
static void threads(void) {
    imports(EVENTLET_ALL);
    check(function("begins")(0) == 0 && usleep(20000) == 0);
    check(!function("has_run")(0));
    eventlet_sleep(0);
    check(function("has_run")(0));
}

static void naps(void) {
    imports(EVENTLET_TIME);
    eventlet_thread *other = eventlet_spawn(noted, "other");
    check(function("sleeps")(20) == 0);
    traced("other");
    check(ended(other) == 0);
}

/* Group by group: reads of a socket with os or socket. */
static void groups(void) {
    imports(EVENTLET_SOCKET);
    check(socketpair(AF_UNIX, SOCK_STREAM, 0, pair) == 0);
    waits("receives");
    waits("reads");
    eventlet_thread *other = eventlet_spawn(noted, "other");
    check(function("sleeps")(20) == 0);
    traced("");
    /* The same object, with more. */
    check(eventlet_import_patched(path, RTLD_LAZY, EVENTLET_TIME) == library);
    check(function("sleeps")(20) == 0);
    traced("other");
    check(ended(other) == 0);
    waits("reads_directly");
}

static void dependencies(void) {
    imports(EVENTLET_ALL);
    eventlet_thread *teller = eventlet_spawn(tells, NULL);
    /* Without, its dependency blocks: data is there for it. */
    check(write(pair[1], "n", 1) == 1);
    check(function("reads_deeper")(pair[0]) == 'n' && !eventlet_dead(teller));
    check(ended(teller) == 0 && function("reads")(pair[0]) == 'k');
    check(eventlet_import_patched(path, RTLD_NOW, EVENTLET_ALL | EVENTLET_WITH_DEPENDENCIES) == library);
    waits("reads_deeper");
    native();
}

static void again(void) {
    library = dlopen(path, RTLD_NOW);
    check(library);
    eventlet_thread *other = eventlet_spawn(noted, "other");
    check(function("sleeps")(5) == 0);
    traced("");
    check(eventlet_import_patched(path, RTLD_NOW, EVENTLET_ALL) == library);
    check(function("sleeps")(20) == 0);
    traced("other");
    check(ended(other) == 0);
    check(dlclose(library) == 0 && dlclose(library) == 0);
    check(!dlopen(path, RTLD_NOW | RTLD_NOLOAD));
    /* A new life, unpatched and then patched again. */
    check((library = dlopen(path, RTLD_NOW)));
    other = eventlet_spawn(noted, "more");
    check(function("sleeps")(5) == 0);
    traced("");
    check(dlclose(library) == 0);
    imports(EVENTLET_ALL);
    check(function("sleeps")(20) == 0);
    traced("more");
    waits("reads");
}

static void errors(void) {
    null(eventlet_import_patched(NULL, RTLD_NOW, EVENTLET_ALL), EINVAL);
    null(eventlet_import_patched(path, RTLD_NOW, 0x1000), EINVAL);
    null(eventlet_import_patched(path, 0, EVENTLET_ALL), EINVAL);
    null(eventlet_import_patched("/no/such/library.so", RTLD_NOW, EVENTLET_ALL), ENOENT);
    check(strstr(dlerror(), "/no/such/library.so"));
    null(eventlet_import_patched("no-such-library.so", RTLD_NOW, EVENTLET_ALL), ENOENT);
    null(eventlet_import_patched("/etc/passwd", RTLD_NOW, EVENTLET_ALL), ELIBBAD);
    check(strstr(dlerror(), "/etc/passwd"));
    struct rlimit before, none;
    must(getrlimit(RLIMIT_NOFILE, &before));
    none = before, none.rlim_cur = 0;
    must(setrlimit(RLIMIT_NOFILE, &none));
    null(eventlet_import_patched(path, RTLD_NOW, EVENTLET_ALL), EMFILE);
    must(setrlimit(RLIMIT_NOFILE, &before));
}

static void translated(void) {
    check(setlocale(LC_ALL, ""));
    check(!strstr(strerror(ENOENT), "No such file"));
    errors();
}

int main(int argc, char **argv) {
    path = getenv("LIBRARY");
    struct test tests[] = {CASE(descriptors), CASE(connects), CASE(locks), CASE(threads), CASE(naps), CASE(groups), CASE(dependencies), CASE(again), CASE(errors), CASE(translated)};
    return RUN(argc, argv, tests);
}
