"""Exchanges of WSGI applications that run where they can wait: in threads, in greenlets."""

from __future__ import annotations

import asyncio
import contextvars
import io
from collections.abc import Callable, Iterable
from time import monotonic
from typing import Any, Final, NamedTuple

from aserve.adapters.forked import end_child
from aserve.adapters.runner import DEFAULT_BUFFER, Gate, WaitingRunner
from aserve.adapters.wsgi import WSGIExchange, close_iterable
from aserve.adapters.wsgi_file import FilePart, FileWrapper
from aserve.adapters.wsgi_input import StreamedBody
from aserve.protocols.errors import ClientDisconnectedError
from aserve.protocols.states import Response

# Seconds after its request in which the end of what a client sends says nothing about what it reads.
GIVING_UP: Final = 0.25


class _LeftFile(NamedTuple):
    """A file that the application has returned, and where and in which context it is to be closed."""

    wrapper: FileWrapper
    part: FilePart
    place: Any
    context: contextvars.Context


class WaitingExchange(WSGIExchange):
    """An exchange whose application runs beside the loop, see runner.py.

    The application gets the request when its body is complete, or has filled the buffer: slow
    uploads hold no place. Methods marked "place" are called where the application runs, all others on
    the loop.
    posted, delivered: body bytes that the application gave to the loop, and that left for the client.
    queued, waited: since when it has waited for the application (monotonic seconds), and how long in the
    end, -1 before that. place: where the application is, None before it is anywhere.
    abandoned: nobody waits for what it does any more. sent: it has sent body bytes.
    file, sending: what the application has left to the loop, and the task that sends it.
    """

    __slots__ = (
        "abandoned",
        "delivered",
        "file",
        "gate",
        "place",
        "posted",
        "queued",
        "sending",
        "sent",
        "submitted",
        "waited",
    )

    runner: WaitingRunner
    queued: float

    def begin(self) -> None:
        self.submitted = False
        self.abandoned = False
        self.place: Any = None
        self.waited = -1.0
        self.posted = 0
        self.delivered = 0
        self.sent = False
        self.gate: Gate | None = None
        self.file: _LeftFile | None = None
        if self.received and self.chunks is None:
            self.submitted = True
            self.input = io.BytesIO()
            self.runner.submit(self)
        elif self.received or self.buffered >= self.connection.group.options.body_buffer:
            self._submit()
        else:
            # One of the ways that PEP 3333 allows: ask for the body at once.
            self.send_continue()

    def on_body(self) -> None:
        if not self.submitted:
            if self.connection.exchange is self and (
                self.received or self.buffered >= self.connection.group.options.body_buffer
            ):
                self._submit()
        else:
            self._notify()

    def on_disconnect(self) -> None:
        if not self.submitted:
            self.leave()
        elif self.waited < 0 and self._is_gone() and self.runner.queue.remove(self):
            self.break_off()
            self.leave()
        else:
            self._notify()

    def _is_gone(self) -> bool:
        """Does the client want no answer any more? One that has half closed the connection may want one.

        But who waits for long before that has given up.
        """
        return self.state is Response.BROKEN or monotonic() - self.queued > GIVING_UP

    def on_writable(self) -> None:
        self._notify()

    def cancel(self) -> None:
        """The application cannot be ended from outside: what it does from now on goes nowhere."""
        self.abandoned = True
        self._notify()

    def where(self) -> str:
        return self.runner.stack(self.place) if self.place is not None else ""

    def _submit(self) -> None:
        self.submitted = True
        if self.received:
            self.input = io.BytesIO(self.take_body())
        else:
            self.gate = self.runner.gate()
            self.input = io.BufferedReader(StreamedBody(self), 65536)
        self.runner.submit(self)

    def _notify(self) -> None:
        gate = self.gate
        if gate is not None:
            gate.notify()

    def _deliver(self, data: bytes, more: bool) -> None:
        """Write what the application has posted."""
        if more and not self.delivered:
            self._set_limit()
        self.delivered += len(data)
        if not self.abandoned:
            self.deliver(data, more)
        self._notify()

    def _set_limit(self) -> None:
        """From here on as much may wait for the client as the options say."""
        limit = self.runner.options.response_buffer
        transport = self.connection.transport
        if limit != DEFAULT_BUFFER and not transport.is_closing():
            transport.set_write_buffer_limits(limit)

    def _abandon(self) -> None:
        """The application failed (posted by its place)."""
        if self.state is not Response.BROKEN and not self.abandoned:
            self.fail()

    def _finish(self, last: bytes | None) -> None:
        """The application is done; `last` ends the response, if there is to be one."""
        if last is not None and not self.abandoned:
            self.deliver(last, False)
        queue = self.runner.queue
        queue.begun += 1
        queue.waited += self.waited
        self.leave()

    def _begin_file(self) -> None:
        """The application has returned a file, and its place is free."""
        self.sending: asyncio.Task[None] = self.runner.loop.create_task(self._send_file())

    async def _send_file(self) -> None:
        file = self.file
        assert file is not None
        try:
            await self.transmit(file.part)
        finally:
            self.runner.return_to(file.place, self._close_file)

    def decline(self) -> None:
        """Answer that there is no time for it."""
        self.runner.queue.declined += 1
        super().decline()

    # Place

    @property
    def head_gone(self) -> bool:
        """Whether body bytes have been sent (place)."""
        return self.sent

    def _close_file(self) -> None:
        """Close what `_send_file` has sent (place)."""
        file = self.file
        assert file is not None
        self.place = file.place
        try:
            file.context.run(close_iterable, file.wrapper)
        except BaseException as error:
            self.note_failure(error)
        self.place = None
        self.runner.post(self._finish, None)

    def handle(self, place: Any) -> None:
        """Run the application, at `place`."""
        runner = self.runner
        post = runner.post
        shedding = runner.shedding
        waited = monotonic() - self.queued
        if waited < shedding.least:
            shedding.note(waited)
        if waited > shedding.patience:
            post(self.decline)
            return
        self.waited = waited
        self.place = place
        try:
            if self.abandoned or (self.disconnected and self.state is Response.BROKEN):
                last = None  # nobody waits for the answer any more
            else:
                last = self._call()
        except BaseException as error:  # sys.exit() in a view must not end the place
            self.note_failure(error)
            post(self._abandon)
            last = None
        self.place = None
        if self.file is None:
            post(WaitingExchange._finish, self, last)
        else:
            post(self._begin_file)

    def _call(self) -> bytes | None:
        """Call the application and send what it returns, but for the last piece (place).

        Returns that; None if it has gone already, or is the loop's business.
        """
        result = self.app(self.environ(), self.start_response)
        if self.runner.in_child:
            end_child(self.line(), None)
        if result.__class__ is list or (isinstance(result, (list, tuple)) and not hasattr(result, "close")):
            return self.whole(result)
        try:
            if isinstance(result, (list, tuple)):
                self._post(self.whole(result), False)
            elif result.__class__ is FileWrapper and (part := result.part()) is not None:
                return self._leave_file(result, part)
            else:
                self._iterate(result)
            return None
        finally:
            if self.file is None:
                close_iterable(result)

    def _iterate(self, result: Iterable[bytes]) -> None:
        complete = False
        alone = self.is_alone(result)
        for chunk in result:
            if not chunk:
                self._check_client()  # it may go on like this for ever
                continue
            part = self.part(chunk)
            if not complete and (alone or not self.room):
                # The client need not wait for the end of the iteration, and for `close`.
                complete = True
                self.room = 0
                self._post(part, False)
            elif part:
                self.send(part)
            if len(part) < len(chunk):
                break
        self.check_started()
        if not complete:
            self._post(b"", False)

    def _leave_file(self, wrapper: FileWrapper, part: FilePart) -> bytes | None:
        """Return a small file's bytes; leave a large one to the loop, so that its client holds no place."""
        data = self.small_file(part)
        if data is None:
            self.file = _LeftFile(wrapper, part, self.place, contextvars.copy_context())
        return data

    def send(self, data: bytes) -> None:
        """Send body bytes (place). Waits while the client is slower than the application.

        Raises `ClientDisconnectedError`.
        """
        if self.gate is None:
            self.gate = self.runner.gate()
        self._post(data, True)
        self._wait(self._has_room)
        self._check_client()

    def _check_client(self) -> None:
        """Raise `ClientDisconnectedError` if nobody waits for more (place)."""
        if self.abandoned or (self.disconnected and self.state is Response.BROKEN):
            raise ClientDisconnectedError("the client has disconnected")

    def _post(self, data: bytes, more: bool) -> None:
        self.sent = True
        self.posted += len(data)
        self.runner.post(self._deliver, data, more)

    def hint(self, fields: list[tuple[bytes, bytes]]) -> None:
        """Have a 103 response sent (place)."""
        self.runner.post(self.send_hint, fields)

    def next_chunk(self) -> bytes:
        """More of the request's body, b"" at its end (place); raises `ClientDisconnectedError`."""
        self._wait(self._has_body)
        if not self.received and (self.disconnected or self.state is Response.BROKEN):
            raise ClientDisconnectedError("the client disconnected before its request was complete")
        # The loop's own data: have the loop hand it out.
        taken: list[bytes] = []
        self.runner.post(self._hand_out, taken)
        self._wait(taken.__len__)
        return taken[0]

    def _hand_out(self, taken: list[bytes]) -> None:
        taken.append(self.take_body())
        self._notify()

    def _wait(self, ready: Callable[[], Any]) -> None:
        if not ready():
            assert self.gate is not None
            self.gate.wait_for(ready)

    def _has_room(self) -> bool:
        return (
            self.abandoned
            or self.state is Response.BROKEN
            or (
                self.connection.writable
                and self.posted - self.delivered <= self.runner.options.response_buffer
            )
        )

    def _has_body(self) -> bool:
        return self.received or self.buffered > 0 or self.disconnected or self.state is Response.BROKEN
