"""As whom a worker runs: user, groups, umask, and the variables of `--env`.

The supervisor keeps its own identity, as gunicorn's does: it has to bind low ports, reopen logs and
start workers for as long as it lives. What loads the application is the first to give it up.
"""

from __future__ import annotations

import grp
import os
import pwd
import stat
from typing import TYPE_CHECKING

from aserve.errors import UsageError
from aserve.streams import stream

if TYPE_CHECKING:
    from aserve.options import Settings

_LARGEST_ID = 2**32 - 2  # the last one means "leave it" to chown(2)


def parse_user(value: object) -> int:
    """Return the uid of a user's name or number; raise ValueError if there is no such name."""
    word = str(value).strip()
    if (number := _as_id(value, word)) is not None:
        return number
    try:
        return pwd.getpwnam(word).pw_uid
    except KeyError:
        raise ValueError(f"there is no user {word!r}: write the name or number of one that exists") from None


def parse_group(value: object) -> int:
    """Return the gid of a group's name or number; raise ValueError if there is no such name."""
    word = str(value).strip()
    if (number := _as_id(value, word)) is not None:
        return number
    try:
        return grp.getgrnam(word).gr_gid
    except KeyError:
        raise ValueError(f"there is no group {word!r}: write the name or number of one that exists") from None


def check(settings: Settings) -> None:
    """Raise UsageError if this process may not become what the settings say."""
    if os.geteuid() == 0:
        return
    if settings.user not in (None, os.geteuid()):
        raise UsageError("--user: only root may start workers as another user: start the server as root")
    if settings.group not in (None, os.getegid(), *os.getgroups()):
        raise UsageError("--group: only root may start workers in any group: name one that you are in")


def owner(settings: Settings) -> tuple[int, int] | None:
    """Return uid and gid of the workers, or None if the settings leave them as the supervisor's.

    A user without a group comes with the user's own one, not with the supervisor's.
    """
    if settings.user is None and settings.group is None:
        return None
    uid = os.geteuid() if settings.user is None else settings.user
    if settings.group is not None:
        return uid, settings.group
    try:
        return uid, pwd.getpwuid(uid).pw_gid
    except KeyError:  # a number without a name, as containers like them
        return uid, os.getegid() if uid == os.geteuid() else uid


def assume(settings: Settings) -> None:
    """Become what the settings say, for good: environment, umask, groups, user.

    For a process that is about to load the application. Raises OSError if the system refuses.
    """
    for entry in settings.raw_env:
        name, _, text = entry.partition("=")
        os.environ[name] = text
    set_umask(settings)
    wanted = owner(settings)
    if wanted is None or wanted == (os.geteuid(), os.getegid()) != (0, 0):
        return
    uid, gid = wanted
    if os.geteuid() == 0:  # nobody else may change the list of groups
        try:
            os.initgroups(pwd.getpwuid(uid).pw_name, gid)
        except KeyError:
            os.setgroups([gid])
    os.setgid(gid)
    os.setuid(uid)


def set_umask(settings: Settings) -> None:
    """Set the umask that the settings name, if they do."""
    if settings.umask is not None:
        os.umask(settings.umask)


def make(path: str, settings: Settings) -> None:
    """Make the log file `path` if it is not there, and the workers its owners, so that they can open it.

    Raises OSError if that cannot be.
    """
    if stream(path) is not None:
        return  # that is open already
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o666)
    try:
        wanted = owner(settings)
        if wanted is not None and os.geteuid() == 0:
            _give(path, descriptor, wanted)
    finally:
        os.close(descriptor)


def _give(path: str, descriptor: int, to: tuple[int, int]) -> None:
    """Change the owner, but only of a plain file that has that one name.

    In a folder that the workers may write to, who has taken over one of them could otherwise put
    a link there, and have any file of the system given to them.
    """
    opened = os.fstat(descriptor)
    named = os.lstat(path)
    same = (opened.st_dev, opened.st_ino) == (named.st_dev, named.st_ino)
    if same and stat.S_ISREG(opened.st_mode) and opened.st_nlink == 1:
        os.fchown(descriptor, *to)


def _as_id(value: object, word: str) -> int | None:
    if isinstance(value, bool) or not word:
        raise ValueError(f"{value!r} is no name: write a name or a number")
    if not (word.isascii() and word.isdigit()):
        return None
    if len(word) > 10 or int(word) > _LARGEST_ID:
        raise ValueError(f"{value!r} is too large for a number of a user or group: write its name")
    return int(word)
