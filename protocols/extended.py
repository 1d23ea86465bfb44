"""The rarer parts of a response: interim responses, files, trailer fields."""

from __future__ import annotations

import os
from collections.abc import Iterable

from aserve.protocols.clock import status_line
from aserve.protocols.errors import ClientDisconnectedError, ResponseError
from aserve.protocols.exchange import Exchange
from aserve.protocols.filebody import FileTransfer, open_file
from aserve.protocols.response import NO_LENGTH, TRAILING, WITHOUT_BODY, interim_lines, trailer_lines
from aserve.protocols.states import Response

_WAITING = Response.WAITING
_HELD = Response.HELD
_BODY = Response.BODY
_FILE = Response.FILE
_TRAILERS = Response.TRAILERS
_LOST = Response.LOST
_DONE = Response.DONE
_BROKEN = Response.BROKEN


class ExtendedExchange(Exchange):
    """An exchange that can answer with more than a head and the bytes of a body."""

    __slots__ = ()

    # Interim responses

    def inform(self, status: int, fields: Iterable[tuple[bytes, bytes]]) -> None:
        """Send an interim response (RFC 9110 §15.2), before the head of the response itself.

        status: 102 to 199. fields: names and values as bytes. Does nothing when the head has left,
        and for a client of HTTP/1.0, which would take it for the response.
        Raises `ResponseError` for fields that must not be there; `ClientDisconnectedError`.
        """
        if not 102 <= status <= 199:
            raise ResponseError(f"invalid status of an interim response: {status!r}")
        lines = interim_lines(fields)
        if self.state is _LOST or self.state is _BROKEN:
            raise self._misplaced("")
        if (self.state is _WAITING or self.state is _HELD) and self.http_version != "1.0":
            self._open_transport().write(status_line(status) + b"\r\n" + lines + b"\r\n")

    # Trailer fields

    def expect_trailers(self) -> None:
        """Trailer fields are to follow the body: `write_trailers` has to come behind it.

        To be called right after `start`. They are sent only to clients of HTTP/1.1 that have asked
        for them (RFC 9110 §6.5.1), and only with chunked framing: a content-length rules them out.
        """
        if not self.plain and self.takes_trailers and self.remaining == NO_LENGTH and not self.bodiless:
            self.remaining = TRAILING

    def write_trailers(self, fields: Iterable[tuple[bytes, bytes]], more: bool = False) -> None:
        """Send trailer fields; with more=False they are the last, and the response is complete.

        Does nothing behind a response that could not have any. Raises `ResponseError` for fields
        that must not be there, and if the body is not complete; `ClientDisconnectedError`.
        """
        if self.state is _DONE:
            return
        if self.state is not _TRAILERS:
            raise self._misplaced("trailer fields before the end of the body")
        lines = trailer_lines(fields)
        self._open_transport().write(lines if more else lines + b"\r\n")
        if not more:
            self._done()

    # Files

    async def send_path(self, path: str | bytes | os.PathLike[str]) -> None:
        """Send a regular file as the whole body, or as all of it that is still missing.

        No more is sent than the content-length says, if there is one: a file that is being written
        to may have grown since. Raises as `send_file`, and `ResponseError` when there is no such file.
        """
        before = self.state
        if before is not _HELD and before is not _BODY:
            raise self._misplaced("a file before the start or after the end of the response")
        self.state = _FILE
        try:
            opened = await open_file(path)
        except (OSError, ValueError, TypeError) as error:
            raise ResponseError(f"cannot send the file {path!r}: {error}") from error
        finally:
            if self.state is _FILE:
                self.state = before
            self.wake()
        try:
            count = self.room_for(opened.size)
            if opened.data is None:
                await self.send_file(opened.file, 0, count)
            else:
                self._announce(count)
                self.write(opened.data[:count])
        finally:
            opened.close()

    def room_for(self, size: int) -> int:
        """How many of `size` further bytes the content-length allows."""
        return min(size, self.remaining) if self.remaining >= 0 and not self.bodiless else size

    async def send_file(self, file: int, offset: int, count: int, more: bool = False) -> None:
        """Send a part of an open file as body bytes; returns when the system has taken them.

        file: its descriptor, which stays open and where it is. offset, count: in bytes.
        What else would be written meanwhile has to wait (`file_sent`). Raises as `write`, and
        `ResponseError` when the file cannot be read, or ends too early.
        """
        try:
            transfer = FileTransfer(self.connection, file, offset, count)
        except OSError as error:
            raise ResponseError(f"cannot send the file: {error.strerror}") from error
        try:
            if self._begin_part(count, more):
                await transfer.run()
                self._end_part(transfer.sent, more)
        except BaseException as error:
            self._abandon_part(transfer.sent, error)
            if isinstance(error, OSError) and not isinstance(error, ClientDisconnectedError):
                raise ResponseError(f"cannot send the file: {error.strerror}") from error
            raise
        finally:
            transfer.close()
            self.wake()

    async def file_sent(self) -> None:
        """Return when no file is being opened or sent."""
        while self.state is _FILE:
            await self.changed()

    def _begin_part(self, size: int, more: bool) -> bool:
        """Send what stands before `size` body bytes that do not come through `write`.

        Returns False when they are not to be sent. Raises as `write`.
        """
        if self.state is not _HELD and self.state is not _BODY:
            raise self._misplaced("body bytes before the start or after the end of the response")
        transport = self._open_transport()
        if not more:
            self._announce(size)
        if self.bodiless or not size:
            self.write(b"", more)
            return False
        if self.remaining >= 0 and (size > self.remaining or (size != self.remaining and not more)):
            raise self._bad_length(self.body_sent + size)
        self.flush()
        if self.chunked:
            transport.write(b"%x\r\n" % size)
        self.state = _FILE
        return True

    def _announce(self, size: int) -> None:
        """The body that is to come as a whole has this size: a head that says nothing of it is told."""
        has_length = not self.bodiless or (self.method == "HEAD" and self.status not in WITHOUT_BODY)
        if self.state is _HELD and self.remaining == NO_LENGTH and has_length:
            self.head += b"\r\ncontent-length: %d" % size
            self.remaining = size

    def _end_part(self, size: int, more: bool) -> None:
        """All bytes of the part have left."""
        if self.state is not _FILE:
            raise self._misplaced("the response is already complete")
        self.state = _BODY
        self.body_sent += size
        if self.remaining >= 0:
            self.remaining -= size
        if self.chunked:
            self._open_transport().write(b"\r\n" + self._tail(more))
        if not more:
            self._end_body()

    def _abandon_part(self, sent: int, error: BaseException) -> None:
        """It will never be complete, so neither will the response."""
        if self.state is _FILE:
            self.body_sent += sent
            if isinstance(error, ClientDisconnectedError):
                self.disconnect()
            self.break_off()
