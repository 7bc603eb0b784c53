/* A library that a thread waits in while it is closed. */
#include <stdio.h>
#include <unistd.h>

int __cxa_thread_atexit_impl(void (*run)(void *), void *object, void *library);
extern void *__dso_handle;

static void destroyed(void *object) { (void)object, puts("destroyed"); }

/* Waits for a byte; with `given[1]` the thread has a destructor here by then, as a thread_local of C++ has. */
void *wait_here(void *arg) {
    int *given = arg;
    char byte;
    if (given[1]) __cxa_thread_atexit_impl(destroyed, NULL, &__dso_handle);
    long taken = read(given[0], &byte, 1);
    printf("%ld\n", taken);
    return arg;
}
