"""Handshakes with clients that ask for names that are none (protocols/servername.py)."""

from __future__ import annotations

import ssl
import sys
import threading
from collections.abc import Callable, Iterator

import pytest

from aserve.protocols.servername import advance
from tests.support import certificates

Told = list[str]


class Careless:
    """An object whose end is told to whoever has the hook."""

    def __del__(self) -> None:
        raise RuntimeError("on the way out")


def drop() -> None:
    Careless()


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> Iterator[Told]:
    """What a hook of the program's own has been told; it has to be in its place again afterwards."""
    said: Told = []

    def hook(raised: sys.UnraisableHookArgs) -> None:
        said.append(str(raised.exc_value))

    monkeypatch.setattr(sys, "unraisablehook", hook)
    yield said
    assert sys.unraisablehook is hook


def arrived(name: bytes, on_name: Callable[[], None] = lambda: None) -> ssl.SSLObject:
    """Return the server's side of a connection with a client that asks for a name of nine bytes."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    certificates.authority().issue_cert("localhost").configure_cert(context)
    context.sni_callback = lambda *_: on_name()
    incoming = ssl.MemoryBIO()
    incoming.write(certificates.hello(certificates.context()).replace(b"localhost", name))
    return context.wrap_bio(incoming, ssl.MemoryBIO(), server_side=True)


def test_a_name_that_is_no_ascii_is_told_to_who_goes_on(told: Told) -> None:
    with pytest.raises(UnicodeDecodeError, match="ordinal not in range"):
        advance(arrived(b"local\xffost"))
    with pytest.raises(ssl.SSLWantReadError):
        advance(arrived(b"localhost"))
    assert told == []


def test_everything_else_is_told_to_who_was_told_before(told: Told) -> None:
    with pytest.raises(ssl.SSLWantReadError):
        advance(arrived(b"localhost", drop))
    assert told == ["on the way out"]


def test_handshakes_in_several_threads_leave_the_hook_as_it_was(told: Told) -> None:
    """Of two that overlap, the one that began first ends first."""
    first_begun, second_begun, first_ended = threading.Event(), threading.Event(), threading.Event()

    def on_first_name() -> None:
        first_begun.set()
        assert second_begun.wait(10)

    def on_second_name() -> None:
        second_begun.set()
        assert first_ended.wait(10)

    def first() -> None:
        with pytest.raises(ssl.SSLWantReadError):
            advance(arrived(b"localhost", on_first_name))
        first_ended.set()

    thread = threading.Thread(target=first)
    thread.start()
    assert first_begun.wait(10)
    with pytest.raises(ssl.SSLWantReadError):
        advance(arrived(b"localhost", on_second_name))
    thread.join(10)
    with pytest.raises(UnicodeDecodeError):
        advance(arrived(b"local\xffost"))
    assert told == []


def test_a_hook_that_is_set_meanwhile_stays(monkeypatch: pytest.MonkeyPatch, told: Told) -> None:
    """And may pass on what it is told to the one that it has found there."""
    before = sys.unraisablehook
    found: list[Callable[[sys.UnraisableHookArgs], object]] = []

    def above(raised: sys.UnraisableHookArgs) -> None:
        found[0](raised)

    def on_name() -> None:
        found.append(sys.unraisablehook)
        sys.unraisablehook = above

    with pytest.raises(ssl.SSLWantReadError):
        advance(arrived(b"localhost", on_name))
    assert sys.unraisablehook is above
    monkeypatch.setattr(sys, "__unraisablehook__", before)
    with pytest.raises(ssl.SSLWantReadError):
        advance(arrived(b"localhost", drop))
    assert told == ["on the way out"]
    sys.unraisablehook = before
