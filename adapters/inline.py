"""WSGI applications on the loop's own thread: one call at a time, and nothing to hand over.

While an application computes, the loop stands still, so it never waits for a client in a call: the body
is complete before it, and what it returns is asked for the next piece when the one before has left.
Until the last piece no other request has its turn, unless the client does not take what there is:
then others go on meanwhile.
"""

from __future__ import annotations

import asyncio
import contextvars
import io
import logging
from collections import deque
from collections.abc import Callable, Iterator
from math import inf
from time import monotonic
from typing import Any, ClassVar, Final

from aserve.adapters.errorlog import UNFINISHED
from aserve.adapters.forked import end_child
from aserve.adapters.runner import Runner, RunnerOptions
from aserve.adapters.spool import Spool
from aserve.adapters.wsgi import WSGIExchange, close_iterable
from aserve.adapters.wsgi_file import FilePart, FileWrapper
from aserve.protocols.errors import ClientDisconnectedError
from aserve.protocols.outbox import SPAN
from aserve.protocols.states import Response

logger: Final = logging.getLogger("aserve")

# For the time of a call there is no running loop: frameworks refuse to run synchronous code beside
# one, and asyncio.run() would.
_set_running_loop = asyncio._set_running_loop
_get_running_loop = asyncio._get_running_loop
_Context = contextvars.Context
_WAITING = Response.WAITING


class InlineExchange(WSGIExchange):
    """An exchange whose application is called on the loop.

    spool: the body, if it did not come with the head. context: what the application runs in.
    result, iterator: what it has returned, as long as that is not used up. alone: that is one piece.
    file, sending: a file that it has returned, and the task that sends it. resting: no piece is asked
    for until the client has taken what there is.
    """

    __slots__ = ("alone", "context", "file", "iterator", "resting", "result", "sending", "spool")

    runner: InlineRunner
    context: contextvars.Context
    result: Any
    iterator: Iterator[bytes] | None
    alone: bool
    resting: bool
    spool: Spool | None

    def begin(self) -> None:
        self.resting = False
        self.spool = None
        self.iterator = None
        self.file: FilePart | None = None
        if self.received:
            self.input = io.BytesIO() if self.chunks is None else io.BytesIO(self.take_body())
            self.runner.line_up(self)
        else:
            # One of the ways that PEP 3333 allows: ask for the body at once.
            self.send_continue()
            self.on_body()

    def on_body(self) -> None:
        spool = self.spool
        if spool is None:
            spool = self.spool = Spool(self.connection.group.options.body_buffer)
        try:
            spool.write(self.take_body())
            if self.received:
                self.input = spool.rewind()
                self.runner.line_up(self)
        except OSError as error:
            logger.error("a request's body cannot be kept: %s: %s", error, self.line())
            self.fail()
            self.leave()

    def on_disconnect(self) -> None:
        if not self.received:
            self.leave()  # it has not been with the runner
        elif self.state is Response.BROKEN:
            self.on_writable()

    def on_writable(self) -> None:
        if self.resting:
            self.resting = False
            self.runner.line_up(self)

    def cancel(self) -> None:
        """Nobody wants what is still to come: see to it that the iterable is closed."""
        self.on_writable()

    # The application

    def turn(self) -> bool:
        """Begin, or go on: no other request is at work. False if it keeps its turn, until `pass_on`.

        There is no running loop meanwhile.
        """
        iterator = self.iterator
        if iterator is not None:
            self._go_on()
            return False
        if self.state is not _WAITING:
            self.leave()  # the client has gone while it was in line
            return True
        context = self.context = _Context()
        body = context.run(InlineExchange._call, self)
        if body is None and self.file is None:
            self._end(None)  # it has failed, or all has left: most iterables have one piece
            return True
        if self.iterator is None:
            self._end(body)
            return True
        self._hold_nothing()
        if self.file is not None:
            self.sending = self.runner.loop.create_task(self._send_file(self.file))
            return True
        self._take(body)
        return False

    def _hold_nothing(self) -> None:
        """From now on what is written leaves at once, as far as the system takes it.

        uvloop's transports collect less than their limit until the end of the loop's turn, which is good for
        whole responses; but no piece may wait for the next one.
        """
        transport = self.connection.transport
        if not transport.is_closing():
            transport.set_write_buffer_limits(0)

    async def _send_file(self, file: FilePart) -> None:
        """Send a file beside other requests, and line up again to close it."""
        try:
            await self.transmit(file)
        finally:
            self.runner.line_up(self)

    def _go_on(self) -> None:
        """Ask for the next piece, if there is somebody to take it."""
        connection = self.connection
        if self.state is not Response.BODY or connection.transport.is_closing():
            self.run(self._close)
            self._end(None)
            self.runner.pass_on()
        elif connection.writable:
            self._take(self.run(self._pull))
        else:
            self.resting = True
            self.runner.pass_on()

    def _take(self, piece: bytes | None) -> None:
        """Send a piece. The next one is asked for when the system has this one (PEP 3333, Buffering)."""
        if piece:
            self.deliver(piece, True)
            self.runner.hold()
            self.runner.loop.call_soon(self._go_on)
        else:
            self._end(piece)
            self.runner.pass_on()

    def _end(self, body: bytes | None) -> None:
        """The application is done; `body` ends the response, if it is to end well."""
        if body is not None:
            self.deliver(body, False)
        elif self.state is not Response.BROKEN and self.state is not Response.DONE:
            self.fail()
        self.leave()

    def leave(self) -> None:
        """The application has nothing more to do for it."""
        if self.spool is not None:
            self.spool.close()
        if UNFINISHED:
            self.end_lines()
        self.connection.group.left(self)

    def run(self, step: Callable[[], bytes | None]) -> bytes | None:
        """Call `step()` as the application is called: in its context, and without a running loop."""
        running = _get_running_loop()  # none in the midst of others' turns
        _set_running_loop(None)
        try:
            return self.context.run(step)
        finally:
            _set_running_loop(running)

    # In the application's context: nothing is raised there

    def _call(self) -> bytes | None:
        """Call the application; returns its whole body, or the first piece as `_pull` does."""
        try:
            result = self.app(self.environ(), self.start_response)
            if self.runner.in_child:
                end_child(self.line(), None)
            if result.__class__ is list:
                return self.whole(result)
            if isinstance(result, (list, tuple)):
                if not hasattr(result, "close"):
                    return self.whole(result)
                try:
                    self.deliver(self.whole(result), False)
                finally:
                    close_iterable(result)
                return None
            self.result = result
            if result.__class__ is FileWrapper and (part := result.part()) is not None:
                return self._leave_file(part)
            try:
                self.iterator = iter(result)
                self.alone = self.is_alone(result)
            except BaseException:
                close_iterable(result)
                raise
        except BaseException as error:  # sys.exit() in a view must not end the loop
            self.note_failure(error)
            return None
        return self._pull()

    def _leave_file(self, part: FilePart) -> bytes | None:
        """Return a small file's bytes; a large one is sent without the application."""
        data = None
        try:
            data = self.small_file(part)
            if data is None:
                self.file = part
                self.iterator = self.result
        finally:
            if self.file is None:
                close_iterable(self.result)
        return data

    def _pull(self) -> bytes | None:
        """The next piece; None at the end, when all has left, and after an error; it is closed then."""
        try:
            try:
                piece = self._next_piece()
            except BaseException:
                close_iterable(self.result)
                raise
            if not piece:
                close_iterable(self.result)
            return piece
        except BaseException as error:
            self.note_failure(error)
            return None

    def _next_piece(self) -> bytes | None:
        assert self.iterator is not None
        for piece in self.iterator:
            if not piece:
                continue
            part = self.part(piece)
            if (self.alone or not self.room) and self.state in (Response.HELD, Response.BODY):
                # The client need not wait for the end of the iteration, and for `close`.
                self.room = 0
                self.deliver(part, False)
            elif part:
                return part
            if len(part) < len(piece):
                break
        self.check_started()
        if self.state is not Response.DONE:
            self.deliver(b"", False)
        return None

    def _close(self) -> None:
        try:
            close_iterable(self.result)
        except BaseException as error:
            self.note_failure(error)

    def hint(self, fields: list[tuple[bytes, bytes]]) -> None:
        """Send a 103 response."""
        self.send_hint(fields)

    @property
    def head_gone(self) -> bool:
        """Whether body bytes have been sent."""
        return self.state is not Response.WAITING and self.state is not Response.HELD

    def send(self, data: bytes) -> None:
        """Send body bytes. Nothing can wait here: what the system does not take at once is held."""
        if self.state is Response.BROKEN:
            raise ClientDisconnectedError("the client has disconnected")
        if not self.body_sent:
            self._hold_nothing()
        self.write(data, True)


