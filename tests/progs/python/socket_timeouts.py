"""Timeouts of sockets, as Python makes them (poll, then a call) and as the kernel does (SO_RCVTIMEO)."""
import errno
import socket
import struct
import threading


def attempt(name, call):
    try:
        print(name, call())
    except OSError as error:  # TimeoutError too
        print(name, type(error).__name__, errno.errorcode.get(error.errno), error)


def parts():
    listener = socket.create_server(("127.0.0.1", 0))
    listener.settimeout(0.03)
    attempt("accept", listener.accept)
    client = socket.create_connection(listener.getsockname(), timeout=30)
    server, _ = listener.accept()
    print("inherited", server.gettimeout(), client.gettimeout())

    client.settimeout(0.03)
    attempt("recv", lambda: client.recv(10))
    attempt("recv_into", lambda: client.recv_into(bytearray(10)))
    server.send(b"12345")
    client.settimeout(30)
    attempt("recv", lambda: client.recv(10))
    client.settimeout(0)
    attempt("not blocking", lambda: client.recv(10))

    client.settimeout(0.03)
    attempt("send", lambda: [client.send(b"x" * 65536) for _ in range(1000)])
    attempt("sendall", lambda: client.sendall(bytes(64 << 20)))

    left, right = socket.socketpair()
    for option in (socket.SO_RCVTIMEO, socket.SO_SNDTIMEO):
        left.setsockopt(socket.SOL_SOCKET, option, struct.pack("ll", 0, 30000))
    attempt("SO_RCVTIMEO", lambda: left.recv(1))
    attempt("SO_SNDTIMEO", lambda: [left.send(b"x" * 65536) for _ in range(100)])
    print("read back", struct.unpack("ll", left.getsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, 16)))
    left.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, struct.pack("ll", 0, 0))
    later = threading.Timer(0.05, right.send, [b"late"])
    later.start()
    attempt("no timeout", lambda: left.recv(10))
    later.join()

    packets = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    packets.bind(("127.0.0.1", 0))
    packets.settimeout(0.03)
    attempt("recvfrom", lambda: packets.recvfrom(10))

    dead = socket.create_server(("127.0.0.1", 0))
    address = dead.getsockname()
    dead.close()
    attempt("connect", lambda: socket.create_connection(address, timeout=30))
    attempt("connect, no timeout", lambda: socket.create_connection(address))

    left.close()
    attempt("end", lambda: right.recv(1 << 20) and right.makefile("rb").read().count(b"y"))
    attempt("EPIPE", lambda: right.send(b"x"))
    attempt("closed", lambda: left.recv(1))


parts()  # dormant: nobody beside
ticking, stop = threading.Event(), threading.Event()


def tick():
    while not stop.wait(0.001):
        ticking.set()


ticker = threading.Thread(target=tick)
ticker.start()
ticking.wait()
parts()  # green thread 0 beside another
thread = threading.Thread(target=parts)
thread.start()
thread.join()
stop.set()
ticker.join()
