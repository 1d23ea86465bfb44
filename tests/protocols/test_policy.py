"""The policy itself, below the parsers: framing and persistence off a head."""

from __future__ import annotations

from pathlib import Path

import pytest

from aserve.protocols import policy
from aserve.protocols.errors import RequestRefusedError
from aserve.protocols.policy import Framing, Refusal


@pytest.mark.parametrize(
    ("version", "special", "framing"),
    [
        ("1.1", [], Framing()),
        ("1.0", [], Framing(keep_alive=False)),
        ("1.0", [(b"connection", b"Keep-Alive")], Framing()),
        ("1.1", [(b"connection", b"foo, Close")], Framing(keep_alive=False)),
        ("1.1", [(b"connection", b"keep-alive, close")], Framing(keep_alive=False)),
        ("1.1", [(b"content-length", b"007")], Framing(length=7)),
        ("1.1", [(b"transfer-encoding", b"Chunked")], Framing(length=-1)),
        ("1.1", [(b"expect", b"100-Continue")], Framing(expect_continue=True)),
        ("1.0", [(b"expect", b"100-continue")], Framing(keep_alive=False)),
        ("1.1", [(b"upgrade", b"x, WebSocket"), (b"connection", b"Upgrade")], Framing(websocket=True)),
        ("1.1", [(b"upgrade", b"h2c"), (b"connection", b"Upgrade")], Framing()),
        ("1.0", [(b"upgrade", b"websocket"), (b"connection", b"Upgrade")], Framing(keep_alive=False)),
        ("1.1", [(b"upgrade", b"websocket")], Framing()),
    ],
)
def test_framing(version: str, special: list[tuple[bytes, bytes]], framing: Framing) -> None:
    """RFC 9112 section 6.3 and 9.3, RFC 9110 section 7.8 and 10.1.1."""
    assert policy.frame(version, special) == framing


@pytest.mark.parametrize(
    ("version", "special", "refusal"),
    [
        ("1.1", [(b"content-length", b"+1")], policy.BAD_LENGTH),
        ("1.1", [(b"content-length", b"1_0")], policy.BAD_LENGTH),
        ("1.1", [(b"content-length", b"")], policy.BAD_LENGTH),
        ("1.1", [(b"content-length", b"1,1")], policy.BAD_LENGTH),
        ("1.1", [(b"content-length", b"1" * 40)], policy.BAD_LENGTH),
        ("1.1", [(b"content-length", b"1"), (b"content-length", b"2")], policy.BAD_LENGTH),
        ("1.1", [(b"transfer-encoding", b"gzip, chunked")], policy.CODING_UNKNOWN),
        ("1.1", [(b"transfer-encoding", b"chunked, chunked")], policy.CODING_UNKNOWN),
        ("1.1", [(b"transfer-encoding", b"")], policy.CODING_UNKNOWN),
        ("1.0", [(b"transfer-encoding", b"chunked")], policy.CODING_ON_1_0),
        (
            "1.1",
            [(b"content-length", b"1"), (b"transfer-encoding", b"chunked")],
            policy.LENGTH_AND_CODING,
        ),
        ("1.1", [(b"expect", b"gold")], policy.EXPECTATION_UNKNOWN),
    ],
)
def test_refused(version: str, special: list[tuple[bytes, bytes]], refusal: Refusal) -> None:
    with pytest.raises(RequestRefusedError) as caught:
        policy.frame(version, special)
    assert caught.value.refusal is refusal


@pytest.mark.parametrize(
    ("method", "target", "taken"),
    [
        ("GET", b"/", True),
        ("GET", b"http://a/", True),
        ("GET", b"HTTPS://a", True),
        ("GET", b"ftp://a/", False),
        ("GET", b"*", False),
        ("OPTIONS", b"*", True),
        ("GET", b"a:443", False),
        ("CONNECT", b"a:443", True),
        ("CONNECT", b"a/b", False),
        ("GET", b"", False),
    ],
)
def test_target(method: str, target: bytes, taken: bool) -> None:
    """RFC 9112 section 3.2."""
    if taken:
        policy.check_target(method, target)
    else:
        with pytest.raises(RequestRefusedError):
            policy.check_target(method, target)


def test_every_refusal_is_documented() -> None:
    page = (Path(__file__).parents[2] / "docs" / "http.md").read_text()
    for refusal in vars(policy).values():
        if isinstance(refusal, policy.Refusal):
            section = refusal.section if refusal.section.startswith("RFC") else f"`{refusal.section}`"
            assert f"| {refusal.status} | {refusal.text} | {section} |" in page


def test_methods_that_clients_make_up_are_not_kept() -> None:
    before = dict(policy.METHODS)
    assert policy.is_method(b"MADE-UP")
    assert policy.method_name(b"MADE-UP") == "MADE-UP"
    assert before == policy.METHODS
