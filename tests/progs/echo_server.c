/* A thread per connection that echoes. stdin is the control: "left" answers when every connection has ended, with the
 * threads and descriptors that are there; end of file stops the server. */
#include "prog.h"
#include <sys/resource.h>

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t idle = PTHREAD_COND_INITIALIZER;
static int alive, served;

static void *echo(void *arg) {
    int fd = (intptr_t)arg;
    char buffer[4096];
    ssize_t n;
    while ((n = must(read(fd, buffer, sizeof buffer))) > 0) send_all(fd, buffer, n);
    must(close(fd));
    pthread_mutex_lock(&lock);
    served++;
    if (--alive == 0) pthread_cond_broadcast(&idle);
    pthread_mutex_unlock(&lock);
    return NULL;
}

static void *serve(void *arg) {
    int server = (intptr_t)arg, fd;
    while ((fd = accept(server, NULL, NULL)) >= 0) {
        pthread_mutex_lock(&lock);
        alive++;
        pthread_mutex_unlock(&lock);
        zero(pthread_detach(spawn(echo, (void *)(intptr_t)fd)));
    }
    check(errno == EINVAL);
    return NULL;
}

/* The descriptors a program can have got; a library keeps its own above. */
static int descriptors(void) {
    int count = 0;
    for (int fd = 0; fd < 4096; fd++) count += fcntl(fd, F_GETFD) >= 0;
    return count;
}

int main(void) {
    struct rlimit files;
    must(getrlimit(RLIMIT_NOFILE, &files));
    files.rlim_cur = files.rlim_max;
    must(setrlimit(RLIMIT_NOFILE, &files));
    struct sockaddr_in address;
    int server = listener(4096, &address);
    int before = descriptors();
    pthread_t acceptor = spawn(serve, (void *)(intptr_t)server);
    printf("port %d\n", ntohs(address.sin_port));
    fflush(stdout);
    char line[64];
    while (must(read(0, line, sizeof line)) > 0) {
        pthread_mutex_lock(&lock);
        while (alive > 0 || served == 0) pthread_cond_wait(&idle, &lock);
        printf("served %d alive %d descriptors %+d\n", served, alive, descriptors() - before);
        pthread_mutex_unlock(&lock);
        fflush(stdout);
    }
    must(shutdown(server, SHUT_RDWR));
    join(acceptor);
    return 0;
}
