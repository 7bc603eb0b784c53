/* A malloc of the program's own under a mutex, which its holder may lose the processor with. */
#include "real.h"

enum { ARENA = 64 << 20, ALIGN = 64, HEAD = 64, MAKERS = 3, THREADS = 10, HOT = 4 };
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static _Alignas(ALIGN) char arena[ARENA];
static size_t used = ALIGN;
static int slow, over;

static void hold(void) {
    zero(pthread_mutex_lock(&mutex));
    if (__atomic_load_n(&slow, __ATOMIC_RELAXED))
        for (volatile int i = 0; i < 400000; i++) {}
}

/* Never frees. */
static void *allocate(size_t align, size_t size) {
    hold();
    size_t at = (used + HEAD + align - 1) / align * align;
    if (at + size > ARENA) _exit(1);
    ((size_t *)(arena + at))[-1] = size;
    used = at + size;
    zero(pthread_mutex_unlock(&mutex));
    return arena + at;
}

void *malloc(size_t size) { return allocate(ALIGN, size); }
void *calloc(size_t count, size_t size) { return allocate(ALIGN, count * size); }
void *memalign(size_t align, size_t size) { return allocate(align > ALIGN ? align : ALIGN, size); }
void *aligned_alloc(size_t align, size_t size) { return memalign(align, size); }

void free(void *old) {
    hold();
    zero(pthread_mutex_unlock(&mutex));
}

int posix_memalign(void **place, size_t align, size_t size) {
    *place = memalign(align, size);
    return 0;
}

void *realloc(void *old, size_t size) {
    void *new = malloc(size);
    if (!old) return new;
    size_t before = ((size_t *)old)[-1];
    return memcpy(new, old, before < size ? before : size);
}

static void *allocating(void *arg) {
    do free(malloc(100));
    while (arg && !__atomic_load_n(&over, __ATOMIC_RELAXED));
    return arg;
}

static void *making(void *arg) {
    for (int i = 0; i < THREADS; i++) join(spawn(allocating, NULL));
    return arg;
}

/* Real threads make green ones, whose blocks come from that malloc: nobody may wait for its mutex but the thread that
 * wants the memory. */
static void made_by_real_threads(void) {
    struct task tasks[MAKERS];
    pthread_t hot[HOT];
    must(sem_init(&done, 0, 0));
    for (int i = 0; i < HOT; i++) hot[i] = spawn(allocating, &over);
    slow = 1;
    for (int i = 0; i < MAKERS; i++) tasks[i] = (struct task){making, NULL}, on_real_thread(&tasks[i]);
    for (int i = 0; i < MAKERS; i++) must(sem_wait(&done));
    over = 1;
    for (int i = 0; i < HOT; i++) join(hot[i]);
}

int main(int argc, char **argv) {
    struct test tests[] = {CASE(made_by_real_threads)};
    return RUN(argc, argv, tests);
}
