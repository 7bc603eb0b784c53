// thread_local objects: their destructors wait, lock, make threads; those of main run at exit; of a cancelled thread too.
#include <pthread.h>
#include <unistd.h>

#include <chrono>
#include <condition_variable>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <future>
#include <mutex>
#include <string>
#include <thread>

using namespace std::chrono_literals;

static std::mutex lock;
static int count;

struct Waits {
    std::string name;
    ~Waits() {
        std::this_thread::sleep_for(1ms);
        std::lock_guard<std::mutex> guard(lock);
        usleep(100);
        count++;
        std::thread([this] { std::printf("%s: %d\n", name.c_str(), count); }).join();
    }
};

static thread_local Waits first{"first"};
static thread_local Waits second{"second"};

static void use() {
    std::lock_guard<std::mutex> guard(lock);
    second.name = "second of a thread"; // made first, so destroyed last
    first.name = "first of a thread";
}

static void waits() {
    for (int i = 0; i < 2; i++) std::thread(use).join();
}

static void many() {
    std::thread threads[5];
    for (auto &thread : threads) thread = std::thread([] { first.name = second.name = "one of many"; });
    for (auto &thread : threads) thread.join();
}

static void of_main() {
    first.name = "main's";
    std::thread([] {}).join();
    std::exit(0);
}

static void at_thread_exit() {
    std::promise<int> promise;
    auto future = promise.get_future();
    std::thread([&promise] {
        first.name = "before the promise is kept";
        promise.set_value_at_thread_exit(42);
    }).detach();
    std::printf("%d\n", future.get());
    usleep(20000);
}

static void async_tasks() {
    std::future<int> futures[20];
    for (int i = 0; i < 20; i++) futures[i] = std::async(std::launch::async, [i] {
        std::this_thread::sleep_for(std::chrono::microseconds(100 * (20 - i)));
        return i * i;
    });
    int sum = 0;
    for (auto &future : futures) sum += future.get();
    std::printf("%d\n", sum);
}

int main(int, char **argv) {
    struct {
        const char *name;
        void (*run)();
    } tests[] = {{"waits", waits}, {"many", many}, {"of_main", of_main}, {"at_thread_exit", at_thread_exit}, {"async_tasks", async_tasks}};
    for (auto &test : tests)
        if (argv[1] && !std::strcmp(argv[1], test.name)) test.run(), std::puts("done");
}
