/* Barriers and spin locks. */
#include "prog.h"

enum { THREADS = 6, PHASES = 20 };
static pthread_barrier_t barrier;
static pthread_spinlock_t spin;
static int reached[PHASES + 1], serial, count;

static void *meeting(void *arg) {
    for (int phase = 0; phase < PHASES; phase++) {
        if (phase % 5 == (intptr_t)arg % 5) usleep(10);
        __atomic_fetch_add(&reached[phase], 1, __ATOMIC_SEQ_CST);
        int given = pthread_barrier_wait(&barrier);
        check(given == 0 || given == PTHREAD_BARRIER_SERIAL_THREAD);
        if (given) __atomic_fetch_add(&serial, 1, __ATOMIC_SEQ_CST);
        check(__atomic_load_n(&reached[phase], __ATOMIC_SEQ_CST) == THREADS);
    }
    return arg;
}

/* Nobody passes before all have come; one of them is told so. */
static void barriers(void) {
    pthread_t threads[THREADS];
    tell(pthread_barrier_init(&barrier, NULL, 0));
    zero(pthread_barrier_init(&barrier, NULL, THREADS));
    for (intptr_t i = 0; i < THREADS; i++) threads[i] = spawn(meeting, (void *)i);
    for (int i = 0; i < THREADS; i++) join(threads[i]);
    printf("serial %d\n", serial);
    tell(pthread_barrier_destroy(&barrier));
}

static void *meet_once(void *arg) {
    if (pthread_barrier_wait(&barrier) == PTHREAD_BARRIER_SERIAL_THREAD) {
        zero(pthread_barrier_destroy(&barrier));
        memset(&barrier, 0xff, sizeof barrier);
        serial++;
    }
    return arg;
}

/* Whoever is told destroys it, though others may not have left yet. */
static void destroyed_at_once(void) {
    for (int round = 0; round < 50; round++) {
        zero(pthread_barrier_init(&barrier, NULL, 3));
        pthread_t one = spawn(meet_once, NULL), two = spawn(meet_once, NULL);
        meet_once(NULL);
        join(one), join(two);
    }
    printf("serial %d\n", serial);
}

static void *spinning(void *arg) {
    for (int i = 0; i < 200; i++) {
        zero(pthread_spin_lock(&spin));
        int seen = count;
        if (i % 50 == 0) usleep(1); /* the others spin meanwhile */
        count = seen + 1;
        zero(pthread_spin_unlock(&spin));
    }
    return arg;
}

static void *spin_trying(void *arg) {
    while (pthread_spin_trylock(&spin)) continue;
    count++;
    zero(pthread_spin_unlock(&spin));
    return arg;
}

static void spins(void) {
    pthread_t threads[4];
    zero(pthread_spin_init(&spin, PTHREAD_PROCESS_PRIVATE));
    for (int i = 0; i < 4; i++) threads[i] = spawn(spinning, NULL);
    for (int i = 0; i < 4; i++) join(threads[i]);
    printf("count %d\n", count);
}

static void spin_try_loop(void) {
    zero(pthread_spin_init(&spin, PTHREAD_PROCESS_PRIVATE));
    zero(pthread_spin_lock(&spin));
    tell(pthread_spin_trylock(&spin));
    pthread_t other = spawn(spin_trying, NULL);
    breathe();
    zero(pthread_spin_unlock(&spin));
    join(other);
    printf("count %d\n", count);
}

int main(int argc, char **argv) {
    struct test tests[] = {CASE(barriers), CASE(destroyed_at_once), CASE(spins), CASE(spin_try_loop)};
    return RUN(argc, argv, tests);
}
