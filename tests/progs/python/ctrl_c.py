"""Waits for ever in one of several ways, having said so; SIGINT must end it, as KeyboardInterrupt."""
import os
import queue
import socket
import subprocess
import sys
import threading
import time

stop = threading.Event()
kept = []  # the other ends


def beside(function, *args):
    thread = threading.Thread(target=function, args=args, daemon=True)
    thread.start()
    return thread


def server():
    return socket.create_server(("127.0.0.1", 0))


def connection(timeout=None):
    listener = server()
    client = socket.create_connection(listener.getsockname())
    kept.append(listener.accept())
    client.settimeout(timeout)
    return client


def taken():
    lock = threading.Lock()
    lock.acquire()
    return lock


def condition():
    changed = threading.Condition()
    with changed:
        changed.wait()


def select_():
    import select

    select.select([server()], [], [])


def serve():
    import socketserver

    socketserver.ThreadingTCPServer(("127.0.0.1", 0), None).serve_forever()


def executor():
    from concurrent.futures import ThreadPoolExecutor

    pool = ThreadPoolExecutor(1)
    try:
        pool.submit(stop.wait).result()
    finally:
        stop.set()


waits = {
    "sleep": lambda: time.sleep(600),
    "queue.get": lambda: queue.Queue().get(),
    "queue.get timeout": lambda: queue.Queue().get(timeout=600),
    "simple queue": lambda: queue.SimpleQueue().get(),
    "lock.acquire": lambda: taken().acquire(),
    "condition": condition,
    "event": stop.wait,
    "accept": lambda: server().accept(),
    "recv": lambda: connection().recv(1),
    "recv timeout": lambda: connection(600).recv(1),
    "join": lambda: beside(stop.wait).join(),
    "select": select_,
    "read": lambda: os.read(os.pipe()[0], 1),
    "stdin": lambda: sys.stdin.readline(),
    "serve": serve,
    "child": lambda: subprocess.Popen(["cat"], stdin=subprocess.PIPE).wait(),
    "future": executor,
}
mode = sys.argv[1]
if len(sys.argv) > 2:  # beside other threads, that sleep and wait until the end
    ready = threading.Barrier(7)
    for wait in [time.sleep, threading.Event().wait] * 3:
        beside(lambda wait: (ready.wait(), wait(600)), wait)
    ready.wait()
print("waiting", flush=True)
try:
    waits[mode]()
    print("came back")
except KeyboardInterrupt:
    print("KeyboardInterrupt in", mode)
print("then", threading.main_thread() is threading.current_thread())
raise KeyboardInterrupt  # and the exit status of a program ended by it
