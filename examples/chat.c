#define _GNU_SOURCE
/* A chat: what one client says, all the others hear. The first line of each is its name. Every client has a queue and a
 * thread that writes from it, so that a slow reader holds up nobody. */
#include <eventlet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct client {
    int socket;
    char name[32];
    eventlet_queue *lines;
    struct client *next;
};

static struct client *clients;

static void *writes(void *arg) {
    struct client *client = arg;
    void *line;
    while (eventlet_queue_get(client->lines, &line, -1) == 0 && line) {
        size_t length = strlen(line);
        int gone = write(client->socket, line, length) != (ssize_t)length;
        free(line);
        if (gone) break;
    }
    return NULL;
}

/* A line for everyone but the speaker. Who has 100 lines unread misses this one. */
static void tell(struct client *speaker, const char *verb, const char *text) {
    for (struct client *client = clients; client; client = client->next) {
        char *line = NULL;
        if (client == speaker || asprintf(&line, "%s%s%s\n", speaker->name, verb, text) < 0) continue;
        if (eventlet_queue_put(client->lines, line, 0) < 0) free(line);
    }
}

/* Without its newline; NULL at the end. */
static char *hear(FILE *stream, char *line, int room) {
    if (!fgets(line, room, stream)) return NULL;
    line[strcspn(line, "\r\n")] = 0;
    return line;
}

static void talks(int socket, const struct sockaddr *peer, socklen_t length, void *ctx) {
    (void)peer, (void)length, (void)ctx;
    struct client self = {.socket = socket, .lines = eventlet_queue_new(100)};
    char line[1000];
    FILE *stream = fdopen(dup(socket), "r");
    eventlet_thread *writer = eventlet_spawn(writes, &self);
    if (hear(stream, line, sizeof line) && strcmp(line, "stop")) {
        snprintf(self.name, sizeof self.name, "%.31s", line);
        self.next = clients;
        clients = &self;
        tell(&self, " is here", "");
        while (hear(stream, line, sizeof line)) tell(&self, ": ", line);
        for (struct client **place = &clients; *place; place = &(*place)->next)
            if (*place == &self) {
                *place = self.next;
                break;
            }
        tell(&self, " is gone", "");
        line[0] = 0;
    }
    eventlet_queue_put(self.lines, NULL, -1);
    eventlet_wait(writer, NULL);
    eventlet_release(writer);
    eventlet_queue_delete(self.lines);
    fclose(stream);
    if (!strcmp(line, "stop")) eventlet_stop_serve();
}

int main(int argc, char **argv) {
    int listener = eventlet_listen(argc > 1 ? argv[1] : "127.0.0.1:0", NULL);
    if (listener < 0) return perror("listen"), 1;
    struct sockaddr_in name;
    socklen_t length = sizeof name;
    if (argc < 2 && getsockname(listener, (struct sockaddr *)&name, &length) == 0) {
        printf("%d\n", ntohs(name.sin_port));
        fflush(stdout);
    }
    return eventlet_serve(listener, talks, NULL, 0) < 0 ? perror("serve"), 1 : 0;
}
