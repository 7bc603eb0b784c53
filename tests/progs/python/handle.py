"""libc by its own handle (ctypes), each call that waits beside a thread that keeps ticking: the call's end is the ticker's
doing, so a call that keeps the hub never ends."""
import ctypes
import fcntl
import os
import pty
import sys
import tempfile
import threading
import time

libc = ctypes.CDLL("libc.so.6", use_errno=True)
memory = ctypes.create_string_buffer


class Timespec(ctypes.Structure):
    _fields_ = [("seconds", ctypes.c_long), ("nanoseconds", ctypes.c_long)]


def beside(what, call, end, ticks=3):
    """Does `call` here; another thread does `end` after some ticks. Prints what `call` gave."""
    ready = threading.Event()

    def tick():
        ready.wait()
        for _ in range(ticks):
            time.sleep(0.001)
        end()

    thread = threading.Thread(target=tick)
    thread.start()
    ready.set()
    given = call()
    thread.join()
    print(what, given)


def mutex():
    lock = memory(40)
    libc.pthread_mutex_lock(lock)
    owner = threading.Event()
    # A mutex is unlocked by its owner: a thread of its own holds it.
    held, go = threading.Event(), threading.Event()
    libc.pthread_mutex_unlock(lock)

    def hold():
        libc.pthread_mutex_lock(lock)
        held.set()
        go.wait()
        libc.pthread_mutex_unlock(lock)
        owner.set()

    holder = threading.Thread(target=hold)
    holder.start()
    held.wait()
    beside("pthread_mutex_lock", lambda: libc.pthread_mutex_lock(lock), go.set)
    holder.join()
    print(libc.pthread_mutex_trylock(lock), libc.pthread_mutex_unlock(lock))


def timed_mutex():
    lock = memory(40)
    libc.pthread_mutex_lock(lock)
    late = Timespec(int(time.time()) - 1, 0)
    done = []
    thread = threading.Thread(target=lambda: done.append(libc.pthread_mutex_timedlock(lock, ctypes.byref(late))))
    thread.start()
    thread.join()
    print("pthread_mutex_timedlock", done, libc.pthread_mutex_unlock(lock))


def condition():
    lock, cond = memory(40), memory(48)
    libc.pthread_mutex_lock(lock)

    def signal():
        libc.pthread_mutex_lock(lock)
        libc.pthread_cond_signal(cond)
        libc.pthread_mutex_unlock(lock)

    beside("pthread_cond_wait", lambda: libc.pthread_cond_wait(cond, lock), signal)
    libc.pthread_mutex_unlock(lock)


def rwlock():
    lock = memory(56)
    libc.pthread_rwlock_rdlock(lock)
    beside("pthread_rwlock_wrlock", lambda: libc.pthread_rwlock_wrlock(lock), lambda: libc.pthread_rwlock_unlock(lock))
    libc.pthread_rwlock_unlock(lock)


def barrier():
    meeting = memory(32)
    libc.pthread_barrier_init(meeting, None, 2)
    results = []
    beside("pthread_barrier_wait", lambda: results.append(libc.pthread_barrier_wait(meeting)),
           lambda: results.append(libc.pthread_barrier_wait(meeting)))
    print(sorted(results))


def semaphores():
    sem = memory(32)
    libc.sem_init(sem, 0, 0)
    beside("sem_wait", lambda: libc.sem_wait(sem), lambda: libc.sem_post(sem))
    soon = Timespec(int(time.time()) + 60, 0)
    beside("sem_timedwait", lambda: libc.sem_timedwait(sem, ctypes.byref(soon)), lambda: libc.sem_post(sem))
    beside("sem_clockwait", lambda: libc.sem_clockwait(sem, 0, ctypes.byref(soon)), lambda: libc.sem_post(sem))


def once():
    control, go = ctypes.c_int(0), threading.Event()
    first = ctypes.CFUNCTYPE(None)(lambda: (go.wait(), None)[1])
    starter = threading.Thread(target=lambda: libc.pthread_once(ctypes.byref(control), first))
    starter.start()
    while control.value == 0:
        time.sleep(0.001)
    beside("pthread_once", lambda: libc.pthread_once(ctypes.byref(control), first), go.set)
    starter.join()


def threads():
    go = threading.Event()
    start = ctypes.CFUNCTYPE(ctypes.c_void_p, ctypes.c_void_p)(lambda arg: (go.wait(), arg + 1)[1])
    thread, result = ctypes.c_ulong(), ctypes.c_void_p()
    print(libc.pthread_create(ctypes.byref(thread), None, start, ctypes.c_void_p(41)))
    join = libc.pthread_join
    join.argtypes = [ctypes.c_ulong, ctypes.c_void_p]
    beside("pthread_join", lambda: join(thread.value, ctypes.addressof(result)), go.set)
    print(result.value)


