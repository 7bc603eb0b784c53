// Raises and kills unwind C++ frames: destructors run, and catch (...) that rethrows is passed.
#include <eventlet.h>

#include <cstdio>
#include <stdexcept>

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

int main() {
    int bad = eventlet_try(deep, &bad, nullptr) != EVENTLET_USER || alive != 0 || passed != 1;
    eventlet_thread *thread = eventlet_spawn(deep, nullptr), *other = eventlet_spawn(exceptions, nullptr);
    eventlet_sleep(0);
    bad |= alive == 0;
    eventlet_kill(thread, 0);
    bad |= eventlet_wait(thread, nullptr) != -1 || eventlet_wait(other, nullptr) != 0 || alive != 0 || passed != 3;
    eventlet_release(thread);
    eventlet_release(other);
    std::puts(bad ? "bad" : "unwound done");
    return bad;
}
