"""Sockets from a service manager: which ones are ours, and what becomes of them."""

from __future__ import annotations

import logging
import os
import socket
from collections.abc import Iterator

import pytest

from aserve import activation, config
from aserve.activation import PassedSocket
from aserve.binds import Bind
from aserve.errors import UsageError


@pytest.fixture(autouse=True)
def nothing_stays() -> Iterator[None]:
    yield
    activation.restore([])


def take(**environ: str) -> tuple[PassedSocket, ...]:
    environ = {"LISTEN_PID": str(os.getpid()), "PATH": "/bin", **environ}
    activation.take(environ)
    assert environ == {"PATH": "/bin"}  # nothing is left for the application
    return activation.passed()


def test_what_is_passed() -> None:
    assert take() == ()
    assert take(LISTEN_FDS="2") == ((3, "unknown"), (4, "unknown"))
    assert take(LISTEN_FDS="3", LISTEN_FDNAMES="web:admin") == ((3, "web"), (4, "admin"), (5, "unknown"))
    assert take(LISTEN_FDS="1", LISTEN_FDNAMES="web:admin", LISTEN_PIDFDID="7") == ((3, "web"),)


@pytest.mark.parametrize(
    "environ",
    [
        {"LISTEN_PID": "1", "LISTEN_FDS": "1"},
        {"LISTEN_PID": "", "LISTEN_FDS": "1"},
        {"LISTEN_FDS": "-1"},
        {"LISTEN_FDS": "x"},
        {"LISTEN_FDS": "99999"},
        {"LISTEN_FDS": "0"},
    ],
)
def test_what_is_not_for_us(environ: dict[str, str]) -> None:
    assert take(**environ) == ()


def test_it_is_not_inherited() -> None:
    with socket.socket() as sock:
        sock.set_inheritable(True)
        activation.restore([PassedSocket(sock.fileno(), "web"), PassedSocket(9999, "closed")])
        assert not sock.get_inheritable()


def binds(*texts: str, **environ: str) -> list[str]:
    given: dict[str, object] = {"app": "main:app"}
    if texts:
        given["bind"] = texts
    return [str(bind) for bind in config.resolve(given, environ).bind]


def test_it_is_listened_on_unless_something_else_is_said() -> None:
    assert binds() == ["127.0.0.1:8000"]
    activation.restore([PassedSocket(3, "web"), PassedSocket(4, "admin"), PassedSocket(5, "web")])
    assert binds() == ["fd://3", "fd://4", "fd://5"]
    assert binds(":80") == [":80"]
    assert binds(ASERVE_BIND=":81") == [":81"]
    assert binds(PORT="82") == ["0.0.0.0:82"]


def test_names() -> None:
    activation.restore([PassedSocket(3, "web"), PassedSocket(4, "admin"), PassedSocket(5, "web")])
    assert binds("fd://web") == ["fd://3", "fd://5"]
    assert binds("fd://admin,:80") == ["fd://4", ":80"]
    assert str(Bind.parse("fd://web")) == "fd://web"
    with pytest.raises(
        UsageError, match=r"^--bind: no socket of the name 'www' was passed.*: there are web, admin$"
    ):
        binds("fd://www")
    with pytest.raises(UsageError, match=r"^--bind: 'fd://3' is given twice"):
        binds("fd://web", "fd://3")
    activation.restore([])
    with pytest.raises(
        UsageError, match=r"^ASERVE_BIND: no socket of the name 'web' was .*: there are none$"
    ):
        binds(ASERVE_BIND="fd://web")


def test_what_nobody_wants_is_closed(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logging.getLogger("aserve"), "propagate", True)
    first, second = os.dup(0), os.dup(0)
    activation.restore([PassedSocket(first, "web"), PassedSocket(second, "unknown")])
    activation.close_unused([Bind.parse(f"fd://{second}"), Bind.parse(":80")])
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(first)
    os.close(second)
    assert activation.passed() == ((second, "unknown"),)
    assert [record.getMessage() for record in caplog.records] == [
        f"not listening on what the service manager has passed: fd://{first} (web): --bind does not name it"
    ]
