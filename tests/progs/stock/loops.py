"""asyncio beside threads: loops in several threads, calls between them, executors, children, signals."""
import asyncio
import os
import queue
import signal
import threading
from concurrent.futures import ThreadPoolExecutor


async def echo(reader, writer):
    while line := await reader.readline():
        writer.write(line.upper())
        await writer.drain()
    writer.close()


async def client(port, me):
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    answers = []
    for turn in range(5):
        writer.write(f"{me} says {turn}\n".encode())
        answers.append(await reader.readline())
    writer.close()
    await writer.wait_closed()
    return answers == [f"{me} SAYS {turn}\n".encode() for turn in range(5)]


async def served():
    server = await asyncio.start_server(echo, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    answers = await asyncio.gather(*(client(port, i) for i in range(20)))
    server.close()
    return all(answers)


async def child(i):
    process = await asyncio.create_subprocess_exec(
        "sh", "-c", f"cat; exit {i}", stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
    )
    out, _ = await process.communicate(f"input {i}".encode())
    return out.decode(), process.returncode


async def main_loop():
    print("served", await served())
    print("to_thread", await asyncio.gather(*(asyncio.to_thread(lambda i=i: i * i) for i in range(10))))
    print("children", await asyncio.gather(*(child(i) for i in range(4))))
    loop = asyncio.get_running_loop()
    with ThreadPoolExecutor(4) as pool:
        barrier = threading.Barrier(4, timeout=20)
        await asyncio.gather(*(loop.run_in_executor(pool, barrier.wait) for _ in range(4)))
        print("barrier passed")
    woken = asyncio.Event()
    thread = threading.Thread(target=lambda: loop.call_soon_threadsafe(woken.set))
    thread.start()
    await asyncio.wait_for(woken.wait(), 20)
    thread.join()
    try:
        await asyncio.wait_for(asyncio.sleep(600), 0.01)
    except asyncio.TimeoutError:
        print("timed out")
    got = asyncio.Event()
    loop.add_signal_handler(signal.SIGUSR1, got.set)
    thread = threading.Thread(target=os.kill, args=(os.getpid(), signal.SIGUSR1))
    thread.start()
    await asyncio.wait_for(got.wait(), 20)
    thread.join()
    print("signal handled")
    print("name", (await loop.getaddrinfo("localhost", 80, family=2))[0][4])


asyncio.run(main_loop())

# A loop per thread.
out = queue.Queue()
threads = [threading.Thread(target=lambda: out.put(asyncio.run(served()))) for _ in range(4)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
print("loops", [out.get() for _ in threads])

# A loop in the background, used from other threads and from main.
loop = asyncio.new_event_loop()
background = threading.Thread(target=loop.run_forever)
background.start()


async def slow(i):
    await asyncio.sleep(0.001)
    return i + 100


def ask(i):
    return asyncio.run_coroutine_threadsafe(slow(i), loop).result(20)


with ThreadPoolExecutor(8) as pool:
    print("asked", list(pool.map(ask, range(16))), ask(50))
print("child in the background", asyncio.run_coroutine_threadsafe(child(3), loop).result(20))
loop.call_soon_threadsafe(loop.stop)
background.join()
loop.close()
