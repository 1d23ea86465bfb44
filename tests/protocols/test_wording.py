"""Reason phrases and dates (protocols/wording.py)."""

from __future__ import annotations

import time
from email.utils import formatdate
from http import HTTPStatus

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aserve.protocols.wording import REASONS, http_date

# What RFC 9110 calls otherwise than RFC 7231 did, as do older versions of Python.
RENAMED = {413, 414, 416, 422}


def test_no_reason_is_missing() -> None:
    known = {status.value: status.phrase.encode() for status in HTTPStatus if status not in RENAMED}
    assert {number: text for number, text in REASONS.items() if number not in RENAMED} == known


@pytest.mark.parametrize(
    ("number", "reason"),
    [
        (413, b"Content Too Large"),  # RFC 9110 §15.5.14
        (414, b"URI Too Long"),  # §15.5.15
        (416, b"Range Not Satisfiable"),  # §15.5.17
        (422, b"Unprocessable Content"),  # §15.5.21
    ],
)
def test_reasons_as_they_are_now(number: int, reason: bytes) -> None:
    assert REASONS[number] == reason


@settings(deadline=None)
@given(st.floats(0, 2**37))
def test_dates(seconds: float) -> None:
    assert http_date(seconds).decode() == formatdate(int(seconds), usegmt=True)


def test_now() -> None:
    before = int(time.time())
    date = http_date().decode()
    assert date in {formatdate(second, usegmt=True) for second in range(before, int(time.time()) + 1)}
