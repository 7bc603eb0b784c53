/* The blocking library of examples/import.c. */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

long ask(const char *host, int port, int number) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port)};
    inet_pton(AF_INET, host, &address.sin_addr);
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    char c = (char)number;
    long answer = -1;
    if (connect(fd, (struct sockaddr *)&address, sizeof address) == 0 && write(fd, &c, 1) == 1 && read(fd, &c, 1) == 1) answer = c;
    close(fd);
    return answer;
}
