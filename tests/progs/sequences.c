/* A sequence of calls, one a line on stdin, done in several threads, and what each gave on stdout. Bare and preloaded it must
 * be the same.
 *
 * A conductor hands one call at a time to an idle worker and waits until everything rests: each worker is done or waits in
 * the kernel, and nothing is on its way through the loopback. So a call that waits is known by its waiting, not by the
 * time it takes; it stays with its worker, and ends where a later call lets it.
 *
 * Where the bare kernel leaves it to chance who gets what (two different calls that wait for the same bytes, a read while
 * a writer goes on), the conductor leaves the call out, or asks for less: it keeps a model of what leads where. Of calls
 * that are alike it does not matter which one is served. Numbers are those of slots; which descriptor is there, is part of
 * the answer. */
#include "sequences.h"
#include "at_rest.h"
#include <sched.h>
#include <semaphore.h>
#include <stdatomic.h>

enum { SLOTS = 16, WORKERS = 6, THINGS = 58, CLAIMS = 80, QUEUE = 16, NAMED = 460 };
enum { SMALL = 1000, IN_FLIGHT = 30000, LOOKS_ALIKE = 5 };
enum { READ_SIDE = 1, WRITE_SIDE = 2 };

/* What a descriptor stands for: the kernel's open file description. */
enum kind { UNCONNECTED, STREAM, TCP_STREAM, RECORDS, PIPE_OUT, PIPE_IN, EVENT, EPOLL, LISTENER };
static struct thing {
    enum kind kind;
    int peer; /* where its bytes go, or -1 */
    bool internet, read_timed, write_timed;
    long in_flight;   /* bytes that wait in it to be read */
    uint64_t watched; /* by an epoll */
    int queue[QUEUE], queued;
} things[THINGS];
static int thing_count;

static struct slot {
    int fd, thing;
} slots[SLOTS];

/* A side of a thing that a call waits for. */
struct claim {
    int thing, side;
    bool takes;
};

enum stage { IDLE, HANDED, RUNNING, DONE };
static struct worker {
    struct call call;
    atomic_int stage;
    sem_t go;
    bool timed, without_waiting;
    int claims;
    struct claim claim[CLAIMS];
} workers[WORKERS];
static atomic_ulong progress;
static bool accepting; /* a waiting accept holds a number, but not of a green thread: numbers differ from now on */
static atomic_int broken_pipes;

#define EACH_WAITING(p) for (struct worker *p = workers; p < workers + WORKERS; p++) if (atomic_load(&p->stage) == RUNNING)

static void *work(void *arg) {
    struct worker *w = arg;
    while (true) {
        must(sem_wait(&w->go));
        atomic_store(&w->stage, RUNNING);
        errno = 0;
        memset(w->call.bytes, '.', w->call.verb->traits & READS ? w->call.size : 0);
        w->call.given = w->call.verb->run(&w->call);
        w->call.error = errno;
        atomic_fetch_add(&progress, 1);
        atomic_store(&w->stage, DONE);
    }
    return NULL;
}

/* ---- rest ---- */

static unsigned long census(void) {
    for (int i = 0; i < WORKERS; i++) {
        int stage = atomic_load(&workers[i].stage);
        if (stage == HANDED || (stage == RUNNING && workers[i].timed)) return 0;
    }
    unsigned long answer = ask_observer();
    return answer ? answer + atomic_load(&progress) : 0;
}

/* Whether a green thread may wait there by looking again and again, every 10 ms at most. */
static bool naps(const struct worker *w) {
    const struct call *c = &w->call;
    if (c->verb->traits & WRITES && w->claims > 0 && things[w->claim[0].thing].kind == RECORDS) return true;
    if (!strcmp(c->verb->name, "connect")) return true;
    return c->verb->traits & READS && says(c, 3, 'p') && says(c, 3, 'w');
}

/* Several looks must be alike: green threads have no kernel threads, and get their turns while this one sleeps. */
static void settle(void) {
    time_t start = time(NULL);
    unsigned long before = 0;
    EACH_WAITING(p)
        if (naps(p)) usleep(15000);
    for (int alike = 0; alike < LOOKS_ALIKE;) {
        flush_loopback();
        unsigned long now = census();
        alike = now && now == before ? alike + 1 : 0;
        before = now;
        for (int i = 0; i < 2; i++) usleep(20);
        if (time(NULL) - start > 20) puts("no rest"), exit(3);
    }
}

