/* A listening socket on a free loopback port; the port is printed on stdout. */
#include "bench.h"
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

static inline int listen_and_tell(void)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t length = sizeof address;
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    check(listener >= 0, "socket");
    check(bind(listener, (struct sockaddr *)&address, length) == 0, "bind");
    check(listen(listener, 4096) == 0, "listen");
    check(getsockname(listener, (struct sockaddr *)&address, &length) == 0, "getsockname");
    printf("%d\n", ntohs(address.sin_port));
    fflush(stdout);
    return listener;
}

static inline void no_delay(int fd)
{
    int one = 1;
    check(setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one) == 0, "TCP_NODELAY");
}
