"""The four queues, as pipelines of many producers and consumers."""
import queue
import threading
import time


def start(function, *args):
    thread = threading.Thread(target=function, args=args)
    thread.start()
    return thread


def pipeline(make, name):
    """10 producers, a queue that may be bounded, 10 consumers: each item arrives once."""
    items, taken, lock = make(), [], threading.Lock()

    def produce(me):
        for i in range(50):
            items.put((me, i))

    def consume():
        while (item := items.get()) != (99, 99):
            with lock:
                taken.append(item)

    consumers = [start(consume) for _ in range(10)]
    producers = [start(produce, me) for me in range(10)]
    for thread in producers:
        thread.join()
    while name == "LifoQueue" and not items.empty():  # its sentinel would overtake
        time.sleep(0.001)
    for _ in consumers:
        items.put((99, 99))
    for thread in consumers:
        thread.join()
    print(name, len(taken), sorted(taken) == [(me, i) for me in range(10) for i in range(50)], items.empty())


pipeline(lambda: queue.Queue(3), "Queue(3)")
pipeline(queue.Queue, "Queue")
pipeline(lambda: queue.LifoQueue(5), "LifoQueue")
pipeline(queue.PriorityQueue, "PriorityQueue")
pipeline(queue.SimpleQueue, "SimpleQueue")

ordered = queue.PriorityQueue()
for value in (5, 1, 4, 2, 3):
    ordered.put(value)
print("priority", [ordered.get() for _ in range(5)])
stack = queue.LifoQueue()
for value in range(5):
    stack.put(value)
print("lifo", [stack.get() for _ in range(5)])

# One producer, one consumer: first in, first out, whatever the hand-over.
for make in (lambda: queue.Queue(1), queue.SimpleQueue):
    line, got = make(), []
    reader = start(lambda: got.extend(line.get() for _ in range(200)))
    for value in range(200):
        line.put(value)
    reader.join()
    print("fifo", got == list(range(200)))

full = queue.Queue(1)
full.put("only")
for attempt in (lambda: full.put("x", timeout=0.02), lambda: full.put("x", block=False)):
    try:
        attempt()
    except queue.Full:
        print("full")
full.get()
full.task_done()
for attempt in (lambda: full.get(timeout=0.02), full.get_nowait, lambda: queue.SimpleQueue().get(timeout=0.02)):
    try:
        attempt()
    except queue.Empty:
        print("empty")

# join() returns only when each item was marked as done.
work, done = queue.Queue(), []


def worker():
    while True:
        item = work.get()
        time.sleep(0.001)
        done.append(item)
        work.task_done()


for _ in range(4):
    threading.Thread(target=worker, daemon=True).start()
for value in range(40):
    work.put(value)
work.join()
print("join", sorted(done) == list(range(40)))