/* ---- the model ---- */

static int new_thing(enum kind kind) {
    things[thing_count] = (struct thing){.kind = kind, .peer = -1};
    return thing_count++;
}

static void join_things(int a, int b) { things[a].peer = b, things[b].peer = a; }

static bool is_stream(int thing) {
    enum kind kind = things[thing].kind;
    return kind == STREAM || kind == TCP_STREAM || kind == PIPE_IN || kind == PIPE_OUT;
}

static void put(int slot, int fd, int thing) { slots[slot] = (struct slot){fd, thing}; }

/* Into the lowest free slot. */
static void put_anywhere(int fd, int thing) {
    for (int i = 0; i < SLOTS; i++)
        if (slots[i].thing < 0) return put(i, fd, thing);
    must(close(fd));
}

static void claim(struct worker *w, int thing, int side, bool takes) {
    check(w->claims < CLAIMS);
    w->claim[w->claims++] = (struct claim){thing, side, takes};
}

static void claim_watched(struct worker *w, int epoll, uint64_t *seen) {
    for (int thing = 0; thing < thing_count; thing++) {
        if (!(things[epoll].watched >> thing & 1) || *seen >> thing & 1) continue;
        *seen |= 1ull << thing;
        claim(w, thing, READ_SIDE | WRITE_SIDE, false);
        if (things[thing].kind == EPOLL) claim_watched(w, thing, seen);
    }
}

/* What the call may wait for. */
static void stake(struct worker *w) {
    const struct call *c = &w->call;
    int traits = c->verb->traits, first = slots[c->number[1] % SLOTS].thing;
    w->claims = 0, w->timed = false, w->without_waiting = false;
    if (traits & LOOKS) {
        uint64_t seen = 0;
        w->timed = c->number[1] > 0, w->without_waiting = c->number[1] == 0;
        for (int i = 2; i + 1 < c->words; i += 2) {
            int thing = slots[c->number[i]].thing;
            int side = (says(c, i + 1, 'o') ? WRITE_SIDE : 0) | (strpbrk(c->word[i + 1], "ipr") ? READ_SIDE : 0);
            if (thing < 0) continue;
            claim(w, thing, side, false);
            if (things[thing].kind == EPOLL) claim_watched(w, thing, &seen);
        }
        return;
    }
    if (first < 0) return;
    if (traits & WAITS) {
        uint64_t seen = 0;
        w->timed = c->number[2] > 0, w->without_waiting = c->number[2] == 0;
        claim(w, first, READ_SIDE, true);
        claim_watched(w, first, &seen);
    }
    if (traits & (READS | WRITES)) {
        w->timed = traits & READS ? things[first].read_timed : things[first].write_timed;
        w->without_waiting = fcntl(c->fd[1], F_GETFL) & O_NONBLOCK || says(c, traits & READS ? 3 : 4, 'd');
        claim(w, first, traits & READS ? READ_SIDE : WRITE_SIDE, true);
        if (!strcmp(c->verb->name, "connect") && slots[c->number[2]].thing >= 0)
            claim(w, slots[c->number[2]].thing, WRITE_SIDE, true);
    }
}

/* The calls that wait for `side` of a thing; `taking`, in order to change something there. */
static int waiting_for(int thing, int side, bool taking) {
    int count = 0;
    EACH_WAITING(p)
        for (int i = 0; i < p->claims; i++)
            if (p->claim[i].thing == thing && p->claim[i].side & side && (p->claim[i].takes || !taking)) {
                count++;
                break;
            }
    return count;
}

/* Whether it is left to chance who hears first of an error there. */
static bool turbulent(int thing) {
    const char *text = NULL;
    EACH_WAITING(p)
        for (int i = 0; i < p->claims; i++) {
            if (p->claim[i].thing != thing) continue;
            if (text && (strcmp(text, p->call.text) || p->claim[i].side & WRITE_SIDE)) return true;
            text = p->call.text;
        }
    return false;
}

static bool uses(const struct call *c, int fd) {
    if (c->verb->traits & LOOKS) {
        for (int i = 2; i + 1 < c->words; i += 2)
            if (c->fd[i] == fd) return true;
        return false;
    }
    return c->fd[1] == fd || (!strcmp(c->verb->name, "connect") && c->fd[2] == fd);
}

static bool is_used(int fd) {
    EACH_WAITING(p)
        if (uses(&p->call, fd)) return true;
    return false;
}

