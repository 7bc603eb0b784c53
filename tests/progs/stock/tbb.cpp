/* TBB's real threads and threads of the program: at one mutex, one condition, and in each other's loops. */
#include <condition_variable>
#include <cstdio>
#include <mutex>
#include <numeric>
#include <thread>
#include <vector>
#include <tbb/blocked_range.h>
#include <tbb/global_control.h>
#include <tbb/parallel_for.h>
#include <tbb/parallel_reduce.h>
#include <tbb/parallel_sort.h>

static std::mutex lock;
static std::condition_variable changed;
static long added, noticed;

static void in_pool(long *answer) {
    std::vector<long> numbers(200000);
    std::iota(numbers.rbegin(), numbers.rend(), 0);
    tbb::parallel_sort(numbers.begin(), numbers.end());
    using Range = tbb::blocked_range<size_t>;
    tbb::parallel_for(Range(0, 1000, 10), [](const Range &range) {
        std::lock_guard<std::mutex> held(lock);
        added += range.size();
        changed.notify_one();
    });
    *answer = tbb::parallel_reduce(
        Range(0, numbers.size()), 0L,
        [&](const Range &range, long sum) {
            for (size_t i = range.begin(); i != range.end(); i++) sum += numbers[i] * (long)(i % 3);
            return sum;
        },
        [](long one, long other) { return one + other; });
}

int main() {
    enum { THREADS = 3 };
    tbb::global_control limit(tbb::global_control::max_allowed_parallelism, 4);
    long answers[THREADS];
    std::thread watcher([] {
        std::unique_lock<std::mutex> held(lock);
        while (added < THREADS * 1000) changed.wait(held), noticed++;
    });
    std::vector<std::thread> threads;
    for (long &answer : answers) threads.emplace_back(in_pool, &answer);
    for (std::thread &thread : threads) thread.join();
    watcher.join();
    for (long answer : answers) std::printf("%ld\n", answer);
    std::printf("added %ld\n", added);
}
