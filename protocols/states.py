r"""The states of a connection, of a response and of a WebSocket, and how they may follow each other.

    Reading (a connection)              Response (an exchange)

      IDLE <--------+                     WAITING
       |  \         |                      |   \
       v   v        |                      v    \
      HEAD-->BODY---+         FILE <----> HELD   |
       |      |                  \         |  \  |
       v      v                   \        v   v v
      DISCARD -> CLOSED            +----> BODY-->DONE
                                           |      ^
                                           v      |
                                        TRAILERS--+

From IDLE and HEAD reading may go to UPGRADE, and from there to DISCARD or CLOSED.
From everything but DONE a response may become BROKEN, from WAITING and HELD also LOST.

    Messages (a WebSocket)

      OPEN --> CLOSING --> CLOSED
        |                    ^
        +--------------------+

Reading, response and persistence are separate: a pipelined head may be read while an
earlier response is written, and a connection that is to close still finishes what it has.

The hot path sets the states by plain assignment. `checked` makes a class whose every
assignment is held against the tables here; the tests run with such classes.
"""

from __future__ import annotations

from enum import Enum
from typing import Any, Final, TypeVar


class Reading(Enum):
    """What the connection's next byte from the client belongs to."""

    IDLE = "idle"  # nothing of a next request has come
    HEAD = "head"  # a head has begun and is not complete
    BODY = "body"  # a head is complete, its body is not
    UPGRADE = "upgrade"  # it offers another protocol, to which what follows belongs if that is agreed
    DISCARD = "discard"  # no further request is taken; bytes are read and dropped
    CLOSED = "closed"  # the client will send nothing more, or the connection is gone


class Response(Enum):
    """How far an exchange's response has come."""

    WAITING = "waiting"  # the application has not answered yet
    HELD = "held"  # the head is known and waits to leave together with the first body bytes
    BODY = "body"  # the head has left
    FILE = "file"  # a file is being opened or sent: whatever comes behind it waits
    TRAILERS = "trailers"  # the body is complete, and trailer fields are to come
    LOST = "lost"  # the application knows that the client has gone, so it can answer no more
    DONE = "done"  # the response is complete
    BROKEN = "broken"  # it will never be complete


class Persistence(Enum):
    """What becomes of the connection after the current response (RFC 9112 §9.3)."""

    KEEP = "keep"  # further requests are welcome
    CLOSE = "close"  # the connection ends after the current response


class Messages(Enum):
    """How a WebSocket stands (RFC 6455 §7.1); its handshake is over."""

    OPEN = "open"  # messages go both ways
    CLOSING = "closing"  # our Close frame has left, the client's has not come yet
    CLOSED = "closed"  # nothing is sent or taken any more


TRANSITIONS: Final[dict[Enum, frozenset[Enum]]] = {
    Reading.IDLE: frozenset({Reading.HEAD, Reading.BODY, Reading.UPGRADE, Reading.DISCARD, Reading.CLOSED}),
    Reading.HEAD: frozenset({Reading.IDLE, Reading.BODY, Reading.UPGRADE, Reading.DISCARD, Reading.CLOSED}),
    Reading.BODY: frozenset({Reading.IDLE, Reading.DISCARD, Reading.CLOSED}),
    Reading.UPGRADE: frozenset({Reading.DISCARD, Reading.CLOSED}),
    Reading.DISCARD: frozenset({Reading.CLOSED}),
    Reading.CLOSED: frozenset(),
    Response.WAITING: frozenset({Response.HELD, Response.LOST, Response.DONE, Response.BROKEN}),
    Response.HELD: frozenset(
        {Response.WAITING, Response.BODY, Response.FILE, Response.LOST, Response.DONE, Response.BROKEN}
    ),
    Response.BODY: frozenset({Response.FILE, Response.TRAILERS, Response.DONE, Response.BROKEN}),
    Response.FILE: frozenset({Response.HELD, Response.BODY, Response.BROKEN}),
    Response.TRAILERS: frozenset({Response.DONE, Response.BROKEN}),
    Response.LOST: frozenset({Response.WAITING, Response.BROKEN}),
    Response.DONE: frozenset(),
    Response.BROKEN: frozenset(),
    Persistence.KEEP: frozenset({Persistence.CLOSE}),
    Persistence.CLOSE: frozenset(),
    Messages.OPEN: frozenset({Messages.CLOSING, Messages.CLOSED}),
    Messages.CLOSING: frozenset({Messages.CLOSED}),
    Messages.CLOSED: frozenset(),
}


class IllegalTransitionError(Exception):
    """A state was set that may not follow the one before: a bug in this package."""


_T = TypeVar("_T")


def checked(cls: type[_T]) -> type[_T]:
    """A subclass of `cls` that raises `IllegalTransitionError` for a state set against `TRANSITIONS`."""

    def set_attribute(self: object, name: str, value: Any) -> None:
        if isinstance(value, Enum):
            old = getattr(self, name, None)
            if old is not None and old is not value and value not in TRANSITIONS[old]:
                raise IllegalTransitionError(f"{cls.__name__}.{name}: {old.name} -> {value.name}")
        object.__setattr__(self, name, value)

    return type(f"Checked{cls.__name__}", (cls,), {"__slots__": (), "__setattr__": set_attribute})
