"""The descriptor of `--notify-fd`: one newline, and its end."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from aserve import readiness
from aserve.binds import Bind
from aserve.errors import UsageError


@pytest.fixture(autouse=True)
def nothing_stays() -> Iterator[None]:
    yield
    readiness._close()


def test_it_is_told_once() -> None:
    reader, writer = os.pipe()
    os.set_inheritable(writer, True)
    readiness.expect(writer, ())
    assert not os.get_inheritable(writer)
    readiness.tell()
    readiness.tell()
    assert os.read(reader, 10) == b"\n"
    assert os.read(reader, 10) == b""  # closed
    os.close(reader)


def test_nobody_listens() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    readiness.expect(writer, ())
    readiness.tell()


def test_without_one_nothing_is_told() -> None:
    readiness.tell()


def test_a_descriptor_that_is_not_open() -> None:
    with pytest.raises(UsageError, match=r"^--notify-fd: the descriptor 999 is not open: have .* s6"):
        readiness.expect(999, ())


def test_a_descriptor_that_is_listened_on() -> None:
    with pytest.raises(UsageError, match=r"^--notify-fd: 3 is a socket to listen on: choose another number"):
        readiness.expect(3, [Bind.parse(":80"), Bind.parse("fd://3")])
