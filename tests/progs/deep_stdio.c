/* stdio waits inside libc. What it waits for comes from another thread, so whoever waits must let that one run. */
#include "prog.h"
#include <sys/prctl.h>
#include <sys/stat.h>
#include <syslog.h>
#include <wchar.h>

static int ends[2];

static void pipe_ends(void) { must(pipe(ends)); }
static void socket_ends(void) { must(socketpair(AF_UNIX, SOCK_STREAM, 0, ends)); }

/* Writes the words one by one, each when the reader has had time to wait for it. */
static void *feed(void *words) {
    for (char *word = words, *end; *word; word = end) {
        end = strchrnul(word, '|');
        breathe();
        send_all(ends[1], word, end - word);
        if (*end) end++;
    }
    breathe();
    must(close(ends[1]));
    return NULL;
}

/* Lets `read_it` have the stream while another thread feeds it. */
static void fed(void (*make)(void), char *words, void (*read_it)(FILE *)) {
    make();
    pthread_t thread = spawn(feed, words);
    FILE *stream = fdopen(ends[0], "r");
    check(stream);
    read_it(stream);
    join(thread);
    check(fclose(stream) == 0);
}

static void by_fgets(FILE *stream) {
    char line[64];
    while (fgets(line, sizeof line, stream)) printf("[%s]", line);
    printf(" eof %d error %d\n", feof(stream), ferror(stream));
}
static void fgets_socket(void) { fed(socket_ends, "one\n|two|\nthree\n|four", by_fgets); }
static void fgets_pipe(void) { fed(pipe_ends, "one\n|two|\nthree\n|four", by_fgets); }

static void by_getline(FILE *stream) {
    char *line = NULL;
    size_t room = 0;
    for (ssize_t n; (n = getline(&line, &room, stream)) != -1;) printf("%zd %s", n, line);
    free(line);
}
static void line(void) { fed(socket_ends, "a long |line of |several parts\n|next\n", by_getline); }

static void by_fscanf(FILE *stream) {
    int n;
    char word[16];
    while (fscanf(stream, "%d %15s", &n, word) == 2) printf("%d %s\n", n, word);
}
static void scan(void) { fed(pipe_ends, "1|2 tw|elve\n3| three\n", by_fscanf); }

static void by_fread(FILE *stream) {
    char bytes[10] = "";
    size_t n = fread(bytes, 1, 9, stream);
    printf("%zu %s\n", n, bytes);
    memset(bytes, 0, sizeof bytes);
    n = fread(bytes, 2, 4, stream);
    printf("%zu %s\n", n, bytes);
}
static void whole(void) { fed(pipe_ends, "abc|def|ghi|jk|l", by_fread); }

static void by_getc(FILE *stream) {
    for (int c; (c = getc(stream)) != EOF;) putchar(c);
    putchar('\n');
}
static void one(void) { fed(socket_ends, "x|y|z", by_getc); }

static void by_fgetws(FILE *stream) {
    wchar_t text[32];
    while (fgetws(text, 32, stream)) printf("%ls", text);
}
static void wide(void) { fed(pipe_ends, "wi|de\nline\n", by_fgetws); }

/* A writer that fills the pipe, and a reader that begins only then. */
static void *drain(void *arg) {
    char bytes[4096];
    long total = 0;
    breathe();
    for (ssize_t n; (n = must(read(ends[0], bytes, sizeof bytes))) > 0; total += n) {}
    return (void *)total;
}

static void fill(void) {
    pipe_ends();
    FILE *stream = fdopen(ends[1], "w");
    check(stream);
    pthread_t thread = spawn(drain, NULL);
    long total = 0;
    for (int i = 0; i < 20000; i++) total += fprintf(stream, "this is line %d\n", i);
    check(fflush(stream) == 0);
    check(fclose(stream) == 0);
    check((long)join(thread) == total);
    printf("%ld bytes\n", total);
}

/* Two threads want one FILE: the second waits for the lock while the first waits for bytes with the lock held. */
static FILE *shared;
static int entered;

static void *take_char(void *arg) {
    entered++;
    return (void *)(intptr_t)getc(shared);
}

static void contended(void) {
    socket_ends();
    shared = fdopen(ends[0], "r");
    check(shared);
    pthread_t threads[5];
    for (int i = 0; i < 5; i++) threads[i] = spawn(take_char, NULL);
    while (entered < 5) breathe();
    send_all(ends[1], "abc", 3);
    breathe();
    send_all(ends[1], "de", 2);
    int sum = 0;
    for (int i = 0; i < 5; i++) sum += (int)(intptr_t)join(threads[i]);
    printf("%d\n", sum == 'a' + 'b' + 'c' + 'd' + 'e');
}

