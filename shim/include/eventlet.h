/* eventlet.h: green threads for C and C++, as Eventlet has them for Python.
 *
 *     cc prog.c -leventlet                    linked: nothing else of the program changes
 *     LD_PRELOAD=libeventlet.so ./prog        preloaded: its blocking calls and its threads are green as well
 *
 * A green thread is a thread with its own stack, errno, thread-locals and signal mask that runs on the process's first
 * kernel thread, in turn with the others. A thread made here changes hands only in calls that wait: an eventlet_* call
 * that says "waits", or a patched libc call (eventlet_monkey_patch). Between two of them no lock is needed.
 *
 * Conventions
 *   - Handles are opaque. A call that fails gives -1 or NULL and sets errno; one that succeeds leaves errno alone.
 *   - Seconds are doubles. As a timeout, a negative number waits for ever and 0 does not wait at all; NaN is EINVAL.
 *   - A NULL handle is EINVAL where the call can fail, and 0 or nothing where it cannot; so is one that was deleted or is of
 *     another kind, as long as that can be seen. A `void **` may be NULL.
 *   - There is nothing to initialise. On a thread that is not green (one of the kernel's own), every call that needs the
 *     hub fails with EPERM, and so it does where this libc is not understood. In a signal handler it may: do not call them
 *     there. eventlet_raise aborts there, or unwinds what was interrupted.
 *   - What makes or keeps something fails with ENOMEM where no memory is left for it, a spawn without a stack with EAGAIN.
 *   - A wait can be ended by an exception or by pthread_cancel instead of returning: see below.
 */
#ifndef EVENTLET_H
#define EVENTLET_H

#include <stddef.h>
#include <sys/socket.h>

#if defined(__cplusplus) && __cplusplus >= 201103L
#define EVENTLET_NORETURN [[noreturn]]
#elif defined(__GNUC__)
#define EVENTLET_NORETURN __attribute__((__noreturn__))
#else
#define EVENTLET_NORETURN
#endif

