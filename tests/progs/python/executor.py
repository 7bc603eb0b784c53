"""ThreadPoolExecutor and asyncio's use of it."""
import asyncio
import concurrent.futures as futures
import socket
import threading
import time

gate = threading.Barrier(8)


def together(value):
    gate.wait(30)  # needs eight workers at once
    return value * value


with futures.ThreadPoolExecutor(8, thread_name_prefix="crew") as pool:
    print("map", list(pool.map(together, range(8))))
    names = set(pool.map(lambda _: (gate.wait(30), threading.current_thread().name)[1], range(8)))
    print("names", sorted(names))

    def fail(value):
        raise ValueError(f"no {value}")

    for future in futures.as_completed([pool.submit(fail, 7)]):
        print("exception", repr(future.exception()))

    release = threading.Event()
    held = [pool.submit(release.wait, 30) for _ in range(8)]
    queued = pool.submit(print, "never")
    done, pending = futures.wait(held, timeout=0.02)
    print("wait", len(done), len(pending), "cancelled", queued.cancel())
    try:
        held[0].result(timeout=0.02)
    except futures.TimeoutError:
        print("result timed out")
    release.set()
    done, pending = futures.wait(held, return_when=futures.ALL_COMPLETED)
    print("wait", len(done), len(pending), all(future.result() for future in held))

    called = []
    future = pool.submit(time.sleep, 0.01)
    future.add_done_callback(lambda f: called.append(f.done()))
    future.result()
print("shut down", called)
try:
    pool.submit(print)
except RuntimeError as error:
    print(error)


async def main():
    """Its loop waits in epoll; the workers wake it through a socket pair."""
    loop = asyncio.get_running_loop()
    gate.reset()
    squares = await asyncio.gather(*(loop.run_in_executor(crew, together, n) for n in range(8)))
    print("asyncio", squares)

    async def serve(reader, writer):
        writer.write((await reader.readline()).upper())
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    address = server.sockets[0].getsockname()

    def talk(word):
        with socket.create_connection(address) as client:
            client.sendall(word.encode() + b"\n")
            return client.makefile().readline().strip()

    print("asyncio", await asyncio.gather(*(loop.run_in_executor(crew, talk, w) for w in ("one", "two", "three"))))
    try:
        await asyncio.wait_for(asyncio.sleep(600), 0.02)
    except asyncio.TimeoutError:
        print("asyncio timed out")
    server.close()


with futures.ThreadPoolExecutor(8) as crew:
    asyncio.run(main())
