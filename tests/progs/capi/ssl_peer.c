/* One side of TLS, for a peer in another process; CERTS names the folder of certificates.
 *   serve CLIENTS [ALPN]     prints its port, then what each client sends and how it ended, and sends it back in upper case
 *   check CLIENTS            the same; clients need a certificate
 *   talk PORT HOST [ALPN]    sends stdin, shuts down, prints what comes
 *   leave PORT HOST          sends a lot and leaves without a close */
#include "capi.h"

#include <arpa/inet.h>
#include <ctype.h>

static char paths[4][512];
static const char *path(int place, const char *file) {
    snprintf(paths[place], sizeof paths[0], "%s/%s", getenv("CERTS"), file);
    return paths[place];
}

static void *serves(void *arg) {
    int fd = (int)(intptr_t)arg;
    char bytes[4096], alpn[64] = "";
    ssize_t count;
    long total = 0;
    if (eventlet_ssl_info(fd, EVENTLET_SSL_ALPN, alpn, sizeof alpn) < 0) {
        printf("no handshake: %s\n", eventlet_ssl_error());
        close(fd);
        return NULL;
    }
    while ((count = read(fd, bytes, sizeof bytes)) > 0) {
        total += count;
        for (int i = 0; i < count; i++) bytes[i] = toupper((unsigned char)bytes[i]);
        if (write(fd, bytes, count) != count) break;
    }
    printf("%s %ld bytes, then %s\n", alpn, total, count < 0 ? strerrorname_np(errno) : "the end");
    close(fd);
    return NULL;
}

static int serve(eventlet_ssl_options *options, int clients) {
    struct sockaddr_in address;
    int fd = eventlet_wrap_ssl(listener(100, &address), options);
    if (fd < 0) die(eventlet_ssl_error());
    printf("port %d\n", ntohs(address.sin_port));
    eventlet_pool *pool = eventlet_pool_new(100);
    for (int i = 0; i < clients; i++) eventlet_pool_spawn_n(pool, serves, N(must(accept(fd, NULL, NULL))));
    return eventlet_pool_waitall(pool);
}

static void *sends(void *arg) {
    char bytes[4096];
    ssize_t count;
    int fd = (int)(intptr_t)arg;
    while ((count = read(0, bytes, sizeof bytes)) > 0) send_all(fd, bytes, count);
    shutdown(fd, SHUT_WR);
    return NULL;
}

int main(int argc, char **argv) {
    setvbuf(stdout, NULL, _IOLBF, 0);
    eventlet_ssl_options options = {0};
    check(argc > 2);
    options.cafile = path(0, "ca.pem");
    if (!strcmp(argv[1], "serve") || !strcmp(argv[1], "check")) {
        options.server_side = 1;
        options.certfile = path(1, "server.pem");
        options.keyfile = path(2, "server.key");
        options.verify = argv[1][0] == 'c';
        if (argc > 3) options.alpn = argv[3];
        return serve(&options, atoi(argv[2]));
    }
    if (getenv("CLIENT")) {
        options.certfile = path(1, "client.pem");
        options.keyfile = path(2, "client.key");
    }
    options.hostname = argv[3];
    if (argc > 4) options.alpn = argv[4];
    struct sockaddr_in address = {AF_INET, htons(atoi(argv[2])), {htonl(INADDR_LOOPBACK)}, {0}};
    int fd = eventlet_wrap_ssl(dial(&address), &options);
    if (fd < 0) {
        printf("%s: %s\n", strerrorname_np(errno), eventlet_ssl_error());
        return 1;
    }
    char bytes[4096], text[64];
    ssize_t count;
    if (argv[1][0] == 'l') {
        static char lot[300000];
        /* A part of it in a stream's buffer. */
        FILE *stream = fdopen(fd, "w");
        check(fwrite(lot, 1, sizeof lot, stream) == sizeof lot);
        return 0;
    }
    must(eventlet_ssl_info(fd, EVENTLET_SSL_VERSION, text, sizeof text));
    printf("%s", text);
    must(eventlet_ssl_info(fd, EVENTLET_SSL_ALPN, text, sizeof text));
    printf(" \"%s\"\n", text);
    eventlet_spawn_n(sends, N(fd));
    while ((count = read(fd, bytes, sizeof bytes)) > 0) fwrite(bytes, 1, count, stdout);
    if (count < 0) printf("%s: %s\n", strerrorname_np(errno), eventlet_ssl_error());
    close(fd);
    return 0;
}
