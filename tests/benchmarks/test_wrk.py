"""What wrk prints, and what it does not."""

from __future__ import annotations

import pytest

from benchmarks.wrk import Load, LoadError

OUTPUT = """\
Running 1s test @ http://127.0.0.1:20111/
  1 threads and 64 connections
  126255 requests in 1.00s, 15.65MB read
figure requests 126255
figure bytes 16413150
figure duration_us 1004712
figure p50_us 269
figure p99_us 1076
figure errors_connect 1
figure errors_read 2
figure errors_write 3
figure errors_status 4
figure errors_timeout 5
"""


def test_figures_are_read_in_seconds_and_bytes() -> None:
    load = Load.parse(OUTPUT)
    assert load.requests == 126255
    assert load.received == 16413150
    assert load.duration == pytest.approx(1.004712)
    assert [load.p50, load.p99] == pytest.approx([0.000269, 0.001076])


def test_errors_of_all_kinds_are_added() -> None:
    assert Load.parse(OUTPUT).errors == 15


def test_output_that_was_cut_off_is_an_error() -> None:
    with pytest.raises(LoadError, match="errors_timeout"):
        Load.parse(OUTPUT.replace("figure errors_timeout 5\n", ""))
