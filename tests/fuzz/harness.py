"""A connection driven by hand: the bytes a client sends in, and all that became of them out.

No sockets and no time: the transport is a list, the event loop only runs what is ready, so the
same input always has the same outcome. Whatever goes wrong in a callback is raised here.
"""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final, TypeVarTuple

from aserve.protocols import headers, policy
from aserve.protocols.exchange import Exchange
from aserve.protocols.forwarded import Origin
from aserve.protocols.group import ConnectionGroup, ExchangeFactory
from aserve.protocols.http1 import Http1Connection
from aserve.protocols.options import ConnectionOptions
from aserve.protocols.request import RequestReader
from aserve.protocols.states import Reading, Response, checked
from tests.fuzz.answers import Answer, read_answers

PARSERS: Final = ("httptools", "h11")

# Turns of the loop after which it should have come to rest.
MANY_TURNS: Final = 1000


@dataclass(frozen=True)
class Seen:
    """A request as the application got it."""

    method: str
    target: bytes
    version: str
    headers: tuple[tuple[bytes, bytes], ...]
    body: bytes


@dataclass(frozen=True)
class Outcome:
    """What became of a connection.

    requests: those that were complete. answers: all responses, without the interim ones. ended: whether the
    server has ended it. reading: what the next byte would belong to; a head without a byte is none.
    origins: of the requests, as trusted proxies have it. ends: both ends of the connection.
    """

    requests: tuple[Seen, ...]
    answers: tuple[Answer, ...]
    ended: bool
    reading: Reading
    origins: tuple[Origin | None, ...]
    ends: tuple[object, object]

    @property
    def refusal(self) -> int:
        """The status of what the server itself answered, 0 for nothing."""
        refused = len(self.answers) > len(self.requests)
        return self.answers[-1].status if refused else 0


_Arguments = TypeVarTuple("_Arguments")


@dataclass
class Record:
    """What an application notes of the requests on a connection."""

    seen: list[Seen] = field(default_factory=list)
    origins: list[Origin | None] = field(default_factory=list)