/* Whether `w` and the waiting `p` would contend for something. */
static bool contend(const struct worker *w, const struct worker *p) {
    bool alike = !strcmp(w->call.text, p->call.text);
    for (int i = 0; i < w->claims; i++)
        for (int j = 0; j < p->claims; j++) {
            const struct claim *a = &w->claim[i], *b = &p->claim[j];
            if (a->thing != b->thing || !(a->side & b->side) || (!a->takes && !b->takes)) continue;
            bool writes = w->call.verb->traits & WRITES;
            if (w->without_waiting && !writes) continue;
            if (!alike || says(&w->call, 3, 'w') || (writes && is_stream(a->thing))) return true;
        }
    return false;
}

static bool is_free(int slot) { return slot >= 0 && slot < SLOTS && slots[slot].thing < 0; }

/* Whether the answer is the same whoever comes first; may make the call smaller. */
static bool is_certain(struct worker *w) {
    struct call *c = &w->call;
    const char *name = c->verb->name;
    int traits = c->verb->traits, first = slots[c->number[1] % SLOTS].thing, second = slots[c->number[2] % SLOTS].thing;
    int peer = first < 0 ? -1 : things[first].peer;
    if (thing_count > THINGS - 2) return false;
    if (!strcmp(name, "pair") && !(is_free(c->number[1]) && is_free(c->number[2]) && c->number[1] != c->number[2])) return false;
    if ((!strcmp(name, "event") || !strcmp(name, "epoll") || !strcmp(name, "socket")) && !is_free(c->number[1])) return false;
    if ((!strcmp(name, "dup") || !strcmp(name, "dupfd")) && !is_free(c->number[2])) return false;
    if (!strcmp(name, "listen") && (first < 0 || things[first].kind != UNCONNECTED)) return false;
    if (!strcmp(name, "connect")) {
        if (first < 0 || things[first].kind != UNCONNECTED || second < 0 || things[second].kind != LISTENER) return false;
        if (things[first].internet != things[second].internet || things[second].queued == QUEUE) return false;
    }
    /* A ring of sockets within sockets is collected at some time. */
    if (!strcmp(name, "pass") && (second < 0 || things[second].kind == STREAM || things[second].kind == RECORDS ||
                                  things[second].kind == UNCONNECTED || things[second].kind == LISTENER))
        return false;
    if (traits & SETS && first >= 0 && waiting_for(first, READ_SIDE | WRITE_SIDE, false)) return false;
    if (!strcmp(name, "sndbuf") && first >= 0 && things[first].internet) return false;
    if (traits & ENDS) {
        bool closes = !strcmp(name, "close");
        int end = closes ? first : second;
        if (!closes && first < 0) return false;
        if (is_used(closes ? c->fd[1] : c->fd[2])) return false;
        if (end >= 0 && things[end].peer >= 0 && turbulent(things[end].peer)) return false;
        for (int i = 0; end >= 0 && i < things[end].queued; i++)
            if (turbulent(things[end].queue[i])) return false;
    }
    EACH_WAITING(p)
        if (contend(w, p)) return false;
    if (!strcmp(name, "ctl") && first >= 0 && waiting_for(first, READ_SIDE, false) &&
        waiting_for(slots[c->number[3] % SLOTS].thing, READ_SIDE | WRITE_SIDE, true))
        return false;
    if (traits & WRITES && first >= 0) {
        int target = things[first].kind == EVENT ? first : peer;
        if (target >= 0 && waiting_for(target, READ_SIDE, false) && c->size > SMALL) c->size = SMALL;
        if (things[first].kind == TCP_STREAM) {
            if (turbulent(first)) return false;
            if (peer >= 0 && things[peer].in_flight + (long)c->size > IN_FLIGHT) return false;
        }
    }
    if (traits & READS && peer >= 0 && is_stream(first)) {
        int available = 0;
        if (waiting_for(peer, WRITE_SIDE, false) > waiting_for(peer, WRITE_SIDE, true)) return false;
        if (waiting_for(peer, WRITE_SIDE, true)) {
            ioctl(c->fd[1], FIONREAD, &available);
            if ((size_t)available < c->size) c->size = available;
            if (!available) return false;
        }
    }
    return true;
}

