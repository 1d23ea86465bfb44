"""Formats of access log lines, and what clients cannot do to them."""

from __future__ import annotations

import base64
import os
import re
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aserve import logformat, logvalues
from aserve.logformat import Formatter, compile_format
from aserve.logvalues import escape
from aserve.protocols.exchange import Exchange
from aserve.protocols.forwarded import Origin


@dataclass
class Connection:
    client: tuple[str, int] | None = ("203.0.113.9", 40000)
    server: tuple[str, int] | None = ("192.0.2.1", 8000)

    def tls_info(self) -> None:
        """Not over TLS."""


@dataclass
class Finished:
    """What the formats read of an exchange."""

    method: str = "GET"
    target: bytes = b"/items/3?q=a%20b"
    http_version: str = "1.1"
    headers: list[tuple[bytes, bytes]] = field(default_factory=list)
    status: int = 200
    response_headers: list[tuple[bytes, bytes]] = field(default_factory=list)
    body_sent: int = 1234
    close_code: int = 0
    started: float = 100.0
    connection: Connection = field(default_factory=Connection)
    origin: Origin | None = None


def line(text: str, exchange: Finished | None = None) -> str:
    formatter = compile_format(text, monotonic=lambda: 101.25, clock=lambda: 1_800_000_000.9)
    return apply(formatter, exchange or Finished()).removesuffix("\n")


def apply(formatter: Formatter, exchange: Finished) -> str:
    return formatter(cast(Exchange, exchange))


@pytest.fixture
def _utc(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


def test_close_code_of_a_websocket() -> None:
    assert line("%(s)s %(w)s", Finished(status=101, close_code=4000)) == "101 4000"


@pytest.mark.usefixtures("_utc")
def test_named_formats() -> None:
    exchange = Finished(headers=[(b"referer", b"https://a.example/"), (b"user-agent", b"curl/8.1")])
    common = '203.0.113.9 - - [15/Jan/2027:08:00:00 +0000] "GET /items/3?q=a%20b HTTP/1.1" 200 1234'
    assert line("common", exchange) == common
    assert line("combined", exchange) == f'{common} "https://a.example/" "curl/8.1"'


@pytest.mark.parametrize(
    ("atom", "expected"),
    [
        ("h", "203.0.113.9"),
        ("l", "-"),
        ("u", "-"),
        ("r", "GET /items/3?q=a%20b HTTP/1.1"),
        ("m", "GET"),
        ("U", "/items/3"),
        ("q", "q=a%20b"),
        ("H", "HTTP/1.1"),
        ("s", "200"),
        ("B", "1234"),
        ("b", "1234"),
        ("f", "-"),
        ("a", "-"),
        ("T", "1"),
        ("M", "1250"),
        ("D", "1250000"),
        ("L", "1.250000"),
        ("w", "-"),
        ("{x-none}i", "-"),
        ("{x-none}o", "-"),
        ("{no_such_variable}e", "-"),
    ],
)
def test_atoms(atom: str, expected: str) -> None:
    assert line(f"%({atom})s") == expected
    assert line(f"<%({atom})s|%({atom})s>") == f"<{expected}|{expected}>"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("%(h)-15s|%(h)15s|", "203.0.113.9    |    203.0.113.9|"),
        ("%(s)05d|%(s)05s|%(s)5d", "00200|  200|  200"),
        ("%(r).3s|%(m)-5.2s|%(L).4s", "GET|GE   |1.25"),
        ("%({x-none}i)3s", "  -"),
    ],
)
def test_widths_as_the_operator_of_python_has_them(text: str, expected: str) -> None:
    atoms = {"h": "203.0.113.9", "r": "GET /", "m": "GET", "L": "1.250000", "{x-none}i": "-", "s": 200}
    assert line(text) == expected == text % atoms


@pytest.mark.parametrize("seconds", [0.0, 0.00025, 0.125, 0.999, 1.5, 77.25])
def test_durations(seconds: float) -> None:
    """Whatever the way in which one is written."""
    formatter = compile_format("json", monotonic=lambda: 100 + seconds, clock=lambda: 0.0)
    written = re.search(r'"duration":([0-9.]+),', apply(formatter, Finished()))
    assert written is not None
    assert abs(float(written[1]) - seconds) < 2e-6
    assert len(written[1].partition(".")[2]) == 6


def test_the_process() -> None:
    assert line("%(p)s") == f"<{os.getpid()}>"


def test_no_body_and_no_query() -> None:
    exchange = Finished(target=b"/", body_sent=0)
    assert line("%(b)s %(B)s [%(q)s]", exchange) == "0 0 []"


def test_a_client_on_a_unix_socket_has_no_address() -> None:
    assert line("%(h)s", Finished(connection=Connection(None))) == "-"


@pytest.mark.parametrize(("client", "shown"), [(("203.0.113.7", 0), "203.0.113.7"), (None, "-")])
def test_the_client_is_the_one_whom_a_trusted_proxy_names(client: tuple[str, int] | None, shown: str) -> None:
    assert line("%(h)s", Finished(origin=Origin(client))) == shown


def test_headers_by_name() -> None:
    exchange = Finished(
        headers=[(b"host", b"a.example"), (b"x-id", b"7"), (b"referer", b"r")],
        response_headers=[(b"Content-Type", b"text/html"), (b"x-id", b"8")],
    )
    assert line("%({X-Id}i)s %({host}i)s %({x-id}o)s %({content-type}o)s %(f)s", exchange) == (
        "7 a.example 8 text/html r"
    )
    assert line("%({x-id}o)s", exchange) == "8"


