"""Options that have to do with clients: each has its effect in a server that was started with it."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from aserve import config, service
from aserve.options import Settings
from tests.conftest import Serve
from tests.server.command import refused
from tests.support.client import RawClient, chunked, request
from tests.support.process import ServerProcess

ASGI = """
import asyncio, pathlib

async def app(scope, receive, send):
    assert scope["type"] == "http"
    path, more = scope["path"], True
    if path == "/read":
        while more:
            more = (await receive()).get("more_body", False)
    await send({"type": "http.response.start", "status": 200, "headers": []})
    if path == "/wait":
        await send({"type": "http.response.body", "body": b"begun", "more_body": True})
        while not pathlib.Path("go").exists():
            await asyncio.sleep(0.01)
    while path == "/flood":
        await send({"type": "http.response.body", "body": bytes(65536), "more_body": True})
    await send({"type": "http.response.body", "body": b""})
"""
WSGI = """
def app(environ, start_response):
    start_response("200 OK", [("content-type", "text/plain")])
    if environ["PATH_INFO"] == "/client":
        return [f"{environ['REMOTE_ADDR']} {environ['wsgi.url_scheme']}".encode()]
    return [environ.get("HTTP_X_ONE", "none").encode()]
"""

Start = Callable[..., ServerProcess]


@pytest.fixture
def start(serve: Serve, app_dir: Path) -> Start:
    """Start a server with some options, and an application that takes everything."""
    (app_dir / "main.py").write_text(ASGI)
    (app_dir / "classic.py").write_text(WSGI)

    def started(
        *options: str, app: str = "main:app", bind: str = "127.0.0.1:0", env: dict[str, str] | None = None
    ) -> ServerProcess:
        return serve("--lifespan", "off", *options, app, bind=bind, env=env)

    return started


def status(server: ServerProcess, data: bytes) -> int:
    with RawClient(server.target) as client:
        return client.ask(data).status


def field(size: int, name: str = "x") -> tuple[str, str]:
    """A header field of `size` bytes, name and value."""
    return name, "v" * (size - len(f"{name}: "))


# -- sizes ------------------------------------------------------------------------------------


def test_sizes_of_requests(start: Start) -> None:
    server = start(
        *("--limit-request-line", "100", "--limit-request-fields", "3", "--limit-request-field-size", "60"),
        *("--limit-request-head", "220", "--limit-request-body", "10"),
    )
    line = "/" + "a" * (100 - len("GET / HTTP/1.1"))
    host, end = len("Host: test\r\n"), len("\r\n\r\n")
    assert status(server, request(target=line)) == 200
    assert status(server, request(target=line + "a")) == 414
    assert status(server, request(headers=[field(60)])) == 200
    assert status(server, request(headers=[field(61)])) == 431
    assert status(server, request(headers=[field(5)] * 2)) == 200
    assert status(server, request(headers=[field(5)] * 3)) == 431
    left = 220 - 102 - host - end - 62
    assert status(server, request(target=line, headers=[field(60), field(left)])) == 200
    assert status(server, request(target=line, headers=[field(60), field(left + 1)])) == 431
    assert status(server, request("POST", body=bytes(10))) == 200
    assert status(server, request("POST", body=bytes(11))) == 413
    head = request("POST", "/read", [("Transfer-Encoding", "chunked")])
    assert status(server, head + chunked(bytes(5), bytes(5))) == 200
    assert status(server, head + chunked(bytes(5), bytes(6))) == 413


def test_without_limits_of_their_own_the_heads_holds(start: Start) -> None:
    server = start(
        *("--limit-request-line", "0", "--limit-request-fields", "0", "--limit-request-field-size", "0")
    )
    assert status(server, request(target="/" + "a" * 60000)) == 200
    assert status(server, request(headers=[field(60000)])) == 200
    assert status(server, request(headers=[field(5)] * 5000)) == 200
    assert status(server, request(target="/" + "a" * 66000)) == 414
    assert status(server, request(headers=[field(66000)])) == 431
    assert status(server, request(headers=[field(5)] * 10000)) == 431


def test_a_longer_field_makes_room_in_the_head(start: Start) -> None:
    server = start("--limit-request-field_size", "100000")
    assert status(server, request(headers=[field(100000)])) == 200
    assert status(server, request(headers=[field(100001)])) == 431


def test_the_heads_default_is_64_kb() -> None:
    options = service.connection_options(Settings(app="main:app"))
    assert (options.limit_line, options.limit_fields, options.limit_field_size) == (8190, 100, 8190)
    assert options.limit_head == 65536
    assert service.connection_options(Settings(app="a", limit_request_head=9)).limit_head == 9


# -- times ------------------------------------------------------------------------------------


def test_header_timeout(start: Start) -> None:
    server = start("--header-timeout", "0.3")
    assert status(server, b"GET / HT") == 408


def test_body_timeout(start: Start) -> None:
    server = start("--body-timeout", "0.3")
    assert status(server, request("POST", "/read", [("Content-Length", "9")]) + b"1234") == 408


def test_min_body_rate(start: Start) -> None:
    server = start("--body-timeout", "0.5", "--min-body-rate", "1000000")
    with RawClient(server.target) as client:
        client.send(request("POST", "/read", [("Content-Length", "9" * 9)]))
        client.socket.settimeout(0.05)
        deadline = time.monotonic() + 15
        while not client.incoming.data:  # 20 KB a second, more than by default are needed
            assert time.monotonic() < deadline
            client.send(bytes(1000))
            try:
                client.incoming.data += client.socket.recv(65536)
            except TimeoutError:
                pass
        client.socket.settimeout(15)
        assert client.read().status == 408


def test_write_timeout(start: Start) -> None:
    server = start("--write-timeout", "0.3")
    with RawClient(server.target, receive_buffer=4096) as client:
        client.send(request(target="/flood"))
        server.wait_line(r"closed: the client reads nothing client=127\.0\.0\.1:")
        client.incoming.data.clear()


# -- requests at work -------------------------------------------------------------------------


def test_limit_concurrency(start: Start, app_dir: Path) -> None:
    server = start("--limit-concurrency", "1")
    with RawClient(server.target) as first, RawClient(server.target) as second:
        first.send(request(target="/wait"))
        first.read_head()
        response = second.ask(request())
        assert (response.status, response.header("retry-after")) == (503, "1")
        (app_dir / "go").touch()
        first.read_bytes(len("5\r\nbegun\r\n0\r\n\r\n"))
        assert second.ask(request()).status == 200, "the idle connection counts"


# -- headers ----------------------------------------------------------------------------------


def test_header_map(start: Start) -> None:
    both = request(headers=[("X-One", "hyphen"), ("X_One", "underscore")])
    for value, answer in (("drop", (200, "hyphen")), ("dangerous", (200, "hyphen,underscore"))):
        server = start("--header-map", value, app="classic:app")
        with RawClient(server.target) as client:
            response = client.ask(both)
            assert (response.status, response.text) == answer
        server.stop()
    assert status(start("--header-map", "refuse", app="classic:app"), both) == 400


def heads(server: ServerProcess) -> list[list[str]]:
    """The lines of the head of a response, and of a refusal."""
    found = []
    for data in (request(headers=[("Connection", "close")]), b"nonsense\r\n\r\n"):
        with RawClient(server.target) as client:
            client.send(data)
            client.half_close()
            found.append(client.read_until_closed().partition(b"\r\n\r\n")[0].decode().split("\r\n"))
    assert found[0][0] == "HTTP/1.1 200 OK"
    assert found[1][0] == "HTTP/1.1 400 Bad Request"
    return found


def test_headers_for_every_response(start: Start) -> None:
    server = start("--header", "X-Frame-Options: DENY", "--header", "Cache-Control:no-store, max-age=0")
    for head in heads(server):
        assert head[1:3] == ["server: aserve", "X-Frame-Options: DENY"]
        assert head[3] == "Cache-Control: no-store, max-age=0"
        assert re.fullmatch(r"date: \w{3}, .* GMT", head[4])


def test_server_and_date_can_be_replaced(start: Start) -> None:
    server = start("--header", "sErver: mine", "--header", "Date: today")
    for head in heads(server):
        names = [line.partition(":")[0].lower() for line in head[1:]]
        assert head[1:3] == ["sErver: mine", "Date: today"]
        assert (names.count("server"), names.count("date")) == (1, 1)


def test_server_and_date_can_be_left_out(start: Start) -> None:
    for head in heads(start("--no-server-header", "--no-date-header")):
        assert not [line for line in head if line.lower().startswith(("server:", "date:"))]


def test_headers_from_the_environment_stand_on_lines(start: Start) -> None:
    server = start(env={"ASERVE_HEADER": "A: 1, 2\nB: 3\n", "ASERVE_NO_SERVER_HEADER": "1"})
    for head in heads(server):
        assert head[1:3] == ["A: 1, 2", "B: 3"]


# -- proxies ----------------------------------------------------------------------------------


FORWARDED = request(
    target="/client", headers=[("X-Forwarded-For", "8.8.8.8"), ("X-Forwarded-Proto", "https")]
)
BELIEVED = "8.8.8.8 https"


def client_of(server: ServerProcess, data: bytes = FORWARDED) -> str:
    with RawClient(server.target) as client:
        return client.ask(data).text


def test_whoever_is_local_may_be_a_proxy(start: Start) -> None:
    assert client_of(start(app="classic:app")) == BELIEVED
    assert client_of(start(app="classic:app", bind="unix:x.sock")) == BELIEVED


@pytest.mark.parametrize("allowed", ["none", "unix", "127.0.0.2,::1", "10.0.0.0/8"])
def test_who_is_not_among_them_is_not_believed(allowed: str, start: Start) -> None:
    assert client_of(start("--forwarded-allow-ips", allowed, app="classic:app")) == "127.0.0.1 http"


def test_a_unix_socket_has_to_be_named_as_well(start: Start) -> None:
    server = start("--forwarded-allow-ips", "127.0.0.1", app="classic:app", bind="unix:x.sock")
    assert client_of(server) == " http"


def test_networks_and_everybody(start: Start) -> None:
    server = start(app="classic:app", env={"FORWARDED_ALLOW_IPS": "10.1.0.0/16, 127.0.0.0/8"})
    assert client_of(server) == BELIEVED
    assert client_of(start("--forwarded-allow-ips", "*", app="classic:app")) == BELIEVED


def test_trusted_addresses_come_from_the_variable_that_others_honour() -> None:
    given = {"FORWARDED_ALLOW_IPS": "10.0.0.0/8, ::1"}
    assert config.resolve({"app": "a"}, given).forwarded_allow_ips == ("10.0.0.0/8", "::1")
    given["ASERVE_FORWARDED_ALLOW_IPS"] = "none"
    assert config.resolve({"app": "a"}, given).forwarded_allow_ips == ()
    cli = {"app": "a", "forwarded_allow_ips": ("10.1.1.1,unix", "*")}
    assert config.resolve(cli, given).forwarded_allow_ips == ("10.1.1.1", "unix", "*")
    assert config.resolve({"app": "a", "forwarded_allow_ips": ("",)}, {}).forwarded_allow_ips == ()


def test_only_some_of_their_headers_may_be_believed(start: Start) -> None:
    believing = start("--forwarded-headers", "X-Forwarded-For,x-forwarded-proto", app="classic:app")
    assert client_of(believing) == BELIEVED
    assert client_of(start("--forwarded-headers", "forwarded", app="classic:app")) == "127.0.0.1 http"


V1 = b"PROXY TCP4 8.8.8.8 9.9.9.9 1111 80\r\n"
V2 = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c" + bytes((8, 8, 8, 8, 9, 9, 9, 9, 4, 87, 0, 80))


@pytest.mark.parametrize(("version", "taken"), [("v1", [V1]), ("v2", [V2]), ("auto", [V1, V2])])
def test_proxy_protocol(version: str, taken: list[bytes], start: Start) -> None:
    server = start("--proxy-protocol", version, app="classic:app")
    ask = request(target="/client")
    for header in (V1, V2):
        if header in taken:
            assert client_of(server, header + ask) == "8.8.8.8 http"
        else:
            assert closed_without_a_word(server, header + ask)
    assert closed_without_a_word(server, ask)


def closed_without_a_word(server: ServerProcess, data: bytes) -> bool:
    with RawClient(server.target) as client:
        client.send(data)
        try:
            return client.socket.recv(1) == b""
        except ConnectionResetError:
            return True


def test_without_the_proxy_protocol_its_header_is_no_request(start: Start) -> None:
    assert status(start(), V1) == 400


def test_proxy_allow_from(start: Start) -> None:
    server = start("--proxy-protocol", "v1", "--proxy-allow-ips", "10.0.0.0/8,unix", app="classic:app")
    assert closed_without_a_word(server, V1 + FORWARDED)
    server.wait_line("refused: PROXY protocol from a peer that is not trusted")
    server = start(
        *("--proxy-protocol", "v1", "--proxy-allow-from", "unix", "--forwarded-allow-ips", "none"),
        app="classic:app",
        bind="unix:x.sock",
    )
    assert client_of(server, V1 + FORWARDED) == "8.8.8.8 http"


# -- mistakes ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["--limit-request-line", "-1"], "--limit-request-line: '-1' is too small: write at least 0"),
        (["--limit-request-body", "1M"], "--limit-request-body: '1M' is not a whole number: write a whole"),
        (["--header-timeout", "x"], "--header-timeout: 'x' is not a time in seconds: write a number such as"),
        (["--header-map", "keep"], "--header-map: 'keep' is not known: write drop, refuse or dangerous"),
        (
            ["--header", "X-A"],
            "--header: 'X-A' is not a header: write NAME:VALUE, such as X-Frame-Options:DENY",
        ),
        (["--header", "X A: b"], "--header: 'X A: b' is not a header: write NAME:VALUE"),
        (["--header", "é: b"], "--header: 'é: b' is not a header: write NAME:VALUE"),
        (["--header", ":b"], "--header: ':b' is not a header: write NAME:VALUE"),
        (
            ["--header", "A: b\nC: d"],
            r"--header: 'A: b\nC: d' has a character that is not plain ASCII: leave",
        ),
        (
            ["--header", "A: b\rC"],
            r"--header: 'A: b\rC' has a character that is not plain ASCII: leave it out",
        ),
        (["--header", "A: é"], "--header: 'A: é' has a character that is not plain ASCII: leave it out"),
        (
            ["--header", "Content-Length: 0"],
            "--header: 'Content-Length: 0' cannot be the same in every response: leave Content-Length to the",
        ),
        (["--header", "connection:close"], "--header: 'connection:close' cannot be the same in every"),
        (["--proxy-protocol", "v3"], "--proxy-protocol: 'v3' is not known: write off, v1, v2 or auto"),
        (["--no-date-header=1"], "--no-date-header takes no value: write it alone"),
        (["--backpressure", "1"], "there is no option --backpressure: write --limit-concurrency N"),
        (
            ["--forwarded-allow-ips", "localhost"],
            "--forwarded-allow-ips: 'localhost' is no address: write an",
        ),
        (["--proxy-allow-from", "10.0.0.1/8"], "--proxy-allow-from: '10.0.0.1/8' is an address in a network"),
    ],
)
def test_mistakes_get_one_line_and_status_2(args: list[str], message: str, tmp_path: Path) -> None:
    assert refused(*args, "main:app", cwd=tmp_path).startswith(message)


def test_the_proxy_protocol_may_be_asked_for_without_a_version() -> None:
    from aserve.command import command

    for args, wanted in (
        (["--proxy-protocol", "v1", "a:b"], "v1"),
        (["a:b", "--proxy-protocol"], "auto"),
        (["--proxy-protocol", "--factory", "a:b"], "auto"),
    ):
        values = command.make_context("aserve", args).params
        assert (values["proxy_protocol"], values["app"]) == (wanted, "a:b")


def test_older_configurations_say_true_or_false() -> None:
    for value, wanted in ((True, "auto"), (False, "off"), ("true", "auto"), (" V2 ", "v2")):
        assert config.resolve({"app": "a", "proxy_protocol": value}, {}).proxy_protocol == wanted
