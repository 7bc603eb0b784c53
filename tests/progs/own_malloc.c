/* A malloc of the program's own that takes its time: whoever allocates may lose the processor there. */
#include "prog.h"
#include <poll.h>

enum { ARENA = 64 << 20, ALIGN = 64, HEAD = 64, THREADS = 64, PIPES = 20, SLOW = 40, LONG = 12000000 };
static _Alignas(ALIGN) char arena[ARENA];
static size_t used = ALIGN;
static int slow;

/* Never frees, and needs no lock. */
static void *allocate(size_t align, size_t size) {
    if (__atomic_load_n(&slow, __ATOMIC_RELAXED) > 0 && __atomic_fetch_sub(&slow, 1, __ATOMIC_RELAXED) > 0)
        for (volatile long i = 0; i < LONG; i++) {}
    size_t room = (size + HEAD + align + ALIGN - 1) / ALIGN * ALIGN;
    size_t from = __atomic_fetch_add(&used, room, __ATOMIC_RELAXED);
    if (from + room > ARENA) return errno = ENOMEM, NULL;
    size_t at = (from + HEAD + align - 1) / align * align;
    ((size_t *)(arena + at))[-1] = size;
    return arena + at;
}

void *malloc(size_t size) { return allocate(ALIGN, size); }
void free(void *old) { (void)old; }
void *calloc(size_t count, size_t size) { return allocate(ALIGN, count * size); }
void *memalign(size_t align, size_t size) { return allocate(align > ALIGN ? align : ALIGN, size); }
void *aligned_alloc(size_t align, size_t size) { return memalign(align, size); }

int posix_memalign(void **place, size_t align, size_t size) {
    *place = memalign(align, size);
    return *place ? 0 : ENOMEM;
}

void *realloc(void *old, size_t size) {
    void *new = malloc(size);
    if (!new || !old) return new;
    size_t before = ((size_t *)old)[-1];
    return memcpy(new, old, before < size ? before : size);
}

static int ends[PIPES][2];

static void *child(void *arg) { return arg; }

/* Waits for what comes by the clock alone, for what comes from others, and for threads. */
static void *wait_much(void *arg) {
    intptr_t number = (intptr_t)arg;
    struct pollfd all[PIPES];
    for (int round = 0; round < 3; round++) {
        usleep(500 + number * 37 % 1000);
        int count = 1 + (number + round) % PIPES;
        for (int i = 0; i < count; i++) all[i] = (struct pollfd){ends[i][0], POLLIN, 0};
        check(must(poll(all, count, 1 + number % 5)) == 0);
        check(join(spawn(child, arg)) == arg);
    }
    return arg;
}

static void waits(void) {
    pthread_t threads[THREADS];
    for (int i = 0; i < PIPES; i++) must(pipe(ends[i]));
    for (intptr_t i = 0; i < THREADS; i++) threads[i] = spawn(wait_much, (void *)i);
    slow = SLOW;
    for (intptr_t i = 0; i < THREADS; i++) check(join(threads[i]) == (void *)i);
}

int main(int argc, char **argv) {
    struct test tests[] = {CASE(waits)};
    return RUN(argc, argv, tests);
}
