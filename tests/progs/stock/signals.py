"""signal with threads: handlers, timers, masks, sigwait, wake-up descriptors."""
import os
import queue
import select
import signal
import socket
import subprocess
import threading
import time

me = os.getpid()
log = []


def handler(number, frame):
    log.append((signal.Signals(number).name, threading.current_thread() is threading.main_thread()))


def wait_for(name):
    while (name, True) not in log:
        time.sleep(0.001)


for number in (signal.SIGUSR1, signal.SIGUSR2, signal.SIGALRM, signal.SIGHUP, signal.SIGCHLD):
    signal.signal(number, handler)

# Sent by threads, to the process and to a thread: the handler runs in main.
threading.Thread(target=os.kill, args=(me, signal.SIGUSR1)).start()
wait_for("SIGUSR1")
over = threading.Event()
sleeper = threading.Thread(target=over.wait)
sleeper.start()
signal.pthread_kill(sleeper.ident, signal.SIGUSR2)
wait_for("SIGUSR2")
over.set()
sleeper.join()
subprocess.run(["kill", "-HUP", str(me)])
wait_for("SIGHUP")
wait_for("SIGCHLD")
print("handled", sorted(set(log)))
log.clear()

# Main waits in different calls, another thread sends; the waits go on and end as they should.
left, right = socket.socketpair()
read, write = os.pipe()
jobs = queue.Queue()


def later(finish):
    def run():
        for _ in range(3):
            os.kill(me, signal.SIGUSR1)
            time.sleep(0.001)
        finish()
    thread = threading.Thread(target=run)
    thread.start()
    return thread


for name, wait, finish in (
    ("recv", lambda: left.recv(10), lambda: right.send(b"data")),
    ("read", lambda: os.read(read, 10), lambda: os.write(write, b"pipe")),
    ("get", lambda: jobs.get(timeout=20), lambda: jobs.put("job")),
    ("select", lambda: len(select.select([left], [], [], 20)[0]), lambda: right.send(b"more")),
    ("sleep", lambda: time.sleep(0.02), lambda: None),
    ("child", lambda: subprocess.run(["sh", "-c", "exit 4"]).returncode, lambda: None),
):
    thread = later(finish)
    print(name, wait())
    thread.join()
    wait_for("SIGUSR1")
    log.clear()

# An exception from a handler ends the wait.
class Ended(Exception):
    pass


def raising(number, frame):
    raise Ended(signal.Signals(number).name)


signal.signal(signal.SIGUSR1, raising)
sent = threading.Thread(target=lambda: (time.sleep(0.01), os.kill(me, signal.SIGUSR1)))
sent.start()
try:
    threading.Event().wait(20)
    print("nothing was raised")
except Ended as error:
    print("raised", error)
sent.join()
signal.signal(signal.SIGALRM, raising)
signal.setitimer(signal.ITIMER_REAL, 0.01)
try:
    queue.Queue().get(timeout=20)
except Ended as error:
    print("raised", error)

# Masks are a thread's own; sigwait takes what is blocked.
signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR2, signal.SIGRTMIN])
taken = queue.Queue()


def take():
    taken.put(sorted(signal.pthread_sigmask(signal.SIG_BLOCK, [])) == sorted([signal.SIGUSR2, signal.SIGRTMIN]))
    taken.put(signal.sigwait([signal.SIGUSR2]).name)
    info = signal.sigtimedwait([signal.SIGRTMIN], 20)
    taken.put((info.si_signo == signal.SIGRTMIN, info.si_pid == me))
    taken.put(signal.sigtimedwait([signal.SIGRTMIN], 0.01))


taker = threading.Thread(target=take)
taker.start()
os.kill(me, signal.SIGUSR2)
print("taken", taken.get(), taken.get())
os.kill(me, signal.SIGRTMIN)
print("taken", taken.get(), taken.get())
taker.join()
os.kill(me, signal.SIGUSR2)
print("pending", [one.name for one in signal.sigpending()])
signal.sigwait([signal.SIGUSR2])

# A wake-up descriptor, as event loops use it.
left.setblocking(False)
signal.signal(signal.SIGUSR1, lambda *_: None)
signal.set_wakeup_fd(right.fileno() if right.setblocking(False) is None else -1)
for _ in range(3):
    while True:
        try:
            left.recv(100)
        except BlockingIOError:
            break
    thread = threading.Thread(target=os.kill, args=(me, signal.SIGUSR1))
    thread.start()
    select.select([left], [], [], 20)
    print("woken", signal.SIGUSR1 in left.recv(100))
    thread.join()
signal.set_wakeup_fd(-1)

# Ctrl-C.
signal.signal(signal.SIGINT, signal.default_int_handler)
thread = threading.Thread(target=lambda: (time.sleep(0.01), os.kill(me, signal.SIGINT)))
thread.start()
try:
    threading.Event().wait(20)
except KeyboardInterrupt:
    print("interrupted")
thread.join()
