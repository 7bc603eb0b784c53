"""subprocess and multiprocessing from threads."""
import multiprocessing as mp
import os
import queue
import signal
import subprocess
import sys
import threading
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor


def in_threads(count, work):
    with ThreadPoolExecutor(count) as pool:
        return list(pool.map(work, range(count)))


def filtered(i):
    text = f"line {i}\n" * 20000
    done = subprocess.run(["tr", "a-z", "A-Z"], input=text, capture_output=True, text=True, check=True)
    return done.stdout == text.upper()


def status(i):
    return subprocess.run(["sh", "-c", f"echo out {i}; echo err {i} >&2; exit {i}"], capture_output=True, text=True)


def limited(i):
    try:
        subprocess.run(["sleep", "600"], timeout=0.05)
    except subprocess.TimeoutExpired as error:
        return error.cmd


def piped(i):
    first = subprocess.Popen(["seq", str(i * 1000)], stdout=subprocess.PIPE)
    second = subprocess.Popen(["sort", "-rn"], stdin=first.stdout, stdout=subprocess.PIPE)
    third = subprocess.Popen(["wc", "-l"], stdin=second.stdout, stdout=subprocess.PIPE, text=True)
    first.stdout.close()
    second.stdout.close()
    return int(third.communicate()[0]), first.wait(), second.wait(), third.returncode


def conversation(i):
    with subprocess.Popen(["cat"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0) as cat:
        for turn in range(10):
            cat.stdin.write(b"%d %d\n" % (i, turn))
            if cat.stdout.readline() != b"%d %d\n" % (i, turn):
                return False
    return cat.returncode


def killed(i):
    child = subprocess.Popen(["sleep", "600"], start_new_session=True)
    child.send_signal(signal.SIGTERM if i % 2 else signal.SIGKILL)
    return child.wait()


def no_program(i):
    try:
        subprocess.run(["/no/such/program"])
    except FileNotFoundError as error:
        return error.errno


def square(x):
    return x * x


def fail(x):
    raise ValueError(f"on purpose {x}")


def worker(jobs, results, lock, total):
    threads = []
    for job in iter(jobs.get, None):
        def work(job=job):
            with lock:
                total.value += job
            results.put((job, job * job))
        thread = threading.Thread(target=work)
        thread.start()
        threads.append(thread)
    for thread in threads:
        thread.join()


def echo(connection):
    while (said := connection.recv()) is not None:
        connection.send(said[::-1])
    sys.exit(7)


def processes(method):
    context = mp.get_context(method)
    jobs, results, lock, total = context.Queue(), context.Queue(), context.Lock(), context.Value("l", 0, lock=False)
    crew = [context.Process(target=worker, args=(jobs, results, lock, total)) for _ in range(3)]
    for one in crew:
        one.start()
    for job in range(30):
        jobs.put(job)
    for _ in crew:
        jobs.put(None)
    print(method, "results", sorted(results.get(timeout=20) for _ in range(30)) == [(i, i * i) for i in range(30)])
    for one in crew:
        one.join()
    print(method, "exits", [one.exitcode for one in crew], "total", total.value)
    ours, theirs = context.Pipe()
    child = context.Process(target=echo, args=(theirs,))
    child.start()
    for word in ("one", "two"):
        ours.send(word)
        print(method, "said", ours.recv())
    ours.send(None)
    child.join()
    print(method, "exit", child.exitcode)
    with context.Pool(3) as pool:
        print(method, "pool", pool.map(square, range(20)), pool.apply_async(square, (12,)).get(20))
        try:
            pool.apply(fail, (1,))
        except ValueError as error:
            print(method, "pool raised", error)


def pool_from_thread(out):
    with ProcessPoolExecutor(2, mp_context=mp.get_context("spawn")) as pool:
        out.put(sorted(pool.map(square, range(6))))


def main():
    print("filtered", in_threads(6, filtered))
    print("status", [(r.returncode, r.stdout, r.stderr) for r in in_threads(6, status)])
    print("limited", in_threads(4, limited))
    print("piped", in_threads(4, piped))
    print("conversation", in_threads(4, conversation))
    print("killed", in_threads(4, killed))
    print("no program", in_threads(3, no_program))
    print("shell", in_threads(4, lambda i: os.popen(f"echo {i} | cat").read()), in_threads(3, lambda i: os.system(f"exit {i}") >> 8))
    print("spawned", in_threads(4, lambda i: os.waitstatus_to_exitcode(os.waitpid(os.posix_spawn("/bin/sh", ["sh", "-c", f"exit {i}"], {}), 0)[1])))
    processes("fork")
    processes("spawn")
    processes("forkserver")
    out = queue.Queue()
    threads = [threading.Thread(target=pool_from_thread, args=(out,)) for _ in range(2)]
    for thread in threads:
        thread.start()
    print("pools", out.get(), out.get())
    for thread in threads:
        thread.join()
    with mp.Manager() as manager:
        shared = manager.dict()
        in_threads(6, lambda i: shared.update({i: i * i}))
        print("manager", sorted(shared.items()))


if __name__ == "__main__":
    main()
    sys.exit(0)
