"""Files as bodies: from the disk to the socket, past Python where the system can do that.

Neither uvloop nor TLS has a sendfile for its transports. A duplicate of the connection's descriptor
can be watched and written to, as long as the transport itself has nothing left to write.

What may wait for a disk is done in threads of this module's own: the loop does not stand still for a
slow one, and the application's threads are left alone.
"""

from __future__ import annotations

import asyncio
import os
import stat
from collections.abc import Callable
from os import close, open  # by name: see threads.py
from typing import TYPE_CHECKING, Any, Final, TypeVar

from aserve.protocols.errors import ClientDisconnectedError, ResponseError
from aserve.protocols.threads import Threads

if TYPE_CHECKING:
    from aserve.protocols.lingering import LingeringConnection

T = TypeVar("T")

# A file up to this size is read and sent with its head in one piece.
SMALL: Final = 64 * 1024
# Bytes that the system is asked to send at a time, which are read at a time, and which may be
# sent before others have their turn.
SLICE: Final = 256 * 1024
TURN: Final = 1024 * 1024

_threads: Final = Threads(4)

# What a read has to be told so that it does not wait for the disk; 0 where there is no such thing.
_NOWAIT: Final[int] = getattr(os, "RWF_NOWAIT", 0)
_PROBE: Final = (bytearray(1),)


async def in_thread(
    call: Callable[..., T], *args: Any, left_behind: Callable[[asyncio.Future[T]], object]
) -> T:
    """Return what `call(*args)` returns; it runs in a thread of this module.

    left_behind: called with the result's future when the thread is done with it, if the caller was
    cancelled before.
    """
    future = _threads.submit(call, *args)
    try:
        await asyncio.wait((future,))
    except asyncio.CancelledError:
        future.add_done_callback(left_behind)
        raise
    return future.result()


class OpenFile:
    """A regular file that was opened for sending.

    size: in bytes. data: all of it, if it is small; file: its descriptor otherwise, else -1.
    """

    __slots__ = ("data", "file", "size")

    def __init__(self, path: str | bytes | os.PathLike[str]) -> None:
        """Open it; this may wait for the disk. Raises `OSError`."""
        self.data: bytes | None = None
        # A FIFO would have to wait for its writer.
        self.file = open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        try:
            found = os.fstat(self.file)
            if not stat.S_ISREG(found.st_mode):
                raise OSError("not a regular file")
            self.size = found.st_size
            if self.size <= SMALL:
                self.data = os.pread(self.file, self.size, 0)
                self.size = len(self.data)
        except BaseException:
            self.close()
            raise
        if self.data is not None:
            self.close()

    def close(self) -> None:
        """Close the descriptor."""
        if self.file >= 0:
            close(self.file)
            self.file = -1


async def open_file(path: str | bytes | os.PathLike[str]) -> OpenFile:
    """Open a regular file in a thread; raises `OSError`. The caller closes it."""

    def left_behind(opening: asyncio.Future[OpenFile]) -> None:
        if opening.exception() is None:
            opening.result().close()

    return await in_thread(OpenFile, path, left_behind=left_behind)


class FileTransfer:
    """A part of a file on its way to a client.

    connection: nobody else writes to it before `run` returns. file: a descriptor, of which the
    transfer takes a duplicate. offset, left: what is still to be sent, in bytes; sent: what has been.
    """

    __slots__ = ("_busy", "_connection", "_file", "_socket", "left", "offset", "sent")

    def __init__(self, connection: LingeringConnection, file: int, offset: int, count: int) -> None:
        """Raises `OSError` if there is no such descriptor, or none left for the duplicate."""
        self._connection = connection
        self._file = os.dup(file)
        self._socket = -1
        self._busy = False
        self.offset = offset
        self.left = count
        self.sent = 0

    async def run(self) -> None:
        """Send it; to be called once, and `close` in any case.

        Raises `ClientDisconnectedError`; `ResponseError` if the file ends early; `OSError` of the
        file. Unless it returns, a part of it may have left.
        """
        await self._connection.emptied()
        self._check_connection()
        if self._duplicate_socket():
            await self._send_by_system()
        await self._send_by_hand()

    def close(self) -> None:
        """Close the descriptors, now or when the thread that uses them has ended."""
        if self._busy:
            return
        for descriptor in (self._file, self._socket):
            if descriptor >= 0:
                close(descriptor)
        self._file = self._socket = -1

    async def _send_by_system(self) -> None:
        """Have the system copy; returns early where it cannot."""
        turn = 0
        while self.left:
            arguments = self._socket, self._file, self.offset, min(self.left, SLICE)
            try:
                if self._is_in_memory(arguments[3]):
                    sent = os.sendfile(*arguments)
                else:
                    sent = await self._threaded(os.sendfile, *arguments)
            except BlockingIOError:
                self._check_connection()  # it may have been lost while the thread was at work
                await self._writable()
                turn = 0
            except ConnectionError as error:
                raise ClientDisconnectedError("the client has disconnected") from error
            except OSError:
                return  # not this file, or not this socket: reading it shows which
            else:
                self._take_note(sent)
                turn += sent
                if turn >= TURN:
                    turn = 0
                    await asyncio.sleep(0)
            self._check_connection()

    async def _send_by_hand(self) -> None:
        """Read and write what is left."""
        connection = self._connection
        while self.left:
            data = await self._threaded(os.pread, self._file, min(self.left, SLICE), self.offset)
            self._check_connection()
            self._take_note(len(data))
            connection.transport.write(data)
            await connection.drained()
            self._check_connection()

    def _duplicate_socket(self) -> bool:
        """Take a descriptor of our own for the connection's socket; False if that will not do."""
        transport = self._connection.transport
        sock = transport.get_extra_info("socket")
        if sock is None or transport.get_extra_info("ssl_object") is not None:
            return False
        try:
            self._socket = os.dup(sock.fileno())
        except OSError:
            return False
        return True

    def _is_in_memory(self, size: int) -> bool:
        """Whether sending `size` bytes will hardly wait for a disk: both ends of them are in the cache."""
        if not _NOWAIT:
            return False
        try:
            for offset in (self.offset, self.offset + size - 1):
                os.preadv(self._file, _PROBE, offset, _NOWAIT)
        except OSError:  # it would wait, or the file system cannot tell
            return False
        return True

    async def _threaded(self, call: Callable[..., T], *args: Any) -> T:
        self._busy = True
        try:
            result: T = await in_thread(call, *args, left_behind=self._left_behind)
        except OSError:
            self._busy = False
            raise
        self._busy = False
        return result

    def _left_behind(self, future: asyncio.Future[Any]) -> None:
        future.exception()  # nobody else is there to take it
        self._busy = False
        self.close()

    async def _writable(self) -> None:
        """Wait until the socket takes bytes, or the connection is lost."""
        connection = self._connection
        loop = connection.group.loop
        waiter = connection.waiter()
        connection.file_left = self.left
        connection.group.slow_readers.watch(connection)
        loop.add_writer(self._socket, _end_wait, waiter)
        try:
            await waiter
        finally:
            loop.remove_writer(self._socket)
            connection.file_left = 0
            connection.forget_waiter(waiter)

    def _check_connection(self) -> None:
        if self._connection.transport.is_closing():
            raise ClientDisconnectedError("the client has disconnected")

    def _take_note(self, sent: int) -> None:
        if not sent:
            raise ResponseError(f"the file ends {self.left} bytes before the part that is to be sent does")
        self.sent += sent
        self.offset += sent
        self.left -= sent


def _end_wait(waiter: asyncio.Future[None]) -> None:
    if not waiter.done():
        waiter.set_result(None)
