"""Computing threads and the interpreter's lock: who computes must let the others in.

Each part ends only if a thread that waits gets its turn while another computes."""
import threading
import time


def start(function, *args, daemon=False):
    thread = threading.Thread(target=function, args=args, daemon=daemon)
    thread.start()
    return thread


def compute(until):
    steps = 0
    while not until():
        steps += 1
    return steps


# A computing main beside a timer thread.
fired = []
timer = threading.Timer(0.05, fired.append, ["fired"])
timer.start()
print("main computed", compute(lambda: fired) > 0, fired)
timer.join()

# A computing main beside a ticker.
ticks = []


def tick():
    while len(ticks) < 10:
        time.sleep(0.001)
        ticks.append(1)


ticker = start(tick)
print("main computed", compute(lambda: len(ticks) >= 10) > 0)
ticker.join()

# Computing threads, a ticker, and a main that waits.
ticks.clear()
workers = [start(compute, lambda: len(ticks) >= 10) for _ in range(4)]
ticker = start(tick)
for thread in workers + [ticker]:
    thread.join()
print("workers computed", len(ticks))

# `while flag: pass` in a thread and in main.
flag = True


def spin():
    while flag:
        pass


spinners = [start(spin) for _ in range(3)]
flag = False
for thread in spinners:
    thread.join()
print("spinners done")
flag = True


def clear():
    global flag
    time.sleep(0.01)
    flag = False


clearer = start(clear)
spin()
clearer.join()
print("main spun")

# Computing threads take turns: each sees the others' steps.
steps = [0] * 4


def turn(me):
    while not all(step > 0 for step in steps):
        steps[me] += 1


for thread in [start(turn, me) for me in range(4)]:
    thread.join()
print("turns", all(step > 0 for step in steps))

# A computing thread that nobody waits for ends with the program.
start(compute, lambda: False, daemon=True)
print("leaving")
