"""Going on in the background (`--daemon`), without losing what goes wrong on the way.

The command waits until the server is ready or has failed. It returns the server's exit status and
says the reason on its own standard error, so that `aserve --daemon ... && echo up` is true to the word.
"""

from __future__ import annotations

import os
import sys
from typing import Final, NoReturn

from aserve.errors import EXIT_BOOT

_LONGEST_REPORT: Final = 1_048_576

_waiting = -1
"""In the daemon: the pipe to the command that waits for it."""


def detach(*, keep_output: bool = False) -> None:
    """Go on in a process of its own session without a terminal, whose standard streams are the null device.

    Only that process returns from this call, and owes its command a `report`. Call it while there
    are no threads and nothing of value in the buffers of the standard streams.

    Arguments: with `keep_output`, standard output and standard error stay, unless they are a terminal.
    """
    global _waiting
    reader, writer = os.pipe()
    sys.stdout.flush()
    sys.stderr.flush()
    middle = os.fork()
    if middle:
        os.close(writer)
        os.waitpid(middle, 0)
        _wait(reader)
    os.setsid()
    if os.fork():  # who leads a session could get a terminal again, just by opening one
        os._exit(0)
    os.close(reader)
    _waiting = writer
    os.register_at_fork(after_in_child=_forget)
    null = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1, 2):
        if not (keep_output and descriptor and not os.isatty(descriptor)):
            os.dup2(null, descriptor)
    if null > 2:
        os.close(null)


def is_mute() -> bool:
    """Does what is written to standard error lead nowhere?"""
    return os.path.samestat(os.fstat(2), os.stat(os.devnull))


def report(status: int, text: str = "") -> bool:
    """Tell the command that waits, if one does, how it went: its exit status and what it has to say.

    Only the first report counts. Of a failure the command returns when this process has ended: then
    everything is free for another try. Returns whether a command waits.
    """
    global _waiting
    if _waiting < 0:
        return False
    import json  # not for every start

    data = json.dumps([status, text[-_LONGEST_REPORT:]]).encode()
    try:
        while data:
            data = data[os.write(_waiting, data) :]
    except OSError:  # somebody has ended the command meanwhile
        pass
    if status == 0:
        os.close(_waiting)
    _waiting = -1
    return True


def _forget() -> None:
    # In a child of the daemon: the command must see the daemon's end, whoever else goes on.
    global _waiting
    if _waiting >= 0:
        os.close(_waiting)
        _waiting = -1


def _wait(reader: int) -> NoReturn:
    import json

    data = b""
    try:
        while chunk := os.read(reader, 65_536):
            data += chunk
    except KeyboardInterrupt:
        os._exit(130)  # the server goes on, as it would a moment later
    try:
        status, text = json.loads(data)
    except ValueError:
        status, text = EXIT_BOOT, "aserve: error: the server died before it was ready, see its log"
    if text:
        print(text.rstrip(), file=sys.stderr, flush=True)
    os._exit(status)