/* What the call has changed. */
static void learn(struct call *c) {
    const char *name = c->verb->name;
    int first = slots[c->number[1] % SLOTS].thing, second = slots[c->number[2] % SLOTS].thing;
    if (!strcmp(name, "connect") && (!c->given || c->error == EINPROGRESS)) {
        struct thing *listener = &things[second];
        things[first].kind = things[first].internet ? TCP_STREAM : STREAM;
        listener->queue[listener->queued++] = first;
    }
    if (c->given < 0) return;
    if (!strcmp(name, "pair")) {
        const char *kind = c->word[3];
        bool is_pipe = !strcmp(kind, "pipe"), is_tcp = !strcmp(kind, "tcp");
        enum kind ends = is_tcp ? TCP_STREAM : !strcmp(kind, "stream") ? STREAM : RECORDS;
        int a = new_thing(is_pipe ? PIPE_OUT : ends), b = new_thing(is_pipe ? PIPE_IN : ends);
        things[a].internet = things[b].internet = is_tcp;
        join_things(a, b);
        put(c->number[1], c->fresh[0], a), put(c->number[2], c->fresh[1], b);
    }
    if (!strcmp(name, "event")) put(c->number[1], c->given, new_thing(EVENT));
    if (!strcmp(name, "epoll")) put(c->number[1], c->given, new_thing(EPOLL));
    if (!strcmp(name, "socket")) {
        int thing = new_thing(UNCONNECTED);
        things[thing].internet = !says(c, 2, 'u');
        put(c->number[1], c->given, thing);
    }
    if (!strcmp(name, "listen")) things[first].kind = LISTENER;
    if (!strcmp(name, "accept")) {
        struct thing *listener = &things[first];
        int thing = new_thing(listener->internet ? TCP_STREAM : STREAM);
        things[thing].internet = listener->internet;
        if (listener->queued > 0) {
            join_things(thing, listener->queue[0]);
            memmove(listener->queue, listener->queue + 1, --listener->queued * sizeof *listener->queue);
        }
        put_anywhere(c->given, thing);
    }
    if (!strcmp(name, "recvmsg") && c->fresh[0] >= 0) put_anywhere(c->fresh[0], c->bytes[c->given - 1] - 'A');
    if (!strcmp(name, "dup") || !strcmp(name, "dupfd") || !strcmp(name, "dup2") || !strcmp(name, "dup3")) put(c->number[2], c->given, first);
    if (!strcmp(name, "close")) slots[c->number[1]].thing = -1;
    if (!strcmp(name, "ctl") && c->word[2][0] == 'a') things[first].watched |= 1ull << slots[c->number[3]].thing;
    if (!strcmp(name, "rcvtimeo")) things[first].read_timed = c->number[2] > 0;
    if (!strcmp(name, "sndtimeo")) things[first].write_timed = c->number[2] > 0;
    if (first < 0) return;
    if (c->verb->traits & WRITES && things[first].peer >= 0) things[things[first].peer].in_flight += c->given;
    if (c->verb->traits & READS && !says(c, 3, 'p')) things[first].in_flight -= c->given;
}

/* ---- the conductor ---- */

static bool parse(struct call *c, const char *line) {
    memset(c, 0, offsetof(struct call, bytes));
    memccpy(c->text, line, 0, sizeof c->text - 1);
    strcpy(c->store, c->text);
    for (char *word = strtok(c->store, " "); word && c->words < WORDS; word = strtok(NULL, " ")) {
        int i = c->words++;
        c->word[i] = word, c->number[i] = atol(word);
        bool names = c->number[i] >= 0 && c->number[i] < SLOTS && slots[c->number[i]].thing >= 0;
        c->fd[i] = names ? slots[c->number[i]].fd : FREE;
    }
    if (!c->words || c->text[0] == '#' || !strcmp(c->word[0], "fault")) return false;
    for (size_t i = 0; i < sizeof VERBS / sizeof *VERBS; i++)
        if (!strcmp(VERBS[i].name, c->word[0])) c->verb = &VERBS[i];
    if (!c->verb) printf("%s: no such call\n", c->text), exit(2);
    c->fresh[0] = c->fresh[1] = -1;
    c->size = c->verb->traits & SIZED ? (c->number[2] < ROOM ? c->number[2] : ROOM) : 1;
    if (!strncmp(c->word[0], "dup", 3) && c->words > 2 && is_free(c->number[2])) c->fd[2] = NAMED + c->number[2];
    if (!strcmp(c->word[0], "pass")) c->bytes[0] = 'A' + slots[c->number[2] % SLOTS].thing;
    return true;
}

