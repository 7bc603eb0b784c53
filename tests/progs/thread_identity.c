/* Each thread is somebody: errno, thread-locals, keys, locale, rounding mode and names are its own. */
#include "prog.h"
#include <ctype.h>
#include <dlfcn.h>
#include <fenv.h>
#include <locale.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

enum { THREADS = 20 };
static int gates[THREADS][2], arrived[2];

/* Each waits twice in a read: all have been changed before any looks. */
static void pause_here(intptr_t i) {
    char byte;
    send_all(arrived[1], "x", 1);
    read_all(gates[i][0], &byte, 1);
}

static void all(void *(*run)(void *), int pauses) {
    pthread_t threads[THREADS];
    char byte;
    must(pipe(arrived));
    for (intptr_t i = 0; i < THREADS; i++) must(pipe(gates[i])), threads[i] = spawn(run, (void *)i);
    for (int pause = 0; pause < pauses; pause++) {
        for (int i = 0; i < THREADS; i++) read_all(arrived[0], &byte, 1);
        for (int i = THREADS - 1; i >= 0; i--) send_all(gates[i][1], "x", 1);
    }
    for (intptr_t i = 0; i < THREADS; i++) check(join(threads[i]) == (void *)i);
}

static void *own_errno(void *arg) {
    intptr_t i = (intptr_t)arg;
    for (int round = 0; round < 3; round++) {
        errno = 1000 + i;
        pause_here(i);
        check(errno == 1000 + i);
    }
    return arg;
}

static void errnos(void) {
    errno = 77;
    all(own_errno, 3);
    check(errno == 77);
}

static __thread intptr_t local = 11;
static __thread struct { char head; intptr_t deep[500]; } wide = {'h', {5}};
static __thread long aligned[8] __attribute__((aligned(64)));

static void *own_local(void *arg) {
    intptr_t i = (intptr_t)arg;
    check(local == 11 && wide.head == 'h' && wide.deep[0] == 5 && wide.deep[499] == 0);
    check((intptr_t)aligned % 64 == 0 && aligned[0] == 0);
    local = i, wide.deep[499] = -i, aligned[0] = i * i;
    pause_here(i);
    check(local == i && wide.deep[499] == -i && aligned[0] == i * i);
    return arg;
}

static void program(void) {
    all(own_local, 1);
    all(own_local, 1); /* the second set finds them fresh again */
    check(local == 11 && wide.deep[499] == 0);
}

static intptr_t (*swap)(intptr_t);
static int (*spoilt)(void);

static void load(const char *path) {
    void *library = dlopen(path, RTLD_NOW);
    if (!library) die(dlerror());
    swap = dlsym(library, "library_swap");
    spoilt = dlsym(library, "library_spoilt");
    check(swap && spoilt);
}

static void *own_library(void *arg) {
    intptr_t i = (intptr_t)arg;
    check(swap(i) == 22 && !spoilt());
    pause_here(i);
    check(swap(0) == i && !spoilt());
    return arg;
}

/* Opened while no other thread exists. */
static void library_before(void) {
    load(getenv("LIBRARY"));
    all(own_library, 1);
    all(own_library, 1);
    check(swap(0) == 22);
}

/* Opened while threads exist: they find its image in their own block. */
static void *open_later(void *arg) {
    intptr_t i = (intptr_t)arg;
    pause_here(i);
    if (i == THREADS / 2) load(getenv("LIBRARY"));
    pause_here(i);
    return own_library(arg);
}

static void library_after(void) {
    all(open_later, 3);
    all(own_library, 1);
    check(swap(0) == 22);
}

static pthread_t selves[THREADS];

static void *own_self(void *arg) {
    intptr_t i = (intptr_t)arg;
    pthread_t self = selves[i] = pthread_self();
    pause_here(i);
    check(pthread_equal(self, pthread_self()) && pthread_self() == self);
    for (int j = 0; j < THREADS; j++) check(!pthread_equal(self, selves[j]) == (i != j));
    return arg;
}

static void self(void) { all(own_self, 1); }

static pid_t tids[THREADS];

static void *own_tid(void *arg) {
    intptr_t i = (intptr_t)arg;
    pid_t tid = tids[i] = gettid();
    pause_here(i);
    check(gettid() == tid && syscall(SYS_gettid) == tid && getpid() == syscall(SYS_getpid) && tid != getpid());
    for (int j = 0; j < THREADS; j++) check((tid == tids[j]) == (i == j));
    int *word;
    check(prctl(PR_GET_TID_ADDRESS, &word) == 0);
    check(syscall(SYS_set_tid_address, word) == tid);
    return arg;
}

static void tid(void) {
    all(own_tid, 1);
    check(gettid() == getpid());
}

enum { KEYS = 100 };
static pthread_key_t keys[KEYS];
static int destroyed[KEYS], rounds;

static void destroy(void *value) {
    intptr_t key = (intptr_t)value % 1000;
    check(pthread_getspecific(keys[key]) == NULL);
    __atomic_fetch_add(&destroyed[key], 1, __ATOMIC_SEQ_CST);
}

