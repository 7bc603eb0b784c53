/* ask PORT CONNECTIONS COUNT REQUEST: sends REQUEST (printf's escapes are the caller's) on each of its connections, one
 * outstanding on each, until COUNT answers came. The first answer tells how long all are. */
#include "bench.h"
#include <arpa/inet.h>
#include <poll.h>
#include <sys/socket.h>

static const char *request;
static size_t length;

static void send_request(int fd)
{
    check(send(fd, request, length, 0) == (ssize_t)length, "send");
}

int main(int argc, char **argv)
{
    check(argc == 5, "usage: ask PORT CONNECTIONS COUNT REQUEST");
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_port = htons((uint16_t)number(argv[1])),
                                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    long connections = number(argv[2]), count = number(argv[3]), asked = 0, done = 0, whole = 0;
    static char answer[65536];
    struct pollfd *set = calloc((size_t)connections, sizeof *set);
    long *got = calloc((size_t)connections, sizeof *got);
    check(set != NULL && got != NULL, "calloc");
    request = argv[4];
    length = strlen(request);
    for (long i = 0; i < connections; i++) {
        set[i] = (struct pollfd){.fd = socket(AF_INET, SOCK_STREAM, 0), .events = POLLIN};
        check(connect(set[i].fd, (struct sockaddr *)&address, sizeof address) == 0, "connect");
    }
    send_request(set[0].fd);
    for (ssize_t part; whole == 0 || poll(&set[0], 1, 100) == 1; whole += part)
        check((part = recv(set[0].fd, answer, sizeof answer, 0)) > 0, "recv");
    for (; asked < connections && asked < count; asked++)
        send_request(set[asked].fd);
    while (done < count) {
        check(poll(set, (nfds_t)connections, 10000) > 0, "no answer for ten seconds");
        for (long i = 0; i < connections; i++) {
            if (!set[i].revents)
                continue;
            ssize_t part = recv(set[i].fd, answer, sizeof answer, 0);
            check(part > 0, "the server closed a connection");
            got[i] += part;
            if (got[i] < whole)
                continue;
            check(got[i] == whole, "an answer of another length");
            got[i] = 0;
            done++;
            if (asked < count) {
                asked++;
                send_request(set[i].fd);
            }
        }
    }
    return 0;
}
