/* Parallel fetch: asks each "host port path" of stdin's lines by HTTP/1.0, ten at a time, and prints the
 * sizes of the answers in the order of the lines.
 *
 *     cc fetch.c -leventlet -o fetch && echo "localhost 8000 /" | ./fetch
 */
#include <errno.h>
#include <eventlet.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

struct page {
    char host[256], port[16], path[1024];
    long size;
};

/* Plain blocking code: it is the patched calls that let the other fetches go on. */
static void *fetch(void *arg) {
    struct page *page = arg;
    struct addrinfo hints = {0}, *address;
    hints.ai_socktype = SOCK_STREAM;
    if (getaddrinfo(page->host, page->port, &hints, &address)) eventlet_raise(EHOSTUNREACH);
    int fd = socket(address->ai_family, SOCK_STREAM, 0);
    int failed = connect(fd, address->ai_addr, address->ai_addrlen) ? errno : 0;
    freeaddrinfo(address);
    if (failed) {
        close(fd);
        eventlet_raise(failed);
    }
    char bytes[4096];
    int length = snprintf(bytes, sizeof bytes, "GET %s HTTP/1.0\r\nHost: %s\r\n\r\n", page->path, page->host);
    ssize_t count = write(fd, bytes, length);
    while ((count = read(fd, bytes, sizeof bytes)) > 0) page->size += count;
    close(fd);
    return page;
}

int main(void) {
    eventlet_monkey_patch(EVENTLET_ALL);
    eventlet_hub_exceptions(0);
    eventlet_pile *pile = eventlet_pile_new(10);
    char line[2048];
    while (fgets(line, sizeof line, stdin)) {
        struct page *page = calloc(1, sizeof *page);
        if (page && sscanf(line, "%255s %15s %1023s", page->host, page->port, page->path) == 3)
            eventlet_pile_spawn(pile, fetch, page);
    }
    void *result;
    for (int got; (got = eventlet_pile_next(pile, &result)) != 0;) {
        if (got == 1) {
            struct page *page = result;
            printf("%s%s: %ld bytes\n", page->host, page->path, page->size);
            free(page);
        } else {
            printf("failed: %s\n", strerror(errno));
        }
    }
    eventlet_pile_delete(pile);
    return 0;
}
