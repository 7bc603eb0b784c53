/* A library whose constructor waits for a byte from the descriptor in DEEP_FD. */
#include <stdlib.h>
#include <unistd.h>

int value_of_library;

__attribute__((constructor)) static void wait_for_byte(void) {
    char byte = 0;
    while (read(atoi(getenv("DEEP_FD")), &byte, 1) != 1) {}
    value_of_library = byte;
}
