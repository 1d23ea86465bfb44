"""Typed messages between the supervisor and its workers, and the channel that carries them.

A message is a named tuple of text fields; on the wire it is one line of JSON. Not pickle: a
worker may have been taken over through the application, and must not get code into a supervisor
that may run as root.

Signals tell a worker to stop, since they reach it whatever it does. The channel is for what a
signal cannot say, and its end of file tells each side that the other process is gone.
"""

from __future__ import annotations

import json
import socket
from typing import Final, Literal, NamedTuple, TypeAlias, get_args

LONGEST_TEXT: Final = 32_768
"""Characters of one field on the wire. A longer text (a traceback) keeps its beginning and its end."""

LONGEST_LINE: Final = 1_048_576
"""Bytes without an end of line after which a channel counts as broken."""

SEND_TIMEOUT: Final = 5.0
"""Seconds that a worker waits for a supervisor that does not read (one that was stopped by STOP)."""

_RECEIVE_SIZE: Final = 65_536


class Ready(NamedTuple):
    """Worker to supervisor: the application has started and connections are being accepted.

    Arguments: `interface` as the adapter describes it (`asgi3`), the event `loop` and the `http`
    parser in use.
    """

    interface: str
    loop: str
    http: str


class Failed(NamedTuple):
    """Worker to supervisor: it cannot serve and is about to end.

    Arguments: `kind` is `load` (the application could not be imported) or `boot` (it did not
    start); `reason` is one line for a person; `traceback` is the application's own, or empty.
    """

    kind: Literal["load", "boot"]
    reason: str
    traceback: str = ""


class Draining(NamedTuple):
    """Worker to supervisor: from now on it accepts no more connections, whoever told it to stop."""


class Tired(NamedTuple):
    """Worker to supervisor: it goes on serving, but should be replaced; `reason` says why."""

    reason: str


class Watching(NamedTuple):
    """Watcher to supervisor: from now on it notices changes of files.

    Arguments: `what` it watches and how, in words; `trouble` says why not in a better way, or is empty.
    """

    what: str
    trouble: str = ""


class Changed(NamedTuple):
    """Watcher to supervisor: files have changed; `what` names them, or some of them."""

    what: str


class Retire(NamedTuple):
    """Supervisor to worker: another worker has taken over, so drain without closing a connection
    that a client may be about to use (a stop by TERM closes idle connections at once).

    Arguments: `abandoned` are the numbers of the listening sockets (from 0, with blanks between
    them) that nobody else takes connections from any more.
    """

    abandoned: str = ""


Message: TypeAlias = Ready | Failed | Draining | Tired | Watching | Changed | Retire

_KINDS: Final[dict[str, type[Message]]] = {kind.__name__: kind for kind in get_args(Message)}


class MessageError(ValueError):
    """A line that is no message: the application has written to a descriptor that is not its own."""


def encode(message: Message) -> bytes:
    """Return `message` as one line. Texts longer than `LONGEST_TEXT` characters lose their middle.

    An end of line comes first as well: should an application have written to the channel by
    mistake, that is kept apart from the message.
    """
    texts = {name: _clip(text) for name, text in message._asdict().items()}
    line = json.dumps([type(message).__name__, texts], ensure_ascii=False)
    # A lone surrogate can be part of a file name in a traceback and has no UTF-8 form.
    return b"\n" + line.encode("utf-8", "backslashreplace") + b"\n"


def decode(line: bytes) -> Message:
    """Return the message that `line` stands for; raise MessageError if it stands for none."""
    try:
        name, texts = json.loads(line)
        kind = _KINDS[name]
        known = set(kind._fields)
        if not known.issuperset(texts) or not all(isinstance(text, str) for text in texts.values()):
            raise ValueError(texts)
        return kind(**texts)
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise MessageError(f"not a message: {line[:80]!r}") from error


def _clip(text: str) -> str:
    if len(text) <= LONGEST_TEXT:
        return text
    half = LONGEST_TEXT // 2
    return f"{text[:half]}\n[... {len(text) - 2 * half} characters left out ...]\n{text[-half:]}"


class Channel:
    """One end of a connection between a supervisor and one worker.

    Arguments: `sock` is one end of a connected stream socket, owned by the channel from now on;
    `patience` is how many seconds a `send()` may wait for the other side to read.

    The ends are never inherited by programs that a process executes. A process that forks owes a
    `close()` of every end that the new process must not hold: an end of file is only seen when
    the last copy of the other end is closed.
    """

    __slots__ = ("_patience", "_sock", "_unread", "closed")

    def __init__(self, sock: socket.socket, patience: float = 0.0) -> None:
        sock.setblocking(False)
        self._sock = sock
        self._patience = patience
        self._unread = b""
        self.closed = False
        """Has the other side gone (or this end been closed)?"""

    @classmethod
    def pair(cls) -> tuple[Channel, Channel]:
        """Return the supervisor's end, which never waits, and the worker's, which waits for seconds."""
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        return cls(ours), cls(theirs, patience=SEND_TIMEOUT)

    def fileno(self) -> int:
        """Return the descriptor, for poll(); -1 once it is closed."""
        return self._sock.fileno()

    def send(self, message: Message) -> bool:
        """Send `message`; return whether it was sent: not if the other side is gone or does not read."""
        try:
            self._sock.settimeout(self._patience)
            self._sock.sendall(encode(message))
            self._sock.settimeout(0.0)
        except OSError:  # a broken pipe, a full buffer (BlockingIOError), a time-out, a closed end
            return False
        return True

    def receive(self) -> list[Message | MessageError]:
        """Return what has arrived, without waiting; sets `closed` at the end of file.

        What is no message is returned as the error that it is: the caller decides who is told.
        """
        while not self.closed:
            try:
                data = self._sock.recv(_RECEIVE_SIZE)
            except BlockingIOError:
                break
            except OSError:  # a reset: the other side has gone with something unread
                data = b""
            if not data:
                self.closed = True
            self._unread += data
            if len(self._unread) > LONGEST_LINE:
                self.closed = True
                return [*self._lines(), MessageError(f"more than {LONGEST_LINE} bytes without an end")]
        return self._lines()

    def _lines(self) -> list[Message | MessageError]:
        *lines, self._unread = self._unread.split(b"\n")
        return [_decoded(line) for line in lines if line]

    def close(self) -> None:
        """Close this end in this process."""
        self.closed = True
        self._sock.close()


def _decoded(line: bytes) -> Message | MessageError:
    try:
        return decode(line)
    except MessageError as error:
        return error
