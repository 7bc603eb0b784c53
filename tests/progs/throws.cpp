// A library that throws what nobody catches, for tests/identity.
#include <cstdio>
#include <exception>
#include <execinfo.h>
#include <unistd.h>

struct Noisy {
    ~Noisy() { write(1, "unwound\n", 8); }
};

extern "C" void *throws(void *)
{
    Noisy noisy;
    std::set_terminate([] {
        write(1, "terminate\n", 10);
        _exit(3);
    });
    throw 1;
}

// Leaves by pthread_exit through a C++ frame.
#include <pthread.h>
static int unwound;

struct Counts {
    ~Counts() { unwound++; }
};

extern "C" void *leaves(void *value)
{
    Counts counts;
    pthread_exit(value);
}

extern "C" int times_unwound() { return unwound; }

// A thread_local with a destructor.
struct Local {
    int *told = nullptr;
    ~Local() { if (told) ++*told; }
};
static thread_local Local local;

extern "C" void *has_local(void *told)
{
    local.told = (int *)told;
    return nullptr;
}

extern "C" int depth()
{
    void *frames[64];
    return backtrace(frames, 64);
}
