"""Command lines that are read without click (server/commandline.py): only those, and as click would."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aserve import commandline
from aserve.options import OPTIONS
from tests.support.process import clean_environment

FLAGS = [flag for option in OPTIONS for flag in option.flags]
VALUES = ["main:app", "1", "a=b", "", " ", "é", "\udcff"]
ODD = [
    "-",
    "--",
    "-=",
    "--=",
    "=",
    "-v",
    "-h",
    "--help",
    "--version",
    "--no-such",
    "-x",
    "-w4",
    "-w=4",
    "-4",
    "+x",
]
FEW_FLAGS = ["--bind", "-b", "--workers", "-w", "--reload", "--proxy-protocol", "--header"]


def words() -> st.SearchStrategy[str]:
    return st.one_of(
        st.sampled_from(FLAGS),
        st.sampled_from(FEW_FLAGS),  # so that the same one comes twice
        st.sampled_from(VALUES),
        st.sampled_from(ODD),
        st.builds("{}={}".format, st.sampled_from(FLAGS), st.sampled_from([*VALUES, *ODD])),
    )


@settings(max_examples=400, deadline=None)
@given(st.lists(words(), max_size=5))
def test_what_is_plain_is_what_click_understands(line: list[str]) -> None:
    found = commandline.plain(line)
    if found is not None:
        expected = commandline.asked_click(line)
        assert isinstance(expected, dict)
        # In the same order: the first wrong value is the one that is told.
        assert list(found.items()) == list(expected.items())


def test_each_option_can_be_plain() -> None:
    for option in OPTIONS:
        for flag in option.flags:
            if option.is_flag:
                assert commandline.plain([flag, "a:b"]) == {option.name: True, "app": "a:b"}
            elif not option.alone:  # it takes click to see whether it stands alone
                value = ("x",) if option.multiple else "x"
                assert commandline.plain([flag, "x"]) == {option.name: value}


@pytest.mark.parametrize(
    "line",
    [
        *(
            ["--help"],
            ["--version"],
            ["--no-such", "a:b"],
            ["--workers"],
            ["-w", "-4"],
            ["-w4"],
            ["a:b", "c:d"],
        ),
        *(["--reload=yes"], ["--proxy-protocol", "a:b"], ["--", "a:b"], ["-"], ["-w=4"]),
    ],
    ids=" ".join,
)
def test_what_is_not_plain(line: list[str]) -> None:
    assert commandline.plain(line) is None


def test_who_reads_the_output_may_have_enough(tmp_path: Path) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    command = [sys.executable, "-m", "aserve", "--print-config", "main:app"]
    done = subprocess.run(
        command, cwd=tmp_path, env=clean_environment(), stdout=writer, stderr=subprocess.PIPE, timeout=30
    )
    os.close(writer)
    assert (done.returncode, done.stderr) == (1, b"")


@pytest.mark.parametrize("workers", ["--workers=2", "-w2"], ids=["plain", "click's"])
def test_int_before_there_is_a_server(workers: str, tmp_path: Path) -> None:
    (tmp_path / "conf.py").write_text("import time\nprint('here', flush=True)\ntime.sleep(10)\n")
    command = [sys.executable, "-m", "aserve", "-c", "conf.py", workers, "main:app"]
    with subprocess.Popen(
        command, cwd=tmp_path, env=clean_environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"here\n"
        process.send_signal(signal.SIGINT)
        assert process.communicate(timeout=30) == (b"", b"\n")  # below the terminal's ^C
        assert process.returncode == 130
