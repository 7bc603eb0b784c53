/* A library with thread-locals of its own; built also with initial-exec (static) TLS, where room is scarce. */
#include <stdint.h>

#ifndef SIZE
#define SIZE 5000
#endif

static __thread intptr_t value = 22;
static __thread char block[SIZE] = "image";

intptr_t library_swap(intptr_t next) {
    intptr_t before = value;
    value = next;
    return before;
}

/* 0 while the image of the block is as it was linked and its rest zero. */
int library_spoilt(void) {
    int sum = 0;
    for (int i = 6; i < SIZE; i++) sum |= block[i];
    return sum || block[0] != 'i' || block[4] != 'e';
}
