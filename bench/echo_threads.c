/* echo_threads: one thread per connection, plain read and write. The program that a green thread must make cheap. */
#include "server.h"
#include <pthread.h>

static void *serve(void *arg)
{
    int fd = (int)(intptr_t)arg;
    char buffer[4096];
    ssize_t got;
    while ((got = read(fd, buffer, sizeof buffer)) > 0)
        if (write(fd, buffer, (size_t)got) != got)
            break;
    close(fd);
    return NULL;
}

int main(void)
{
    int listener = listen_and_tell();
    pthread_attr_t attributes;
    pthread_attr_init(&attributes);
    pthread_attr_setstacksize(&attributes, 256 * 1024);
    pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
    for (;;) {
        pthread_t thread;
        int fd = accept(listener, NULL, NULL);
        check(fd >= 0, "accept");
        no_delay(fd);
        errno = pthread_create(&thread, &attributes, serve, (void *)(intptr_t)fd);
        check(errno == 0, "pthread_create");
    }
}
