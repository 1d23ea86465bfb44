"""TLS handshakes for a library that reads from sockets itself: what comes before its first byte."""

from __future__ import annotations

import asyncio
import logging
import ssl
from collections.abc import Callable
from math import inf
from socket import MSG_PEEK, SHUT_WR, socket
from ssl import SSLSocket  # by name: see threads.py
from typing import Final

from aserve.protocols import clienthello, policy
from aserve.protocols.lingering import LINGER_SPAN
from aserve.protocols.servername import advance
from aserve.protocols.tls_transport import reason_of
from aserve.protocols.wording import http_date

logger: Final = logging.getLogger("aserve")

# Seconds until the next look at a ClientHello of which a part has come: it stays where the library
# will read it, so that the system does not tell of more. Each time twice as many, up to the last.
_AGAIN: Final = 0.02
_AGAIN_LAST: Final = 1.0
# Bytes that are dropped in a turn of the loop.
_DROPPED: Final = 64 * 1024

_REFUSAL: Final = (
    b"HTTP/1.1 400 Bad Request\r\ndate: %b\r\ncontent-type: text/plain; charset=utf-8\r\n"
    b"content-length: %d\r\nconnection: close\r\n\r\n%b"
)


class TLSArrival:
    """An accepted connection, until its TLS handshake is complete.

    sock: its own from now on. client: address and port, None for what has none. timeout: seconds for the
    handshake, 0 for no limit. on_secure: called with it and the socket that encrypts. on_closed: called
    with it if it comes to nothing.

    deadline: the loop's time at which `expire` is to be called.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        sock: socket,
        client: tuple[str, int] | None,
        context: ssl.SSLContext,
        *,
        timeout: float,
        on_secure: Callable[[TLSArrival, SSLSocket], None],
        on_closed: Callable[[TLSArrival], None],
    ) -> None:
        sock.setblocking(False)
        self.client = client
        self.deadline = loop.time() + (timeout or inf)
        self._loop = loop
        self._socket: socket | None = sock
        self._context = context
        self._on_secure = on_secure
        self._on_closed = on_closed
        self._begun = False
        self._refused = False
        self._timer: asyncio.TimerHandle | None = None
        self._again = _AGAIN
        loop.add_reader(sock.fileno(), self._look)

    def hurry(self, first: float) -> None:
        """End soon if nothing has come; `first` is the deadline for that."""
        self.deadline = min(self.deadline, first)

    def expire(self) -> None:
        """The deadline is over."""
        level = logging.INFO if self._begun else logging.DEBUG
        if not self._refused:
            logger.log(level, "closed: no complete TLS handshake in time client=%s", self._peer())
        self.close()

    def close(self) -> None:
        """Close the connection."""
        sock = self._release()
        if sock is None:
            return
        if not isinstance(sock, SSLSocket):
            try:
                sock.recv(clienthello.LONGEST)  # what has only been looked at would make a reset of it
            except OSError:
                pass
        sock.close()
        self._on_closed(self)

    # The handshake

    def _look(self) -> None:
        """See what has come, and leave it where it is."""
        sock = self._socket
        assert sock is not None
        try:
            data = sock.recv(clienthello.LONGEST, MSG_PEEK)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            logger.debug("closed: gone before a TLS handshake client=%s", self._peer())
            self.close()
            return
        self._begun = True
        if clienthello.looks_like_text(data):
            self._refuse_text(sock, data)
            return
        offered = clienthello.offered_protocols(data)
        if offered is None:
            self._loop.remove_reader(sock.fileno())
            self._timer = self._loop.call_later(self._again, self._look_again)
            self._again = min(2 * self._again, _AGAIN_LAST)
        elif reason := clienthello.unspoken(offered):
            self._refuse(sock, reason, clienthello.NO_APPLICATION_PROTOCOL)
        else:
            self._begin(sock)

    def _look_again(self) -> None:
        self._timer = None
        if self._socket is not None:
            self._loop.add_reader(self._socket.fileno(), self._look)

    def _begin(self, sock: socket) -> None:
        self._loop.remove_reader(sock.fileno())
        try:
            self._socket = tls = self._context.wrap_socket(
                sock, server_side=True, do_handshake_on_connect=False
            )
        except (OSError, ValueError) as error:  # it has gone meanwhile
            logger.debug("closed: %s client=%s", error, self._peer())
            self.close()
            return
        self._go_on(tls)

    def _go_on(self, tls: SSLSocket) -> None:
        self._loop.remove_reader(tls.fileno())
        self._loop.remove_writer(tls.fileno())
        try:
            advance(tls)
        except ssl.SSLWantReadError:
            self._loop.add_reader(tls.fileno(), self._go_on, tls)
        except ssl.SSLWantWriteError:
            self._loop.add_writer(tls.fileno(), self._go_on, tls)
        except (ssl.SSLEOFError, ConnectionError):
            logger.info("closed: gone in the TLS handshake client=%s", self._peer())
            self.close()
        except ssl.SSLError as error:
            self._refuse(tls, reason_of(error), b"")
        except (OSError, ValueError) as error:
            self._refuse(tls, f"{type(error).__name__}: {error}", b"")
        else:
            self._release()
            self._on_secure(self, tls)

    # Refusals

    def _refuse_text(self, sock: socket, data: bytes) -> None:
        refusal = policy.PLAIN_ON_TLS
        logger.info("refused: %d %s client=%s", refusal.status, refusal.text, self._peer())
        date, content = http_date(), refusal.content
        shown = b"" if data.startswith(b"HEAD ") else content
        self._end(sock, _REFUSAL % (date, len(content), shown))

    def _refuse(self, sock: socket, reason: str, alert: bytes) -> None:
        logger.info("refused: TLS handshake failed: %s client=%s", reason, self._peer())
        self._end(sock, alert)

    def _end(self, sock: socket, last: bytes) -> None:
        """Send the last words, and read on for a while: a reset would take them away from the client."""
        if isinstance(sock, SSLSocket):
            self._socket = sock = socket(fileno=sock.detach())
            sock.setblocking(False)
        self._refused = True
        self.deadline = self._loop.time() + LINGER_SPAN
        try:
            sock.send(last)
            sock.shutdown(SHUT_WR)
        except OSError:
            self.close()
            return
        self._loop.remove_reader(sock.fileno())
        self._loop.add_reader(sock.fileno(), self._drop, sock)

    def _drop(self, sock: socket) -> None:
        try:
            ended = not sock.recv(_DROPPED)
        except BlockingIOError:
            return
        except OSError:
            ended = True
        if ended:
            self.close()

    def _release(self) -> socket | None:
        """Have nothing to do with the socket any more."""
        sock, self._socket = self._socket, None
        if self._timer is not None:
            self._timer.cancel()
        if sock is not None and sock.fileno() >= 0:
            self._loop.remove_reader(sock.fileno())
            self._loop.remove_writer(sock.fileno())
        return sock

    def _peer(self) -> str:
        return f"{self.client[0]}:{self.client[1]}" if self.client else "unix"
