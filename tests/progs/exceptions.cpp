// Exceptions across waits: each thread has its own that are thrown, caught and under way.
#include <chrono>
#include <exception>
#include <iostream>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "prog.h"

using namespace std;
using namespace std::chrono_literals;

static const int THREADS = 10;

static void wait() { this_thread::sleep_for(200us); }

template <class Run> static string on_threads(Run run) {
    vector<string> results(THREADS);
    vector<thread> threads;
    for (int i = 0; i < THREADS; i++) threads.emplace_back([&, i] { results[i] = run(i); });
    for (auto &thread : threads) thread.join();
    string all;
    for (auto &result : results) all += result + ' ';
    return all;
}

// Waits in a handler, throws again, waits in the next handler, nested in another.
static string rethrow(int i) {
    string seen;
    try {
        try {
            throw runtime_error(to_string(i));
        } catch (const exception &error) {
            wait();
            seen += error.what();
            try {
                throw i;
            } catch (int inner) {
                wait();
                seen += inner == i ? "=" : "!";
            }
            wait();
            throw;
        }
    } catch (const runtime_error &error) {
        wait();
        seen += error.what();
    }
    return seen;
}

struct Waits {
    string &seen;
    ~Waits() {
        seen += to_string(uncaught_exceptions());
        wait();
        seen += to_string(uncaught_exceptions());
    }
};

// Waits in a destructor while an exception is under way.
static string unwinding(int i) {
    string seen;
    try {
        Waits outer{seen};
        if (i % 2) throw i;
    } catch (int) {
        seen += "c";
    }
    return seen;
}

static string carry(int i) {
    exception_ptr carried;
    thread([&] {
        try {
            wait();
            throw logic_error("carried " + to_string(i));
        } catch (...) {
            wait();
            carried = current_exception();
        }
    }).join();
    wait();
    try {
        rethrow_exception(carried);
    } catch (const logic_error &error) {
        return error.what();
    }
}

static int deep(int frames) {
    string local(frames, 'x');
    if (frames == 0) {
        wait();
        throw string("bottom");
    }
    return deep(frames - 1) + local.size();
}

static string from_deep(int i) {
    try {
        return to_string(deep(10 + i));
    } catch (const string &bottom) {
        return bottom;
    }
}

static void rethrown() { cout << on_threads(rethrow) << '\n'; }
static void under_way() { cout << on_threads(unwinding) << '\n'; }
static void carried() { cout << on_threads(carry) << '\n'; }
static void far() { cout << on_threads(from_deep) << '\n'; }

// pthread_exit runs the destructors of the frames it leaves, and passes catch (...) that throws again.
struct Told {
    const char *what;
    ~Told() { cout << what << '\n'; }
};

static void *leave(void *arg) {
    Told outer{"outer destroyed"};
    try {
        Told inner{"inner destroyed"};
        wait();
        pthread_exit(arg);
    } catch (...) {
        cout << "passes\n";
        throw;
    }
}

static void thread_exit() {
    cout << (const char *)join(spawn(leave, (void *)"left")) << '\n';
}

// No handler in the thread: std::terminate, though main has one.
static void uncaught() {
    set_terminate([] {
        cout << "terminate\n" << flush;
        abort();
    });
    try {
        thread([] {
            wait();
            throw 1;
        }).join();
    } catch (...) {
        cout << "not here\n";
    }
}

// noexcept is kept too.
static void no_except() {
    thread([]() noexcept { cout << deep(5) << '\n'; }).join();
}

int main(int argc, char **argv) {
    test tests[] = {CASE(rethrown), CASE(under_way),   CASE(carried),  CASE(far),
                    CASE(thread_exit), CASE(uncaught), CASE(no_except)};
    return RUN(argc, argv, tests);
}
