"""The listening sockets: real ones, and what is said when they cannot be had."""

from __future__ import annotations

import errno
import os
import socket
import stat
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeAlias

import pytest

from aserve import sockets
from aserve.binds import Bind
from aserve.errors import EXIT_BOOT, BootError
from tests.support.network import needs_ipv6

Listen: TypeAlias = Callable[..., list[socket.socket]]


@pytest.fixture
def listen() -> Iterator[Listen]:
    """Listen on addresses that are closed after the test."""
    opened: list[socket.socket] = []

    def listen(*texts: str) -> list[socket.socket]:
        found = sockets.listen([Bind.parse(text) for text in texts], backlog=16)
        opened.extend(found)
        return found

    yield listen
    sockets.close(opened)


def refusal(*texts: str) -> str:
    with pytest.raises(BootError) as caught:
        sockets.listen([Bind.parse(text) for text in texts], backlog=16)
    assert caught.value.status == EXIT_BOOT
    message = str(caught.value)
    assert "\n" not in message
    return message


def exchange(listener: socket.socket, client: socket.socket) -> None:
    """Send a byte from `client`, connected to `listener`, to the accepting side."""
    listener.setblocking(True)
    accepted, _ = listener.accept()
    with accepted:
        client.sendall(b"x")
        assert accepted.recv(1) == b"x"


def test_tcp(listen: Listen) -> None:
    [listener] = listen("127.0.0.1:0")
    assert not listener.getblocking()
    assert not listener.get_inheritable()
    port = listener.getsockname()[1]
    assert sockets.address(listener) == f"http://127.0.0.1:{port}"
    with socket.create_connection(("127.0.0.1", port)) as client:
        exchange(listener, client)


def test_sockets_come_in_the_order_of_their_addresses(listen: Listen, tmp_path: Path) -> None:
    path = tmp_path / "x.sock"
    found = listen("127.0.0.1:0", f"unix:{path}", "127.0.0.1:0")
    assert [sock.family for sock in found] == [socket.AF_INET, socket.AF_UNIX, socket.AF_INET]


def test_a_name_is_looked_up_and_ipv4_preferred(listen: Listen) -> None:
    [listener] = listen("localhost:0")
    assert sockets.address(listener).startswith("http://127.0.0.1:")


@needs_ipv6
def test_ipv6(listen: Listen) -> None:
    [listener] = listen("[::1]:0")
    port = listener.getsockname()[1]
    assert sockets.address(listener) == f"http://[::1]:{port}"
    with socket.create_connection(("::1", port)) as client:
        exchange(listener, client)


@needs_ipv6
def test_all_of_ipv6_takes_ipv4_as_well(listen: Listen) -> None:
    [listener] = listen("[::]:0")
    with socket.create_connection(("127.0.0.1", listener.getsockname()[1])) as client:
        exchange(listener, client)


@needs_ipv6
def test_all_of_ipv6_leaves_ipv4_to_another_bind(listen: Listen) -> None:
    [free] = listen("127.0.0.1:0")
    port = free.getsockname()[1]
    free.close()
    listen(f"[::]:{port}", f"0.0.0.0:{port}")


def test_a_port_that_is_listened_on_is_in_use() -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        assert refusal(f"127.0.0.1:{port}") == (
            f"cannot listen on 127.0.0.1:{port}: the address is in use: stop the server that listens "
            "there, or choose another with --bind"
        )


def test_a_port_in_time_wait_is_free_again(listen: Listen) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        with socket.create_connection(("127.0.0.1", port)):
            accepted, _ = other.accept()
            accepted.close()  # the side that closes first keeps the port in TIME_WAIT
    listen(f"127.0.0.1:{port}")


def test_nothing_stays_open_when_one_of_several_fails(tmp_path: Path) -> None:
    path = tmp_path / "x.sock"
    with socket.create_server(("127.0.0.1", 0)) as other:
        refusal(f"unix:{path}", f"127.0.0.1:{other.getsockname()[1]}")
    assert not path.exists()


def test_an_address_of_another_machine() -> None:
    assert "this machine has no such address: 0.0.0.0" in refusal("192.0.2.1:8000")


# The last three can be no names: an empty label, one that is too long (RFC 1035 §2.3.4).
@pytest.mark.parametrize("host", ["no.such.host.invalid", "a..b", f"{'a' * 64}.invalid", "bücher..invalid"])
def test_an_unknown_host(host: str) -> None:
    assert f"the host '{host}' is not known" in refusal(f"{host}:8000")


