"""How threads end: by exceptions, SystemExit, hooks, as daemons when the program is over."""
import atexit
import sys
import threading
import time


def run(function, name):
    thread = threading.Thread(target=function, name=name)
    thread.start()
    thread.join()
    return thread


def fail():
    raise ValueError("on purpose")


print("raised", run(fail, "failing").is_alive(), flush=True)
print("exited", run(lambda: sys.exit("not printed"), "exiting").is_alive(), flush=True)

caught = []
standard = threading.excepthook
threading.excepthook = lambda args: caught.append((args.exc_type.__name__, str(args.exc_value), args.thread.name))
run(fail, "hooked")
for _ in range(50):
    run(fail, "many")
print("hook", caught[0], len(caught), flush=True)
threading.excepthook = standard

trace = []


class Traced(threading.Thread):
    def run(self):
        trace.append(self.name)
        super().run()


for i in range(3):
    thread = Traced(name=f"traced {i}", target=trace.append, args=[i])
    thread.start()
    thread.join()
print("subclass", trace, threading.active_count(), flush=True)
try:
    thread.start()
except RuntimeError as error:
    print("again:", error, flush=True)
try:
    threading.current_thread().join()
except RuntimeError as error:
    print("self:", error, flush=True)

held = threading.Lock()
held.acquire()
parked = threading.Barrier(5)
said = threading.Event()


def forever():
    parked.wait()
    held.acquire()


def sleeper():
    parked.wait()
    time.sleep(600)


def busy():
    parked.wait()
    while True:
        time.sleep(0)


def slow():
    """Not a daemon: the program waits for it."""
    parked.wait()
    said.wait()
    time.sleep(0.05)
    print("slow thread done", flush=True)


for function, daemon in ((forever, True), (sleeper, True), (busy, True), (slow, False)):
    threading.Thread(target=function, daemon=daemon).start()
parked.wait()
print("join times out", [thread.join(0.02) for thread in threading.enumerate() if thread.daemon], flush=True)
said.set()
atexit.register(print, "atexit", flush=True)
sys.exit(7)
