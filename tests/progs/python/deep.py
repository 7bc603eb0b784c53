"""libc by its own handle: ctypes finds the functions inside libc, not the rows."""
import ctypes
import os
import subprocess
import sys
import threading

libc = ctypes.CDLL("libc.so.6", use_errno=True)
ends = os.pipe()


def feed():
    libc.usleep(1000)
    os.write(ends[1], b"fed")


thread = threading.Thread(target=feed)
thread.start()
buffer = ctypes.create_string_buffer(8)
print(libc.read(ends[0], buffer, 8), buffer.value)
thread.join()

stop = threading.Event()
ticks = 0


def tick():
    global ticks
    while not stop.wait(0.001):
        ticks += 1


thread = threading.Thread(target=tick)
thread.start()
before = ticks
while ticks == before:
    libc.sleep(0)
    libc.usleep(2000)
print(libc.system(b"exit 4") >> 8, libc.poll(None, 0, 5), os.system("exit 2") >> 8)
print(os.popen("echo popen").read(), subprocess.getoutput("echo sub"))
stop.set()
thread.join()
print(libc.read(-1, buffer, 1), ctypes.get_errno())
sys.stdout.flush()
