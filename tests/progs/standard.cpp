// The C++ standard library's threads, as libstdc++ builds them on pthread and futex.
#include <atomic>
#include <barrier>
#include <chrono>
#include <condition_variable>
#include <functional>
#include <future>
#include <iostream>
#include <latch>
#include <mutex>
#include <queue>
#include <semaphore>
#include <shared_mutex>
#include <sstream>
#include <stop_token>
#include <string>
#include <thread>
#include <vector>

#include "prog.h"

using namespace std;
using namespace std::chrono_literals;

static const int THREADS = 8;

static void on_threads(int count, function<void(int)> run) {
    vector<thread> threads;
    for (int i = 0; i < count; i++) threads.emplace_back(run, i);
    for (auto &thread : threads) thread.join();
}

static void threads() {
    vector<int> seen(THREADS);
    on_threads(THREADS, [&](int i) {
        this_thread::sleep_for(1ms);
        this_thread::yield();
        seen[i] = i * i;
    });
    for (int value : seen) cout << value << ' ';
    thread::id none;
    thread one([] {}), two;
    cout << (one.get_id() != none) << (two.get_id() == none) << one.joinable();
    two = move(one);
    cout << one.joinable() << two.joinable() << '\n';
    two.join();
}

static void mutexes() {
    mutex plain;
    recursive_mutex again;
    timed_mutex timed;
    int count = 0;
    on_threads(THREADS, [&](int) {
        for (int i = 0; i < 100; i++) {
            scoped_lock both(plain, again);
            lock_guard twice(again);
            int before = count;
            if (i % 25 == 0) this_thread::sleep_for(10us);
            count = before + 1;
        }
    });
    cout << count << ' ';
    timed.lock();
    thread([&] {
        cout << timed.try_lock() << timed.try_lock_for(2ms) << timed.try_lock_until(chrono::system_clock::now() + 2ms) << ' ';
    }).join();
    thread waiting([&] {
        cout << timed.try_lock_for(60s) << '\n';
        timed.unlock();
    });
    this_thread::sleep_for(1ms);
    timed.unlock();
    waiting.join();
}

static void conditions() {
    mutex lock;
    condition_variable changed;
    condition_variable_any any;
    queue<int> items;
    long sum = 0;
    bool closed = false;
    {
        unique_lock held(lock);
        cout << (changed.wait_for(held, 2ms) == cv_status::timeout);
        cout << changed.wait_for(held, 2ms, [] { return false; });
        cout << (any.wait_until(held, chrono::steady_clock::now() + 2ms) == cv_status::timeout) << ' ';
    }
    vector<thread> consumers;
    for (int i = 0; i < 4; i++)
        consumers.emplace_back([&] {
            unique_lock held(lock);
            for (;;) {
                changed.wait_for(held, 60s, [&] { return closed || !items.empty(); });
                if (items.empty()) return;
                sum += items.front();
                items.pop();
                any.notify_one();
            }
        });
    for (int i = 1; i <= 1000; i++) {
        unique_lock held(lock);
        any.wait(held, [&] { return items.size() < 5; });
        items.push(i);
        changed.notify_one();
    }
    {
        lock_guard held(lock);
        closed = true;
        changed.notify_all();
    }
    for (auto &consumer : consumers) consumer.join();
    cout << sum << '\n';
}

static void futures() {
    vector<future<int>> results;
    for (int i = 0; i < THREADS; i++)
        results.push_back(async(launch::async, [i] {
            this_thread::sleep_for(1ms);
            if (i == 3) throw runtime_error("three");
            return i;
        }));
    for (auto &result : results) try {
        cout << result.get() << ' ';
    } catch (const runtime_error &error) {
        cout << error.what() << ' ';
    }
    promise<string> given;
    shared_future<string> shared = given.get_future().share();
    cout << (shared.wait_for(2ms) == future_status::timeout) << ' ';
    vector<thread> readers;
    atomic<int> good = 0;
    for (int i = 0; i < 4; i++) readers.emplace_back([&] { good += shared.get() == "given"; });
    this_thread::sleep_for(1ms);
    given.set_value("given");
    for (auto &reader : readers) reader.join();
    packaged_task<int(int)> task([](int x) { return x + 1; });
    auto answer = task.get_future();
    thread(move(task), 41).join();
    future<int> broken;
    thread([&] { broken = promise<int>().get_future(); }).join();
    cout << good << ' ' << answer.get() << ' ';
    try {
        broken.get();
    } catch (const future_error &error) {
        cout << (error.code() == future_errc::broken_promise) << '\n';
    }
}

