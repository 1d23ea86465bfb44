"""The raw WSGI application with routes for heavy loads: they keep nothing of what they are sent."""

from __future__ import annotations

import time
from collections.abc import Iterable

from .shared import journal
from .wsgi_app import application
from .wsgi_call import Call, route

__all__ = ["application"]


@route("swallow")
def swallow(call: Call) -> Iterable[bytes]:
    """Read the body and forget it; note how it ended."""
    size = 0
    try:
        while data := call.input.read(65536):
            size += len(data)
    except OSError:
        journal.note(f"closed-{call.key}", "OSError")
        raise
    return call.answer({"size": size})


@route("trickle")
def trickle(call: Call) -> Iterable[bytes]:
    """Read the body slowly, in small pieces, until the test says that it is enough."""
    journal.note(f"entered-{call.key}")
    while not journal.notes(f"go-{call.key}") and call.input.read(1000):
        time.sleep(0.001)
    return call.answer(b"trickled")


@route("hold")
def hold(call: Call) -> Iterable[bytes]:
    """Leave the body alone, and answer when the test says so."""
    journal.note(f"entered-{call.key}")
    journal.wait(f"go-{call.key}")
    return call.answer(b"held")


@route("late-swallow")
def late_swallow(call: Call) -> Iterable[bytes]:
    """Leave the body alone for as long as the query says, in seconds; then read it."""
    time.sleep(float(call.query["seconds"]))
    return swallow(call)


@route("late-unread")
def late_unread(call: Call) -> Iterable[bytes]:
    """Answer without a look at the body, when much of it has come."""
    time.sleep(0.2)
    return call.answer(b"not for you", "401 Unauthorized")


@route("whole")
def whole(call: Call) -> Iterable[bytes]:
    """A large body in one piece."""
    return call.answer(bytes(int(call.query["size"])))
