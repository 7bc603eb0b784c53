/* What else is waited at: UDP with its errors, multicast, requests to the kernel, raw and packet sockets, ends of processes,
 * changes of files. Another thread gets on meanwhile, and ends each wait. What the kernel lacks or forbids is
 * said. */
#include "prog.h"
#include <linux/errqueue.h>
#include <linux/if_packet.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <netinet/ip_icmp.h>
#include <net/ethernet.h>
#include <poll.h>
#include <sys/fanotify.h>
#include <sys/mman.h>
#include <sys/pidfd.h>

static int fd;
static struct sockaddr_in here;
static socklen_t length = sizeof here;

static int bound(struct sockaddr_in *address) {
    int fd = must(socket(AF_INET, SOCK_DGRAM, 0));
    *address = (struct sockaddr_in){.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    must(bind(fd, (struct sockaddr *)address, length));
    must(getsockname(fd, (struct sockaddr *)address, &length));
    return fd;
}

/* A port where nobody listens: the answer of ICMP ends a wait, once. */
static void send_to_nobody(void) { check(must(send(fd, "x", 1, 0)) == 1); }

static void refused(void) {
    char bytes[64];
    struct sockaddr_in nobody;
    must(close(bound(&nobody)));
    fd = bound(&here);
    must(connect(fd, (struct sockaddr *)&nobody, length));
    pthread_t thread = later(send_to_nobody);
    show(recv(fd, bytes, sizeof bytes, 0));
    join(thread);
    send_to_nobody();
    show(send(fd, "x", 1, 0));
    send_to_nobody();
    struct pollfd one = {fd, POLLIN, 0};
    show(poll(&one, 1, -1));
    printf("%d\n", one.revents);
    int error;
    socklen_t size = sizeof error;
    must(getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &size));
    puts(strerrorname_np(error));
}

/* The same from the queue of errors. */
static void errors(void) {
    char bytes[64], control[512];
    struct sockaddr_in nobody;
    must(close(bound(&nobody)));
    fd = bound(&here);
    must(setsockopt(fd, SOL_IP, IP_RECVERR, &(int){1}, sizeof(int)));
    show(recv(fd, bytes, sizeof bytes, MSG_ERRQUEUE));
    must(connect(fd, (struct sockaddr *)&nobody, length));
    pthread_t thread = later(send_to_nobody);
    show(recv(fd, bytes, sizeof bytes, 0));
    join(thread);
    struct iovec part = {bytes, sizeof bytes};
    struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};
    show(recvmsg(fd, &message, MSG_ERRQUEUE));
    struct cmsghdr *header = CMSG_FIRSTHDR(&message);
    struct sock_extended_err *told = (void *)CMSG_DATA(header);
    printf("%s from ICMP %d\n", strerrorname_np(told->ee_errno), told->ee_origin == SO_EE_ORIGIN_ICMP);
    show(recvmsg(fd, &message, MSG_ERRQUEUE));
}

/* Longer than the room, and of no length. */
static void send_long(void) {
    check(must(sendto(fd, "long letter", 11, 0, (struct sockaddr *)&here, length)) == 11);
    check(must(sendto(fd, "long letter", 11, 0, (struct sockaddr *)&here, length)) == 11);
    check(must(sendto(fd, NULL, 0, 0, (struct sockaddr *)&here, length)) == 0);
}

static void lengths(void) {
    char bytes[4];
    int receiver = bound(&here);
    struct sockaddr_in there;
    fd = bound(&there);
    pthread_t thread = later(send_long);
    show(recv(receiver, bytes, 4, MSG_TRUNC));
    show(read(receiver, bytes, 4));
    show(recv(receiver, bytes, 4, 0));
    join(thread);
    show(send(fd, "x", 1, 0)); /* to nobody in particular */
    static char huge[70000];
    show(sendto(fd, huge, sizeof huge, 0, (struct sockaddr *)&here, length));
    show(sendto(fd, huge, 65000, 0, (struct sockaddr *)&here, length));
    show(recv(receiver, bytes, 4, MSG_TRUNC));
}