@pytest.mark.parametrize(
    ("code", "text", "message"),
    [
        (errno.EACCES, "127.0.0.1:80", "no permission: ports below 1024 are for root"),
        (errno.EACCES, "unix:/run/x.sock", "no permission to write in /run: choose a folder of your own"),
        (errno.EMFILE, "127.0.0.1:80", "Too many open files"),
    ],
)
def test_what_the_kernel_refuses(code: int, text: str, message: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def bind(*_: object) -> None:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(socket.socket, "bind", bind)  # root may do all that this asks for
    assert f"cannot listen on {text}: {message}" in refusal(text)


# -- Unix sockets -----------------------------------------------------------------------------


def test_unix_socket(listen: Listen, tmp_path: Path) -> None:
    path = tmp_path / "x.sock"
    [listener] = listen(f"unix:{path}")
    assert sockets.address(listener) == f"unix:{path}"
    assert stat.S_IMODE(path.stat().st_mode) == 0o666, "a proxy runs as another user"
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(str(path))
        exchange(listener, client)


def test_a_relative_path_is_found_again_from_another_folder(
    listen: Listen, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    [listener] = listen("unix:x.sock")
    assert sockets.address(listener) == f"unix:{tmp_path}/x.sock"
    monkeypatch.chdir("/")
    sockets.close([listener])
    assert not (tmp_path / "x.sock").exists()


def test_the_umask_is_as_it_was(listen: Listen, tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        listen(f"unix:{tmp_path}/x.sock")
        assert os.umask(0o027) == 0o027
    finally:
        os.umask(before)


def test_close_removes_the_file(tmp_path: Path) -> None:
    path = tmp_path / "x.sock"
    sockets.close(sockets.listen([Bind.parse(f"unix:{path}")], 16))
    assert not path.exists()


def test_close_leaves_the_socket_of_a_successor(listen: Listen, tmp_path: Path) -> None:
    path = tmp_path / "x.sock"
    [first] = sockets.listen([Bind.parse(f"unix:{path}")], 16)
    path.unlink()
    with socket.socket(socket.AF_UNIX) as successor:
        successor.bind(str(path))
        sockets.close([first])
        assert path.exists()


def test_a_stale_socket_is_replaced(listen: Listen, tmp_path: Path) -> None:
    path = tmp_path / "x.sock"
    with socket.socket(socket.AF_UNIX) as crashed:
        crashed.bind(str(path))
        crashed.listen()
    assert path.is_socket()
    listen(f"unix:{path}")
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(str(path))


def test_a_socket_in_use_stays(tmp_path: Path) -> None:
    path = tmp_path / "x.sock"
    with socket.socket(socket.AF_UNIX) as other:
        other.bind(str(path))
        other.listen()
        assert "the address is in use" in refusal(f"unix:{path}")
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(str(path))


def test_a_datagram_socket_stays(tmp_path: Path) -> None:
    path = tmp_path / "x.sock"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as other:
        other.bind(str(path))
        assert "the address is in use" in refusal(f"unix:{path}")


def test_a_file_that_is_no_socket_stays(tmp_path: Path) -> None:
    path = tmp_path / "precious"
    path.write_text("data")
    assert "a file that is not a socket is in its place: remove it" in refusal(f"unix:{path}")
    assert path.read_text() == "data"


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    assert f"there is no folder {tmp_path}/no: make it first" in refusal(f"unix:{tmp_path}/no/x.sock")


def test_a_path_that_is_too_long(tmp_path: Path) -> None:
    assert "the path is too long for a socket" in refusal(f"unix:{tmp_path}/{'x' * 120}")


# -- inherited sockets ------------------------------------------------------------------------


def test_inherited_socket(listen: Listen) -> None:
    with socket.create_server(("127.0.0.1", 0)) as given:
        port = given.getsockname()[1]
        given.set_inheritable(True)
        number = given.detach()
    [listener] = listen(f"fd://{number}")
    assert sockets.address(listener) == f"http://127.0.0.1:{port}"
    assert not listener.get_inheritable()
    with socket.create_connection(("127.0.0.1", port)) as client:
        exchange(listener, client)


def test_closing_an_inherited_socket_leaves_its_file(tmp_path: Path) -> None:
    path = tmp_path / "x.sock"
    with socket.socket(socket.AF_UNIX) as given:
        given.bind(str(path))
        number = given.detach()
    sockets.close(sockets.listen([Bind.parse(f"fd://{number}")], 16))
    assert path.exists(), "it belongs to who has made it"


def test_a_descriptor_that_is_not_open() -> None:
    assert "Bad file descriptor: pass a listening stream socket" in refusal("fd://999")


def test_a_descriptor_that_is_no_socket(tmp_path: Path) -> None:
    with (tmp_path / "file").open("w") as file:
        message = refusal(f"fd://{file.fileno()}")
    assert "pass a listening stream socket" in message


def test_a_datagram_descriptor() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as given:
        assert "pass a listening stream socket" in refusal(f"fd://{given.fileno()}")
        given.bind(("127.0.0.1", 0))  # it is still open
