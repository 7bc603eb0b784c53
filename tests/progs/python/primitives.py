"""Every primitive of threading: each result is printed in an order that the locks force."""
import threading
import time

N = 20


def start(function, *args):
    thread = threading.Thread(target=function, args=args)
    thread.start()
    return thread


def join(threads):
    for thread in threads:
        thread.join()


def locks():
    total = 0
    lock = threading.Lock()

    def add():
        nonlocal total
        for _ in range(200):
            with lock:
                seen = total
                if seen % 50 == 0:
                    time.sleep(0)
                total = seen + 1

    join([start(add) for _ in range(N)])
    print("lock", total, lock.locked())

    lock.acquire()
    print("taken", lock.acquire(blocking=False), lock.acquire(timeout=0.02))
    holder = start(lambda: lock.release())  # a Lock may be released by another thread
    print("handed over", lock.acquire(timeout=30))
    holder.join()

    rlock = threading.RLock()
    with rlock, rlock:
        result = []
        join([start(lambda: result.append(rlock.acquire(blocking=False)))])
        print("rlock", result)
    try:
        rlock.release()
    except RuntimeError as error:
        print("rlock", error)


def conditions():
    turn = 0
    said = []
    condition = threading.Condition()

    def speak(me):
        nonlocal turn
        for _ in range(5):
            with condition:
                condition.wait_for(lambda: turn % N == me)
                said.append(me)
                turn += 1
                condition.notify_all()

    join([start(speak, me) for me in range(N)])
    print("condition", said == list(range(N)) * 5)
    with condition:
        print("condition", condition.wait(0.02), condition.wait_for(lambda: False, 0.02))


def events():
    event, reached, seen = threading.Event(), threading.Barrier(N + 1), []

    def wait():
        reached.wait()
        seen.append(event.wait(30))

    threads = [start(wait) for _ in range(N)]
    reached.wait()
    print("event", event.wait(0.02), event.is_set(), len(seen))
    event.set()
    join(threads)
    print("event", seen == [True] * N)


def semaphores():
    slots, inside, most = threading.BoundedSemaphore(3), 0, 0
    lock = threading.Lock()

    def work():
        nonlocal inside, most
        with slots:
            with lock:
                inside += 1
                most = max(most, inside)
            time.sleep(0.001)
            with lock:
                inside -= 1

    join([start(work) for _ in range(N)])
    print("semaphore", most <= 3, inside)
    try:
        slots.release()
    except ValueError as error:
        print("semaphore", error)
    empty = threading.Semaphore(0)
    print("semaphore", empty.acquire(timeout=0.02), empty.acquire(blocking=False))


def barriers():
    log, lock = [], threading.Lock()
    barrier = threading.Barrier(N, action=lambda: log.append("|"))

    def rounds():
        for step in range(3):
            with lock:
                log.append(step)
            barrier.wait()

    join([start(rounds) for _ in range(N)])
    print("barrier", log == [x for step in range(3) for x in [step] * N + ["|"]])

    broken, outcome = threading.Barrier(3), []

    def stand():
        try:
            broken.wait()
        except threading.BrokenBarrierError:
            outcome.append("broken")

    threads = [start(stand) for _ in range(2)]
    while broken.n_waiting < 2:
        time.sleep(0.001)
    broken.abort()
    join(threads)
    print("barrier", outcome, broken.broken)
    try:
        threading.Barrier(2).wait(0.02)
    except threading.BrokenBarrierError:
        print("barrier timed out")


def timers():
    fired, order = threading.Event(), []

    def fire(name):
        order.append(name)
        if name == "late":
            fired.set()

    late = threading.Timer(0.5, fire, ["late"])
    early = threading.Timer(0.01, fire, ["early"])
    never = threading.Timer(600, fire, ["never"])
    for timer in (late, early, never):
        timer.start()
    never.cancel()
    print("timer", fired.wait(30))
    join([late, early, never])
    print("timer", order)


def locals_():
    data = threading.local()
    data.x = "main"
    seen, gate = [], threading.Barrier(N)

    def own(me):
        fresh = not hasattr(data, "x")
        data.x = me
        gate.wait()
        time.sleep(0)
        seen.append((data.x == me, fresh))

    join([start(own, me) for me in range(N)])
    print("local", seen == [(True, True)] * N, data.x)


def identity():
    gate, seen = threading.Barrier(N), []

    def note():
        gate.wait()
        me = threading.current_thread()
        seen.append((me.native_id, me.ident, threading.get_ident() == me.ident, threading.get_native_id() == me.native_id))
        gate.wait()

    join([start(note) for _ in range(N)])
    ids = {native for native, _, _, _ in seen} | {threading.get_native_id()}
    print("native ids", len(ids) == N + 1, "idents", len({ident for _, ident, _, _ in seen}) == N)
    print("agree", all(same and native for _, _, same, native in seen), threading.active_count())


for part in (locks, conditions, events, semaphores, barriers, timers, locals_, identity):
    part()
