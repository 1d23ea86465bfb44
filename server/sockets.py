"""The listening sockets: made before the workers, shared by all of them, open across reloads."""

from __future__ import annotations

import contextlib
import errno
import os
import socket
import stat
from collections.abc import Iterable
from typing import TYPE_CHECKING, Final, NamedTuple

from aserve import activation, identity
from aserve.binds import Bind
from aserve.errors import BootError, UsageError

if TYPE_CHECKING:
    from aserve.options import Settings

_STALE_CHECK_TIMEOUT: Final = 1.0
"""Seconds for the question whether somebody listens on a Unix socket that is already there."""


class UnixFiles(NamedTuple):
    """What the files of Unix sockets are to be.

    Everybody on the machine may connect to them unless `umask` says otherwise, as to a port of
    127.0.0.1: a proxy in front mostly runs as another user. `owner` is a pair of uid and gid.
    """

    umask: int = 0o111
    owner: tuple[int, int] | None = None

    @classmethod
    def of(cls, settings: Settings) -> UnixFiles:
        """Return what the settings say."""
        owner = identity.owner(settings)
        return cls(owner=owner) if settings.umask is None else cls(settings.umask, owner)


FOR_EVERYBODY: Final = UnixFiles()


def listen(
    binds: Iterable[Bind],
    backlog: int,
    files: UnixFiles = FOR_EVERYBODY,
    *,
    among: Iterable[Bind] = (),
    reuse_port: bool = False,
) -> list[socket.socket]:
    """Return one listening socket per address, in their order.

    They do not block, are inherited by fork and not across exec. `backlog` is the number of
    connections that may wait in the kernel to be accepted (it caps that at net.core.somaxconn);
    `files` is for those on Unix paths; `among` are all addresses of the server, if there are more;
    with `reuse_port` another server may listen on the same ports.
    The caller owes a `close()`. Raises BootError, and leaves no socket behind, if one cannot be had.
    """
    binds = list(binds)
    among = [*binds, *among]
    opened: list[socket.socket] = []
    try:
        for bind in binds:
            takes_ipv4 = _takes_ipv4(bind, among)
            opened.append(_listen(bind, backlog, files, takes_ipv4=takes_ipv4, reuse_port=reuse_port))
    except BaseException:
        close(opened)
        raise
    return opened


def check(binds: Iterable[Bind]) -> None:
    """Raise UsageError for a Unix socket in a folder that is not there; a server may run at the addresses."""
    for bind in binds:
        if bind.kind == "unix" and not os.path.isdir(os.path.dirname(bind.path) or "."):
            missing = OSError(errno.ENOENT, "")
            raise UsageError(f"--bind: cannot listen on {bind}: {_explain(bind, missing)}")


def close(listening: Iterable[socket.socket]) -> None:
    """Close the sockets for good, and remove the files of those on Unix paths.

    For the process that made them; a worker just closes its own copies. A file that another
    server has put in the place of ours meanwhile stays.
    """
    for sock in listening:
        path = _unix_path(sock)
        if path is not None and _made_here.pop(path, None) == _identity(path):
            _unlink(path)
        sock.close()


def own(sock: socket.socket) -> None:
    """Have `close` remove the file of a Unix socket that another process has made."""
    if (path := _unix_path(sock)) is not None:
        _made_here[path] = _identity(path)


def is_own(sock: socket.socket) -> bool:
    """Will `close` remove a file?"""
    return _unix_path(sock) in _made_here


def disown(sock: socket.socket) -> None:
    """Have `close` leave the file alone."""
    if (path := _unix_path(sock)) is not None:
        _made_here.pop(path, None)


def address(sock: socket.socket, scheme: str = "http") -> str:
    """Return where `sock` listens as a URL: http://127.0.0.1:8000, http://[::1]:8000, unix:/run/x.sock."""
    name = sock.getsockname()
    if sock.family == socket.AF_INET6:
        return f"{scheme}://[{name[0]}]:{name[1]}"
    if sock.family == socket.AF_INET:
        return f"{scheme}://{name[0]}:{name[1]}"
    path = name if isinstance(name, str) else bytes(name).decode(errors="backslashreplace")
    return f"unix:{path.replace(chr(0), '@', 1)}"  # abstract sockets are written with a leading @


_made_here: Final[dict[str, tuple[int, int] | None]] = {}
"""Absolute path of each Unix socket made by this process -> its file (device, inode)."""


def _takes_ipv4(bind: Bind, binds: list[Bind]) -> bool:
    """Whether [::] is to take IPv4 as well, as users of gunicorn expect: unless another bind does."""
    return bind.host == "::" and not any(
        other.kind == "tcp" and other.port == bind.port and ":" not in other.host for other in binds
    )