/* flockfile over a wait; the others come in the order of the lock, each whole line by itself. */
static int baton[2];

static void *line_in_two(void *name) {
    char byte;
    flockfile(shared);
    fprintf(shared, "%s ", (char *)name);
    read_all(baton[0], &byte, 1);
    fprintf(shared, "%s\n", (char *)name);
    funlockfile(shared);
    return NULL;
}

static void locked(void) {
    char text[64] = "";
    must(pipe(baton));
    shared = fmemopen(text, sizeof text, "w");
    check(shared);
    pthread_t threads[] = {spawn(line_in_two, "one"), spawn(line_in_two, "one"), spawn(line_in_two, "one")};
    breathe();
    send_all(baton[1], "123", 3);
    for (int i = 0; i < 3; i++) join(threads[i]);
    check(ftrylockfile(shared) == 0);
    check(fclose(shared) == 0);
    fputs(text, stdout);
}

/* fflush(NULL) goes over all streams. */
static void *wait_in_stream(void *stream) {
    char text[8];
    return fgets(text, sizeof text, stream) ? stream : NULL;
}

static void all_streams(void) {
    pipe_ends();
    FILE *in = fdopen(ends[0], "r"), *out = fdopen(ends[1], "w");
    check(in && out);
    pthread_t thread = spawn(wait_in_stream, in);
    breathe();
    fputs("text\n", out);
    check(fflush(out) == 0);
    check(join(thread) == in);
    check(fflush(NULL) == 0);
}

/* The end of a thread that waits in a stream gives the stream's lock back. */
static void *read_for_ever(void *stream) {
    wait_in_stream(stream);
    __atomic_store_n(&entered, 1, __ATOMIC_RELEASE);
    return wait_in_stream(stream);
}

static void cancelled(void) {
    socket_ends();
    FILE *stream = fdopen(ends[0], "r");
    check(stream);
    pthread_t thread = spawn(read_for_ever, stream);
    send_all(ends[1], "text\n", 5);
    while (!__atomic_load_n(&entered, __ATOMIC_ACQUIRE)) breathe();
    breathe();
    zero(pthread_cancel(thread));
    check(join(thread) == PTHREAD_CANCELED);
    check(ftrylockfile(stream) == 0);
    send_all(ends[1], "x", 1);
    printf("%c\n", getc(stream));
}

/* syslog's own lock is held while its copy for stderr waits. */
static void *log_line(void *text) {
    syslog(LOG_DEBUG, "%s", (char *)text);
    return NULL;
}

static void logged(void) {
    char bytes[4096] = "";
    long filled = 0;
    int own = must(dup(2));
    pipe_ends();
    must(dup2(ends[1], 2));
    must(fcntl(ends[1], F_SETFL, O_NONBLOCK));
    while (write(ends[1], bytes, sizeof bytes) > 0) filled += sizeof bytes;
    must(fcntl(ends[1], F_SETFL, 0));
    openlog("log", LOG_PERROR, LOG_USER);
    pthread_t threads[] = {spawn(log_line, "line"), spawn(log_line, "line")};
    breathe();
    for (; filled > 0; filled -= sizeof bytes) read_all(ends[0], bytes, sizeof bytes);
    for (int i = 0; i < 2; i++) join(threads[i]);
    must(dup2(own, 2));
    memset(bytes, 0, sizeof bytes);
    read_all(ends[0], bytes, 2 * strlen("log: line\n"));
    fputs(bytes, stdout);
}

static void reopened(void) {
    int other[2];
    pipe_ends();
    must(pipe(other));
    FILE *stream = fdopen(ends[0], "r");
    pthread_t thread = spawn(feed, "first\n");
    char text[16];
    check(fgets(text, sizeof text, stream));
    fputs(text, stdout);
    join(thread);
    char path[32];
    snprintf(path, sizeof path, "/proc/self/fd/%d", other[0]);
    check(freopen(path, "r", stream));
    must(close(other[0]));
    ends[1] = other[1];
    thread = spawn(feed, "second\n");
    check(fgets(text, sizeof text, stream));
    fputs(text, stdout);
    join(thread);
    check(fclose(stream) == 0);
}

