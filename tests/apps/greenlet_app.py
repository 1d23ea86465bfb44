"""The raw WSGI application with routes that wait in every way that greenlets can wait in.

Each way waits for a peer: `go` lets it go on. Nothing here imports a library of greenlets: it is plain,
blocking code.
"""

from __future__ import annotations

import _thread
import asyncio
import atexit
import http.client
import os
import queue
import select
import selectors
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor

from .shared import journal
from .wsgi_app import application
from .wsgi_call import Call, route

__all__ = ["application"]

_local = threading.local()
# What the import has made, for requests to wait with.
_made_by_import = threading.Lock()
_ours, _theirs = socket.socketpair()
_errands: queue.Queue[Peer] = queue.Queue()


class Peer:
    """Who lets a request go on, in as many ways as it may wait for that."""

    def __init__(self, way: str) -> None:
        self.way = way
        self.done = threading.Event()
        self.ours, self.theirs = socket.socketpair()
        self.lock = threading.Lock()
        self.lock.acquire()
        self.event = threading.Event()
        self.condition = threading.Condition()
        self.queue: queue.Queue[int] = queue.Queue()
        self.simple_queue: queue.SimpleQueue[int] = queue.SimpleQueue()
        self.reader, self.writer = os.pipe()
        self.listener = socket.create_server(("127.0.0.1", 0))

    def let_go(self) -> None:
        self.theirs.send(b"x")
        if self.way == "import-socket":
            _theirs.send(b"x")
        self.lock.release()
        self.event.set()
        with self.condition:
            self.condition.notify_all()
        self.queue.put(1)
        self.simple_queue.put(1)
        os.write(self.writer, b"x\n")

    def close(self) -> None:
        for each in (self.ours, self.theirs, self.listener):
            each.close()
        os.close(self.reader)
        os.close(self.writer)

    def answer(self) -> None:
        """Be an HTTP server for one request, and answer when there is nothing more to wait for."""
        connection, _ = self.listener.accept()
        while b"\r\n\r\n" not in connection.recv(65536):
            pass
        self.event.wait()
        connection.sendall(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok")
        connection.close()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.listener.getsockname()[1]}/"


peers: dict[str, Peer] = {}


def _sleep(peer: Peer) -> None:
    while not peer.event.is_set():
        time.sleep(0.005)


def _condition(peer: Peer) -> None:
    with peer.condition:
        peer.condition.wait_for(peer.event.is_set)


def _poll(peer: Peer) -> None:
    poll = select.poll()
    poll.register(peer.ours, select.POLLIN)
    assert poll.poll()


def _selector(peer: Peer) -> None:
    """As psycopg waits for its connection, in versions 2 (with psycogreen) and 3."""
    with selectors.DefaultSelector() as selector:
        selector.register(peer.ours.fileno(), selectors.EVENT_READ)
        assert selector.select()


def _with_timeout(peer: Peer) -> None:
    peer.ours.settimeout(30)
    assert peer.ours.recv(1) == b"x"


def _subprocess(peer: Peer) -> None:
    out = subprocess.run(
        [sys.executable, "-S", "-c", "print(input())"], stdin=peer.reader, stdout=subprocess.PIPE, check=True
    )
    assert out.stdout == b"x\n"


def _in_thread(peer: Peer) -> None:
    thread = threading.Thread(target=peer.event.wait)
    thread.start()
    thread.join()


def _executor(peer: Peer) -> None:
    with ThreadPoolExecutor(1) as executor:
        assert executor.submit(peer.event.wait).result()


def _client(peer: Peer) -> None:
    threading.Thread(target=peer.answer).start()
    with urllib.request.urlopen(peer.url) as response:
        assert response.read() == b"ok"


def _client_below(peer: Peer) -> None:
    """What requests and urllib3 stand upon."""
    threading.Thread(target=peer.answer).start()
    connection = http.client.HTTPConnection(*peer.listener.getsockname())
    connection.request("GET", "/")
    assert connection.getresponse().read() == b"ok"
    connection.close()


def _import_lock(peer: Peer) -> None:
    """A lock that was made by the import, between two greenlets."""
    with _made_by_import:
        peer.event.wait()


def _run_errands() -> None:
    while True:
        peer = _errands.get()
        peer.event.wait()
        peer.done.set()


threading.Thread(target=_run_errands, daemon=True).start()


