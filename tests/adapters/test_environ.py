"""The WSGI environ of requests as they come over a socket (PEP 3333, environ Variables)."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote
from wsgiref.types import StartResponse
from wsgiref.validate import validator

import pytest

from aserve.protocols.forwarded import Trust
from tests.support.client import AsyncRawClient, chunked, request
from tests.support.inprocess_wsgi import Environ, ServedWsgi, serving_wsgi

HOST = b"Host: a.example\r\n"


def _url(environ: Environ) -> str:
    """The request's URL, by PEP 3333's own rule."""
    scheme = environ["wsgi.url_scheme"]
    host = environ.get("HTTP_HOST")
    if not host:
        host = environ["SERVER_NAME"]
        if environ["SERVER_PORT"] != ("443" if scheme == "https" else "80"):
            host += ":" + environ["SERVER_PORT"]
    path = quote((environ["SCRIPT_NAME"] + environ["PATH_INFO"]).encode("latin-1"))
    query = environ["QUERY_STRING"]
    return f"{scheme}://{host}{path}" + ("?" + query if query else "")


def show(environ: Environ, start_response: StartResponse) -> list[bytes]:
    """Show the environ."""
    assert type(environ) is dict
    strings = {name: value for name, value in environ.items() if "." not in name}
    for value in strings.values():
        value.encode("latin-1")
    shown = {**strings, "url": _url(environ)}
    for name in ("wsgi.url_scheme", "wsgi.multithread", "wsgi.multiprocess", "wsgi.input_terminated"):
        shown[name] = environ[name]
    start_response("200 OK", [("Content-Type", "application/json")])
    return [json.dumps(shown).encode()]


@asynccontextmanager
async def showing(**options: Any) -> AsyncIterator[ServedWsgi]:
    """Serve `show` behind wsgiref's validator, which looks at each environ as well."""
    async with serving_wsgi(validator(show), **options) as served:
        yield served


@asynccontextmanager
async def serving_ipv6(served: ServedWsgi) -> AsyncIterator[Any]:
    """The address of the same server in IPv6."""
    if not socket.has_ipv6:
        pytest.skip("no IPv6 here")
    try:
        server = await asyncio.get_running_loop().create_server(served.group.connection, "::1", 0)
    except OSError:
        pytest.skip("no IPv6 here")
    try:
        yield server.sockets[0].getsockname()[:2]
    finally:
        server.close()


async def shown(served: ServedWsgi, data: bytes, version: str = "1.1") -> Any:
    response = await served.ask(data, version=version)
    assert response.status == 200, response
    return response.json()


async def test_what_every_request_has() -> None:
    async with showing() as served, served.client() as client:
        environ = (await client.ask(b"GET /a?b=%20c HTTP/1.1\r\n" + HOST + b"\r\n")).json()
        port = client.socket.getsockname()[1]
        server_port = served.address[1]
    assert environ == {
        "REQUEST_METHOD": "GET",
        "SCRIPT_NAME": "",
        "PATH_INFO": "/a",
        "QUERY_STRING": "b=%20c",
        "RAW_URI": "/a?b=%20c",
        "REQUEST_URI": "/a?b=%20c",
        "SERVER_NAME": "127.0.0.1",
        "SERVER_PORT": str(server_port),
        "SERVER_PROTOCOL": "HTTP/1.1",
        "SERVER_SOFTWARE": "aserve",
        "REMOTE_ADDR": "127.0.0.1",
        "REMOTE_PORT": str(port),
        "HTTP_HOST": "a.example",
        "wsgi.url_scheme": "http",
        "wsgi.multithread": False,
        "wsgi.multiprocess": True,
        "wsgi.input_terminated": True,
        "url": "http://a.example/a?b=%20c",
    }


async def test_fields() -> None:
    """Repeated ones are one value (RFC 9110 §5.3), cookies joined as RFC 9113 §8.2.3 has it."""
    fields = [("X-Two", "a"), ("Cookie", "a=1"), ("X-Two", "b,c"), ("Cookie", "b=2; c=3"), ("X-Empty", "")]
    fields += [("Content-Type", "text/plain"), ("X-Latin", "caf\xe9"), ("x-two", "d")]
    async with showing() as served:
        environ = await shown(served, request("POST", "/", fields, b"12"))
    assert environ["HTTP_X_TWO"] == "a,b,c,d"
    assert environ["HTTP_COOKIE"] == "a=1; b=2; c=3"
    assert environ["HTTP_X_EMPTY"] == ""
    assert environ["HTTP_X_LATIN"] == "caf\xe9"
    assert (environ["CONTENT_TYPE"], environ["CONTENT_LENGTH"]) == ("text/plain", "2")
    assert "HTTP_CONTENT_TYPE" not in environ
    assert "HTTP_CONTENT_LENGTH" not in environ


