"""Protocols that a client offers, out of the ClientHello itself."""

from __future__ import annotations

import random

import pytest

from aserve.protocols import clienthello
from aserve.protocols.clienthello import offered_protocols
from tests.support import certificates


def hello(*protocols: str) -> bytes:
    """What OpenSSL says first."""
    return certificates.hello(certificates.context(protocols=protocols))


@pytest.mark.parametrize("protocols", [(), ("h2",), ("h2", "http/1.1"), ("x" * 255, "y")])
def test_what_openssl_offers(protocols: tuple[str, ...]) -> None:
    assert offered_protocols(hello(*protocols)) == [each.encode() for each in protocols]


def test_it_is_not_judged_before_it_is_complete() -> None:
    data = hello("h2")
    assert all(offered_protocols(data[:size]) is None for size in range(len(data)))
    assert offered_protocols(data + b"more") == [b"h2"]


@pytest.mark.parametrize("size", [1, 7, 100])
def test_a_message_in_many_records(size: int) -> None:
    """RFC 8446 §5.1: where records end means nothing."""
    message = hello("h2", "http/1.1")[5:]
    pieces = [message[start : start + size] for start in range(0, len(message), size)]
    records = b"".join(b"\x16\x03\x01" + len(each).to_bytes(2, "big") + each for each in pieces)
    assert offered_protocols(records) == [b"h2", b"http/1.1"]
    assert offered_protocols(records[:-1]) is None


def test_what_is_none_offers_nothing() -> None:
    for data in (b"\x15\x03\x01\x00\x02\x02\x28", b"\x16\x03\x01\x00\x04\x02\0\0\0", b"\x16\x03\x01\0\0"):
        assert offered_protocols(data) == []


def test_it_is_bounded() -> None:
    endless = b"\x16\x03\x01\x40\x00\x01\xff\xff\xff" + b"x" * (0x4000 - 4)
    assert offered_protocols(endless) == []
    pieces = b"".join(b"\x16\x03\x01\x00\x01" + bytes([each]) for each in b"\x01\x00\x40\x00" + b"x" * 2000)
    assert offered_protocols(pieces) == []


def test_damage_raises_nothing() -> None:
    data = hello("h2", "http/1.1")
    chance = random.Random(7)
    for _ in range(3000):
        damaged = bytearray(data)
        for _ in range(chance.randrange(1, 6)):
            damaged[chance.randrange(len(damaged))] = chance.randrange(256)
        offered_protocols(bytes(damaged))


def test_what_can_be_spoken() -> None:
    assert clienthello.unspoken([]) == ""
    assert clienthello.unspoken([b"h2", b"http/1.1"]) == ""
    assert clienthello.unspoken([b"http/1.0"]) == ""
    assert clienthello.unspoken([b"h2", b"\r\nx"]) == r"no protocol in common, offered: h2, \r\nx"