def _listen(
    bind: Bind, backlog: int, files: UnixFiles, *, takes_ipv4: bool, reuse_port: bool
) -> socket.socket:
    try:
        if bind.kind == "tcp":
            sock = _bind_tcp(bind, takes_ipv4, reuse_port)
        else:
            sock = _bind_unix(bind, files) if bind.kind == "unix" else _adopt(bind)
        try:
            # A port may be bound twice as long as nobody listens: only this call finds it taken.
            sock.listen(backlog)
        except OSError:
            close([sock])
            raise
    except OSError as error:
        raise BootError(f"cannot listen on {bind}: {_explain(bind, error)}") from error
    sock.setblocking(False)
    return sock


def _bind_tcp(bind: Bind, takes_ipv4: bool, reuse_port: bool) -> socket.socket:
    """Bind to the first address of the host, of IPv4 if it has one."""
    try:
        # As bytes, unless it takes the codec for international names, which is large.
        host = bind.host.encode() if bind.host.isascii() else bind.host
        found = socket.getaddrinfo(host, bind.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except UnicodeError:  # of that codec: there can be no such name
        raise socket.gaierror(socket.EAI_NONAME, "no name of a host") from None
    family, _, protocol, _, name = min(found, key=lambda entry: entry[0] != socket.AF_INET)
    sock = socket.socket(family, socket.SOCK_STREAM, protocol)
    try:
        # A restart must not wait for the last one's connections in TIME_WAIT. It does not let two
        # servers listen on one port: Linux allows that with SO_REUSEPORT only.
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if reuse_port:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        if family == socket.AF_INET6:
            # Whatever the system's bindv6only says.
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, not takes_ipv4)
        sock.bind(name)
    except BaseException:
        sock.close()
        raise
    return sock


def _bind_unix(bind: Bind, files: UnixFiles) -> socket.socket:
    from pathlib import Path  # slow to import, and only needed here

    path = str(Path(bind.path).absolute())
    _remove_stale(path)
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    umask = os.umask(files.umask)
    try:
        sock.bind(path)
        if files.owner is not None and os.geteuid() == 0:
            os.chown(path, *files.owner, follow_symlinks=False)
    except BaseException:
        sock.close()
        raise
    finally:
        os.umask(umask)
    _made_here[path] = _identity(path)
    return sock


def _remove_stale(path: str) -> None:
    """Remove the socket at `path` if nobody listens on it any more, or raise OSError."""
    try:
        mode = os.lstat(path).st_mode
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(mode):
        raise OSError(errno.EEXIST, "there is a file that is not a socket")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(_STALE_CHECK_TIMEOUT)
        try:
            probe.connect(path)
        except ConnectionRefusedError:
            _unlink(path)
            return
        except FileNotFoundError:
            return
        except OSError:
            pass  # not a stream socket, or its queue is full: it is somebody's
    raise OSError(errno.EADDRINUSE, "in use")


def _adopt(bind: Bind) -> socket.socket:
    # The socket itself and not a duplicate, so that it stops listening when it is closed.
    sock = socket.socket(fileno=activation.descriptor(bind))
    if sock.type != socket.SOCK_STREAM:
        sock.detach()
        raise OSError(errno.EPROTOTYPE, os.strerror(errno.EPROTOTYPE))
    sock.set_inheritable(False)
    return sock


def _explain(bind: Bind, error: OSError) -> str:
    """Return what has gone wrong and what to do about it."""
    if isinstance(error, socket.gaierror):
        return f"the host {bind.host!r} is not known: write an address of this machine, such as 127.0.0.1"
    code = error.errno
    folder = os.path.dirname(bind.path) or os.curdir
    if bind.kind == "fd":
        reason = os.strerror(code) if code else str(error)
        return f"{reason}: pass a listening stream socket under that number"
    if code == errno.EADDRINUSE:
        return "the address is in use: stop the server that listens there, or choose another with --bind"
    if code == errno.EADDRNOTAVAIL:
        return "this machine has no such address: 0.0.0.0 or [::] stand for all that it has"
    if code in (errno.EACCES, errno.EPERM):
        if bind.kind == "unix":
            return f"no permission to write in {folder}: choose a folder of your own"
        return "no permission: ports below 1024 are for root, choose one from 1024 on"
    if code == errno.ENOENT:
        return f"there is no folder {folder}: make it first"
    if code == errno.EEXIST:
        return "a file that is not a socket is in its place: remove it, or choose another path"
    if bind.kind == "unix" and code is None:  # "AF_UNIX path too long", checked by Python itself
        return "the path is too long for a socket: choose one of at most 100 bytes"
    return error.strerror or str(error)


def _unix_path(sock: socket.socket) -> str | None:
    if sock.family != socket.AF_UNIX or sock.fileno() < 0:
        return None
    name = sock.getsockname()
    return name if isinstance(name, str) else None


def _unlink(path: str) -> None:
    with contextlib.suppress(FileNotFoundError):
        os.unlink(path)


def _identity(path: str) -> tuple[int, int] | None:
    try:
        status = os.stat(path)
    except OSError:
        return None
    return status.st_dev, status.st_ino
