"""How a connection ends: what was written still arrives, and the end itself comes in bounded time."""

from __future__ import annotations

import fcntl
import sys
import termios
from math import inf
from typing import TYPE_CHECKING, Final

from aserve.protocols.flow import WriteFlow
from aserve.protocols.policy import Refusal
from aserve.protocols.states import Reading

if TYPE_CHECKING:
    from aserve.protocols.group import ConnectionGroup
    from aserve.protocols.tls_info import TLSInfo

# Seconds for which a connection that is to end still takes what the client sends: as long as these
# many bytes come in each span of the second length, and the first at most.
LINGER_TIME: Final = 15.0
LINGER_SPAN: Final = 5.0
LINGER_LEAST: Final = 4096


def unconfirmed(fileno: int) -> int:
    """Bytes of an open socket that the kernel holds, because the client's side has not confirmed them yet."""
    held = b"\0\0\0\0"
    try:
        held = fcntl.ioctl(fileno, termios.TIOCOUTQ, held)
    except OSError:  # no such thing here
        pass
    return int.from_bytes(held, sys.byteorder)


class LingeringConnection(WriteFlow):
    """A connection that knows how to end. The group looks after its deadlines.

    deadline: the loop's time at which the sweep calls `expire`. dropped: bytes that nobody wants.
    paused: nothing is read from the client at present.
    client, server: the addresses of both ends, None for what has none.
    """

    __slots__ = ("client", "deadline", "dropped", "group", "linger_end", "paused", "reading", "server")

    reading: Reading
    client: tuple[str, int] | None
    server: tuple[str, int | None] | None

    def __init__(self, group: ConnectionGroup) -> None:
        super().__init__(group.loop, group.gathers)
        self.group = group
        self.deadline = inf
        self.dropped = 0
        self.linger_end = inf
        self.paused = False

    # For the protocol to provide

    def update_reading(self) -> None:
        """Read from the client exactly while there is room for what it sends."""
        raise NotImplementedError

    def expire(self) -> None:
        """The deadline is over."""
        raise NotImplementedError

    def drain(self) -> None:
        """Begin nothing new: the server is about to end."""
        raise NotImplementedError

    def close_idle(self, first: float) -> None:
        """End soon if nothing is going on; `first` is the deadline if nothing ever was."""

    def client_ended(self) -> None:
        """The client has closed its side; found while nothing is read, so more may come before that."""

    def cut_off(self) -> None:
        """End now: the graceful time is over."""
        raise NotImplementedError

    # What all have in common

    def pause_reading(self, paused: bool) -> None:
        """Read nothing from the client, or read on."""
        self.paused = paused
        if paused:
            self.transport.pause_reading()
            self.group.paused.add(self)
        else:
            self.transport.resume_reading()
            self.group.paused.discard(self)

    def pause_writing(self) -> None:
        super().pause_writing()
        self.group.slow_readers.watch(self)

    def unsent(self) -> int:
        """Bytes that were written and have not left yet."""
        return self.transport.get_write_buffer_size() + self.file_left

    def untaken(self) -> int:
        """Bytes that were written and that the client's side has not confirmed yet.

        The kernel holds megabytes of them: a client may be reading while nothing leaves our buffer.
        """
        sock = self.transport.get_extra_info("socket")
        held = unconfirmed(sock.fileno()) if sock is not None and sock.fileno() >= 0 else 0
        return self.unsent() + held

    def close(self) -> None:
        """Close the connection when what was written has left; within the write timeout it has to."""
        self.transport.close()
        if self.unsent():
            self.group.slow_readers.watch(self)

    def send_refusal(self, refusal: Refusal) -> None:
        """Tell the client why it gets nothing, and end."""
        content = refusal.content
        self.transport.write(
            b"%b\r\ncontent-type: text/plain; charset=utf-8\r\ncontent-length: %d\r\n%b"
            b"connection: %b\r\n\r\n%b"
            % (
                self.group.clock.prefix(refusal.status),
                len(content),
                b"".join(b"%b: %b\r\n" % field for field in refusal.headers),
                b"close, upgrade" if refusal.status == 426 else b"close",  # RFC 9110 §7.8
                b"" if refusal.bodiless else content,
            )
        )
        self.linger()

    def linger(self) -> None:
        """End while the client may still be sending.

        Closing now would reset the connection and take the response away from it, so close one
        direction and read on for a while (RFC 9112 §9.6).
        """
        if self.reading is Reading.CLOSED:
            self.close()
            return
        self.reading = Reading.DISCARD
        self.dropped = 0
        self.deadline = self.group.linger_deadline()
        self.linger_end = self.deadline + LINGER_TIME - LINGER_SPAN
        if self.unsent():
            self.group.slow_readers.watch(self)
        try:
            if not self.transport.is_closing():
                self.update_reading()
                self.transport.write_eof()
        except OSError:  # the client was quicker
            self.transport.abort()

    def drop(self, size: int) -> None:
        """Bytes that nobody wants."""
        self.dropped += size

    def linger_on(self) -> None:
        """Linger on if the response itself is still on its way, or the client in full flow; else end."""
        if self.unsent():
            self.group.slow_readers.watch(self)
        elif self.dropped < LINGER_LEAST or self.group.clock.now >= self.linger_end:
            self.transport.abort()
            return
        self.dropped = 0
        self.deadline = self.group.linger_deadline()

    def tls_info(self) -> TLSInfo | None:
        """What is known of its TLS, None if it has none."""
        if self.group.options.tls is None:
            return None
        info: TLSInfo | None = self.transport.get_extra_info("tls_info")
        return info

    @property
    def scheme(self) -> str:
        """That of its URLs, whatever a proxy says."""
        return "http" if self.group.options.tls is None else "https"

    def peer(self) -> str:
        """The client as the log names it."""
        return f"{self.client[0]}:{self.client[1]}" if self.client else "unix"
