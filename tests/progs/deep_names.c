/* Names are resolved inside libc. The name server is a thread of ours that answers only when all have asked. */
#include "prog.h"
#include <arpa/inet.h>
#include <arpa/nameser.h>
#include <netdb.h>
#include <resolv.h>

static int server;
static struct sockaddr_in address;

struct question {
    struct sockaddr_in from;
    unsigned char text[512];
    ssize_t size;
};

/* Answers A with 127.0.0.N, N the third character of the name as a digit; everything else with nothing. */
static void answer(struct question *question) {
    unsigned char *text = question->text, reply[600];
    size_t end = 12;
    while (text[end]) end += text[end] + 1u;
    end += 5;
    int is_a = text[end - 3] == ns_t_a;
    memcpy(reply, text, end);
    reply[2] = 0x81, reply[3] = 0x80;
    reply[6] = 0, reply[7] = is_a, memset(reply + 8, 0, 4);
    unsigned char record[16] = {0xc0, 12, 0, ns_t_a, 0, ns_c_in, 0, 0, 0, 0, 0, 4, 127, 0, 0, text[15] - '0'};
    if (is_a) memcpy(reply + end, record, sizeof record), end += sizeof record;
    must(sendto(server, reply, end, 0, (struct sockaddr *)&question->from, sizeof question->from));
}

/* Collects as many questions as `count` says, then answers them and all that follow. */
static void *serve(void *count) {
    static struct question questions[16];
    int wanted = (int)(intptr_t)count, got = 0;
    for (;;) {
        struct question *question = &questions[got % 16];
        socklen_t size = sizeof question->from;
        question->size = must(recvfrom(server, question->text, sizeof question->text, 0, (struct sockaddr *)&question->from, &size));
        if (question->size == 1) return NULL;
        if (++got < wanted) continue;
        if (got == wanted) {
            breathe();
            for (int i = 0; i < wanted; i++) answer(&questions[i]);
        } else {
            answer(question);
        }
    }
}

static void make_server(void) {
    socklen_t size = sizeof address;
    server = must(socket(AF_INET, SOCK_DGRAM, 0));
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    must(bind(server, (struct sockaddr *)&address, size));
    must(getsockname(server, (struct sockaddr *)&address, &size));
}

static void end_server(pthread_t thread) {
    must(sendto(server, "", 1, 0, (struct sockaddr *)&address, sizeof address));
    join(thread);
}

/* The calling thread's resolver asks our server, and waits long enough for a loaded machine. */
static void use_server(void) {
    must(res_init());
    _res.nscount = 1;
    _res.nsaddr_list[0] = address;
    _res.retrans = 20;
    _res.retry = 1;
}

static void *by_getaddrinfo(void *name) {
    use_server();
    struct addrinfo hints = {.ai_family = AF_INET, .ai_socktype = SOCK_STREAM}, *found;
    int error = getaddrinfo(name, "80", &hints, &found);
    if (error) return strdup(gai_strerror(error));
    char *text = strdup(inet_ntoa(((struct sockaddr_in *)found->ai_addr)->sin_addr));
    freeaddrinfo(found);
    return text;
}

static void *by_any_family(void *name) {
    use_server();
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM}, *found;
    int error = getaddrinfo(name, "80", &hints, &found);
    if (error) return strdup(gai_strerror(error));
    char *text = strdup(inet_ntoa(((struct sockaddr_in *)found->ai_addr)->sin_addr));
    freeaddrinfo(found);
    return text;
}

static void *by_gethostbyname(void *name) {
    use_server();
    /* The static buffer may be the other thread's by now. */
    return strdup(gethostbyname(name) ? "found" : "not found");
}

static void *by_query(void *name) {
    use_server();
    unsigned char reply[512];
    int size = res_query(name, ns_c_in, ns_t_a, reply, sizeof reply);
    char *text;
    check(asprintf(&text, "%d bytes end in %d", size, size > 0 ? reply[size - 1] : -1) > 0);
    return text;
}

