"""The forms of `--bind`."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aserve.binds import Bind


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("127.0.0.1:8000", Bind("tcp", host="127.0.0.1", port=8000)),
        ("localhost:80", Bind("tcp", host="localhost", port=80)),
        ("example.org", Bind("tcp", host="example.org", port=8000)),
        (":8000", Bind("tcp", host="0.0.0.0", port=8000)),
        ("127.0.0.1:0", Bind("tcp", host="127.0.0.1", port=0)),
        ("tcp://127.0.0.1:81", Bind("tcp", host="127.0.0.1", port=81)),
        ("[::1]:8000", Bind("tcp", host="::1", port=8000)),
        ("[::]", Bind("tcp", host="::", port=8000)),
        ("[fe80::1%eth0]:1", Bind("tcp", host="fe80::1%eth0", port=1)),
        ("unix:/run/x.sock", Bind("unix", path="/run/x.sock")),
        ("unix:///run/x.sock", Bind("unix", path="/run/x.sock")),
        ("unix:x.sock", Bind("unix", path="x.sock")),
        ("fd://3", Bind("fd", fd=3)),
    ],
)
def test_forms(text: str, expected: Bind) -> None:
    bind = Bind.parse(text)
    assert bind == expected
    assert str(bind) == text


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("8000", "'8000' is a port only: write :8000 for all addresses, or 127.0.0.1:8000"),
        ("127.0.0.1:http", "has no port: write a number from 0 to 65535"),
        ("127.0.0.1:65536", "has no port"),
        ("127.0.0.1:-1", "has no port"),
        ("127.0.0.1:", "has no port"),
        ("127.0.0.1:٨", "has no port"),
        ("::1:8000", "put an IPv6 address in brackets, such as [::1]:8000"),
        ("[::1:8000", "is not an IPv6 address with a port: write [::1]:8000"),
        ("[::1]8000", "is not an IPv6 address with a port"),
        ("[localhost]:8000", "is not an IPv6 address with a port"),
        ("http://127.0.0.1:8000", "is not an address: write HOST:PORT"),
        ("a host:1", "is not an address"),
        ("", "is not an address"),
        ("unix:", "has no path: write unix:/path/to/the.sock"),
        ("unix:/a\0b", "has no path"),
        ("fd://", "has no file descriptor: write fd:// and its number, such as fd://3"),
        ("fd://3a", "has no file descriptor"),
        ("fd://-1", "has no file descriptor"),
    ],
)
def test_mistakes(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=r"write|put") as caught:
        Bind.parse(text)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


@given(st.text())
def test_any_text_is_an_address_or_refused_in_one_line(text: str) -> None:
    try:
        bind = Bind.parse(text)
    except ValueError as error:
        assert "\n" not in str(error)  # noqa: PT017 - not every text is refused
    else:
        assert 0 <= bind.port <= 65535


@pytest.mark.parametrize("text", ["127.0.0.1:1", "[::1]:2", "unix:/x", "fd://3"])
def test_without_its_text_it_is_written_in_the_usual_form(text: str) -> None:
    bind = Bind.parse(text)
    assert str(Bind(bind.kind, bind.host, bind.port, bind.path, bind.fd)) == text
