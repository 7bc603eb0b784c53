/* An echo server: as many clients as come, one green thread each. The argument is an address: 127.0.0.1:7000, unix:/path.
 * Without one it takes a free port of this host, and says which. */
#include <eventlet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static void echo(int client, const struct sockaddr *peer, socklen_t length, void *ctx) {
    (void)peer, (void)length, (void)ctx;
    char buffer[4096];
    ssize_t n;
    while ((n = read(client, buffer, sizeof buffer)) > 0) {
        if (n == 5 && !memcmp(buffer, "stop\n", 5)) eventlet_stop_serve();
        if (write(client, buffer, n) != n) return;
    }
}

int main(int argc, char **argv) {
    int listener = eventlet_listen(argc > 1 ? argv[1] : "127.0.0.1:0", NULL);
    if (listener < 0) return perror("listen"), 1;
    if (argc < 2) {
        struct sockaddr_in name;
        socklen_t length = sizeof name;
        getsockname(listener, (struct sockaddr *)&name, &length);
        printf("%d\n", ntohs(name.sin_port));
        fflush(stdout);
    }
    if (eventlet_serve(listener, echo, NULL, 10000) < 0) return perror("serve"), 1;
    return 0;
}
