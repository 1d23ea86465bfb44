"""The pytest plugin, in runs of pytest of their own."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.embedding.programs import python

APP = """\
import urllib.request

def app(environ, start_response):
    start_response("200 OK", [])
    return [b"hello"]

def get(url):
    with urllib.request.urlopen(url) as response:
        return response.read()

"""


def run(folder: Path, source: str, *args: str, passed: int) -> str:
    """Run pytest on `source`, which has to have `passed` tests, without a warning; return what it says."""
    (folder / "test_it.py").write_text(APP + source)
    if "no:asyncio" not in args:  # it warns of a default of its own
        args = ("-o", "asyncio_default_fixture_loop_scope=function", *args)
    done = python(folder, "-m", "pytest", "-W", "error", "-p", "no:cacheprovider", *args)
    assert re.search(rf"= {passed} passed in", done.stdout), done.stdout + done.stderr
    assert done.returncode == 0
    return done.stdout


@pytest.mark.parametrize(
    "args",
    [(), ("-p", "aserve.pytestplugin"), pytest.param(("-p", "xdist", "-n", "1"), marks=pytest.mark.slow)],
)
def test_a_server_for_a_test_and_one_for_the_session(args: tuple[str, ...], tmp_path: Path) -> None:
    source = """
import pytest, socket

ports = []

@pytest.fixture(scope="session")
def shared(aserve_session_server):
    return aserve_session_server(app)

@pytest.mark.parametrize("number", [1, 2])
def test_own(aserve_server, number, shared):
    server = aserve_server(app, threads=1)
    other = aserve_server(app)
    assert get(server.url) == get(other.url) == get(shared.url) == b"hello"
    ports.append(server.port)

def test_stopped(shared):
    for port in ports:
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", port))
    assert get(shared.url) == b"hello"
"""
    run(tmp_path, source, *args, passed=3)


def test_what_goes_wrong_comes_out_in_the_test(tmp_path: Path) -> None:
    source = """
import aserve, pytest

def test_error(aserve_server):
    with pytest.raises(aserve.ApplicationLoadError):
        aserve_server("nowhere:app")
    with pytest.raises(aserve.UsageError):
        aserve_server(app, workers=2)
"""
    run(tmp_path, source, passed=1)


@pytest.mark.parametrize("mode", ["strict", "auto"])
def test_in_tests_of_pytest_asyncio(mode: str, tmp_path: Path) -> None:
    mark = "@pytest.mark.asyncio" if mode == "strict" else ""
    source = f"""
import asyncio, pytest

{mark}
async def test_asyncio(aserve_server):
    server = aserve_server(app)
    assert await asyncio.to_thread(get, server.url) == b"hello"

{mark}
async def test_on_this_loop():
    import aserve
    async with aserve.Server(app, bind="127.0.0.1:0") as server:
        assert await asyncio.to_thread(get, server.url) == b"hello"
"""
    run(tmp_path, source, "-o", f"asyncio_mode={mode}", passed=2)


def test_in_tests_of_anyios_plugin(tmp_path: Path) -> None:
    source = """
import anyio.to_thread, pytest

@pytest.fixture
def anyio_backend():
    return "asyncio", {"use_uvloop": True}

@pytest.mark.anyio
async def test_anyio(aserve_server):
    server = aserve_server(app)
    assert await anyio.to_thread.run_sync(get, server.url) == b"hello"

@pytest.mark.anyio
async def test_on_this_loop():
    import aserve
    async with aserve.Server(app, bind="127.0.0.1:0") as server:
        assert await anyio.to_thread.run_sync(get, server.url) == b"hello"
"""
    run(tmp_path, source, "-p", "no:asyncio", passed=2)


def test_a_run_without_a_server_imports_none(tmp_path: Path) -> None:
    source = """
import sys

def test_light():
    assert "aserve.pytestplugin" in sys.modules
    heavy = {"uvloop", "httptools", "click", "aserve.embedding", "aserve.options"}
    assert not heavy & set(sys.modules)
"""
    run(tmp_path, source, "-p", "no:asyncio", "-p", "no:anyio", passed=1)
