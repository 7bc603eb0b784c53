/* TLS server: an HTTPS server that answers every GET with the time and how it is spoken to. A client that is slow, or never
 * says anything, keeps nobody else waiting.
 *
 *     cc tls_server.c -leventlet -o tls_server
 *     openssl req -x509 -newkey rsa:2048 -nodes -keyout key.pem -out cert.pem -days 30 -subj /CN=localhost \
 *         -addext subjectAltName=DNS:localhost
 *     ./tls_server cert.pem key.pem 8443 & curl --cacert cert.pem https://localhost:8443/
 */
#include <arpa/inet.h>
#include <eventlet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

/* Plain blocking code on a stream: the descriptor carries the plaintext. */
static void *answer(void *arg) {
    FILE *client = fdopen((int)(long)arg, "r+");
    char line[2048], path[1024], version[16], cipher[64];
    if (!fgets(line, sizeof line, client)) {
        fprintf(stderr, "no request: %s\n", eventlet_ssl_error());
    } else if (sscanf(line, "GET %1023s", path) == 1) {
        while (fgets(line, sizeof line, client) && strcmp(line, "\r\n")) {}
        eventlet_ssl_info(fileno(client), EVENTLET_SSL_VERSION, version, sizeof version);
        eventlet_ssl_info(fileno(client), EVENTLET_SSL_CIPHER, cipher, sizeof cipher);
        time_t now = time(NULL);
        fflush(client);
        fprintf(client, "HTTP/1.0 200 OK\r\nContent-Type: text/plain\r\n\r\n%s by %s, %s", path, version, cipher);
        fprintf(client, "\nIt is %s", ctime(&now));
    }
    fclose(client);
    return NULL;
}

int main(int argc, char **argv) {
    if (argc != 4) {
        fprintf(stderr, "usage: %s CERT KEY PORT\n", argv[0]);
        return 2;
    }
    eventlet_monkey_patch(EVENTLET_ALL);
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(atoi(argv[3]))};
    socklen_t length = sizeof address;
    int plain = socket(AF_INET, SOCK_STREAM, 0), on = 1;
    setsockopt(plain, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (bind(plain, (struct sockaddr *)&address, length) || listen(plain, 128)) {
        perror("listen");
        return 1;
    }
    eventlet_ssl_options options = {.server_side = 1, .certfile = argv[1], .keyfile = argv[2]};
    int listener = eventlet_wrap_ssl(plain, &options);
    if (listener < 0) {
        fprintf(stderr, "%s\n", eventlet_ssl_error());
        return 1;
    }
    getsockname(listener, (struct sockaddr *)&address, &length);
    printf("port %d\n", ntohs(address.sin_port));
    fflush(stdout);
    eventlet_pool *clients = eventlet_pool_new(EVENTLET_POOL_SIZE);
    for (;;) {
        int client = accept(listener, NULL, NULL);
        if (client >= 0) eventlet_pool_spawn_n(clients, answer, (void *)(long)client);
    }
}
