"""select, poll, epoll and selectors, each waited for by a thread of its own while others make things ready."""
import os
import select
import selectors
import socket
import threading

N = 8


def start(function, *args):
    thread = threading.Thread(target=function, args=args)
    thread.start()
    return thread


def wait_select(fd, timeout):
    return select.select([fd], [], [], timeout)[0] == [fd]


def wait_poll(fd, timeout):
    poller = select.poll()
    poller.register(fd, select.POLLIN)
    return poller.poll(timeout * 1000) == [(fd, select.POLLIN)]


def wait_epoll(fd, timeout):
    with select.epoll() as poller:
        poller.register(fd, select.EPOLLIN)
        return poller.poll(timeout) == [(fd, select.EPOLLIN)]


def wait_selectors(make):
    def wait(fd, timeout):
        with make() as selector:
            selector.register(fd, selectors.EVENT_READ, "mine")
            return [(key.data, mask) for key, mask in selector.select(timeout)] == [("mine", selectors.EVENT_READ)]

    return wait


ways = {
    "select": wait_select,
    "poll": wait_poll,
    "epoll": wait_epoll,
    "SelectSelector": wait_selectors(selectors.SelectSelector),
    "PollSelector": wait_selectors(selectors.PollSelector),
    "EpollSelector": wait_selectors(selectors.EpollSelector),
}

for name, wait in ways.items():
    seen = {}

    def watch(me, fd):
        first = wait(fd, 0.02)
        timed_out.wait()
        seen[me] = (first, wait(fd, 60), os.read(fd, 10))

    pipes, timed_out = [os.pipe() for _ in range(N)], threading.Barrier(N + 1)
    threads = [start(watch, me, reader) for me, (reader, _) in enumerate(pipes)]
    timed_out.wait()
    for me in reversed(range(N)):
        os.write(pipes[me][1], b"%d" % me)
        threads[me].join()
    print(name, [seen[me] for me in range(N)] == [(False, True, b"%d" % me) for me in range(N)])
    for reader, writer in pipes:
        os.close(writer)
        print(name, "end", wait(reader, 60) if name not in ("poll", "epoll") else "", os.read(reader, 1))
        os.close(reader)

# Many waiters on one descriptor: all see it.
left, right = socket.socketpair()
results = []
threads = [start(lambda way: results.append(way(left.fileno(), 60)), way) for way in list(ways.values()) * 3]
right.send(b"!")
for thread in threads:
    thread.join()
print("shared", results == [True] * 18, left.recv(10))

# One selector, many connections: an echo server by hand beside blocking client threads.
listener = socket.create_server(("127.0.0.1", 0), backlog=64)
listener.setblocking(False)
finished = []


def client(me):
    with socket.create_connection(listener.getsockname()) as sock:
        for i in range(20):
            text = f"{me} {i}".encode()
            sock.sendall(text)
            assert sock.recv(100) == text
    finished.append(me)


clients = [start(client, me) for me in range(20)]
with selectors.DefaultSelector() as selector:
    selector.register(listener, selectors.EVENT_READ)
    gone = 0
    while gone < 20:
        for key, _ in selector.select():
            if key.fileobj is listener:
                sock, _ = listener.accept()
                selector.register(sock, selectors.EVENT_READ)
            elif data := key.fileobj.recv(4096):
                key.fileobj.sendall(data)
            else:
                selector.unregister(key.fileobj)
                key.fileobj.close()
                gone += 1
for thread in clients:
    thread.join()
print("server", sorted(finished) == list(range(20)))

# Writable, exceptional, several at once.
left, right = socket.socketpair()
print("writable", select.select([left], [left], [], 60) == ([], [left], []))
left.setblocking(False)
try:
    while True:
        left.send(bytes(4096))
except BlockingIOError:
    print("full", select.select([], [left], [], 0.02))
drain = start(right.recv, 1 << 20)
print("writable again", select.select([], [left], [], 60) == ([], [left], []))
drain.join()
left.close()
while right.recv(1 << 20):
    pass
print("end", select.select([right], [], [], 60)[0] == [right])
