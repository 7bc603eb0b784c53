/* OpenBLAS multiplies with a pool of real threads, for threads of the program. */
#include "../prog.h"
#include <dirent.h>

enum { N = 300, THREADS = 4, ROUNDS = 3 };
enum { ROW_MAJOR = 101, NO_TRANS = 111 };
void cblas_dgemm(int order, int trans_a, int trans_b, int m, int n, int k, double alpha, const double *a, int lda, const double *b, int ldb,
                 double beta, double *c, int ldc);
int openblas_get_num_threads(void);

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t cond = PTHREAD_COND_INITIALIZER;
static int done;

static void *multiply(void *arg) {
    double *a = malloc(3 * N * N * sizeof *a), *b = a + N * N, *c = b + N * N, trace = 0;
    for (int round = 0; round < ROUNDS; round++) {
        for (int i = 0; i < N * N; i++) a[i] = i % 7 + (intptr_t)arg, b[i] = i % 5;
        cblas_dgemm(ROW_MAJOR, NO_TRANS, NO_TRANS, N, N, N, 1, a, N, b, N, 0, c, N);
        usleep(100);
    }
    for (int i = 0; i < N; i++) trace += c[i * N + i];
    free(a);
    zero(pthread_mutex_lock(&lock));
    done++;
    zero(pthread_cond_signal(&cond));
    zero(pthread_mutex_unlock(&lock));
    return (void *)(intptr_t)trace;
}

/* The kernel's threads of this process. */
static int tasks(void) {
    int count = -2;
    DIR *folder = opendir("/proc/self/task");
    while (readdir(folder)) count++;
    closedir(folder);
    return count;
}

int main(void) {
    pthread_t threads[THREADS];
    check(tasks() >= openblas_get_num_threads());
    printf("a pool of %d\n", openblas_get_num_threads());
    for (intptr_t i = 0; i < THREADS; i++) threads[i] = spawn(multiply, (void *)i);
    zero(pthread_mutex_lock(&lock));
    while (done < THREADS) zero(pthread_cond_wait(&cond, &lock));
    zero(pthread_mutex_unlock(&lock));
    for (int i = 0; i < THREADS; i++) printf("%ld\n", (long)(intptr_t)join(threads[i]));
    return 0;
}
