/* What the library of import_library.c needs in turn. */
#include <unistd.h>

int deeper_read(int fd) {
    char c = 0;
    return read(fd, &c, 1) == 1 ? c : -1;
}
