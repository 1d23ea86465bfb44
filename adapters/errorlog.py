"""What goes from applications to the error log: their exceptions, and what they write to `wsgi.errors`."""

from __future__ import annotations

import asyncio
import io
import logging
import sys
import traceback
from types import FrameType
from typing import Final

logger: Final = logging.getLogger("aserve")

UNFINISHED: Final[set[int]] = set()
"""By their id, the error streams that hold a line whose end has not come. The end of a stream is one."""

VERBATIM: Final = {"verbatim": True}
"""Attributes of a log record whose message is to stand in the log as it is, without time and level."""


def log_exception(request: str, error: BaseException, what: str = "exception in the application") -> None:
    """Log what the application has raised, with the traceback from its own first frame on.

    request: the request as the log names it. what: how the line begins.
    """
    frames = error.__traceback__
    while frames is not None and frames.tb_frame.f_globals.get("__name__", "").startswith("aserve."):
        frames = frames.tb_next
    logger.error("%s: %s", what, request, exc_info=(type(error), error, frames))


def comes_of(error: BaseException | None, kind: type[BaseException]) -> bool:
    """Whether `error` is of this kind, or what an application has made of one."""
    while error is not None:
        if isinstance(error, kind):
            return True
        error = error.__cause__ or error.__context__
    return False


class ErrorStream(io.TextIOBase):
    """A text stream into the error log (PEP 3333, Input and Error Streams).

    What is written stands there as it is: it has a format of its own, such as that of a logging
    handler of the application. Lines that are written together stay together.

    unfinished: what has come of a line whose end has not.
    """

    def __init__(self) -> None:
        super().__init__()
        self.unfinished = ""

    def writable(self) -> bool:
        return True

    def write(self, text: str) -> int:
        """Log the complete lines; keep the rest until `flush` or the next line end."""
        lines, newline, self.unfinished = (self.unfinished + text).rpartition("\n")
        if self.unfinished:
            UNFINISHED.add(id(self))
        else:
            UNFINISHED.discard(id(self))
        if newline:
            logger.error("%s", lines, extra=VERBATIM)
        return len(text)

    def flush(self) -> None:
        """Log an unfinished line."""
        line, self.unfinished = self.unfinished, ""
        UNFINISHED.discard(id(self))
        if line:
            logger.error("%s", line, extra=VERBATIM)


def task_stack(task: asyncio.Task[None]) -> str:
    """Where `task` is: the frames of its coroutine and of those that it awaits."""
    frames: list[FrameType] = []
    step: object = task.get_coro()
    while step is not None:
        frame = getattr(step, "cr_frame", None) or getattr(step, "gi_frame", None)
        if frame is not None:
            frames.append(frame)
        step = getattr(step, "cr_await", None) or getattr(step, "gi_yieldfrom", None)
    return "".join(line for frame in frames for line in traceback.format_stack(frame, 1)).rstrip()


def thread_stack(identifier: int) -> str:
    """Where the thread `identifier` is; "" if there is none."""
    frame = sys._current_frames().get(identifier)
    return "".join(traceback.format_stack(frame)).rstrip() if frame is not None else ""
