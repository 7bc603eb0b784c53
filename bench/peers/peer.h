/* What the C peers share. peer CASE SECONDS: prints the nanoseconds of CPU of one operation, over a run that takes so many
 * seconds at least. Without arguments: the cases' names, one a line. The same cases stand in each peer:
 *
 *   spawn_n    a thread without a result, made and run to its end; BATCH at a time
 *   spawn      a thread made, waited for, its result taken; one at a time
 *   switch-2   two threads that only let each other run
 *   switch-100 a hundred of them
 *   queue      an item through a queue with room for ROOM
 *   channel    an item from hand to hand
 *   pool       a thread made and run to its end, POOL at a time at most */
#include "../bench.h"

#define BATCH 100
#define ROOM 10
#define POOL 100

struct operation {
    const char *name;
    void (*run)(long count);
};

static inline int measure(const struct operation *cases, size_t length, int argc, char **argv)
{
    for (size_t i = 0; i < length; i++) {
        if (argc < 3) {
            puts(cases[i].name);
        } else if (strcmp(argv[1], cases[i].name) == 0) {
            double wanted = atof(argv[2]) * 1e9, spent = 0;
            long count;
            for (count = 1000; spent < wanted; count *= 2) {
                uint64_t start = now_ns(CLOCK_PROCESS_CPUTIME_ID);
                cases[i].run(count);
                spent = (double)(now_ns(CLOCK_PROCESS_CPUTIME_ID) - start);
            }
            printf("%.1f\n", spent / (double)(count / 2));
            return 0;
        }
    }
    return argc < 3 ? 0 : 2;
}
