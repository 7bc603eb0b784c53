/* A handler jumps out of a call that is made natively; then a loop without a call waits for another thread. */
#include "prog.h"

#include <setjmp.h>
#include <sys/select.h>

static sigjmp_buf out;
static volatile int flag;
static void jumps(int sig) { siglongjmp(out, sig); }

static void *sets(void *arg) {
    for (int i = 0; i < 1000 && !flag; i++) sched_yield();
    flag = 1;
    return arg;
}

int main(void) {
    pthread_t other = spawn(sets, NULL);
    join(other);
    must(signal(SIGALRM, jumps) == SIG_ERR ? -1 : 0);
    for (int round = 0; round < 3; round++) {
        if (!sigsetjmp(out, 1)) {
            ualarm(2000, 0);
            select(0, NULL, NULL, NULL, NULL);
        }
        flag = 0;
        other = spawn(sets, NULL);
        while (!flag) {}
        join(other);
    }
    puts("went on");
    return 0;
}
