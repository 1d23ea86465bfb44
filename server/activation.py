"""Sockets that a service manager has opened before it started us.

Those of systemd, see sd_listen_fds(3), are passed as descriptors from 3 on. The environment says how many
there are, for which process, and how they are called; none of that is for the application and what it
starts. Others have the number that --bind says; supervisord's, as inetd's before, is that of standard input.
"""

from __future__ import annotations

import fcntl
import os
import stat
from collections.abc import Iterable, Iterator, MutableMapping
from typing import Final, NamedTuple

from aserve.binds import Bind

FIRST: Final = 3
"""The number of the first descriptor that is passed."""

_UNNAMED: Final = "unknown"  # what a service manager writes for a socket without a name
_MOST: Final = 1024
_VARIABLES: Final = ("LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES", "LISTEN_PIDFDID")


class PassedSocket(NamedTuple):
    """A socket under the descriptor `fd`, which the service manager calls `name`."""

    fd: int
    name: str


_passed: tuple[PassedSocket, ...] = ()

_lifted: Final[dict[int, int]] = {}
"""Number of a standard stream -> the descriptor that its socket has now."""


def take(environ: MutableMapping[str, str]) -> None:
    """Take note of what was passed to this process, and take that out of the environment.

    What was passed to another process, whose environment this is a copy of, is none of our business.
    """
    pid, count, names = (environ.get(name, "") for name in _VARIABLES[:3])
    for name in _VARIABLES:
        environ.pop(name, None)
    if pid != str(os.getpid()) or not (count.isascii() and count.isdigit()) or len(count) > 4:
        return
    known = names.split(":") if names else []
    known += [_UNNAMED] * _MOST
    restore(PassedSocket(FIRST + index, known[index]) for index in range(min(int(count), _MOST)))


def restore(sockets: Iterable[PassedSocket]) -> None:
    """Take note of `sockets` as having been passed. They are not inherited across exec."""
    global _passed
    _passed = tuple(sockets)
    for sock in _passed:
        try:
            os.set_inheritable(sock.fd, False)
        except OSError:
            pass  # it is not open: who listens on it will say so


def passed() -> tuple[PassedSocket, ...]:
    """Return what was passed, in its order."""
    return _passed


def resolve(bind: Bind) -> tuple[Bind, ...]:
    """Return `bind`, or what it stands for if it is fd://NAME: each socket of that name.

    Raises ValueError if there is none.
    """
    if not bind.name:
        return (bind,)
    found = tuple(
        Bind("fd", fd=sock.fd, text=f"fd://{sock.fd}") for sock in _passed if sock.name == bind.name
    )
    if not found:
        names = ", ".join(dict.fromkeys(sock.name for sock in _passed))
        there = f"there are {names}" if names else "there are none"
        raise ValueError(f"no socket of the name {bind.name!r} was passed (LISTEN_FDNAMES): {there}")
    return found


def lift(binds: Iterable[Bind]) -> None:
    """Have the sockets of `binds` off the standard streams, which become the null device.

    These streams are inherited by what the application starts, and belong to it.
    """
    for bind in binds:
        if bind.kind == "fd" and bind.fd <= 2 and bind.fd not in _lifted and _is_socket(bind.fd):
            _lifted[bind.fd] = fcntl.fcntl(bind.fd, fcntl.F_DUPFD_CLOEXEC, FIRST)
            null = os.open(os.devnull, os.O_RDWR)
            os.dup2(null, bind.fd)
            os.close(null)


def descriptor(bind: Bind) -> int:
    """Return, once, the descriptor that the socket of `bind` (kind "fd") has now; the caller owns it."""
    lift([bind])
    return _lifted.pop(bind.fd, bind.fd)


def _is_socket(number: int) -> bool:
    try:
        return stat.S_ISSOCK(os.fstat(number).st_mode)
    except OSError:
        return False


def close_unused(binds: Iterable[Bind]) -> None:
    """Close what was passed and is not in `binds`, with a warning: clients would wait there for ever."""
    wanted = {bind.fd for bind in binds if bind.kind == "fd"}
    unused = [sock for sock in _passed if sock.fd not in wanted]
    for sock in unused:
        try:
            os.close(sock.fd)
        except OSError:
            pass
    restore(sock for sock in _passed if sock not in unused)
    if unused:
        import logging  # not for every start

        what = ", ".join(_described(unused))
        logging.getLogger("aserve").warning(
            "not listening on what the service manager has passed: %s: --bind does not name it", what
        )


def _described(sockets: Iterable[PassedSocket]) -> Iterator[str]:
    for sock in sockets:
        yield f"fd://{sock.fd}" if sock.name == _UNNAMED else f"fd://{sock.fd} ({sock.name})"