CHUNKED = [("Transfer-Encoding", "chunked")]


async def test_length_of_a_chunked_body() -> None:
    """It is told if it is known (RFC 9112 §7.1.3, RFC 3875 §4.1.2): Django, Bottle and Falcon rely on it."""
    async with showing() as served:
        environ = await shown(served, request("POST", "/", CHUNKED) + chunked(b"ab", b"c"))
        empty = await shown(served, request("POST", "/", CHUNKED) + chunked())
    assert environ["CONTENT_LENGTH"] == "3"
    assert empty["CONTENT_LENGTH"] == "0"
    assert "HTTP_TRANSFER_ENCODING" not in environ


@pytest.mark.parametrize("complete", [True, False])
async def test_a_large_chunked_body_has_no_length(complete: bool) -> None:
    """Whether all of it has come before the application is called, or not: that is chance."""
    data = request("POST", "/", CHUNKED) + chunked(bytes(70_000))
    async with showing() as served, served.client() as client:
        environ = (await client.ask(data if complete else data[:-10])).json()
    assert "CONTENT_LENGTH" not in environ
    assert environ["HTTP_TRANSFER_ENCODING"] == "chunked"
    assert environ["wsgi.input_terminated"] is True


@pytest.mark.parametrize(
    ("target", "path", "query"),
    [
        ("/a%20b%2Fc", "/a b/c", ""),
        ("/caf%C3%A9%FF", "/caf\xc3\xa9\xff", ""),
        ("/100%", "/100%", ""),
        ("//evil.example/x", "//evil.example/x", ""),
        ("/a/../b", "/a/../b", ""),
        ("/?", "/", ""),
        ("/?a?b=%3F", "/", "a?b=%3F"),
        ("http://a.example/x?y", "/x", "y"),
        ("http://a.example", "/", ""),
        ("http://a.example?y", "/", "y"),
    ],
)
async def test_path_and_query(target: str, path: str, query: str) -> None:
    """The path is decoded, the query is not; `RAW_URI` is what the client has sent."""
    async with showing() as served:
        environ = await shown(served, f"GET {target} HTTP/1.1\r\nHost: a.example\r\n\r\n".encode())
    assert (environ["PATH_INFO"], environ["QUERY_STRING"]) == (path, query)
    assert environ["RAW_URI"] == environ["REQUEST_URI"] == target
    assert environ["HTTP_HOST"] == "a.example"


async def test_asterisk_is_no_path() -> None:
    """PATH_INFO is empty or begins with a slash (RFC 3875 §4.1.5)."""
    async with showing() as served:
        environ = await shown(served, b"OPTIONS * HTTP/1.1\r\n" + HOST + b"\r\n")
    assert (environ["PATH_INFO"], environ["RAW_URI"]) == ("", "*")


@pytest.mark.parametrize(
    ("root", "target", "script", "path"),
    [
        ("/app", "/app/x", "/app", "/x"),
        ("/app", "/app", "/app", ""),
        ("/app", "/app/", "/app", "/"),
        ("/app", "/x", "/app", "/x"),
        ("/app", "/apple", "/app", "/apple"),
        ("/app", "/a%70p/x", "/app", "/x"),
        ("/café", "/caf%C3%A9/x", "/caf\xc3\xa9", "/x"),
    ],
)
async def test_mounted(root: str, target: str, script: str, path: str) -> None:
    """The proxy may have taken the prefix off, or not."""
    async with showing(root_path=root) as served:
        environ = await shown(served, f"GET {target} HTTP/1.1\r\nHost: a\r\n\r\n".encode())
    assert (environ["SCRIPT_NAME"], environ["PATH_INFO"]) == (script, path)