def test_environment_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RELEASE", 'v1 {x} "y"\n')
    assert line("%({RELEASE}e)s %({release}e)s") == " ".join([r"v1 {x} \x22y\x22\x0a"] * 2)


def test_what_stands_between_the_atoms() -> None:
    assert line("100%% {a} 'b' \"c\" \\n \t é %(m)s") == "100% {a} 'b' \"c\" \\n \t é GET"
    assert line("") == ""


def test_users_of_basic_authentication() -> None:
    def user(value: bytes) -> str:
        return line("%(u)s", Finished(headers=[(b"authorization", value)]))

    def basic(credentials: bytes) -> bytes:
        return b"Basic " + base64.b64encode(credentials)

    assert user(basic(b"ann:secret")) == "ann"
    assert user(basic(b'an"n\n:secret')) == r"an\x22n\x0a"
    for value in (b"Bearer abc", b"Basic", b"Basic !!!", basic(b"ann"), basic(b":secret"), b"Basic \xff"):
        assert user(value) == "-"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("%h %l", "'%h %l' is not an atom: write one as in %(h)s, and %% for a percent sign"),
        ("100%", "'%' is not an atom"),
        ("%(h)", "is not an atom: write one"),
        ("%(h)1000s", "is not an atom: write one"),
        ("%(z)s", "'%(z)s' is not an atom: known are h l u t r m"),
        ("%({}i)s", "'%({}i)s' is not an atom"),
        ("%({x}z)s", "'%({x}z)s' is not an atom"),
        ("%(exchange.target)s", "is not an atom"),
    ],
)
def test_mistakes(text: str, message: str) -> None:
    with pytest.raises(ValueError, match="atom") as caught:
        compile_format(text)
    assert message in str(caught.value)


# -- forgery ----------------------------------------------------------------------------------

PLAIN = re.compile(r"[\x20-\x7e]*")


@pytest.mark.parametrize("name", [b"referer", b"user-agent"])
def test_a_header_cannot_end_its_field_or_its_line(name: bytes) -> None:
    exchange = Finished(headers=[(name, b'x" 200 0\r\n203.0.113.1 - - \x1b[31m\xe9\\')])
    assert r"x\x22 200 0\x0d\x0a203.0.113.1 - - \x1b[31m\xe9\x5c" in line("combined", exchange)


def test_a_target_cannot_either() -> None:
    exchange = Finished(target=b'/" 200\n\\\x7f\xc3\xa9?"')
    assert line("%(r)s", exchange) == r"GET /\x22 200\x0a\x5c\x7f\xc3\xa9?\x22 HTTP/1.1"
    assert line("%(U)s %(q)s", exchange) == r"/\x22 200\x0a\x5c\x7f\xc3\xa9 \x22"


@pytest.mark.parametrize("byte", [b'"', b"\\", b"\n", b"\x7f", b"\xe9"])
def test_a_single_byte_is_enough_to_be_escaped(byte: bytes) -> None:
    escaped = f"/x\\x{byte.hex()}"
    assert line("%(U)s", Finished(target=b"/x" + byte)) == escaped
    assert line("%(f)s", Finished(headers=[(b"referer", b"/x" + byte)])) == escaped


def test_neither_can_a_client_whose_address_a_proxy_has_told() -> None:
    exchange = Finished(connection=Connection(('1.2.3.4" é€\n', 0)))
    assert line("%(h)s", exchange) == r"1.2.3.4\x22 \xc3\xa9\xe2\x82\xac\x0a"


@given(target=st.binary(), referer=st.binary(), agent=st.binary(), host=st.text())
def test_no_bytes_make_more_fields_or_lines(target: bytes, referer: bytes, agent: bytes, host: str) -> None:
    exchange = Finished(
        target=target,
        headers=[(b"referer", referer), (b"user-agent", agent)],
        connection=Connection((host, 1)),
    )
    found = line("combined", exchange)
    assert PLAIN.fullmatch(found)
    assert found.count('"') == 6
    assert "\\" not in re.sub(r"\\x[0-9a-f]{2}", "", found)


@given(st.binary())
def test_escaping_loses_nothing(data: bytes) -> None:
    escaped = escape(data.decode("latin-1"))
    assert escaped.encode().decode("unicode_escape").encode("latin-1") == data


# -- caches -----------------------------------------------------------------------------------


def test_the_cache_of_values_is_bounded() -> None:
    targets = logformat.Targets()
    for number in range(5000):
        assert targets[b'/"%d?a' % number] == f'"path":"/\\"{number}","query":"a"'
        assert len(targets) <= 1024
    values = logvalues.Escaped()
    for number in range(5000):
        assert values[b"agent %d" % number] == f"agent {number}"
        assert len(values) <= 1024
    long = b"x" * 5000
    assert values[long] == "x" * 5000
    assert long not in values


def test_the_date_follows_the_clock_both_ways() -> None:
    now = 1_800_000_000.0
    formatter = compile_format("%(t)s", clock=lambda: now)

    def expected() -> str:
        return time.strftime("[%d/%b/%Y:%H:%M:%S %z]\n", time.localtime(now))

    for now in (1_800_000_000.0, 1_800_000_000.99, 1_800_000_001.0, 1_800_086_400.5, 1_700_000_000.0):  # noqa: B007 - the clock reads it
        assert apply(formatter, Finished()) == expected()
