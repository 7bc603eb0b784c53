/* How sequences.c knows that nothing moves in its process any more. After prog.h. */
#include <dirent.h>
#include <sys/prctl.h>

enum { HIGH = 600 };

/* Another process looks at this one's kernel threads: on how many turns they were, or 0 while one of them runs. So nothing
 * is opened here meanwhile. */
static int observer, loopback;

static unsigned long turns(int task) {
    char path[64], text[4096] = "";
    snprintf(path, sizeof path, "/proc/%d/task/%d/status", getppid(), task);
    int file = open(path, O_RDONLY);
    ssize_t length = read(file, text, sizeof text - 1);
    close(file);
    if (length <= 0) return 1;
    const char *state = strstr(text, "State:\t"), *turns = strstr(text, "\nvoluntary_ctxt_switches:\t");
    if (!state || !turns || !strchr("SZX", state[7])) return 0;
    return 1 + strtoul(turns + 26, NULL, 10) + strtoul(strchr(turns + 26, ':') + 1, NULL, 10);
}

static void observe(int channel) {
    char path[64], asked;
    snprintf(path, sizeof path, "/proc/%d/task", getppid());
    while (read(channel, &asked, 1) == 1) {
        unsigned long sum = 1;
        DIR *tasks = opendir(path);
        for (struct dirent *entry; tasks && sum && (entry = readdir(tasks));) {
            int task = atoi(entry->d_name);
            if (task == 0 || task == getppid()) continue;
            unsigned long count = turns(task);
            sum = count ? sum + count : 0;
        }
        if (tasks) closedir(tasks);
        if (write(channel, &sum, sizeof sum) != sizeof sum) break;
    }
    _exit(0);
}

static int high(int fd) {
    int moved = must(fcntl(fd, F_DUPFD_CLOEXEC, HIGH));
    must(close(fd));
    return moved;
}

static void start_observer(void) {
    int ends[2];
    must(socketpair(AF_UNIX, SOCK_STREAM, 0, ends));
    if (must(fork()) == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        close(ends[0]);
        observe(ends[1]);
    }
    must(close(ends[1]));
    observer = high(ends[0]);
    loopback = high(must(socket(AF_INET, SOCK_DGRAM, 0)));
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof address;
    must(bind(loopback, (struct sockaddr *)&address, size));
    must(getsockname(loopback, (struct sockaddr *)&address, &size));
    must(connect(loopback, (struct sockaddr *)&address, size));
}

/* All is on one processor, whose packets go through one queue: what was there before this datagram has arrived, and by the
 * last one also the answers. */
static void flush_loopback(void) {
    char byte = 0;
    for (int i = 0; i < 4; i++) {
        must(send(loopback, &byte, 1, 0));
        must(recv(loopback, &byte, 1, 0));
    }
}

static unsigned long ask_observer(void) {
    char ask = 0;
    unsigned long answer;
    send_all(observer, &ask, 1);
    read_all(observer, &answer, sizeof answer);
    return answer;
}