def file_locks():
    with tempfile.NamedTemporaryFile() as file:
        other = os.open(file.name, os.O_RDWR)
        fcntl.flock(file, fcntl.LOCK_EX)
        beside("flock", lambda: libc.flock(other, fcntl.LOCK_EX), lambda: fcntl.flock(file, fcntl.LOCK_UN))
        libc.flock(other, fcntl.LOCK_UN)
        child, hold = locked_by_a_child(file.name)
        beside("lockf", lambda: libc.lockf(other, 1, ctypes.c_long(0)), lambda: os.close(hold))
        os.waitpid(child, 0)
        libc.lockf(other, 0, ctypes.c_long(0))
        child, hold = locked_by_a_child(file.name)

        class Flock(ctypes.Structure):
            _fields_ = [("kind", ctypes.c_short), ("whence", ctypes.c_short), ("start", ctypes.c_long),
                        ("length", ctypes.c_long), ("pid", ctypes.c_int)]

        lock = Flock(fcntl.F_WRLCK, 0, 0, 0, 0)
        beside("fcntl", lambda: libc.fcntl(other, fcntl.F_SETLKW, ctypes.byref(lock)), lambda: os.close(hold))
        os.waitpid(child, 0)
        os.close(other)


def locked_by_a_child(path):
    """A child that locks the file until the descriptor given here is closed."""
    ends, said = os.pipe(), os.pipe()
    child = os.fork()
    if child == 0:
        os.close(ends[1])
        fd = os.open(path, os.O_RDWR)
        fcntl.lockf(fd, fcntl.LOCK_EX)
        os.write(said[1], b"!")
        os.read(ends[0], 1)
        os._exit(0)
    os.close(ends[0])
    os.read(said[0], 1)
    os.close(said[0])
    os.close(said[1])
    return child, ends[1]


def queues():
    class Message(ctypes.Structure):
        _fields_ = [("kind", ctypes.c_long), ("text", ctypes.c_char * 8)]

    queue = libc.msgget(0, 0o600)
    send, receive = Message(1, b"hello"), Message()
    size = ctypes.c_size_t(8)
    beside("msgrcv", lambda: libc.msgrcv(queue, ctypes.byref(receive), size, ctypes.c_long(0), 0),
           lambda: libc.msgsnd(queue, ctypes.byref(send), size, 0))
    print(receive.text)
    while libc.msgsnd(queue, ctypes.byref(send), size, 0o4000) == 0:
        pass
    beside("msgsnd", lambda: libc.msgsnd(queue, ctypes.byref(send), size, 0),
           lambda: [libc.msgrcv(queue, ctypes.byref(receive), size, ctypes.c_long(0), 0) for _ in range(9)])
    libc.msgctl(queue, 0, None)


def sets():
    class Operation(ctypes.Structure):
        _fields_ = [("number", ctypes.c_ushort), ("operation", ctypes.c_short), ("flags", ctypes.c_short)]

    sem = libc.semget(0, 1, 0o600)
    take, give = Operation(0, -1, 0), Operation(0, 1, 0)
    one, soon = ctypes.c_size_t(1), Timespec(60, 0)
    beside("semop", lambda: libc.semop(sem, ctypes.byref(take), one), lambda: libc.semop(sem, ctypes.byref(give), one))
    beside("semtimedop", lambda: libc.semtimedop(sem, ctypes.byref(take), one, ctypes.byref(soon)),
           lambda: libc.semop(sem, ctypes.byref(give), one))
    libc.semctl(sem, 0, 0)


def terminal():
    ours, theirs = pty.openpty()
    print("tcdrain", libc.tcdrain(theirs))
    beside("read of a terminal", lambda: libc.read(theirs, memory(8), ctypes.c_size_t(8)),
           lambda: os.write(ours, b"line\n"))


def sleeping():
    short = Timespec(0, 1000000)
    print(libc.nanosleep(ctypes.byref(short), None), libc.clock_nanosleep(1, 0, ctypes.byref(short), None),
          libc.sched_yield(), libc.poll(None, ctypes.c_ulong(0), 1))


def names():
    print(libc.gettid() == threading.get_native_id(), libc.getpid() == os.getpid())


def main():
    cases = [mutex, timed_mutex, condition, rwlock, barrier, semaphores, once, threads, file_locks, queues, sets,
             terminal, sleeping, names]
    for case in cases:
        case()
    sys.stdout.flush()


# Not in the first thread, which is a special one.
worker = threading.Thread(target=main)
worker.start()
worker.join()
main()
