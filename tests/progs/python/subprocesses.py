"""Children of a threaded program: run, communicate, timeouts, pipelines, exit statuses."""
import signal
import subprocess
import threading

N = 8


def start(function, *args):
    thread = threading.Thread(target=function, args=args)
    thread.start()
    return thread


def in_threads(name, work):
    results = {}

    def one(me):
        results[me] = work(me)

    for thread in [start(one, me) for me in range(N)]:
        thread.join()
    print(name, [results[me] for me in range(N)])


def shell(script, **options):
    return subprocess.run(["/bin/sh", "-c", script], capture_output=True, text=True, timeout=60, **options)


def kit():
    in_threads("output", lambda me: shell(f"echo out {me}; echo err {me} >&2").stdout.strip())
    in_threads("status", lambda me: shell(f"exit {me}").returncode)
    in_threads("signal", lambda me: shell("kill -TERM $$").returncode == -signal.SIGTERM)
    in_threads("input", lambda me: len(shell("cat", input="x" * (me * 50000)).stdout))
    in_threads("both", lambda me: [count for count in (lambda r: (len(r.stdout), r.stderr.count("Z")))(
        shell("head -c 300000 /dev/zero | tr '\\0' X; head -c 200000 /dev/zero | tr '\\0' Z >&2"))])


def late(me):
    child = subprocess.Popen(["sleep", "600"], stdout=subprocess.PIPE)
    try:
        child.communicate(timeout=0.05)
    except subprocess.TimeoutExpired as error:
        child.kill()
        return type(error).__name__, child.wait()


def poll_wait(me):
    child = subprocess.Popen(["cat"], stdin=subprocess.PIPE)
    running = child.poll()
    child.stdin.close()
    return running, child.wait(), child.poll()


def pipeline(me):
    first = subprocess.Popen(["seq", "1", "20000"], stdout=subprocess.PIPE)
    second = subprocess.Popen(["sort", "-rn"], stdin=first.stdout, stdout=subprocess.PIPE)
    first.stdout.close()
    third = subprocess.Popen(["head", "-n", "1"], stdin=second.stdout, stdout=subprocess.PIPE)
    second.stdout.close()
    answer = third.communicate()[0].strip()
    first.wait(), second.wait()
    return answer


kit()  # from threads that end at once
ticks, stop = [], threading.Event()


def tick():
    while not stop.wait(0.005):
        ticks.append(1)


ticker = start(tick)  # a thread that must keep running while all wait for children
in_threads("late", late)
in_threads("poll", poll_wait)
in_threads("pipeline", pipeline)
print("missing", end=" ")
try:
    subprocess.run(["/no/such/program"])
except FileNotFoundError as error:
    print(error)
print("check_output", subprocess.check_output(["echo", "from main"]))
print("shell", subprocess.getstatusoutput("echo text; exit 3"))
before = len(ticks)
subprocess.run(["/bin/sh", "-c", "sleep 0.2"])
print("ticked meanwhile", len(ticks) > before)
print("preexec", subprocess.run(["true"], preexec_fn=lambda: None).returncode)
print("cwd", subprocess.check_output(["pwd"], cwd="/", text=True).strip())
stop.set()
ticker.join()