async def test_http_1_0_without_a_host() -> None:
    async with showing() as served:
        environ = await shown(served, b"GET /x HTTP/1.0\r\n\r\n", version="1.0")
        port = served.address[1]
    assert environ["SERVER_PROTOCOL"] == "HTTP/1.0"
    assert environ["url"] == f"http://127.0.0.1:{port}/x"


@pytest.mark.parametrize(
    ("fields", "name", "port", "url"),
    [
        (b"Host: a.example\r\n", "a.example", "80", "http://a.example/x"),
        (b"Host: a.example:8000\r\n", "a.example", "8000", "http://a.example:8000/x"),
        (b"Host: [::1]\r\n", "[::1]", "80", "http://[::1]/x"),
        (b"Host: [::1]:8000\r\n", "[::1]", "8000", "http://[::1]:8000/x"),
        (b"Host: a.example\r\nX-Forwarded-Proto: https\r\n", "a.example", "443", "https://a.example/x"),
        (b"Host: a\r\nX-Forwarded-Host: b.example\r\n", "b.example", "80", "http://b.example/x"),
        (b"Host: a\r\nX-Forwarded-Port: 81\r\n", "a", "81", "http://a/x"),
        (b"", "localhost", "80", "http://localhost/x"),
        (b"X-Forwarded-Proto: https\r\n", "localhost", "443", "https://localhost/x"),
    ],
)
async def test_name_of_a_server_on_a_unix_socket(
    tmp_path: Path, fields: bytes, name: str, port: str, url: str
) -> None:
    """It has none of its own, but SERVER_NAME and SERVER_PORT may not be empty (PEP 3333)."""
    async with showing(unix=str(tmp_path / "s"), forwarded_trust=Trust(["unix"])) as served:
        environ = await shown(served, b"GET /x HTTP/1.0\r\n" + fields + b"\r\n", version="1.0")
    assert (environ["SERVER_NAME"], environ["SERVER_PORT"], environ["url"]) == (name, port, url)
    assert environ["REMOTE_ADDR"] == ""
    assert "REMOTE_PORT" not in environ


async def test_ipv6_is_ready_for_a_url() -> None:
    """In brackets (RFC 3875 §4.1.14); the client's address is none of a URL (§4.1.8)."""
    fields = b'Forwarded: for="[2001:db8::7]"\r\nX-Forwarded-Port: 81\r\n'
    async with showing(forwarded_trust=Trust(["*"])) as served, serving_ipv6(served) as address:
        async with AsyncRawClient(address) as client:
            plain = (await client.ask(b"GET / HTTP/1.0\r\n\r\n", version="1.0")).json()
        async with AsyncRawClient(address) as client:
            proxied = (await client.ask(b"GET / HTTP/1.0\r\n" + fields + b"\r\n", version="1.0")).json()
    assert (plain["SERVER_NAME"], plain["REMOTE_ADDR"]) == ("[::1]", "::1")
    assert plain["url"] == f"http://[::1]:{address[1]}/"
    assert (proxied["REMOTE_ADDR"], proxied["url"]) == ("2001:db8::7", "http://[::1]:81/")


@pytest.mark.parametrize(("proto", "scheme"), [("https", "https"), ("wss", "https"), ("http", "http")])
async def test_https_behind_a_proxy(proto: str, scheme: str) -> None:
    """HTTPS is "on" or not there, as CGI has it."""
    async with showing(forwarded_trust=Trust(["*"])) as served:
        environ = await shown(served, request(headers=[("X-Forwarded-Proto", proto)]))
        untold = await shown(served, request())
    assert environ["wsgi.url_scheme"] == scheme
    assert environ.get("HTTPS") == ("on" if scheme == "https" else None)
    assert "HTTPS" not in untold


async def test_more_threads_than_one() -> None:
    """`wsgi.multithread` is true if, and only if, two of them may be in the application at once."""
    async with showing(threads=2) as served:
        assert (await shown(served, request()))["wsgi.multithread"] is True


async def test_a_request_cannot_change_the_next_ones() -> None:
    """The dictionary is the request's own."""

    def app(environ: Environ, start_response: StartResponse) -> list[bytes]:
        body = json.dumps("mine" in environ or environ["SERVER_NAME"] == "changed").encode()
        environ["mine"] = environ["SERVER_NAME"] = "changed"
        start_response("200 OK", [])
        return [body]

    async with serving_wsgi(app) as served, served.client() as client:
        for _ in range(3):
            assert (await client.ask(request())).json() is False