/* A group on the loopback interface. */
static struct sockaddr_in group;
static void send_to_group(void) { show(sendto(fd, "all", 3, 0, (struct sockaddr *)&group, length)); }

static void multicast(void) {
    char bytes[64];
    int receiver = must(socket(AF_INET, SOCK_DGRAM, 0));
    group = (struct sockaddr_in){.sin_family = AF_INET, .sin_addr.s_addr = htonl(0xefff0001)};
    must(bind(receiver, (struct sockaddr *)&group, length));
    must(getsockname(receiver, (struct sockaddr *)&group, &length));
    struct ip_mreq member = {.imr_multiaddr = group.sin_addr, .imr_interface.s_addr = htonl(INADDR_LOOPBACK)};
    fd = bound(&here);
    must(setsockopt(fd, SOL_IP, IP_MULTICAST_IF, &member.imr_interface, sizeof member.imr_interface));
    must(setsockopt(receiver, SOL_IP, IP_ADD_MEMBERSHIP, &member, sizeof member));
    pthread_t thread = later(send_to_group);
    ssize_t n = recv(receiver, bytes, sizeof bytes, 0);
    join(thread);
    printf("%zd\n", n);
}

/* A request to the kernel, whose answer is waited for by another thread. */
static void ask_kernel(void) {
    struct { struct nlmsghdr head; struct rtgenmsg body; } ask = {
        {sizeof ask, RTM_GETLINK, NLM_F_REQUEST | NLM_F_DUMP, 7, 0}, {AF_UNSPEC}};
    check(must(send(fd, &ask, sizeof ask, 0)) == sizeof ask);
}

static void netlink(void) {
    static char answer[65536];
    int done = 0, loopback = 0;
    fd = must(socket(AF_NETLINK, SOCK_RAW, NETLINK_ROUTE));
    must(bind(fd, (struct sockaddr *)&(struct sockaddr_nl){.nl_family = AF_NETLINK}, sizeof(struct sockaddr_nl)));
    pthread_t thread = later(ask_kernel);
    while (!done) {
        int n = must(recv(fd, answer, sizeof answer, 0));
        for (struct nlmsghdr *one = (void *)answer; NLMSG_OK(one, n); one = NLMSG_NEXT(one, n)) {
            if (one->nlmsg_type == NLMSG_DONE) done = 1;
            if (one->nlmsg_type == RTM_NEWLINK && ((struct ifinfomsg *)NLMSG_DATA(one))->ifi_index == 1) loopback = 1;
        }
    }
    join(thread);
    printf("loopback %d\n", loopback);
}

/* An echo by ICMP, and every frame of the loopback interface. */
static void ping(void) {
    struct icmphdr request = {.type = ICMP_ECHO, .un.echo = {htons(getpid() & 0xffff), htons(1)}};
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    unsigned sum = 0;
    for (size_t i = 0; i < sizeof request / 2; i++) sum += ((uint16_t *)&request)[i];
    request.checksum = ~((sum & 0xffff) + (sum >> 16));
    check(must(sendto(fd, &request, sizeof request, 0, (struct sockaddr *)&to, sizeof to)) == sizeof request);
}

static void raw(void) {
    char bytes[2048];
    struct icmphdr *reply;
    if ((fd = socket(AF_INET, SOCK_RAW, IPPROTO_ICMP)) < 0) {
        printf("no raw sockets: %s\n", strerrorname_np(errno));
        return join(later(tick)), (void)0;
    }
    int frames = must(socket(AF_PACKET, SOCK_DGRAM, htons(ETH_P_IP)));
    struct sockaddr_ll at = {.sll_family = AF_PACKET, .sll_protocol = htons(ETH_P_IP), .sll_ifindex = 1};
    must(bind(frames, (struct sockaddr *)&at, sizeof at));
    pthread_t thread = later(ping);
    do {
        must(recv(fd, bytes, sizeof bytes, 0));
        reply = (void *)(bytes + 20);
    } while (reply->type != ICMP_ECHOREPLY || reply->un.echo.id != htons(getpid() & 0xffff));
    join(thread);
    do must(recv(frames, bytes, sizeof bytes, 0));
    while (reply->type != ICMP_ECHOREPLY || reply->un.echo.id != htons(getpid() & 0xffff));
    puts("echoed, and seen");
}

