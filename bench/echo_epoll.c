/* echo_epoll: the same server as a hand-written edge-triggered loop on one thread. The floor. */
#include "server.h"
#include <sys/epoll.h>

/* As the threads do it: a read that comes short has emptied the socket, so no second read finds EAGAIN. */
static void serve(int fd)
{
    char buffer[4096];
    ssize_t got;
    do {
        got = recv(fd, buffer, sizeof buffer, MSG_DONTWAIT);
        if (got == 0 || (got < 0 && errno != EAGAIN)) {
            close(fd);
            return;
        }
        if (got > 0)
            check(send(fd, buffer, (size_t)got, 0) == got, "send");
    } while (got == sizeof buffer);
}

int main(void)
{
    int listener = listen_and_tell(), loop = epoll_create1(EPOLL_CLOEXEC);
    struct epoll_event events[1024], interest = {.events = EPOLLIN, .data.fd = listener};
    check(loop >= 0, "epoll_create1");
    check(epoll_ctl(loop, EPOLL_CTL_ADD, listener, &interest) == 0, "epoll_ctl");
    for (;;) {
        int count = epoll_wait(loop, events, 1024, -1);
        check(count >= 0 || errno == EINTR, "epoll_wait");
        for (int i = 0; i < count; i++) {
            int fd = events[i].data.fd;
            if (fd != listener) {
                serve(fd);
                continue;
            }
            fd = accept(listener, NULL, NULL);
            check(fd >= 0, "accept");
            no_delay(fd);
            interest.events = EPOLLIN | EPOLLRDHUP | EPOLLET;
            interest.data.fd = fd;
            check(epoll_ctl(loop, EPOLL_CTL_ADD, fd, &interest) == 0, "epoll_ctl");
        }
    }
}
