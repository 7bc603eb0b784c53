/* dlsym: what is found by a handle waits as what the linker binds; lookups that depend on their caller are what they are
 * in the bare program. */
#include "prog.h"
#include <dlfcn.h>

static void *libc_;

#define FIND(name) ((__typeof__(&name))must_find(libc_, #name))
static void *must_find(void *handle, const char *name) {
    void *found = dlsym(handle, name);
    check(found && !dlerror());
    return found;
}

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t cond = PTHREAD_COND_INITIALIZER;
static int turn, ends[2];

static void *second(void *arg) {
    FIND(pthread_mutex_lock)(&lock);
    turn = 1;
    FIND(pthread_cond_signal)(&cond);
    while (turn != 2) FIND(pthread_cond_wait)(&cond, &lock);
    FIND(pthread_mutex_unlock)(&lock);
    FIND(usleep)(1000);
    check(FIND(write)(ends[1], "!", 1) == 1);
    return arg;
}

/* Every function by libc's handle, the thread's too. */
static void by_handle(void) {
    char byte = 0;
    pthread_t thread;
    void *result;
    check(FIND(pipe)(ends) == 0);
    FIND(pthread_mutex_lock)(&lock);
    zero(FIND(pthread_create)(&thread, NULL, second, &turn));
    while (turn != 1) FIND(pthread_cond_wait)(&cond, &lock);
    turn = 2;
    FIND(pthread_cond_signal)(&cond);
    FIND(pthread_mutex_unlock)(&lock);
    check(FIND(read)(ends[0], &byte, 1) == 1);
    zero(FIND(pthread_join)(thread, &result));
    printf("%c %d\n", byte, result == &turn);
}

/* Whose a function is: of this program, of libc (or of what stands before it), of nobody. */
int flock(int fd, int operation) { return 42; }
static int ours(void *function) { return function == (void *)flock; }

static void by_caller(void) {
    int (*next)(int, int) = (__typeof__(next))dlsym(RTLD_NEXT, "flock");
    check(next && !ours(next));
    printf("default ours %d, next ours %d: %d\n", ours(dlsym(RTLD_DEFAULT, "flock")), ours(next), next(-1, 8));
    void *self = dlopen(NULL, RTLD_NOW);
    printf("of the program ours %d, of libc ours %d\n", ours(dlsym(self, "flock")), ours(dlsym(libc_, "flock")));
    printf("main %d, after the program %d\n", dlsym(RTLD_DEFAULT, "main") != NULL, dlsym(RTLD_NEXT, "main") != NULL);
    printf("nothing: %d, said %d\n", dlsym(libc_, "no_such_function") != NULL, dlerror() != NULL);
    printf("read is read: %d\n", dlsym(RTLD_DEFAULT, "read") == dlsym(libc_, "read"));
    join(spawn((void *(*)(void *))pthread_self, NULL));
    printf("and later: %d\n", dlsym(RTLD_DEFAULT, "read") == dlsym(libc_, "read"));
    breathe();
}

int main(int argc, char **argv) {
    libc_ = dlopen("libc.so.6", RTLD_NOW);
    check(libc_);
    struct test tests[] = {CASE(by_handle), CASE(by_caller)};
    return RUN(argc, argv, tests);
}