class InlineRunner(Runner):
    """The loop's own thread.

    busy: a request has its turn, or is about to get it. since: when it got it (monotonic seconds), if it
    is more than one piece of work; inf otherwise.
    """

    exchange_class: ClassVar[type[WSGIExchange]] = InlineExchange
    multithread = False
    whole_bodies: ClassVar[bool] = True

    def __init__(self, loop: asyncio.AbstractEventLoop, options: RunnerOptions) -> None:
        super().__init__(loop, options)
        self.busy = False
        self._line: deque[InlineExchange] = deque()

    def describe(self) -> str:
        """How requests are served."""
        return "inline"

    def start(self) -> None:
        """There is nothing to be made ready."""

    def close(self) -> None:
        """There is nothing to be given up."""

    def line_up(self, exchange: InlineExchange) -> None:
        """Give `exchange` a turn when those before it have had theirs."""
        limit = self.options.queue_limit
        if limit and len(self._line) >= limit and exchange.iterator is None:
            exchange.decline()
            return
        self._line.append(exchange)
        if not self.busy:
            self.busy = True
            self.loop.call_soon(self._next)

    def hold(self) -> None:
        """Who has its turn keeps it for another piece of work."""
        self.since = min(self.since, monotonic())

    def pass_on(self) -> None:
        """Who had kept its turn needs it no more."""
        self.since = inf
        if self._line:
            self.loop.call_soon(self._next)
        else:
            self.busy = False

    def _next(self) -> None:
        """Give turns to those who have come.

        Not to each as it comes: what the loop does in between, and the system, drives the application's
        code out of the processor's caches.
        """
        line = self._line
        outbox = line[0].connection.group.outbox
        outbox.begin_batch(len(line))
        end = monotonic() + SPAN
        _set_running_loop(None)
        try:
            for _ in range(len(line)):
                if not line.popleft().turn():
                    return
                if monotonic() > end:
                    break
        finally:
            _set_running_loop(self.loop)
            outbox.flush()
        if line:
            self.loop.call_soon(self._next)
        else:
            self.busy = False