#ifdef __cplusplus
extern "C" {
#endif

/* ---- Exceptions ------------------------------------------------------------------------------------------------------
 *
 * An exception is a positive int: an errno value, one of the three below, or a number of your own from EVENTLET_USER up.
 * It unwinds the green thread as pthread_exit does: cleanup handlers and C++ destructors run, and a C++ `catch (...)`
 * must rethrow. A `noexcept` function in its way is std::terminate, and so is a `catch (...)` of a function that was called from a
 * handler of another exception: libstdc++ cannot stack them.
 *
 * One that nobody catches ends its thread. It is what eventlet_wait reports, and one line on stderr unless it is
 * EVENTLET_EXIT. In the first thread, also before main and after it, it ends the process with exit status 1; pthread_join of
 * a pthread gives PTHREAD_CANCELED.
 *
 * While it is on its way, through cleanup handlers and `catch (...)`, which may wait, kills, timeouts and cancellation are
 * put off. What is raised there, or pthread_exit, takes its place. But a C++ destructor there must not catch anything by
 * eventlet_try: libc has room for one unwinding.
 *
 * Kills and timeouts are raised in the call in which the thread waits, or in the next one that waits; never while
 * pthread_setcancelstate has disabled cancellation, and never in one of libc's own locks, in dlopen and dlclose (so not in the
 * constructor of a library), or at a bare futex. What the thread was woken for goes to the next that waits, or stays where
 * it was. Out of pthread_mutex_lock and its kin the lock is not held, out of pthread_cond_wait it is; a place at a barrier
 * is free again. */
enum {
    EVENTLET_EXIT = 0x10000,       /* the end of a killed thread: Eventlet's GreenletExit */
    EVENTLET_TIMEOUT = 0x10001,    /* a timeout that was given no other code */
    EVENTLET_STOP_SERVE = 0x10002, /* Eventlet's StopServe */
    EVENTLET_USER = 0x20000        /* the first code of your own */
};

/* Raises `code` in the caller; 0 or less raises EINVAL. On a thread that is not green it aborts. */
EVENTLET_NORETURN void eventlet_raise(int code);

/* Calls fn(arg). Returns 0, with what fn returned in *result, or the code that was raised in it. EINVAL: fn is NULL;
 * EPERM: not a green thread. A C++ exception must not leave fn: that is std::terminate. May be nested. */
int eventlet_try(void *(*fn)(void *), void *arg, void **result);

/* Whether uncaught exceptions are reported on stderr; gives the former value. 1 at first. */
int eventlet_hub_exceptions(int on);

/* ---- Green threads ---------------------------------------------------------------------------------------------------
 *
 * A handle is counted: a spawn gives you one reference, eventlet_release drops it, whether the thread still runs or not.
 * It stays good after the thread's end until then. In a fork child the caller alone is left: what its parent has handles of
 * has ended there with EVENTLET_EXIT, no link was called, and nobody waits in its objects. */
typedef struct eventlet_thread eventlet_thread;

/* Starts fn(arg). Returns before fn runs; threads run in the order of their spawns.
 * NULL: EINVAL (fn is NULL, seconds is NaN), EAGAIN (no memory for a stack), EPERM. */
eventlet_thread *eventlet_spawn(void *(*fn)(void *), void *arg);

/* The same without a handle: 0, or -1 with the same errno. */
int eventlet_spawn_n(void *(*fn)(void *), void *arg);

/* The same, `seconds` from now; a negative number counts as 0. It starts even if the caller has ended by then. */
eventlet_thread *eventlet_spawn_after(double seconds, void *(*fn)(void *), void *arg);

/* The same, but it belongs to the caller: if that ends before its time has come, so does it, with EVENTLET_EXIT. */
eventlet_thread *eventlet_spawn_after_local(double seconds, void *(*fn)(void *), void *arg);

/* Waits for its end; at once if it has ended. Any number of threads may, any number of times. 0, with what fn returned in
 * *result; or -1 with the code that it ended with as errno, or EINVAL, EDEADLK (it is the caller), EPERM. */
int eventlet_wait(eventlet_thread *thread, void **result);

/* Ends it, with EVENTLET_EXIT, if it has not begun: 1. 0: too late, it goes on. -1: EINVAL, EPERM. */
int eventlet_cancel(eventlet_thread *thread);

/* Raises `code` in it (0: EVENTLET_EXIT). It runs first, and may catch the code and go on; the caller resumes later. If it
 * has not begun it never does; if it has ended nothing happens; the caller itself is left by unwinding, at once, even where
 * pthread_setcancelstate has disabled cancellation. 0, or -1: EINVAL, EPERM. */
int eventlet_kill(eventlet_thread *thread, int code);

/* Has fn(thread, arg) called at its end, in that thread, after its result is known; what fn raises is reported. If it has ended,
 * fn is called at once, here. (If it never began, whoever cancels or kills it calls them.) They are called in the order of their
 * linking; one that a link adds is called last. 0, or -1: EINVAL, EPERM. */
int eventlet_link(eventlet_thread *thread, void (*fn)(eventlet_thread *, void *), void *arg);

/* Takes such a link back: 1, or 0 if it is not there. -1: EINVAL, EPERM. */
int eventlet_unlink(eventlet_thread *thread, void (*fn)(eventlet_thread *, void *), void *arg);

/* Whether it has ended. */
int eventlet_dead(eventlet_thread *thread);

/* The calling green thread, without a reference: it is good while the thread runs. NULL: not a green thread. */
eventlet_thread *eventlet_getcurrent(void);

/* Drops a reference. The thread goes on. */
void eventlet_release(eventlet_thread *thread);

/* Waits. 0 still lets every other runnable thread, and input that has come, go first; negative: for ever. On a thread that
 * is not green it sleeps natively. */
void eventlet_sleep(double seconds);

/* ---- Timeouts --------------------------------------------------------------------------------------------------------
 *
 * A timeout is bound to the thread that starts it, which it ends by raising its code in whatever call it waits in, patched
 * or eventlet_*. A thread that ends takes its timeouts with it, and a fork child has none; their handles stay good until they
 * are cancelled. */
typedef struct eventlet_timeout eventlet_timeout;

/* Starts one (code 0: EVENTLET_TIMEOUT). 0 seconds fire in the next round, negative ones never.
 * NULL: EINVAL (a negative code, NaN), EPERM. */
eventlet_timeout *eventlet_timeout_start(double seconds, int code);

/* Disarms and frees it: 1, or 0 if it had been raised. One that is due but was not yet raised is not raised.
 * -1: EPERM (it is as it was). */
int eventlet_timeout_cancel(eventlet_timeout *timeout);

/* Whether it is still to be raised. */
int eventlet_timeout_pending(eventlet_timeout *timeout);

/* Whether it was raised: tells this timeout from another with the same code. */
int eventlet_timeout_fired(eventlet_timeout *timeout);

/* Calls fn(arg) for so long at most. 0, with what fn returned in *result. -1: ETIMEDOUT, for this very timeout; everything
 * else that is raised in fn goes on. Also EINVAL, EPERM. */
int eventlet_with_timeout(double seconds, void *(*fn)(void *), void *arg, void **result);

/* ---- Events ----------------------------------------------------------------------------------------------------------
 *
 * One value, or one code, sent once to all who wait for it now or later. */
typedef struct eventlet_event eventlet_event;

/* NULL: EPERM. */
eventlet_event *eventlet_event_new(void);

/* Who waits gets ECANCELED. */
void eventlet_event_delete(eventlet_event *event);

/* Sends a value; never waits. 0, or -1: EALREADY (something was sent), EINVAL, EPERM. */
int eventlet_event_send(eventlet_event *event, void *value);

/* Sends a code, which the waits fail with. The same; EINVAL also when it is not positive. */
int eventlet_event_send_error(eventlet_event *event, int code);

/* Waits for what is sent: 0 and the value. -1: the code that was sent, ETIMEDOUT, ECANCELED, EINVAL, EPERM. */
int eventlet_event_wait(eventlet_event *event, void **value, double timeout);

/* Whether something was sent. */
int eventlet_event_ready(eventlet_event *event);

/* Makes it as new after something was sent. 0, or -1: EINVAL (nothing was), EPERM. */
int eventlet_event_reset(eventlet_event *event);

/* ---- Semaphores ------------------------------------------------------------------------------------------------------
 *
 * First come, first served: a release hands over to the thread that waits longest. */
typedef struct eventlet_semaphore eventlet_semaphore;

/* One that stands at `value`, and never above `bound` (negative: no bound). NULL: EINVAL, EPERM. */
eventlet_semaphore *eventlet_semaphore_new(long value, long bound);

/* Who waits gets ECANCELED. */
void eventlet_semaphore_delete(eventlet_semaphore *semaphore);

/* Takes one; waits until there is one. 0, or -1: EAGAIN (none, timeout 0), ETIMEDOUT, ECANCELED, EINVAL, EPERM. */
int eventlet_semaphore_acquire(eventlet_semaphore *semaphore, double timeout);

/* Gives one; never waits. 0, or -1: EOVERFLOW (over the bound), EINVAL, EPERM. */
int eventlet_semaphore_release(eventlet_semaphore *semaphore);

/* Where it stands. */
long eventlet_semaphore_value(eventlet_semaphore *semaphore);

/* ---- Queues ----------------------------------------------------------------------------------------------------------
 *
 * Items are pointers of yours. A negative maxsize is no bound; 0 makes a channel, empty and full at once, where a put waits
 * until its item is taken. Waiters are served in the order of their coming, and an item is never lost when one of them
 * is killed or times out. */
typedef struct eventlet_queue eventlet_queue;

/* First in, first out. NULL: EPERM. */
eventlet_queue *eventlet_queue_new(long maxsize);

/* Last in, first out. NULL: EPERM. */
eventlet_queue *eventlet_lifo_queue_new(long maxsize);

/* The smallest first, the older of equals; cmp is given two items, as by qsort; it neither waits nor raises.
 * NULL: EINVAL (cmp is NULL), EPERM. */
eventlet_queue *eventlet_priority_queue_new(long maxsize, int (*cmp)(const void *, const void *));

/* Who waits gets ECANCELED; the items still inside are yours. */
void eventlet_queue_delete(eventlet_queue *queue);

/* Puts an item; returns at once, without letting others run, when there is room. 0, or -1: EAGAIN (full, timeout 0),
 * ETIMEDOUT (it was not put), ECANCELED, EINVAL, EPERM. */
int eventlet_queue_put(eventlet_queue *queue, void *item, double timeout);

/* Gets one. 0, or -1: EAGAIN (empty, timeout 0), ETIMEDOUT, ECANCELED, EINVAL, EPERM. */
int eventlet_queue_get(eventlet_queue *queue, void **item, double timeout);

/* How many items are in it; whether it is empty; whether a put has to wait; how many threads wait to put, and to get. */
size_t eventlet_queue_qsize(eventlet_queue *queue);
int eventlet_queue_empty(eventlet_queue *queue);
int eventlet_queue_full(eventlet_queue *queue);
size_t eventlet_queue_putting(eventlet_queue *queue);
size_t eventlet_queue_getting(eventlet_queue *queue);

/* Another size. Growing lets waiting putters in; shrinking keeps what is there. 0, or -1: EINVAL, EPERM. */
int eventlet_queue_resize(eventlet_queue *queue, long maxsize);

/* An item that was got is done with. 0, or -1: EINVAL (more are done than were put), EPERM. */
int eventlet_queue_task_done(eventlet_queue *queue);

/* Waits until all that was put is done with. 0, or -1: EAGAIN (it is not, timeout 0), ETIMEDOUT, ECANCELED, EINVAL, EPERM. */
int eventlet_queue_join(eventlet_queue *queue, double timeout);

/* ---- GreenPool -------------------------------------------------------------------------------------------------------
 *
 * At most `size` threads at a time. Who spawns into a full pool waits for a slot, in the order of coming; a member that does
 * runs the function itself, and gets the handle of a thread that has ended. A pool of size 0 lets nobody in until it is
 * resized. */
typedef struct eventlet_pool eventlet_pool;

enum { EVENTLET_POOL_SIZE = 1000 }; /* Eventlet's default */

/* NULL: EPERM. */
eventlet_pool *eventlet_pool_new(size_t size);

/* Members go on; who waits for a slot gets ECANCELED. */
void eventlet_pool_delete(eventlet_pool *pool);

/* Starts fn(arg) when there is a slot. NULL: as eventlet_spawn, and ECANCELED. */
eventlet_thread *eventlet_pool_spawn(eventlet_pool *pool, void *(*fn)(void *), void *arg);

/* The same without a handle: 0, or -1. */
int eventlet_pool_spawn_n(eventlet_pool *pool, void *(*fn)(void *), void *arg);

/* Waits until no member runs and nobody waits for a slot. 0, or -1: EDEADLK (the caller is a member), EINVAL, EPERM. */
int eventlet_pool_waitall(eventlet_pool *pool);

/* Another size; growing lets in who waits. 0, or -1: EINVAL, EPERM. */
int eventlet_pool_resize(eventlet_pool *pool, size_t size);

/* Free slots (negative when it shrank below what runs); its size; members that run; threads that wait for a slot. */
long eventlet_pool_free(eventlet_pool *pool);
size_t eventlet_pool_size(eventlet_pool *pool);
size_t eventlet_pool_running(eventlet_pool *pool);
size_t eventlet_pool_waiting(eventlet_pool *pool);

/* fn over many items, in the pool's slots, with the results in the order of the items. A green thread of its own draws
 * them: next(ctx, &item) gives 1 and an item, or 0 at the end; it may wait. At most as many items as the pool is large
 * are drawn ahead of the results that were asked for. If the pool is deleted meanwhile, the iteration fails once with
 * ECANCELED and ends. NULL: EINVAL, EAGAIN, EPERM. */
typedef struct eventlet_iter eventlet_iter;
eventlet_iter *eventlet_pool_imap(eventlet_pool *pool, void *(*fn)(void *), int (*next)(void *ctx, void **item), void *ctx);

/* Waits for the next result: 1 and *result, 0 at the end, -1 with the code that fn (or next) raised for that item as errno;
 * after which the iteration can go on. */
int eventlet_iter_next(eventlet_iter *iter, void **result);

/* Draws no more items; what runs goes on. */
void eventlet_iter_delete(eventlet_iter *iter);

/* ---- GreenPile -------------------------------------------------------------------------------------------------------
 *
 * Threads of a pool, and their results in the order in which they were spawned. */
typedef struct eventlet_pile eventlet_pile;

/* On a pool of its own, or on one that others use too. NULL: EINVAL, EPERM. */
eventlet_pile *eventlet_pile_new(size_t size);
eventlet_pile *eventlet_pile_on(eventlet_pool *pool);

/* What runs goes on. */
void eventlet_pile_delete(eventlet_pile *pile);

/* Starts fn(arg) when the pool has a slot. 0, or -1: as eventlet_pool_spawn_n. */
int eventlet_pile_spawn(eventlet_pile *pile, void *(*fn)(void *), void *arg);

/* As eventlet_iter_next. The end: all that were spawned have been asked for. */
int eventlet_pile_next(eventlet_pile *pile, void **result);

/* ---- Sockets and servers ---------------------------------------------------------------------------------------------
 *
 * An address is "host:port", "[v6]:port" or "unix:/path"; a port is a number; what is no numeric host is looked up by the
 * system's own name service. Descriptors made here, their dups, and what is accepted from them are green in every call,
 * whatever is patched, in fork children too; not those that came by SCM_RIGHTS. They block, and close at exec. Options that
 * are NULL, or all zero, are the defaults. */
typedef struct {
    int family;     /* AF_INET, AF_INET6, AF_UNIX; 0: as the address says */
    int backlog;    /* 0: 50 */
    int reuse_addr; /* SO_REUSEADDR. 0: on; 1 on, -1 off */
    int reuse_port; /* SO_REUSEPORT. 0: on for a fixed port, off for port 0; 1 on, -1 off */
} eventlet_listen_options;

typedef struct {
    int family;       /* as above */
    const char *bind; /* the address to come from ("host:port", port 0: any), or NULL */
    double timeout;   /* seconds for all of it, the look-up included; 0: as long as the kernel tries */
} eventlet_connect_options;

/* A connected stream socket; waits. Of several addresses the first that answers; ":80" is port 80 of this host.
 * -1: EINVAL (malformed, NULL, NaN), EHOSTUNREACH (no such host), EAFNOSUPPORT (not in that family), ENAMETOOLONG (unix:),
 * ETIMEDOUT; EAGAIN (no thread for the look-up); EPERM; else the errno of socket, bind or connect: ECONNREFUSED, ENOENT ... */
int eventlet_connect(const char *address, const eventlet_connect_options *options);

/* A listening stream socket. ":80" is port 80 of any address (of IPv4, unless family says AF_INET6); a name with several
 * addresses gives one of them, IPv4 first. The path of a unix socket stays after close, and is EADDRINUSE then.
 * -1: as above, and the errno of bind or listen: EADDRINUSE, EADDRNOTAVAIL, EACCES ... */
int eventlet_listen(const char *address, const eventlet_listen_options *options);

/* Accepts clients of a listening socket, and calls handle(client, its address, the address's length, ctx) in a green thread
 * for each, at most `concurrency` (0: 1000) at a time; what comes above it waits in the backlog. The client is closed when
 * the handler ends, unless the handler has closed it itself.
 *
 * Returns 0 when a handler calls eventlet_stop_serve; -1 with the code when one raises (but for EVENTLET_EXIT and
 * EVENTLET_TIMEOUT, which end that client alone); -1 when the socket accepts no more: EBADF, EINVAL, ENOTSOCK, EOPNOTSUPP; and
 * EINVAL (handle is NULL), EPERM. Without room for one more client (EMFILE, ENFILE, ENOBUFS, ENOMEM) it waits and goes on. Handlers
 * that run still go on after its return, and the listener stays open. */
int eventlet_serve(int listener, void (*handle)(int client, const struct sockaddr *peer, socklen_t length, void *ctx),
                   void *ctx, size_t concurrency);

/* From a handler: raises EVENTLET_STOP_SERVE. On a thread that is not green it aborts. */
EVENTLET_NORETURN void eventlet_stop_serve(void);

/* ---- Real threads ----------------------------------------------------------------------------------------------------
 *
 * Calls fn(arg) on a thread of the kernel's own, from a pool of EVENTLET_THREADPOOL_SIZE (20; 0: none, it is called here),
 * while the caller waits and other green threads run: for what computes long, or blocks where nothing can be patched. fn is
 * on a thread that is not green, but eventlet_raise works there, and eventlet_tpool_execute calls in place. If the caller is
 * ended meanwhile, fn goes on. 0, with what fn returned in *result; or -1 with the code it raised; EINVAL, EAGAIN, EPERM. */
int eventlet_tpool_execute(void *(*fn)(void *), void *arg, void **result);

/* ---- What the hub is about -------------------------------------------------------------------------------------------- */

/* Writes a list of all green threads to fd, a line each: its tid, name, state, the call it waits in, on what and for how
 * long, and how much of its stack was touched. 0, or -1: as write, EPERM. */
int eventlet_dump(int fd);

/* From now on, one line on stderr when one green thread has held the hub for so many seconds, and in which system call; 0:
 * off. 0, or -1: EINVAL (negative, NaN), EAGAIN, EPERM. */
int eventlet_blocking_detection(double seconds);

/* ---- Patching --------------------------------------------------------------------------------------------------------
 *
 * Makes libc's own blocking calls green, in this program and in every library it uses. Preloaded, all of them are from the
 * start; linked, none is. EVENTLET_PATCH in the environment says otherwise: `all`, `none`, or words between commas, with a
 * minus to take one away: `socket,time`, `all,-os`. */
enum {
    EVENTLET_OS = 1,      /* read, write and their kin, pipes, signals, processes */
    EVENTLET_SELECT = 2,  /* select, poll, epoll */
    EVENTLET_SOCKET = 4,  /* connect, accept, send, recv and their kin */
    EVENTLET_THREAD = 8,  /* threads and locks: pthread_create makes green threads from now on */
    EVENTLET_TIME = 16,   /* sleeping */
    EVENTLET_ALL = 31
};

/* Patches these groups, beside those that are patched. 0 changes nothing. 0, or -1: EINVAL (no such group). */
int eventlet_monkey_patch(unsigned groups);

/* dlopen(path, flags), after which what this object imports of these groups is green, and the rest of the process stays as it
 * is. With EVENTLET_WITH_DEPENDENCIES so do the libraries that it needs (not libc and its kin). Without, what it calls through
 * one of them is as bare: std::thread and std::condition_variable, which libstdc++ makes. An object that is loaded already is
 * patched where it is; once more gives the same handle, and dlclose closes it. Its constructors run before that, as bare.
 * Threads it makes run when the program waits in an eventlet_* or patched call. What libc does inside itself (stdio, name
 * look-ups) is green by eventlet_monkey_patch only.
 * NULL: EINVAL (path is NULL, no such group, neither RTLD_LAZY nor RTLD_NOW), ENOENT, EMFILE, ENFILE, ENOMEM, else
 * ELIBBAD; dlerror says more. */
enum { EVENTLET_WITH_DEPENDENCIES = 0x100 };
void *eventlet_import_patched(const char *path, int flags, unsigned groups);

/* The groups that are patched. */
unsigned eventlet_patched(void);

/* ---- TLS -------------------------------------------------------------------------------------------------------------
 *
 * TLS 1.2 and 1.3 on a stream socket. The descriptor that you get carries the plaintext, and it is a descriptor like any
 * other: read, write, poll, select, epoll, stdio, dup, fork, shutdown work on it. getpeername and getsockname answer for the
 * real socket, and so do the options of TCP and IP.
 *
 *   - shutdown(SHUT_WR) tells the peer that no more will come, and you may go on reading. close does so as well. What was
 *     written before exit is sent before the process ends, if the peer takes it within some seconds.
 *   - read gives 0 when the peer has said that no more will come. If the connection ends in any other way it is -1: EPROTO
 *     (the peer has closed without saying so, or breaks the protocol), or what TCP says (ECONNRESET).
 *
 * It needs libeventlet_tls.so in the folder of libeventlet.so, which is opened at the first use. */
typedef struct {
    int server_side;          /* 0: we are the client */
    int verify;               /* 1 on, -1 off; 0: on for a client. A server that verifies demands a certificate */
    const char *certfile;     /* PEM: our certificate, and those that lead from it to a known one; a server needs it */
    const char *keyfile;      /* PEM: its key, unencrypted; NULL: it is in certfile */
    const char *cafile;       /* PEM: whom to trust; NULL: whom the system trusts */
    const char *hostname;     /* the peer's name or address: what its certificate must be for, and what is sent as SNI */
    const char *alpn;         /* protocols, the best first: "h2,http/1.1" */
    double handshake_timeout; /* seconds; 0: 30, negative: for ever */
} eventlet_ssl_options;

/* Wraps a connected socket, and waits until the handshake is done; or a listener: then accept on the descriptor that you
 * get, and eventlet_serve, give wrapped clients, at once: their handshake goes on while you wait for their first bytes, and
 * one that fails is EPROTO to read. NULL options: a client that verifies, which needs a hostname (EINVAL).
 *
 * A new descriptor, with fd's O_NONBLOCK, FD_CLOEXEC and timeouts; fd itself is gone, and closing the new one closes the
 * connection. -1, and fd is still yours: EPROTO (the handshake failed), EACCES (the peer's certificate is not to be
 * trusted: unknown issuer, another name, expired), ETIMEDOUT (handshake_timeout), EINVAL (options that make no sense, a file that
 * is no PEM, a key of another certificate), ELIBACC (no libeventlet_tls.so is there), ELIBBAD (it is of another version), EBADF,
 * ENOTSOCK, ENOTCONN, EMFILE, ENFILE, ENOMEM, EAGAIN (no thread), EPERM; what open says of the files. */
int eventlet_wrap_ssl(int fd, const eventlet_ssl_options *options);

/* What is known of such a connection, by one of the numbers below: copied into `room` bytes, with a NUL behind it if there
 * is room. Waits for the end of the handshake. Its length, 0 if there is no such thing; -1: ENOTCONN (the connection has
 * ended), EPROTO (the handshake failed), EINVAL (another descriptor, another number), EPERM. */
enum {
    EVENTLET_SSL_VERSION = 1,     /* "TLSv1.3" */
    EVENTLET_SSL_CIPHER = 2,      /* "TLS_AES_256_GCM_SHA384" */
    EVENTLET_SSL_ALPN = 3,        /* the protocol that was chosen */
    EVENTLET_SSL_SERVER_NAME = 4, /* for a server: the name that the client asked for (SNI) */
    EVENTLET_SSL_CERTIFICATE = 5  /* the peer's certificate, as DER */
};
long eventlet_ssl_info(int fd, int what, void *bytes, size_t room);

/* Why this thread's last eventlet_wrap_ssl, or read on such a descriptor, failed: a line for people, good until the next
 * failure. Empty: none has failed. */
const char *eventlet_ssl_error(void);

#ifdef __cplusplus
}
#endif

#endif
