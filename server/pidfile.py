"""The file that tells the supervisor's pid (`--pid`), right from the start to the end, upgrades included.

A file of the name always holds the whole number of a process, since it is made elsewhere and put
in place in one step. The server holds a lock on it: so it is known whose it is, even if the number
belongs to another process meanwhile (in a container every start has the same few numbers).
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import time
from typing import Final

from aserve.errors import BootError, UsageError

SUFFIX: Final = ".2"
"""What follows the name while another supervisor holds it, as with gunicorn."""

_LONGEST: Final = 64
_CLOCK_BLUR: Final = 1.0


class PidFile:
    """The pid file at `path`, held by this process from `claim` to `release`."""

    def __init__(self, path: str) -> None:
        self._wanted = os.path.join(os.getcwd(), path)
        self._path = self._wanted
        self._descriptor = -1
        self._left = False

    @property
    def target(self) -> str:
        """Where it is, or is to be when there is no predecessor any more."""
        return self._wanted

    def claim(self, predecessor: int | None = None) -> None:
        """Write this process's pid.

        Arguments: `predecessor` is the pid of the supervisor that is being replaced; its file is
        left alone until `promote`, this one is beside it with the suffix.

        Raises BootError if the file belongs to a server that runs, UsageError if it cannot be written.
        """
        if predecessor is not None and _read(self._wanted) == predecessor:
            self._path = self._wanted + SUFFIX
        try:
            self._descriptor = _write(self._path)
        except OSError as error:
            raise _refusal(self._path, error) from error

    def promote(self) -> None:
        """Take the place of the predecessor's file, if this one is beside it."""
        if self._descriptor >= 0 and self._path != self._wanted:
            with contextlib.suppress(OSError):
                os.rename(self._path, self._wanted)
            self._path = self._wanted

    def leave_to_successor(self) -> None:
        """Have `release` leave the file where it is, for the successor to replace.

        Between a look at whose it is and its removal it could have been replaced.
        """
        self._left = True

    def release(self) -> None:
        """Remove the file if it is still this process's."""
        if self._descriptor < 0:
            return
        with contextlib.suppress(OSError):
            if not self._left and _is_at(self._descriptor, self._path):
                os.unlink(self._path)
        os.close(self._descriptor)
        self._descriptor = -1


def check(path: str) -> None:
    """Raise UsageError if no file can be made there; that of a server that runs is no mistake."""
    import tempfile  # for those who check, not for a start

    try:
        with tempfile.TemporaryFile(dir=os.path.dirname(os.path.abspath(path))):
            pass
    except OSError as error:
        raise _refusal(path, error) from error


def _refusal(path: str, error: OSError) -> UsageError:
    return UsageError(
        f"--pid: cannot write {path!r}: {error.strerror}: name a file in a folder that is there and writable"
    )


def _write(path: str) -> int:
    """Put a new file in place, with this process's pid and locked; return its descriptor."""
    new = f"{path}.{os.getpid()}.new"
    with contextlib.suppress(FileNotFoundError):
        os.unlink(new)  # of a process that had the same pid and was killed just here
    descriptor = os.open(new, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644)
    try:
        os.write(descriptor, b"%d\n" % os.getpid())
        fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        while True:
            try:
                os.link(new, path)  # in contrast to a renaming, never over a file that is there
                break
            except FileExistsError:
                _remove_stale(path)
    except BaseException:
        os.close(descriptor)
        raise
    finally:
        os.unlink(new)
    return descriptor


def _remove_stale(path: str) -> None:
    """Remove the file at `path` if it is nobody's any more; raise BootError if it is somebody's.

    Whoever removes it holds its lock, so that of two servers that find the same stale file none
    takes the other's new one for it.
    """
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
    except FileNotFoundError:
        return
    try:
        try:
            fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno not in (errno.EAGAIN, errno.EACCES):
                raise
            raise BootError(_held(path, _pid_in(descriptor))) from None
        pid = _pid_in(descriptor)
        if pid is not None and pid != os.getpid() and _wrote(pid, descriptor):
            raise BootError(_held(path, pid))
        with contextlib.suppress(FileNotFoundError):
            if _is_at(descriptor, path):
                os.unlink(path)
    finally:
        os.close(descriptor)


def _held(path: str, pid: int | None) -> str:
    who = f"pid={pid}" if pid is not None else "another process"
    return f"--pid: {path!r} belongs to a server that runs, {who}: stop it, or name another file"


def _wrote(pid: int, descriptor: int) -> bool:
    """Does process `pid` live, and can it have written the file? For servers that hold no lock.

    It has not if it is younger than the file: then the number has been given to another process.
    """
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass  # somebody else's, but alive
    except OverflowError:
        return False
    age = _age(pid)
    return age is None or time.time() - age <= os.fstat(descriptor).st_mtime + _CLOCK_BLUR


def _age(pid: int) -> float | None:
    """Return for how many seconds process `pid` has been there, or None if the system does not tell."""
    try:
        with open(f"/proc/{pid}/stat", errors="replace") as file:
            text = file.read()
    except OSError:
        return None
    # pid (command) state ppid ...: proc(5). The command may hold blanks and parentheses.
    began = int(text.rpartition(")")[2].split()[19]) / os.sysconf("SC_CLK_TCK")
    return time.clock_gettime(time.CLOCK_BOOTTIME) - began


def _read(path: str) -> int | None:
    try:
        # Not opened for longer than that: to close any descriptor of a file that this process has
        # locked would unlock it.
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        return _pid_in(descriptor)
    finally:
        os.close(descriptor)


def _pid_in(descriptor: int) -> int | None:
    text = os.pread(descriptor, _LONGEST, 0).strip()
    return int(text) if text.isdigit() and len(text) < 19 and int(text) > 0 else None


def _is_at(descriptor: int, path: str) -> bool:
    ours, there = os.fstat(descriptor), os.stat(path, follow_symlinks=False)
    return (ours.st_dev, ours.st_ino) == (there.st_dev, there.st_ino)