static int by_text(const void *a, const void *b) {
    const struct worker *left = *(struct worker *const *)a, *right = *(struct worker *const *)b;
    int order = strcmp(left->call.text, right->call.text);
    if (!order) order = strcmp(left->call.data, right->call.data);
    return order ? order : (left->call.given > right->call.given) - (left->call.given < right->call.given);
}

static int sorted(enum stage stage, struct worker **found) {
    int count = 0;
    for (int i = 0; i < WORKERS; i++)
        if (atomic_load(&workers[i].stage) == (int)stage) found[count++] = &workers[i];
    qsort(found, count, sizeof *found, by_text);
    return count;
}

/* Tells of the calls that are over. */
static void collect(void) {
    static int told;
    struct worker *done[WORKERS];
    int count = sorted(DONE, done), broken = atomic_load(&broken_pipes);
    for (int accepts = 0; accepts < 2; accepts++)
        for (int i = 0; i < count; i++)
            if (accepts == !strcmp(done[i]->call.verb->name, "accept")) learn(&done[i]->call);
    for (int i = 0; i < count; i++) {
        struct call *c = &done[i]->call;
        if (c->given < 0) printf("  %s: %s%s\n", c->text, strerrorname_np(c->error), c->data);
        else if (c->given > 0 && c->given == c->fresh[0] && accepting) printf("  %s: new\n", c->text);
        else printf("  %s: %ld%s\n", c->text, c->given, c->data);
        atomic_store(&done[i]->stage, IDLE);
    }
    if (broken != told) printf("  %d broken pipes\n", broken - told);
    told = broken;
}

static void conduct(const char *line) {
    struct worker *w = workers;
    while (w < workers + WORKERS && atomic_load(&w->stage) != IDLE) w++;
    if (w == workers + WORKERS) {
        printf("%.*s (nobody is free)\n", (int)strcspn(line, "\n"), line);
        return;
    }
    if (!parse(&w->call, line)) return;
    stake(w);
    bool certain = is_certain(w);
    printf("%s%s\n", w->call.text, certain ? "" : " (left out)");
    if (!certain) return;
    atomic_store(&w->stage, HANDED);
    must(sem_post(&w->go));
    settle();
    if (atomic_load(&w->stage) == RUNNING && !strcmp(w->call.verb->name, "accept")) accepting = true;
    collect();
}

/* What is left: calls that wait, and how each descriptor stands. */
static void tell_rest(void) {
    struct worker *waiting[WORKERS];
    int count = sorted(RUNNING, waiting);
    for (int i = 0; i < count; i++) printf("waits: %s\n", waiting[i]->call.text);
    for (int i = 0; i < SLOTS; i++) {
        if (slots[i].thing < 0) continue;
        struct call state = {0};
        struct pollfd one = {slots[i].fd, POLLIN | POLLOUT | POLLPRI | POLLRDHUP, 0};
        int available = 0;
        must(poll(&one, 1, 0));
        ioctl(one.fd, FIONREAD, &available);
        add_events(&state, i, one.revents);
        printf("slot%s mode %x bytes %d\n", state.data, fcntl(one.fd, F_GETFL), available);
    }
}

static void on_broken_pipe(int signal) { atomic_fetch_add(&broken_pipes, 1), (void)signal; }

int main(void) {
    cpu_set_t one;
    CPU_ZERO(&one);
    CPU_SET(sched_getcpu(), &one);
    must(sched_setaffinity(0, sizeof one, &one));
    static char input[1 << 16];
    struct sigaction action = {.sa_handler = on_broken_pipe, .sa_flags = SA_RESTART};
    must(sigaction(SIGPIPE, &action, NULL));
    size_t length = fread(input, 1, sizeof input - 1, stdin);
    input[length] = 0;
    start_observer();
    for (int i = 0; i < SLOTS; i++) slots[i].thing = -1;
    for (int i = 0; i < WORKERS; i++) {
        check(workers[i].call.bytes = calloc(1, ROOM));
        must(sem_init(&workers[i].go, 0, 0));
        spawn(work, &workers[i]);
    }
    settle();
    for (char *line = input, *end; *line; line = end) {
        end = line + strcspn(line, "\n");
        if (*end) *end++ = 0;
        conduct(line);
    }
    tell_rest();
    fflush(stdout);
    exit(0);
}
