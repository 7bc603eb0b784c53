/* Trap: a descriptor passed in the middle of AF_UNIX data ends a read early, and what follows brings no edge. */
#include "prog.h"

static void pass(int through, int fd, const char *bytes, size_t size) {
    char control[CMSG_SPACE(sizeof fd)] = "";
    struct iovec part = {(void *)bytes, size};
    struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};
    struct cmsghdr *header = CMSG_FIRSTHDR(&message);
    *header = (struct cmsghdr){.cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS, .cmsg_len = CMSG_LEN(sizeof fd)};
    memcpy(CMSG_DATA(header), &fd, sizeof fd);
    check(must(sendmsg(through, &message, 0)) == (ssize_t)size);
}

/* Collects the text to its end; writes into each descriptor that comes. */
static void *collect(void *arg) {
    int fd = (intptr_t)arg, passed;
    char got[64] = "";
    for (;;) {
        char buffer[65] = "", control[CMSG_SPACE(sizeof fd)];
        struct iovec part = {buffer, 64};
        struct msghdr message = {
            .msg_iov = &part, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};
        if (must(recvmsg(fd, &message, 0)) == 0) break;
        strcat(got, buffer);
        if (message.msg_controllen == 0) continue;
        memcpy(&passed, CMSG_DATA(CMSG_FIRSTHDR(&message)), sizeof passed);
        send_all(passed, "through the passed one\n", 23);
        must(close(passed));
        strcat(got, "|");
    }
    return strdup(got);
}

static void *read_line(void *arg) {
    char *line = calloc(1, 64);
    read_all((intptr_t)arg, line, 23);
    return line;
}

int main(void) {
    for (int i = 0; i < 50; i++) {
        int ends[2], pipe_ends[2];
        must(socketpair(AF_UNIX, SOCK_STREAM, 0, ends));
        must(pipe(pipe_ends));
        pthread_t collector = spawn(collect, (void *)(intptr_t)ends[1]);
        pthread_t reader = spawn(read_line, (void *)(intptr_t)pipe_ends[0]);
        if (i % 2) breathe();
        send_all(ends[0], "abc", 3);
        pass(ends[0], pipe_ends[1], "d", 1);
        send_all(ends[0], "ef", 2);
        must(shutdown(ends[0], SHUT_WR));
        char *got = join(collector), *line = join(reader);
        check(strcmp(got, "abcd|ef") == 0 && strcmp(line, "through the passed one\n") == 0);
        free(got), free(line);
        must(close(ends[0])), must(close(ends[1])), must(close(pipe_ends[0])), must(close(pipe_ends[1]));
    }
    puts("abcd|ef");
}
