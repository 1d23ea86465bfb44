"""INT and TERM for servers inside a program, of which several may want to be stopped by them."""

from __future__ import annotations

import contextlib
import logging
import signal
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from types import FrameType
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from aserve.embedding import Server

_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM)

_log = logging.getLogger("aserve")


@dataclass(eq=False, slots=True)
class _Listener:
    """Who is to be stopped, and how many signals it has heard."""

    server: Server
    heard: int = 0


class StopSignals:
    """The handlers of a process, from the first server that wants them until the last one has ended."""

    def __init__(self) -> None:
        self._listeners: list[_Listener] = []
        self._before: dict[signal.Signals, Any] = {}

    @contextlib.contextmanager
    def stopping(self, server: Server) -> Iterator[None]:
        """Have INT and TERM stop `server` for the time being, a second one at once."""
        if threading.current_thread() is not threading.main_thread():
            raise RuntimeError("signals come to the main thread only: leave handle_signals out here")
        listener = _Listener(server)
        self._listeners.append(listener)
        if len(self._listeners) == 1:
            self._before = {number: signal.signal(number, self._stop) for number in _SIGNALS}
        try:
            yield
        finally:
            self._listeners.remove(listener)
            if not self._listeners:
                for number, handler in self._before.items():
                    if handler is not None:  # one of another language's cannot be put back
                        signal.signal(number, handler)

    def _stop(self, number: int, _frame: FrameType | None) -> None:
        _log.info("stopping: signal %s", signal.Signals(number).name)
        for listener in self._listeners:
            listener.heard += 1
            listener.server.request_stop(at_once=listener.heard > 1)


STOP_SIGNALS: Final = StopSignals()
