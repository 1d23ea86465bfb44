"""The examples, as `make serve` runs them and as their docstrings say."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest

from tests.conftest import Serve
from tests.support.process import clean_environment

EXAMPLES = Path(__file__).parents[2] / "examples"


def get(url: str) -> object:
    with urllib.request.urlopen(url, timeout=10) as response:
        return json.loads(response.read())


@pytest.mark.parametrize("app", ["fastapi_app:app", "flask_app:app", "django_app", "django_app:asgi"])
def test_each_example(app: str, serve: Serve) -> None:
    url = serve("--chdir", str(EXAMPLES), app).wait_line(r"listening on (\S+)")[1]
    assert "served by aserve" in str(get(url + "/"))
    assert get(url + "/items/3?q=x") == {"item": 3, "q": "x"}


def start(tmp_path: Path, flask_bind: str = "127.0.0.1:0") -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, str(EXAMPLES / "serve.py")],
        cwd=tmp_path,
        env=clean_environment() | {"FASTAPI_BIND": "127.0.0.1:0", "FLASK_BIND": flask_bind},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_both_at_once_until_a_signal(number: signal.Signals, tmp_path: Path) -> None:
    process = start(tmp_path)
    assert process.stdout is not None
    said = ""
    for line in process.stdout:
        said += line
        if "Ctrl-C" in line:
            break
    fastapi, flask = re.findall(r"(?:FastAPI|Flask) +(http://127\.0\.0\.1:\d+)\n", said)
    assert get(fastapi + "/") == {"message": "Hello from FastAPI, served by aserve"}
    assert get(flask + "/") == {"message": "Hello from Flask, served by aserve"}
    os.kill(process.pid, number)
    _, log = process.communicate(timeout=20)
    assert process.returncode == 0, log
    assert len(re.findall(r"\] stopped$", log, re.MULTILINE)) == 2


def test_one_does_not_serve_without_the_other(tmp_path: Path) -> None:
    process = start(tmp_path, flask_bind="nonsense:port")
    out, log = process.communicate(timeout=20)
    assert process.returncode == 2
    assert out == ""
    assert "Flask   aserve: error: --bind: 'nonsense:port' has no port" in log
    assert log.endswith("FASTAPI_BIND=HOST:PORT and FLASK_BIND=HOST:PORT say where to listen.\n")


def embedded(bind: str, tmp_path: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, str(EXAMPLES / "embedded.py")],
        cwd=tmp_path,
        env=clean_environment() | {"BIND": bind},
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_server_in_a_program(number: signal.Signals, tmp_path: Path) -> None:
    process = embedded("127.0.0.1:0", tmp_path)
    assert process.stderr is not None
    found = (re.search(r"INFO aserve: listening on (\S+)", line) for line in process.stderr)
    url = next(match[1] for match in found if match)
    first, second = get(url), get(url)
    assert isinstance(first, dict) and isinstance(second, dict)
    assert 0 < first["ticks"] <= second["ticks"]
    os.kill(process.pid, number)
    _, log = process.communicate(timeout=20)
    assert process.returncode == 0, log
    assert re.search(r"INFO example: stopped after \d+ ticks\n$", log)


def test_a_server_in_a_program_that_cannot_listen(tmp_path: Path) -> None:
    process = embedded("192.0.2.1:80", tmp_path)
    _, log = process.communicate(timeout=20)
    assert process.returncode == 1
    assert log.startswith("error: cannot listen on 192.0.2.1:80: ")
    assert log.count("\n") == 1