static char *said(int error, const struct hostent *found) {
    char *text;
    const char *first = found && found->h_addr_list[0] ? inet_ntoa(*(struct in_addr *)found->h_addr_list[0]) : "nothing";
    check(asprintf(&text, "%d %s", error, first) > 0);
    return text;
}

static void *by_reentrant(void *name) {
    use_server();
    char room[1024];
    struct hostent host, *found;
    int error;
    gethostbyname_r(name, &host, room, sizeof room, &found, &error);
    return said(found ? 0 : error, found);
}

static void *by_reentrant2(void *name) {
    use_server();
    char room[1024];
    struct hostent host, *found;
    int error;
    gethostbyname2_r(name, AF_INET, &host, room, sizeof room, &found, &error);
    return said(found ? 0 : error, found);
}

static void *by_search(void *name) {
    use_server();
    unsigned char reply[512];
    return strdup(res_search(name, ns_c_in, ns_t_a, reply, sizeof reply) > 0 ? "found" : "not found");
}

static void *by_state(void *name) {
    struct __res_state state = {0};
    must(res_ninit(&state));
    state.nscount = 1, state.nsaddr_list[0] = address, state.retrans = 20, state.retry = 1;
    unsigned char reply[512];
    int size = res_nquery(&state, name, ns_c_in, ns_t_a, reply, sizeof reply);
    res_nclose(&state);
    return strdup(size > 0 ? "found" : "not found");
}

/* Addresses kept for documentation; the name's third character makes the difference. */
static struct sockaddr_in documented(const char *name) {
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(0xcb007100 | (name[2] - '0'))};
    return at;
}

static void *by_nameinfo(void *name) {
    use_server();
    struct sockaddr_in at = documented(name);
    char host[256];
    return strdup(gai_strerror(getnameinfo((struct sockaddr *)&at, sizeof at, host, sizeof host, NULL, 0, NI_NAMEREQD)));
}

static void *by_address(void *name) {
    use_server();
    struct sockaddr_in at = documented(name);
    char room[1024];
    struct hostent host, *found;
    int error;
    gethostbyaddr_r(&at.sin_addr, sizeof at.sin_addr, AF_INET, &host, room, sizeof room, &found, &error);
    return said(error, found);
}

static void ask(void *(*run)(void *), int questions, int together) {
    make_server();
    pthread_t thread = spawn(serve, (void *)(intptr_t)questions);
    char *names[] = {"ho3st.example.", "ho4st.example."};
    pthread_t threads[2];
    for (int i = 0; i < together; i++) threads[i] = spawn(run, names[i]);
    for (int i = 0; i < together; i++) {
        char *text = join(threads[i]);
        printf("%s %s\n", names[i], text);
        free(text);
    }
    end_server(thread);
}

static void addrinfo(void) { ask(by_getaddrinfo, 2, 2); }
static void families(void) { ask(by_any_family, 2, 1); }
/* The second one waits for the lock of the static buffer, not for the server. */
static void hostbyname(void) { ask(by_gethostbyname, 1, 2); }
static void query(void) { ask(by_query, 2, 2); }
static void reentrant(void) { ask(by_reentrant, 2, 2); }
static void reentrant2(void) { ask(by_reentrant2, 2, 2); }
static void search(void) { ask(by_search, 2, 2); }
static void state(void) { ask(by_state, 2, 2); }
static void nameinfo(void) { ask(by_nameinfo, 2, 2); }
static void hostbyaddr(void) { ask(by_address, 2, 2); }

int main(int argc, char **argv) {
    struct test tests[] = {CASE(addrinfo), CASE(families), CASE(hostbyname), CASE(query), CASE(reentrant),
                           CASE(reentrant2), CASE(search), CASE(state), CASE(nameinfo), CASE(hostbyaddr)};
    return RUN(argc, argv, tests);
}