/* SCTP, one to one. */
static void dial_sctp(void) {
    int client = must(socket(AF_INET, SOCK_STREAM, IPPROTO_SCTP));
    must(connect(client, (struct sockaddr *)&here, length));
    tick();
    check(must(send(client, "hello", 5, 0)) == 5);
    must(close(client));
}

static void sctp(void) {
    char bytes[64];
    if ((fd = socket(AF_INET, SOCK_STREAM, IPPROTO_SCTP)) < 0) {
        printf("THE KERNEL HAS NO SCTP: %s\n", strerrorname_np(errno));
        return join(later(tick)), (void)0;
    }
    here = (struct sockaddr_in){.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    must(bind(fd, (struct sockaddr *)&here, length));
    must(listen(fd, 4));
    must(getsockname(fd, (struct sockaddr *)&here, &length));
    pthread_t thread = later(dial_sctp);
    int peer = must(accept(fd, NULL, NULL));
    show(recv(peer, bytes, sizeof bytes, 0));
    show(recv(peer, bytes, sizeof bytes, 0));
    join(thread);
}

/* The end of a process. */
static pid_t child;
static void end_child(void) { must(kill(child, SIGKILL)); }

static void process(void) {
    if (!(child = must(fork()))) for (;;) pause();
    fd = must(pidfd_open(child, 0));
    struct pollfd one = {fd, POLLIN, 0};
    show(poll(&one, 1, 3));
    pthread_t thread = later(end_child);
    show(poll(&one, 1, -1));
    join(thread);
    siginfo_t info;
    must(waitid(P_PIDFD, fd, &info, WEXITED));
    printf("%d\n", info.si_status);
}

/* A mark on a file, by fanotify. */
static char path[] = "/tmp/other-kinds-XXXXXX";
static void touch(void) { must(close(must(open(path, O_RDONLY)))); }

static void marked(void) {
    must(close(must(mkstemp(path))));
    if ((fd = fanotify_init(FAN_CLASS_NOTIF, O_RDONLY)) < 0 || fanotify_mark(fd, FAN_MARK_ADD, FAN_OPEN, AT_FDCWD, path)) {
        printf("no fanotify: %s\n", strerrorname_np(errno));
        must(unlink(path));
        return join(later(tick)), (void)0;
    }
    struct fanotify_event_metadata event;
    pthread_t thread = later(touch);
    show(read(fd, &event, sizeof event) == sizeof event);
    join(thread);
    printf("opened %d\n", (event.mask & FAN_OPEN) != 0);
    must(unlink(path));
}

/* Packets in a pipe keep their boundaries; its size can be changed while somebody waits. */
static int ends[2];
static void widen(void) { must(fcntl(ends[1], F_SETPIPE_SZ, 8192)); }
static void write_packets(void) { send_all(ends[1], "first", 5), send_all(ends[1], "2nd", 3); }

static void pipes(void) {
    char bytes[64];
    must(pipe2(ends, O_DIRECT));
    pthread_t thread = later(write_packets);
    show(read(ends[0], bytes, 3));
    show(read(ends[0], bytes, sizeof bytes));
    join(thread);
    static char page[4096];
    must(pipe(ends));
    must(fcntl(ends[1], F_SETPIPE_SZ, 4096));
    send_all(ends[1], page, sizeof page);
    thread = later(widen);
    show(write(ends[1], page, sizeof page));
    join(thread);
    fd = must(memfd_create("other kinds", 0));
    show(write(fd, page, sizeof page)), show(read(fd, page, 1)), show(pread(fd, page, 10, 0));
}

int main(int argc, char **argv) {
    struct test tests[] = {CASE(refused), CASE(errors), CASE(lengths), CASE(multicast), CASE(netlink), CASE(raw),
                           CASE(sctp),    CASE(process), CASE(marked), CASE(pipes)};
    return RUN(argc, argv, tests);
}