/* More ways in: wide scanning, delimiters, words; bytes pushed back; blocks without a lock. */
static void by_many(FILE *stream) {
    int n = 0;
    char *part = NULL, bytes[4] = "";
    size_t room = 0;
    check(fscanf(stream, "%d;", &n) == 1);
    check(getdelim(&part, &room, ',', stream) > 0);
    printf("%d [%s]", n, part);
    free(part);
    int c = fgetc(stream);
    check(ungetc(c, stream) == c);
    check(fread_unlocked(bytes, 1, 3, stream) == 3);
    printf(" %s %d", bytes, getw(stream));
    check(fgetc_unlocked(stream) == '.' && getc_unlocked(stream) == EOF && feof(stream));
    putchar('\n');
}
static void many(void) { fed(socket_ends, "1|7;de|lim,u|vwAAA|A|.", by_many); }

static void by_wide(FILE *stream) {
    wchar_t word[16];
    int n;
    check(fwscanf(stream, L"%d %15ls", &n, word) == 2);
    printf("%d %ls", n, word);
    for (wint_t c; (c = fgetwc(stream)) != WEOF;) printf(" %x", (unsigned)c);
    putchar('\n');
}
static void wide_scan(void) { fed(socket_ends, "4|2 wo|rd x|y", by_wide); }

/* Every way out, into a pipe that is full; the last ones by number. */
static void ways_out(void) {
    pipe_ends();
    FILE *stream = fdopen(ends[1], "w"), *broad = fdopen(dup(ends[1]), "w");
    check(stream && broad);
    pthread_t thread = spawn(drain, NULL);
    long total = 0;
    char line[] = "a line of text that fills\n";
    for (int i = 0; i < 2000; i++) {
        check(fputs(line, stream) >= 0);
        check(fwrite(line, 1, 26, stream) == 26);
        check(putc('c', stream) == 'c' && putw(i, stream) == 0);
        check(fprintf(broad, "%s", line) == 26);
        check(fflush(NULL) == 0);
        total += 26 + 26 + 1 + sizeof(int) + 26;
        if (i % 100 == 0) total += dprintf(ends[1], "%d\n", i);
    }
    check(fclose(broad) == 0 && fclose(stream) == 0);
    check((long)join(thread) == total);
    printf("%ld bytes\n", total);
}

static void wide_out(void) {
    pipe_ends();
    FILE *stream = fdopen(ends[1], "w");
    check(stream);
    pthread_t thread = spawn(drain, NULL);
    long total = 0;
    for (int i = 0; i < 5000; i++) {
        int n = fwprintf(stream, L"%d wide\n", i);
        check(n > 0 && fputws(L"words\n", stream) >= 0 && fputwc(L'.', stream) == L'.');
        total += n + 7;
    }
    check(fclose(stream) == 0);
    check((long)join(thread) == total);
    printf("%ld bytes\n", total);
}

/* Streams with `c` in their mode: libc opens, reads and writes them by functions of its own, which are no cancellation
 * points. Each waits in fopen for the other one, too. */
static char fifo[64];

static void *put_quietly(void *arg) {
    FILE *stream = fopen(fifo, "wc");
    check(stream);
    long total = 0;
    breathe();
    for (int i = 0; i < 20000; i++) total += fprintf(stream, "this is line %d\n", i);
    check(fclose(stream) == 0);
    return (void *)total;
}

static void quiet(void) {
    snprintf(fifo, sizeof fifo, "/tmp/eventlet-quiet.%d", getpid());
    must(mkfifo(fifo, 0600));
    pthread_t thread = spawn(put_quietly, NULL);
    FILE *stream = fopen(fifo, "rc");
    check(stream);
    char text[64];
    long total = 0;
    while (fgets(text, sizeof text, stream)) total += strlen(text);
    check(fclose(stream) == 0);
    check((long)join(thread) == total);
    must(unlink(fifo));
    printf("%ld bytes\n", total);
}

/* Memory may not become executable any more (systemd's MemoryDenyWriteExecute), if the kernel knows how. */
static void denied(void) {
    enum { SET_MDWE = 65, REFUSE_EXEC_GAIN = 1 };
    if (prctl(SET_MDWE, REFUSE_EXEC_GAIN, 0, 0, 0) == -1) check(errno == EINVAL);
    contended();
}

int main(int argc, char **argv) {
    struct test tests[] = {CASE(fgets_socket), CASE(fgets_pipe), CASE(line),   CASE(scan),        CASE(whole),
                           CASE(one),          CASE(wide),       CASE(fill),   CASE(contended),   CASE(locked),
                           CASE(all_streams),  CASE(cancelled),  CASE(reopened), CASE(logged),  CASE(denied),
                           CASE(quiet), CASE(many), CASE(wide_scan), CASE(ways_out), CASE(wide_out)};
    return RUN(argc, argv, tests);
}