static void *own_keys(void *arg) {
    intptr_t i = (intptr_t)arg;
    for (intptr_t k = 0; k < KEYS; k++) check(pthread_getspecific(keys[k]) == NULL);
    for (intptr_t k = 0; k < KEYS; k++) zero(pthread_setspecific(keys[k], (void *)(1000 * (i + 1) + k)));
    pause_here(i);
    for (intptr_t k = 0; k < KEYS; k++) check(pthread_getspecific(keys[k]) == (void *)(1000 * (i + 1) + k));
    zero(pthread_setspecific(keys[0], NULL));
    return arg;
}

static void keys_own(void) {
    for (int k = 0; k < KEYS; k++) zero(pthread_key_create(&keys[k], k % 2 ? NULL : destroy));
    all(own_keys, 1);
    printf("destroyed %d %d %d %d\n", destroyed[0], destroyed[1], destroyed[2], destroyed[98]);
    zero(pthread_key_delete(keys[2]));
    tell(pthread_key_delete(keys[2]));
    tell(pthread_setspecific(keys[2], "gone"));
}

/* A destructor that sets its key again is called again, PTHREAD_DESTRUCTOR_ITERATIONS times at most. */
static void set_again(void *value) {
    rounds++;
    zero(pthread_setspecific(keys[0], value));
}

static void *with_key(void *arg) {
    zero(pthread_setspecific(keys[0], "value"));
    return arg;
}

static void keys_again(void) {
    zero(pthread_key_create(&keys[0], set_again));
    join(spawn(with_key, NULL));
    printf("rounds %d\n", rounds);
}

/* A destructor that waits. */
static void wait_in_destructor(void *value) {
    breathe();
    rounds += (intptr_t)value;
}

static void *with_waiting_key(void *arg) {
    zero(pthread_setspecific(keys[0], (void *)1));
    return arg;
}

static void keys_waiting(void) {
    pthread_t threads[THREADS];
    zero(pthread_key_create(&keys[0], wait_in_destructor));
    for (int i = 0; i < THREADS; i++) threads[i] = spawn(with_waiting_key, NULL);
    for (int i = 0; i < THREADS; i++) join(threads[i]);
    printf("destroyed %d\n", rounds);
}

static volatile double one = 1, three = 3;

static void *own_rounding(void *arg) {
    static const int modes[] = {FE_TONEAREST, FE_UPWARD, FE_DOWNWARD, FE_TOWARDZERO};
    intptr_t i = (intptr_t)arg;
    check(fegetround() == FE_TONEAREST);
    check(fesetround(modes[i % 4]) == 0);
    double before = one / three;
    pause_here(i);
    check(fegetround() == modes[i % 4] && one / three == before);
    check((before > 0.33333333333333331) == (modes[i % 4] == FE_UPWARD));
    return arg;
}

static void rounding(void) {
    all(own_rounding, 1);
    check(fegetround() == FE_TONEAREST);
}

static void *own_locale(void *arg) {
    intptr_t i = (intptr_t)arg;
    locale_t utf8 = newlocale(LC_ALL_MASK, "C.UTF-8", NULL), c = newlocale(LC_ALL_MASK, "C", NULL);
    check(utf8 && c && uselocale(NULL) == LC_GLOBAL_LOCALE);
    uselocale(i % 2 ? utf8 : c);
    pause_here(i);
    check(uselocale(NULL) == (i % 2 ? utf8 : c));
    check(MB_CUR_MAX == (i % 2 ? 6 : 1) && toupper('a') == 'A' && isalpha('z'));
    uselocale(LC_GLOBAL_LOCALE);
    freelocale(utf8), freelocale(c);
    return arg;
}

static void locales(void) { all(own_locale, 1); }

static void *own_message(void *arg) {
    intptr_t i = (intptr_t)arg;
    char expected[64];
    snprintf(expected, sizeof expected, "Unknown error %ld", 5000 + (long)i);
    const char *message = strerror(5000 + i), *failure;
    dlopen("/nonexistent.so", RTLD_NOW + (i % 2 ? 0 : 4096));
    pause_here(i);
    check(strcmp(message, expected) == 0);
    check((failure = dlerror()) && dlerror() == NULL);
    return arg;
}

static void messages(void) { all(own_message, 1); }

/* What must not differ: the process, its directory, its environment. */
static void *own_name(void *arg) {
    char name[16], read_back[16] = "";
    snprintf(name, sizeof name, "thread %ld", (long)(intptr_t)arg);
    must(prctl(PR_SET_NAME, name));
    pause_here((intptr_t)arg);
    must(prctl(PR_GET_NAME, read_back));
    check(strcmp(name, read_back) == 0);
    return arg;
}

static void names(void) {
    char before[16], after[16];
    must(prctl(PR_GET_NAME, before));
    all(own_name, 1);
    must(prctl(PR_GET_NAME, after));
    check(strcmp(before, after) == 0);
}

static void *change_shared(void *arg) {
    must(chdir("/proc"));
    must(setenv("shared", "by all", 1));
    return arg;
}

static void shared(void) {
    char directory[100];
    join(spawn(change_shared, NULL));
    puts(getcwd(directory, sizeof directory));
    puts(getenv("shared"));
}

int main(int argc, char **argv) {
    struct test tests[] = {CASE(errnos),        CASE(program),    CASE(library_before), CASE(library_after), CASE(self),
                           CASE(tid),           CASE(keys_own),   CASE(keys_again),     CASE(keys_waiting),
                           CASE(rounding),      CASE(locales),    CASE(messages),       CASE(names), CASE(shared)};
    return RUN(argc, argv, tests);
}
