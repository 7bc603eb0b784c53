/* A library with thread-locals, for tests/identity. */
#ifndef BIG
#define BIG 5000
#endif
__thread int value = 22;
__thread char big[BIG] = {7};

int *value_address(void) { return &value; }
int big_sum(void) { return big[0] + big[BIG - 1]; }
