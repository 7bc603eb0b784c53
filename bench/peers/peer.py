"""peer.py eventlet|gevent CASE SECONDS: see peer.h."""

import sys
import time

BATCH, ROOM, POOL = 100, 10, 100

if sys.argv[1] == "eventlet":
    import eventlet
    from eventlet import GreenPool as Pool, sleep, spawn, spawn_n
    from eventlet.queue import LightQueue as Queue
    from eventlet.semaphore import Semaphore

    def result(thread):
        return thread.wait()

    def channel():
        return Queue(0)

    def finish(pool):
        pool.waitall()

    pool_spawn = Pool.spawn_n
else:
    from gevent import sleep, spawn, spawn_raw as spawn_n
    from gevent.lock import Semaphore
    from gevent.pool import Pool
    from gevent.queue import Channel as channel, Queue

    def result(thread):
        return thread.get()

    def finish(pool):
        pool.join()

    pool_spawn = Pool.spawn

left = 0
done = Semaphore(0)


def task():
    global left
    left -= 1
    if left == 0:
        done.release()


def run_spawn_n(count):
    global left
    for _ in range(count // BATCH):
        left = BATCH
        for _ in range(BATCH):
            spawn_n(task)
        done.acquire()


def echo(value):
    return value


def run_spawn(count):
    for _ in range(count):
        if result(spawn(echo, done)) is not done:
            raise AssertionError("another result")


def switches(threads):
    def take_turns(turns):
        for _ in range(turns):
            sleep(0)
        task()

    def run(count):
        global left
        left = threads
        for _ in range(threads):
            spawn_n(take_turns, count // threads)
        done.acquire()

    return run


def through(make):
    def run(count):
        queue = make()

        def produce():
            for _ in range(count):
                queue.put(done)

        spawn_n(produce)
        for _ in range(count):
            queue.get()

    return run


def run_pool(count):
    pool = Pool(POOL)
    for _ in range(count):
        pool_spawn(pool, echo, None)
    finish(pool)


CASES = {
    "spawn_n": run_spawn_n,
    "spawn": run_spawn,
    "switch-2": switches(2),
    "switch-100": switches(100),
    "queue": through(lambda: Queue(ROOM)),
    "channel": through(channel),
    "pool": run_pool,
}

run, wanted, count, spent = CASES[sys.argv[2]], float(sys.argv[3]) * 1e9, 500, 0
while spent < wanted:
    count *= 2
    start = time.process_time_ns()
    run(count)
    spent = time.process_time_ns() - start
print(f"{spent / count:.1f}")
