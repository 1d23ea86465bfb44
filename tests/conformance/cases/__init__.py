"""The cases of all files, in the order of the sections that they stand for."""

from __future__ import annotations

import re
from collections.abc import Iterable
from itertools import chain
from typing import Final

from tests.conformance.cases import (
    chunked,
    coding,
    expectations,
    fields,
    hosts,
    incomplete,
    length,
    limits,
    messages,
    methods,
    persistence,
    request_line,
    smuggling,
    targets,
    trailers,
    versions,
)
from tests.conformance.cases.case import Case

_RFCS: Final = ("9112", "9110", "3986", "6585")


def _section(case: Case) -> tuple[int, list[int]]:
    match = re.fullmatch(r"RFC (\d{4}) ([\d.]+)", case.section)
    assert match is not None, f"no section: {case.section}"
    return _RFCS.index(match[1]), [int(number) for number in match[2].split(".")]


_FILES: Final[Iterable[tuple[Case, ...]]] = (
    messages.CASES,
    versions.CASES,
    request_line.CASES,
    targets.CASES,
    hosts.CASES,
    fields.CASES,
    coding.CASES,
    length.CASES,
    chunked.CASES,
    trailers.CASES,
    incomplete.CASES,
    persistence.CASES,
    smuggling.CASES,
    methods.CASES,
    expectations.CASES,
    limits.CASES,
)

CASES: Final = sorted(chain.from_iterable(_FILES), key=_section)
