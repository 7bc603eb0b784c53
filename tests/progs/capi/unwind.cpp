// Raises and kills unwind C++ frames: destructors run, and catch (...) that rethrows is passed.
#include <eventlet.h>

#include <cstdio>
#include <cstdlib>
#include <exception>
#include <stdexcept>
#include <string>

static int alive, passed;
struct Guard {
    Guard() { alive++; }
    ~Guard() { alive--; }
};

static void *deep(void *arg) {
    Guard guard;
    try {
        Guard inner;
        if (arg) eventlet_raise(EVENTLET_USER);
        eventlet_sleep(-1);
    } catch (...) {
        passed++;
        throw;
    }
    return nullptr;
}

static void *exceptions(void *) {
    Guard guard;
    try {
        Guard inner;
        eventlet_sleep(0);
        throw std::runtime_error("as ever");
    } catch (const std::exception &) {
        eventlet_sleep(0);
        passed++;
    }
    return nullptr;
}

// What C++ does not let through ends the program: noexcept, a handler that does not rethrow, an exception of its own that leaves
// a function of eventlet_try's or a thread's.
static void *in_noexcept(void *arg) noexcept {
    eventlet_raise(arg ? EVENTLET_USER : EVENTLET_EXIT);
}
static void *swallows(void *arg) {
    try {
        eventlet_raise(EVENTLET_USER);
    } catch (...) {
    }
    return arg;
}
static void *throws(void *) { throw std::runtime_error("out"); }
static void *throws_late(void *) {
    eventlet_sleep(0);
    throw std::runtime_error("out");
}

static int dies(const std::string &how) {
    std::set_terminate([] {
        std::fputs("terminate\n", stderr);
        std::abort();
    });
    if (how == "no_except") return eventlet_try(in_noexcept, &alive, nullptr);
    if (how == "swallowed") return eventlet_try(swallows, nullptr, nullptr);
    if (how == "thrown") {
        try {
            return eventlet_try(throws, nullptr, nullptr);
        } catch (const std::runtime_error &) {
            return 3;
        }
    }
    if (how != "thrown_late") return 2;
    eventlet_thread *thread = eventlet_spawn(throws_late, nullptr);
    return eventlet_wait(thread, nullptr);
}

static void *guarded(void *) {
    Guard guard;
    eventlet_raise(EVENTLET_USER);
}

// A code that is raised and caught while an exception of C++ is handled, and one that leaves the handler.
static void *nested(void *) {
    try {
        throw 1;
    } catch (int) {
        Guard guard;
        if (eventlet_try(guarded, nullptr, nullptr) != EVENTLET_USER) return nullptr;
        try {
            throw 2;
        } catch (int two) {
            eventlet_sleep(0);
            passed += two;
        }
        eventlet_raise(EVENTLET_USER + 1);
    }
}

// A killed thread's destructors may wait.
struct Waits {
    ~Waits() {
        eventlet_sleep(0.001);
        passed++;
    }
};
static void *waits(void *) {
    Waits one, two;
    eventlet_sleep(-1);
    return nullptr;
}

int main(int argc, char **argv) {
    if (argc == 2 && argv[1] != std::string("unwound")) return dies(argv[1]);
    int bad = eventlet_try(deep, &bad, nullptr) != EVENTLET_USER || alive != 0 || passed != 1;
    eventlet_thread *thread = eventlet_spawn(deep, nullptr), *other = eventlet_spawn(exceptions, nullptr);
    eventlet_sleep(0);
    bad |= alive == 0;
    eventlet_kill(thread, 0);
    bad |= eventlet_wait(thread, nullptr) != -1 || eventlet_wait(other, nullptr) != 0 || alive != 0 || passed != 3;
    eventlet_release(thread);
    eventlet_release(other);
    passed = 0;
    bad |= eventlet_try(nested, nullptr, nullptr) != EVENTLET_USER + 1 || alive != 0 || passed != 2;
    thread = eventlet_spawn(waits, nullptr);
    eventlet_sleep(0);
    eventlet_kill(thread, 0);
    bad |= eventlet_wait(thread, nullptr) != -1 || passed != 4;
    std::puts(bad ? "bad" : "unwound done");
    return bad;
}