class Loop(asyncio.SelectorEventLoop):
    """An event loop that can be run until nothing is left to do, and keeps what went wrong."""

    def __init__(self) -> None:
        super().__init__()
        self.scheduled = 0
        self.errors: list[BaseException] = []
        self.set_exception_handler(self._note)

    def _note(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        self.errors.append(context.get("exception") or AssertionError(context["message"]))

    def call_soon(
        self,
        callback: Callable[[*_Arguments], object],
        *args: *_Arguments,
        context: contextvars.Context | None = None,
    ) -> asyncio.Handle:
        self.scheduled += 1
        return super().call_soon(callback, *args, context=context)

    def settle(self) -> None:
        """Run until no callback is left; raises what one of them raised."""
        turns = 0
        while self.scheduled:
            self.scheduled = 0
            super().call_soon(self.stop)
            self.run_forever()
            turns += 1
            assert turns < MANY_TURNS, "the loop does not come to rest"
        if self.errors:
            errors = self.errors[:]
            self.errors.clear()
            raise errors[0]


class Wire(asyncio.Transport):
    """The server's end of a connection: keeps what is written, and says when it is used wrongly."""

    def __init__(self, loop: Loop, *, congested: bool) -> None:
        super().__init__()
        self.loop = loop
        self.congested = congested
        self.full = False
        self.protocol: Http1Connection | None = None
        self.written: list[bytes] = []
        self.paused = False
        self.eof = False
        self.closing = False
        self.aborted = False

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return {"peername": ("192.0.2.1", 50000), "sockname": ("192.0.2.2", 80)}.get(name, default)

    def write(self, data: bytes | bytearray | memoryview) -> None:
        assert isinstance(data, bytes)
        assert not self.eof, f"{data!r} was written behind the end"
        if self.closing:
            return
        self.written.append(data)
        if self.congested and not self.full:
            self.full = True
            self.loop.call_soon(self.flush)
            assert self.protocol is not None
            self.protocol.pause_writing()

    def flush(self) -> None:
        """The client has read what was written."""
        self.full = False
        assert self.protocol is not None
        self.protocol.resume_writing()

    def writelines(self, list_of_data: Iterable[bytes | bytearray | memoryview]) -> None:
        for data in list_of_data:
            self.write(data)

    def write_eof(self) -> None:
        self.eof = True

    def can_write_eof(self) -> bool:
        return True

    def close(self) -> None:
        if not self.closing:
            self.closing = True
            protocol = self.protocol
            assert protocol is not None
            self.loop.call_soon(protocol.connection_lost, None)

    def abort(self) -> None:
        self.aborted = True
        self.close()

    def is_closing(self) -> bool:
        return self.closing

    def pause_reading(self) -> None:
        self.paused = True

    def resume_reading(self) -> None:
        self.paused = False

    def get_write_buffer_size(self) -> int:
        return int(self.full)


class Application(Exchange):
    """Answers a request with the number that it has on its connection.

    mode: "whole" answers when the request is complete, "later" some turns of the loop after that
    (and is as late in taking the body), "early" when the head has come.
    """

    mode: str
    record: Record
    body: list[bytes]

    def begin(self) -> None:
        self.body = [self.take_body()]
        if self.mode == "early":
            self.note()
        elif not self.received:
            self.send_continue()
        else:
            self.complete()

    def on_body(self) -> None:
        if self.mode == "later":
            self.connection.group.loop.call_soon(self.take)
        else:
            self.take()

    def take(self) -> None:
        """Take what has come of the body."""
        self.body.append(self.take_body())
        if self.mode != "early" and self.received and self.state is Response.WAITING:
            self.complete()

    def complete(self) -> None:
        """The request is complete."""
        if self.mode == "later":
            self.connection.group.loop.call_soon(self.note)
        else:
            self.note()

    def note(self) -> None:
        """Note the request, and answer it."""
        if self.state is not Response.WAITING:
            return
        seen = self.record.seen
        seen.append(
            Seen(self.method, self.target, self.http_version, tuple(self.headers), b"".join(self.body))
        )
        self.record.origins.append(self.origin)
        # A tunnel would have no length.
        self.start(405 if self.method == "CONNECT" else 200, [(b"content-type", b"text/plain")])
        self.write(b"%d" % len(seen))
        self.connection.group.left(self)

    def on_disconnect(self) -> None:
        self.connection.group.left(self)


class Harness:
    """Runs streams of bytes through connections."""

    def __init__(self) -> None:
        self.loop = Loop()

    def close(self) -> None:
        """Close the loop."""
        self.loop.close()

    def run(
        self,
        parser: str,
        pieces: Sequence[bytes],
        *,
        mode: str = "whole",
        at_once: bool = False,
        eof: bool = False,
        learned: str = "little",
        congested: bool = False,
        forgetful: bool = False,
        options: ConnectionOptions | None = None,
        application: Callable[[Record], ExchangeFactory] | None = None,
    ) -> Outcome:
        """Give `pieces` to a new connection, one read each.

        at_once: no turn of the loop between reads. eof: the client closes its side at the end.
        learned: what is known of earlier requests: "nothing", "little" (but it is the same for
        each run) or "all" of them. congested: what is written leaves in the loop's next turn.
        forgetful: heads are not compared with those of reads before.
        options: http is overruled. application: makes one in place of `Application`, which
        notes the requests; reads are then in turns of the loop, so that it can have tasks.
        """
        pieces = [piece for piece in pieces if piece]  # a read without bytes is an end
        settings = replace(options or ConnectionOptions(), http=parser)
        if learned != "all":
            _forget(settings)
        if learned == "little":
            policy.is_host(b"a")
        record = Record()
        if application is None:
            factory: ExchangeFactory = _APPLICATIONS[mode]
            _APPLICATIONS[mode].record = record
        else:
            factory = application(record)
        group = ConnectionGroup(factory, loop=self.loop, options=settings, connection_class=_CONNECTION)
        connection = group.connection()
        wire = Wire(self.loop, congested=congested)
        wire.protocol = connection
        connection.connection_made(wire)
        try:
            if application is None:
                self._deliver(connection, wire, pieces, at_once, forgetful)
            else:
                self._deliver_in_turns(connection, wire, pieces)
            if eof and not wire.closing and not connection.eof_received():
                wire.close()
            self.loop.settle()
            # As long as there is a body to come it is the application that is waited for.
            assert wire.closing or not wire.paused, "the connection stands still"
            answers = read_answers(b"".join(wire.written), [each.method for each in record.seen])
            return Outcome(
                tuple(record.seen),
                answers,
                wire.eof or wire.closing,
                _reading(connection),
                tuple(record.origins),
                (connection.client, connection.server),
            )
        finally:
            wire.abort()
            self.loop.settle()
            assert not group.connections and not group.running, "something is left over"

    def _deliver(
        self,
        connection: Http1Connection,
        wire: Wire,
        pieces: Sequence[bytes],
        at_once: bool,
        forgetful: bool,
    ) -> None:
        for piece in pieces:
            if wire.paused:
                self.loop.settle()
            if wire.closing:
                return
            assert not wire.paused, "the connection stands still"
            if forgetful:
                connection.last_bytes = None
                if isinstance(connection.reader, RequestReader):
                    connection.reader.known_bytes = None
                    connection.reader.family = None
            connection.data_received(piece)
            if not at_once:
                self.loop.settle()
        self.loop.settle()

    def _deliver_in_turns(self, connection: Http1Connection, wire: Wire, pieces: Sequence[bytes]) -> None:
        for piece in pieces:
            if wire.closing:
                return
            assert not wire.paused, "the connection stands still"
            self.loop.call_soon(connection.data_received, piece)
            self.loop.settle()


_APPLICATIONS: Final[dict[str, type[Application]]] = {
    mode: type(mode, (checked(Application),), {"mode": mode}) for mode in ("whole", "later", "early")
}
_CONNECTION: Final[type[Http1Connection]] = checked(Http1Connection)


def _forget(options: ConnectionOptions) -> None:
    """Begin as a new process would."""
    headers.REQUEST_NAMES.clear()
    policy.KNOWN_HOSTS.clear()
    if options.forwarded_trust is not None:
        options.forwarded_trust.origins.clear()


def _reading(connection: Http1Connection) -> Reading:
    reader = connection.reader
    if connection.reading is Reading.HEAD and reader is not None and not reader.pending.strip(b"\r\n"):
        return Reading.IDLE
    return connection.reading
