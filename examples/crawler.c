/* A crawler: from one page of a host to every page that its links lead to, each once, ten at a time.
 *
 *     crawler 127.0.0.1:8000 /index.html
 *
 * Addresses wait in a queue; the crawl is done when every address that was put was also done with. */
#define _GNU_SOURCE
#include <eventlet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { WORKERS = 10, PAGES = 10000 };

static const char *host;
static eventlet_queue *todo;
static char *seen[PAGES];
static int pages;

static void add(const char *path, size_t length) {
    for (int i = 0; i < pages; i++)
        if (strlen(seen[i]) == length && !memcmp(seen[i], path, length)) return;
    if (pages == PAGES) return;
    eventlet_queue_put(todo, seen[pages] = strndup(path, length), -1);
    pages++;
}

/* The whole answer, NULL if there is none. */
static char *fetch(const char *path) {
    int socket = eventlet_connect(host, &(eventlet_connect_options){.timeout = 10});
    if (socket < 0) return NULL;
    dprintf(socket, "GET %s HTTP/1.0\r\n\r\n", path);
    size_t length = 0, room = 4096;
    char *page = malloc(room);
    ssize_t n;
    while ((n = read(socket, page + length, room - length - 1)) > 0)
        if ((length += n) > room / 2) page = realloc(page, room *= 2);
    close(socket);
    page[length] = 0;
    return page;
}

static void *crawls(void *arg) {
    (void)arg;
    void *path;
    while (eventlet_queue_get(todo, &path, -1) == 0) {
        char *page = fetch(path), *body = page ? strstr(page, "\r\n\r\n") : NULL;
        for (char *link = body; link && (link = strstr(link, "href=\"/"));) {
            link += 6;
            add(link, strcspn(link, "\"#"));
        }
        printf("%s: %s\n", (char *)path, body ? "fetched" : "failed");
        free(page);
        eventlet_queue_task_done(todo);
    }
    return NULL;
}

int main(int argc, char **argv) {
    if (argc != 3) return fprintf(stderr, "usage: crawler HOST:PORT PATH\n"), 2;
    host = argv[1];
    todo = eventlet_queue_new(-1);
    add(argv[2], strlen(argv[2]));
    for (int i = 0; i < WORKERS; i++) eventlet_spawn_n(crawls, NULL);
    eventlet_queue_join(todo, -1);
    return 0;
}
