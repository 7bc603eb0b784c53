// Cancellation unwinds C++ frames: destructors run, catch (...) sees it and must let it go on, thread_local objects end.
extern "C" {
#include <pthread.h>
#include <semaphore.h>
#include <unistd.h>
}
#include <condition_variable>
#include <cstdio>
#include <cstring>
#include <mutex>
#include <thread>

static sem_t begun, never;
static std::mutex lock;
static std::condition_variable cond;
static bool held;

struct Says {
    const char *what;
    ~Says() {
        usleep(100);
        std::printf("%s ends\n", what);
    }
};

static thread_local Says local{"the thread's"};

static void *by_sem(void *) {
    local.what = "the thread's own";
    Says outer{"outer"};
    try {
        Says inner{"inner"};
        sem_post(&begun);
        sem_wait(&never);
    } catch (...) {
        std::puts("caught");
        throw;
    }
    return nullptr;
}

static void *by_cond(void *) {
    std::unique_lock<std::mutex> guard(lock);
    Says inner{"holder"};
    held = true;
    sem_post(&begun);
    cond.wait(guard, [] { return false; });
    return nullptr;
}

static void *by_exit(void *) {
    Says outer{"outer"};
    pthread_exit(const_cast<char *>("left"));
}

static void cancel(void *(*run)(void *)) {
    pthread_t thread;
    void *result;
    pthread_create(&thread, nullptr, run, nullptr);
    sem_wait(&begun);
    usleep(2000);
    pthread_cancel(thread);
    pthread_join(thread, &result);
    std::puts(result == PTHREAD_CANCELED ? "cancelled" : "went on");
}

int main(int argc, char **argv) {
    sem_init(&begun, 0, 0), sem_init(&never, 0, 0);
    if (argc < 2) return 2;
    if (!std::strcmp(argv[1], "destructors")) cancel(by_sem);
    if (!std::strcmp(argv[1], "guards")) {
        cancel(by_cond);
        std::lock_guard<std::mutex> free(lock); // the unwinding gave it back
        std::puts(held ? "free" : "never held");
    }
    if (!std::strcmp(argv[1], "exits")) {
        pthread_t thread;
        void *result;
        pthread_create(&thread, nullptr, by_exit, nullptr);
        usleep(100);
        pthread_join(thread, &result);
        std::puts(static_cast<char *>(result));
    }
}
