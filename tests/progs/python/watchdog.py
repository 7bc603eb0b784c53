"""faulthandler's watchdog: a C thread that blocks all signals and waits on a lock with a timeout."""
import faulthandler
import re
import signal
import sys
import tempfile
import threading
import time


def until_text(file, text):
    while text not in (content := open(file.name).read()):
        time.sleep(0.005)
    return content


with tempfile.NamedTemporaryFile("w") as file:
    faulthandler.dump_traceback_later(0.02, repeat=True, file=file)
    text = until_text(file, "Timeout")
    faulthandler.cancel_dump_traceback_later()
    print(re.findall(r"Timeout.*!", text)[0])

# Armed and cancelled: nothing is written.
faulthandler.dump_traceback_later(600)
faulthandler.cancel_dump_traceback_later()

# All threads, as the signal handler writes them.
gate, stop = threading.Barrier(4), threading.Event()


def parked():
    gate.wait()
    stop.wait()


threads = [threading.Thread(target=parked) for _ in range(3)]
for thread in threads:
    thread.start()
gate.wait()
with tempfile.NamedTemporaryFile("w") as file:
    faulthandler.register(signal.SIGUSR1, file=file, all_threads=True)
    signal.raise_signal(signal.SIGUSR1)
    text = until_text(file, "Current thread")
    print("stacks", len(re.findall(r"^(?:Current t|T)hread 0x", text, re.M)), text.count("in parked"))
    faulthandler.unregister(signal.SIGUSR1)
stop.set()
for thread in threads:
    thread.join()

# The process still takes its signals: a watchdog that blocks them must block them for itself alone.
faulthandler.dump_traceback_later(600)
seen = []
signal.signal(signal.SIGUSR2, lambda number, frame: seen.append(number))
signal.raise_signal(signal.SIGUSR2)
print("signal", seen == [signal.SIGUSR2])
faulthandler.cancel_dump_traceback_later()

print("ends", flush=True)
faulthandler.dump_traceback_later(0.05, exit=True, file=open("/dev/null", "w"))
time.sleep(600)
sys.exit("not reached")
