"""ThreadingTCPServer and its UDP and AF_UNIX kin, with many clients in the same process."""
import hashlib
import os
import socket
import socketserver
import tempfile
import threading

CLIENTS = 100


class Echo(socketserver.StreamRequestHandler):
    """Gives back each line; `together` makes all handlers stand there at once."""

    def handle(self):
        together.wait(60)
        for line in self.rfile:
            self.wfile.write(line)


class Datagram(socketserver.BaseRequestHandler):
    def handle(self):
        data, sock = self.request
        sock.sendto(data[::-1], self.client_address)


class Tcp(socketserver.ThreadingTCPServer):
    request_queue_size = 512
    daemon_threads = False


class Unix(socketserver.ThreadingUnixStreamServer):
    request_queue_size = 512


def stream_client(family, address, me, sums):
    with socket.socket(family, socket.SOCK_STREAM) as client:
        client.connect(address)
        file = client.makefile("rwb")
        sent, got = hashlib.sha256(), hashlib.sha256()
        for i in range(20):
            line = (f"{me}:{i}:" + "x" * (i * me * 7 % 9000)).encode() + b"\n"
            file.write(line)
            file.flush()
            sent.update(line)
            got.update(file.readline())
        client.shutdown(socket.SHUT_WR)
        sums.append(sent.digest() == got.digest() and file.read() == b"")


def datagram_client(address, me, sums):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.settimeout(30)
        for i in range(5):
            text = f"{me} {i}".encode()
            client.sendto(text, address)
            sums.append(client.recvfrom(100)[0] == text[::-1])


def run(name, server, client):
    with server:
        accepting = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        accepting.start()
        sums = []
        threads = [threading.Thread(target=client, args=(server.server_address, me, sums)) for me in range(CLIENTS)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        server.shutdown()
        accepting.join()
    print(name, len(sums), all(sums), threading.active_count())


def descriptors():
    """Those of the program: the lowest free numbers, as the kernel gives them."""
    return {fd for fd in os.listdir("/proc/self/fd") if int(fd) < 100}


at_start = descriptors()
together = threading.Barrier(CLIENTS)
run("tcp", Tcp(("127.0.0.1", 0), Echo), lambda a, me, s: stream_client(socket.AF_INET, a, me, s))
with tempfile.TemporaryDirectory() as folder:
    path = os.path.join(folder, "socket")
    run("unix", Unix(path, Echo), lambda a, me, s: stream_client(socket.AF_UNIX, a, me, s))
run("udp", socketserver.ThreadingUDPServer(("127.0.0.1", 0), Datagram), datagram_client)
print("descriptors left", descriptors() - at_start)