static void at_thread_exit() {
    promise<int> given;
    auto answer = given.get_future();
    thread([&] {
        given.set_value_at_thread_exit(7);
        this_thread::sleep_for(1ms);
    }).detach();
    cout << answer.get() << '\n';
}

// The first initialiser throws: another has its turn.
static void once_flags() {
    once_flag flag;
    atomic<int> tries = 0, thrown = 0;
    on_threads(THREADS, [&](int) {
        try {
            call_once(flag, [&] {
                this_thread::sleep_for(1ms);
                if (++tries == 1) throw 1;
            });
        } catch (int) {
            thrown++;
        }
    });
    cout << tries << ' ' << thrown << '\n';
}

struct Slow {
    static inline atomic<int> made = 0;
    Slow() {
        this_thread::sleep_for(1ms);
        if (++made == 1) throw 1;
    }
};

static Slow &instance() {
    static Slow slow;
    return slow;
}

// A local static that all want at once, and whose first constructor throws.
static void local_static() {
    atomic<int> thrown = 0, got = 0;
    on_threads(THREADS, [&](int) {
        try {
            instance();
            got++;
        } catch (int) {
            thrown++;
        }
    });
    cout << Slow::made << ' ' << got << ' ' << thrown << '\n';
}

static mutex log_lock;
static ostringstream log_text;
struct Local {
    int value = 0;
    ~Local() {
        this_thread::sleep_for(100us);
        lock_guard held(log_lock);
        log_text << value << ' ';
    }
};
static thread_local Local local;

static void thread_locals() {
    for (int i = 1; i <= THREADS; i++) thread([i] {
        local.value = i;
        this_thread::sleep_for(100us);
        static thread_local Local inner;
        inner.value = local.value * 10;
    }).join();
    atomic<int> sum = 0;
    on_threads(THREADS, [&](int i) {
        local.value = 1;
        thread_local int fresh = 5;
        fresh += i;
        this_thread::sleep_for(1ms);
        sum += fresh;
    });
    cout << log_text.str() << sum << '\n';
    local.value = -1;
}

static void atomics() {
    atomic<int> word = 0;
    atomic_flag flag;
    atomic<long> wide = 0;
    int seen = 0;
    thread waiting([&] {
        word.wait(0);
        seen = word;
        flag.test_and_set();
        flag.notify_all();
        wide.wait(0);
        seen += wide;
    });
    this_thread::sleep_for(1ms);
    word = 5;
    word.notify_one();
    flag.wait(false);
    this_thread::sleep_for(1ms);
    wide = 10;
    wide.notify_all();
    waiting.join();
    cout << seen << '\n';
}

static void meeting_points() {
    counting_semaphore<4> pair(2);
    binary_semaphore never(0);
    latch arrived(THREADS);
    atomic<int> completed = 0, inside = 0, most = 0, phases = 0;
    barrier rendezvous(THREADS, [&]() noexcept { phases++; });
    on_threads(THREADS, [&](int) {
        arrived.arrive_and_wait();
        pair.acquire();
        if (++inside > 2) most = 1;
        this_thread::sleep_for(100us);
        inside--;
        pair.release();
        for (int phase = 1; phase <= 5; phase++) {
            rendezvous.arrive_and_wait();
            if (phases < phase) most = 2;
        }
        completed++;
    });
    cout << completed << ' ' << most << ' ' << phases << ' ' << never.try_acquire_for(2ms) << '\n';
}

static void stopping() {
    mutex lock;
    condition_variable_any never;
    string how;
    {
        jthread thread([&](stop_token stop) {
            unique_lock held(lock);
            never.wait(held, stop, [] { return false; });
            how = stop.stop_requested() ? "stopped" : "woken";
        });
        this_thread::sleep_for(1ms);
    }
    cout << how << '\n';
}

int main(int argc, char **argv) {
    cout << unitbuf;
    test tests[] = {CASE(threads),    CASE(mutexes),      CASE(conditions),    CASE(futures), CASE(at_thread_exit),
                    CASE(once_flags), CASE(local_static), CASE(thread_locals), CASE(atomics), CASE(meeting_points),
                    CASE(stopping)};
    return RUN(argc, argv, tests);
}
