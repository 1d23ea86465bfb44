"""Options as keyword arguments: names, values, types."""

from __future__ import annotations

import inspect
import subprocess
import sys
import typing
from pathlib import Path

import pytest

import aserve
from aserve import arguments, keywords, keywordtypes
from aserve.binds import Bind
from aserve.options import OPTIONS

ROOT = Path(__file__).parents[2]


def app(environ: object, start_response: object) -> list[bytes]:
    return []


def test_the_types_are_those_of_the_table() -> None:
    assert Path(keywords.__file__).read_text() == keywordtypes.source(), "run `make docs`"


def test_every_option_is_a_keyword() -> None:
    names = {option.name for option in OPTIONS if option.flags}
    assert set(keywords.Options.__annotations__) == names
    embedded = {option.name for option in OPTIONS if option.flags and not arguments.why_not_embedded(option)}
    assert set(keywords.ServerOptions.__annotations__) == embedded


def test_values_are_parsed_as_everywhere() -> None:
    server = aserve.Server(
        app,
        bind=["127.0.0.1:0", "unix:/x"],
        ws_max_size="1M",
        keep_alive=1,
        header="X-A:b, c",
        workers=None,  # type: ignore[call-arg]
    )
    settings = server.settings
    assert settings.bind == (Bind.parse("127.0.0.1:0"), Bind.parse("unix:/x"))
    assert (settings.ws_max_size, settings.keep_alive) == (2**20, 1.0)
    assert settings.header == ((b"X-A", b"b, c"),)
    assert settings.app == "tests.server.test_arguments:app"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"workers": 2}, "workers: no supervisor looks after a server inside a program"),
        ({"max_requests": 2}, "max_requests: no supervisor"),
        ({"timeout": 2}, "timeout: no supervisor"),
        ({"user": "nobody"}, "user: it would change the whole program"),
        ({"daemon": True}, "daemon: it would change the whole program"),
        ({"chdir": "/"}, "chdir: it would change the whole program"),
        ({"reload": True}, "reload: it is for the command and for aserve.run()"),
        ({"config": "x"}, "config: it is for the command"),
        ({"boot_timeout": 1}, r"boot_timeout: limit start\(\) with asyncio.timeout\(\)"),
        ({"worker_class": "gevent"}, "worker_class: gevent replaces parts of the standard library"),
        ({"keep_alive": "soon"}, "keep_alive: 'soon' is not a time in seconds"),
        ({"bind": "8000"}, "bind: '8000' is a port only"),
        ({"bind": "fd://web"}, "bind: no socket of the name 'web' was passed"),
        ({"sockets": []}, "sockets: there are none"),
        ({"bind": ":0", "sockets": [0]}, "bind: the sockets say where to listen"),
    ],
)
def test_what_makes_no_sense_inside_a_program(options: dict[str, typing.Any], message: str) -> None:
    with pytest.raises(aserve.UsageError, match=message):
        aserve.Server(app, **options)


def test_none_is_no_application() -> None:
    with pytest.raises(aserve.UsageError, match="None is no application"):
        aserve.Server(None)


def test_unknown_names() -> None:
    with pytest.raises(TypeError, match=r"Server\(\) has no option 'port': write bind=ADDRESS"):
        aserve.Server(app, port=8000)  # type: ignore[call-arg]


# -- what is public -------------------------------------------------------------------------------


@pytest.mark.parametrize("name", aserve.__all__)
def test_public_names_are_documented(name: str) -> None:
    found = getattr(aserve, name)
    assert inspect.getdoc(found)
    assert name in dir(aserve)
    for each, member in inspect.getmembers(found, callable):
        if not each.startswith("_") and inspect.getmodule(member) is inspect.getmodule(found):
            assert inspect.getdoc(member), each


def test_another_name() -> None:
    with pytest.raises(AttributeError, match="module 'aserve' has no attribute 'nothing'"):
        _ = aserve.nothing


def test_the_import_brings_nothing_with_it(tmp_path: Path) -> None:
    source = "import sys; before = set(sys.modules); import aserve; print(sorted(set(sys.modules) - before))"
    done = subprocess.run(
        [sys.executable, "-c", source], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert done.stdout == "['aserve']\n"


# -- types ----------------------------------------------------------------------------------------

PROGRAM = """\
import asyncio

import aserve


async def app(scope: object, receive: object, send: object) -> None: ...


async def main() -> None:
    server = aserve.Server(app, bind=["127.0.0.1:0"], keep_alive=5, ws_max_size="1M", http="h11")
    await server.start()
    url: str = server.url
    await server.stop(at_once=True)
    await server.serve(handle_signals=True)
    async with aserve.Server("main:app") as other:
        addresses: tuple[str, ...] = other.addresses
    try:
        with server.in_thread() as thread:
            print(thread.url, url, addresses)
    except (aserve.BootError, aserve.UsageError, aserve.ApplicationLoadError) as error:
        print(error)


if __name__ == "__main__":
    asyncio.run(main())
    aserve.run("main:app", bind=":8000", workers="auto", reload=True, limit_request_body=None)
"""
MISTAKES = """
aserve.run("main:app", wrokers=2)
aserve.run("main:app", reload="yes")
aserve.Server(app, workers=2)
aserve.Server(app, http="h12")
"""


def test_a_program_of_a_users_is_checked_strictly(tmp_path: Path) -> None:
    pytest.importorskip("mypy", reason="of the extra `lint`")
    (tmp_path / "main.py").write_text(PROGRAM + MISTAKES)
    done = subprocess.run(
        [
            *(sys.executable, "-m", "mypy", "--strict", "--no-color-output", "--no-error-summary"),
            *("--config-file", "", "--cache-dir", str(ROOT / "build/cache/mypy-users"), "main.py"),
        ],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    first = PROGRAM.count("\n") + 2
    found = [line for line in done.stdout.splitlines() if ": error: " in line]
    assert [line.split(":")[1] for line in found] == [str(first + number) for number in range(4)], done.stdout
    assert 'Unexpected keyword argument "wrokers" for "run"' in found[0]
    assert "reload" in found[1] and "workers" in found[2] and "http" in found[3]
