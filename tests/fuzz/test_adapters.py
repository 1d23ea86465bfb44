"""Applications see what was sent, whatever it was: the ASGI scope and the WSGI environ."""

from __future__ import annotations

from typing import Any
from urllib.parse import unquote

from hypothesis import example, given
from hypothesis import strategies as st

from aserve.adapters import environ as environs
from aserve.adapters.asgi import ASGIAdapter
from aserve.protocols.forwarded import Origin
from aserve.protocols.group import ExchangeFactory
from aserve.protocols.options import ConnectionOptions
from aserve.protocols.target import split_target
from aserve.protocols.trust import Trust
from tests.fuzz import grammar, proxied
from tests.fuzz.harness import PARSERS, Application, Harness, Outcome, Record, Seen
from tests.fuzz.profile import fuzzed
from tests.fuzz.stream import Stream

COOKIES = Stream(
    b"GET / HTTP/1.1\r\nHost: a\r\nCookie: a=b\r\nX_Forwarded_For: c\r\nCookie: c=d\r\nA: b\r\na: c\r\n\r\n"
)
TRUSTING = ConnectionOptions(forwarded_trust=Trust(["*"]))

any_streams = st.one_of(grammar.streams(), proxied.forwarded_streams)


def run_asgi(harness: Harness, parser: str, stream: Stream) -> tuple[Outcome, list[dict[str, Any]]]:
    """What an ASGI application makes of it that answers as `Application` does, and its scopes."""
    scopes: list[dict[str, Any]] = []

    def application(record: Record) -> ExchangeFactory:
        async def app(scope: dict[str, Any], receive: Any, send: Any) -> None:
            body = b""
            more = True
            while more:
                message = await receive()
                if message["type"] != "http.request":
                    return
                body += message["body"]
                more = message["more_body"]
            scopes.append(scope)
            headers = tuple(scope["headers"])
            record.seen.append(Seen(scope["method"], b"", scope["http_version"], headers, body))
            await send(
                {
                    "type": "http.response.start",
                    "status": 405 if scope["method"] == "CONNECT" else 200,
                    "headers": [(b"content-type", b"text/plain")],
                }
            )
            await send({"type": "http.response.body", "body": b"%d" % len(record.seen)})

        return ASGIAdapter(app, "asgi3", loop=harness.loop, lifespan="off", root_path="").exchange_factory

    return harness.run(parser, stream.pieces(), options=TRUSTING, application=application), scopes


@fuzzed(150)
@given(any_streams)
@example(COOKIES)
def test_asgi_scopes(harness: Harness, stream: Stream) -> None:
    plain = harness.run("httptools", stream.pieces(), options=TRUSTING)
    first, second = (run_asgi(harness, parser, stream) for parser in PARSERS)
    assert first == second
    outcome, scopes = first
    assert outcome.answers == plain.answers
    assert [each.body for each in outcome.requests] == [each.body for each in plain.requests]
    for scope, request, origin in zip(scopes, plain.requests, plain.origins, strict=True):
        assert (scope["method"], scope["http_version"]) == (request.method, request.version)
        assert tuple(scope["headers"]) == fields_of(request, origin)
        path, query = split_target(request.target)
        assert scope["query_string"] == query
        if origin is None or not origin.prefix:
            assert scope["raw_path"] == path
        assert scope["path"] == unquote(scope["raw_path"].decode())
        if origin is None:
            assert (scope["client"], scope["scheme"]) == (("192.0.2.1", 50000), "http")


def fields_of(request: Seen, origin: Origin | None) -> tuple[tuple[bytes, bytes], ...]:
    """The header that an application gets: what a trusted proxy says counts more than Host."""
    if origin is None or origin.host is None:
        return request.headers
    return ((b"host", origin.host), *(field for field in request.headers if field[0] != b"host"))


class Looking(Application):
    """Notes the environ that a WSGI application would get."""

    mode = "whole"
    environs: list[dict[str, Any]]

    def note(self) -> None:
        environ = environs.template(self.connection, "", multithread=True, multiprocess=False)
        environs.fill(environ, self)
        self.environs.append(environ)
        super().note()


def run_wsgi(harness: Harness, parser: str, stream: Stream) -> tuple[Outcome, list[dict[str, Any]]]:
    """What a WSGI application would make of it, and its environs."""
    noted: list[dict[str, Any]] = []

    def application(record: Record) -> ExchangeFactory:
        factory: type[Looking] = type("Bound", (Looking,), {"record": record, "environs": noted})
        return factory

    return harness.run(parser, stream.pieces(), options=TRUSTING, application=application), noted


@fuzzed(150)
@given(any_streams)
@example(COOKIES)
def test_wsgi_environs(harness: Harness, stream: Stream) -> None:
    first, second = (run_wsgi(harness, parser, stream) for parser in PARSERS)
    outcome, noted = first
    assert outcome == second[0]
    assert [variables(each) for each in noted] == [variables(each) for each in second[1]]
    for environ, request, origin in zip(noted, outcome.requests, outcome.origins, strict=True):
        assert environ["REQUEST_METHOD"] == request.method
        assert environ["RAW_URI"].encode("latin-1") == request.target
        assert {key: environ[key] for key in environ if is_field(key)} == {
            key: values.decode("latin-1") for key, values in joint(fields_of(request, origin)).items()
        }


def variables(environ: dict[str, Any]) -> dict[str, str]:
    """Those of CGI, which have to be strings of latin-1 (PEP 3333)."""
    kept = {key: value for key, value in environ.items() if not key.startswith("wsgi.")}
    assert all(isinstance(value, str) and value.encode("latin-1") is not None for value in kept.values())
    return kept


def is_field(key: str) -> bool:
    """Whether a variable is a field of the header."""
    return key.startswith("HTTP_") or key in ("CONTENT_TYPE", "CONTENT_LENGTH")


def joint(fields: tuple[tuple[bytes, bytes], ...]) -> dict[str, bytes]:
    """Header fields as CGI has them (RFC 3875 section 4.1.18), without those that pose as others."""
    found: dict[str, bytes] = {}
    for name, value in fields:
        key = name.decode().upper().replace("-", "_")
        if key not in ("CONTENT_TYPE", "CONTENT_LENGTH"):
            key = "HTTP_" + key
        if b"_" not in name:
            between = b"; " if name == b"cookie" else b","
            found[key] = found[key] + between + value if key in found else value
    return found
