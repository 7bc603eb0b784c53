"""Handlers while threads wait: they run in the main thread, and the waits go on."""
import os
import signal
import threading
import time

seen = []


def note(number, frame):
    seen.append((signal.Signals(number).name, threading.current_thread() is threading.main_thread()))


def start(function, *args):
    thread = threading.Thread(target=function, args=args)
    thread.start()
    return thread


for number in (signal.SIGUSR1, signal.SIGALRM, signal.SIGCHLD):
    signal.signal(number, note)

# Main waits for a lock, a thread sends: main is interrupted, runs the handler, and goes on waiting.
done = threading.Event()


def send():
    os.kill(os.getpid(), signal.SIGUSR1)
    while not seen:
        time.sleep(0.001)
    done.set()


sender = start(send)
print("waited", done.wait(60), seen)
sender.join()

# An alarm during a sleep, a read and a join: each is resumed.
seen.clear()
reader, writer = os.pipe()


def answer():
    while len(seen) < 3:
        time.sleep(0.001)
    os.write(writer, b"done")


signal.setitimer(signal.ITIMER_REAL, 0.01, 0.01)
thread = start(answer)
before = time.monotonic()
time.sleep(0.1)
print("slept", time.monotonic() - before >= 0.1)
print("read", os.read(reader, 10))
thread.join()
signal.setitimer(signal.ITIMER_REAL, 0)
print("alarms", len(seen) >= 3, set(seen))

# A handler that raises ends the wait.
class Stop(Exception):
    pass


armed = False


def stop(number, frame):
    """Raises once: a second signal must not hit whoever handles the first."""
    global armed
    if armed:
        armed = False
        raise Stop(signal.Signals(number).name)


signal.signal(signal.SIGUSR2, stop)
never = threading.Event()
parked = start(never.wait)
for name, wait in (
    ("sleep", lambda: time.sleep(600)),
    ("event", lambda: never.wait(600)),
    ("read", lambda: os.read(reader, 1)),
    ("join", parked.join),
):
    inside = threading.Event()

    def shoot():
        inside.wait()
        while True:  # until it hits: a signal just before the wait would interrupt nothing
            os.kill(os.getpid(), signal.SIGUSR2)
            if over.wait(0.05):
                break

    over = threading.Event()
    shooter = start(shoot)
    try:
        armed = True
        inside.set()
        wait()
        print(name, "ended by itself")
    except Stop as error:
        print(name, "stopped by", error)
    over.set()
    shooter.join()
never.set()
parked.join()

# A child's end is told, and main goes on.
seen.clear()
child = os.spawnlp(os.P_NOWAIT, "true", "true")
while not seen:
    time.sleep(0.001)
print("child", seen[0], os.waitpid(child, 0)[1])
