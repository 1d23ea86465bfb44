"""The access log: line for line what gunicorn's own workers write for the same requests."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.gunicorn_worker.conftest import Gunicorn
from tests.gunicorn_worker.process import GunicornProcess
from tests.support.client import RawClient, request

ATOMS = ("h", "l", "u", "r", "m", "U", "q", "H", "s", "b", "B", "f", "a")
FORMAT = (
    " ".join(f"{atom}=%({atom})s" for atom in ATOMS)
    + " in=%({x-test}i)s none=%({x-none}i)s out=%({x-answer}o)s path=%({path_info}e)s"
    + " T=%(T)s D=%(D)s M=%(M)s L=%(L)s t=%(t)s p=%(p)s"
)
TIMES = re.compile(
    r" T=(\d+) D=(\d+) M=(\d+) L=(\d+\.\d{6}) t=(\[\d\d/\w{3}/\d{4}:\d\d:\d\d:\d\d \+0000\]) p=<(\d+)>$"
)

APP = """
import asyncio

def wsgi(environ, start_response):
    body = b"missing" if environ["PATH_INFO"] == "/missing" else environ["wsgi.input"].read() or b"hello"
    status = "404 Not Found" if environ["PATH_INFO"] == "/missing" else "200 OK"
    headers = [("Content-Length", str(len(body))), ("X-Answer", 'say "yes"')]
    if environ["PATH_INFO"] == "/empty":
        status, headers, body = "204 No Content", headers[1:], b""
    start_response(status, headers)
    return [body]

async def asgi(scope, receive, send):
    if scope["type"] == "lifespan":
        return
    message = await receive()
    status = 404 if scope["path"] == "/missing" else 200
    body = b"missing" if status == 404 else message["body"] or b"hello"
    headers = [(b"Content-Length", str(len(body)).encode()), (b"X-Answer", b'say "yes"')]
    if scope["path"] == "/empty":
        status, headers, body = 204, headers[1:], b""
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
"""

CLOSE = ("Connection", "close")
REQUESTS = (
    request("GET", "/plain", [CLOSE]),
    request(
        "GET", "/a%20b/%22?q=1&r=%2F", [CLOSE, ("User-Agent", 'old "browser"'), ("Referer", "http://a/b")]
    ),
    request("POST", "/echo", [CLOSE, ("X-Test", "tested")], b"x" * 5000),
    request("GET", "/missing", [CLOSE]),
    request("GET", "/empty", [CLOSE]),
    request("GET", "/user", [CLOSE, ("Authorization", "Basic YWxpY2U6c2VjcmV0")]),
    request("GET", "/bad-user", [CLOSE, ("Authorization", "Basic !!!")]),
    request("GET", "/old", [CLOSE], version="1.0"),
    request("OPTIONS", "/options", [CLOSE]),
)


def lines_of(server: GunicornProcess) -> list[str]:
    """Send the requests, one after the other, and return the lines without their times, which are checked."""
    target = server.target
    for data in REQUESTS:
        with RawClient(target) as client:
            client.send(data)
            client.read_until_closed()
    server.stop()
    lines = (server.cwd / "access.log").read_text().splitlines()
    for line in lines:
        match = TIMES.search(line)
        assert match, line
        seconds, micro, milli, decimal = match[1], int(match[2]), int(match[3]), float(match[4])
        assert seconds == "0" and micro // 1000 == milli and abs(decimal * 1e6 - micro) < 1
        assert 0 <= micro < 1_000_000
    return [TIMES.sub("", line) for line in lines]


@pytest.mark.parametrize("bind", ["127.0.0.1:0", "unix:g.sock"])
@pytest.mark.parametrize("interface", ["asgi", "wsgi"])
def test_the_lines_are_those_of_gunicorns_own_workers(
    gunicorn: Gunicorn, tmp_path: Path, bind: str, interface: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = []
    for worker in ("gthread", interface):
        folder = tmp_path / worker
        folder.mkdir()
        monkeypatch.chdir(folder)  # where the client finds the unix socket
        (folder / "main.py").write_text(APP)
        options = ("--access-logfile", "access.log", "--access-logformat", FORMAT)
        if worker == "gthread":
            server = gunicorn(*options, "-k", "gthread", "main:wsgi", bind=bind, cwd=folder, ready=False)
            server.wait_line("Booting worker")
        else:
            server = gunicorn(*options, f"main:{interface}", interface=interface, bind=bind, cwd=folder)
        found.append(lines_of(server))
    own, ours = found
    assert len(own) == len(REQUESTS)
    assert ours == own


def test_the_default_format_on_standard_output(gunicorn: Gunicorn, tmp_path: Path) -> None:
    folder = tmp_path / "app"
    (folder / "main.py").write_text(APP)
    server = gunicorn("--access-logfile", "-", "main:asgi", interface="asgi")
    with RawClient(server.target) as client:
        client.send(request("GET", "/?a=b", [CLOSE, ("User-Agent", "me")]))
        client.read_until_closed()
    server.wait_line(r'^127\.0\.0\.1 - - \[.*\] "GET /\?a=b HTTP/1\.1" 200 5 "-" "me"$', stream="stdout")


def test_refused_requests_have_lines(gunicorn: Gunicorn, tmp_path: Path) -> None:
    """As far as they could be read; gunicorn's own workers have lines for some of them only."""
    (tmp_path / "app" / "main.py").write_text(APP)
    server = gunicorn("--access-logfile", "access.log", "main:asgi", interface="asgi")
    for data in (
        b"GET /no-host HTTP/1.1\r\n\r\n",
        b"GARBAGE\r\n\r\n",
        b"GET /version HTTP/3.0\r\nHost: test\r\n\r\n",
        b"GET relative HTTP/1.1\r\nHost: test\r\n\r\n",
        b"POST /length HTTP/1.1\r\nHost: test\r\nContent-Length: x\r\n\r\n",
        b'GET /"quoted" HTTP/1.1\r\nHost: test\r\nUser-Agent: \xe9"\r\nConnection: close\r\n\r\n',
    ):
        with RawClient(server.target) as client:
            client.send(data)
            client.read_until_closed()
    server.stop()
    lines = (server.cwd / "access.log").read_text().splitlines()
    assert [re.sub(r"^.*\] ", "", line) for line in lines] == [
        '"GET /no-host HTTP/1.1" 400 20 "-" "-"',
        '"GARBAGE - HTTP/-" 400 18 "-" "-"',
        '"GET /version HTTP/3.0" 505 27 "-" "-"',
        '"GET relative HTTP/1.1" 400 23 "-" "-"',
        '"POST /length HTTP/1.1" 400 23 "-" "-"',
        r'"GET /\"quoted\" HTTP/1.1" 200 5 "-" "é\""',
    ]
