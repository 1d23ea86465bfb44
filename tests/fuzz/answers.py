"""What the server writes, read as a strict client would."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

_STATUS: Final = re.compile(rb"HTTP/1\.1 ([1-9][0-9][0-9]) ([ -~]*)")
_FIELD: Final = re.compile(rb"([!#$%&'*+\-.^_`|~0-9a-z]+): ([!-~](?:[ -~]*[!-~])?)")


@dataclass(frozen=True)
class Answer:
    """A final response. fields: its header without Date, sorted."""

    status: int
    fields: tuple[tuple[bytes, bytes], ...]
    body: bytes


def read_answers(data: bytes, methods: list[str]) -> tuple[Answer, ...]:
    """All final responses in `data`; raises AssertionError unless that is exactly what it holds.

    methods: of the requests that were answered; what is behind those is the server's own word.
    """
    answers: list[Answer] = []
    while data:
        head, end, data = data.partition(b"\r\n\r\n")
        assert end, f"an incomplete response head: {head!r}"
        first, *lines = head.split(b"\r\n")
        status = _STATUS.fullmatch(first)
        assert status is not None, f"a malformed status line: {first!r}"
        fields = [_field(line) for line in lines]
        if status[1].startswith(b"1"):
            assert not fields
            continue
        lengths = [value for name, value in fields if name == b"content-length"]
        assert len(lengths) == 1, "one content-length is all that an answer here needs"
        size = int(lengths[0])
        known = len(answers) < len(methods)
        if methods[len(answers)] == "HEAD" if known else not data:
            size = 0  # a refused request may have been a HEAD as well
        assert len(data) >= size, "an incomplete response body"
        kept = sorted(field for field in fields if field[0] != b"date")
        answers.append(Answer(int(status[1]), tuple(kept), data[:size]))
        data = data[size:]
        if (b"connection", b"close") in kept:
            assert not data, f"{data!r} behind the last response"
    return tuple(answers)


def _field(line: bytes) -> tuple[bytes, bytes]:
    match = _FIELD.fullmatch(line)
    assert match is not None, f"a malformed field line: {line!r}"
    return match[1], match[2]
