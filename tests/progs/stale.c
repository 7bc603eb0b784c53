/* libc closes its netlink sockets out of sight: what comes under their number then is no socket. */
#include "prog.h"

#include <ifaddrs.h>
#include <net/if.h>
#include <sys/uio.h>

static char name[] = "/tmp/eventlet-stale-XXXXXX";

static void use(void) {
    char bytes[8] = "";
    FILE *stream = fopen(name, "w");
    check(stream && fputs("hello", stream) >= 0);
    show(fflush(stream));
    check(fclose(stream) == 0);
    stream = fopen(name, "r");
    check(stream != NULL);
    printf("%s\n", fgets(bytes, sizeof bytes, stream) ? bytes : "nothing");
    check(fclose(stream) == 0);
    int fd = must(open(name, O_RDWR));
    struct iovec one = {bytes, 2};
    show(readv(fd, &one, 1));
    show(writev(fd, &one, 1));
    must(close(fd));
}

static void *looks(void *arg) {
    struct ifaddrs *all;
    must(close(must(mkstemp(name))));
    for (int round = 0; round < 2; round++) {
        must(getifaddrs(&all));
        freeifaddrs(all);
        use();
        struct if_nameindex *names = if_nameindex();
        check(names != NULL);
        if_freenameindex(names);
        use();
    }
    must(unlink(name));
    return arg;
}

static void netlink(void) { join(spawn(looks, NULL)); }

int main(int argc, char **argv) {
    struct test tests[] = {CASE(netlink)};
    return RUN(argc, argv, tests);
}
