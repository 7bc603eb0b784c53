"""Sleepers wake in the order of their times, whatever the order of their starts."""
import threading
import time

STEP = 0.1
woken = []
gate = threading.Barrier(9)


def sleeper(rank):
    gate.wait()
    time.sleep(max(0, start_at + rank * STEP - time.monotonic()))
    woken.append(rank)


ranks = [5, 0, 3, 1, 2, 4, 7, 6]
threads = [threading.Thread(target=sleeper, args=[rank]) for rank in ranks]
for thread in threads:
    thread.start()
start_at = time.monotonic() + STEP
gate.wait()
for thread in threads:
    thread.join()
print(woken)


def early(sleep, seconds):
    """Never too early, by the clock that the sleep is counted in."""
    before = time.monotonic()
    sleep(seconds)
    return time.monotonic() - before < seconds


short = []
napper = threading.Thread(target=lambda: short.extend(early(time.sleep, n / 10000) for n in range(1, 60)))
napper.start()
print("main woke early:", any(early(time.sleep, n / 10000) for n in range(1, 60)))
napper.join()
print("thread woke early:", any(short), "waits:", any(early(threading.Event().wait, n / 10000) for n in range(1, 60)))
for wrong in (-1, float("nan")):
    try:
        time.sleep(wrong)
    except ValueError as error:
        print(error)
time.sleep(0)