def _background(peer: Peer) -> None:
    """For a thread that the import has started."""
    _errands.put(peer)
    peer.done.wait()


WAYS: dict[str, Callable[[Peer], object]] = {
    "sleep": _sleep,
    "lock": lambda peer: peer.lock.acquire(),
    "event": lambda peer: peer.event.wait(),
    "condition": _condition,
    "queue": lambda peer: peer.queue.get(),
    "simple-queue": lambda peer: peer.simple_queue.get(),
    "socket": lambda peer: peer.ours.recv(1),
    "socket-timeout": _with_timeout,
    "select": lambda peer: select.select([peer.ours], [], []),
    "poll": _poll,
    "selector": _selector,
    "subprocess": _subprocess,
    "thread": _in_thread,
    "executor": _executor,
    "client": _client,
    "client-below": _client_below,
    "import-lock": _import_lock,
    "import-socket": lambda peer: _ours.recv(1),
    "import-thread": _background,
}


@route("wait")
def wait(call: Call) -> Iterable[bytes]:
    """Wait in the way that the query says."""
    way = call.query["way"]
    peer = peers[call.key] = Peer(way)
    _local.key = call.key
    journal.note(f"entered-{call.key}")
    try:
        WAYS[way](peer)
    except BaseException:
        peer.close()
        raise
    finally:
        journal.note(f"left-{call.key}")
    assert _local.key == call.key  # a threading.local is each greenlet's own
    return call.answer(b"waited")


@route("go")
def go(call: Call) -> Iterable[bytes]:
    assert not hasattr(_local, "key")
    peer = peers[call.key]
    peer.let_go()
    journal.wait(f"left-{call.key}")
    peer.close()
    return call.answer(b"went")


@route("meet")
def meet(call: Call) -> Iterable[bytes]:
    """Sleep, then talk to a server on the port that is the key, which answers when all are there."""
    time.sleep(0.2)
    with socket.create_connection(("127.0.0.1", int(call.key))) as sock:
        sock.sendall(b"here\n")
        return call.answer(sock.recv(100))


@route("hold-up")
def hold_up(call: Call) -> Iterable[bytes]:
    """Wait in a way that keeps all greenlets from going on: for a byte from a FIFO."""
    with open(call.query["path"], "rb", buffering=0) as fifo:
        fifo.read(1)
    return call.answer(b"held up")


@route("stubborn")
def stubborn(call: Call) -> Iterable[bytes]:
    """Be killed, and say so; answer all the same."""
    try:
        time.sleep(30)
    except BaseException as error:
        journal.note(f"killed-{call.key}", type(error).__name__)
    return call.answer(b"too late")


@route("last")
def last(call: Call) -> Iterable[bytes]:
    """Wait for ever, and have something to do at the end."""
    journal.note(f"entered-{call.key}")
    try:
        while True:
            time.sleep(30)
    finally:
        time.sleep(0.01)
        print("the last words", flush=True)


@route("linger")
def linger(call: Call) -> Iterable[bytes]:
    """Leave a thread behind that is no daemon, so that the end waits for it."""

    def work() -> None:
        journal.wait(f"go-{call.key}")
        time.sleep(0.05)
        print("the thread has ended", flush=True)

    threading.Thread(target=work, daemon=False).start()
    return call.answer(b"lingers")


@route("exit-thread")
def leave_thread(call: Call) -> Iterable[bytes]:
    """Exit in a thread that is a greenlet, where it ends nothing but that."""
    _thread.start_new_thread(sys.exit, (3,))
    time.sleep(0.01)
    return call.answer(b"still here")


@route("running-loop")
def running_loop(call: Call) -> Iterable[bytes]:
    """What frameworks look at before they let synchronous code wait."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return call.answer(b"none")
    return call.answer(b"there is one")


@route("fork")
def fork(call: Call) -> Iterable[bytes]:
    """Fork, and wait for the child, as multiprocessing does."""
    pid = os.fork()
    if not pid:
        os._exit(7)
    _, status = os.waitpid(pid, 0)
    return call.answer({"status": os.waitstatus_to_exitcode(status)})


def _end() -> None:
    """What an exit function may do: wait for what still runs."""
    done = threading.Event()
    threading.Thread(target=done.set).start()
    print("the end was called:", done.wait(5), flush=True)


atexit.register(_end)
