"""Werkzeug's test client, which is Flask's too, over the wire."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from typing import Any
from urllib.parse import quote, urlsplit

import h11
from werkzeug import test
from werkzeug.datastructures import Headers
from werkzeug.wsgi import get_current_url

from .body import Body
from .client import Fields
from .passage import Passage
from .running import Running

Response = tuple[Iterable[bytes], str, Headers]

# What an environ has of HTTP, besides HTTP_*: the server makes these from the bytes.
ON_THE_WIRE = {
    *("REQUEST_METHOD", "PATH_INFO", "QUERY_STRING", "REQUEST_URI", "RAW_URI", "SERVER_PROTOCOL"),
    *("CONTENT_TYPE", "CONTENT_LENGTH", "wsgi.input", "wsgi.input_terminated"),
    *("wsgi.version", "wsgi.multithread", "wsgi.multiprocess", "wsgi.run_once"),
}


def patch(running: Running) -> None:
    """Have all test clients speak to servers of `running`."""

    def run_wsgi_app(client: Any, environ: Any, buffered: bool = False) -> Response:
        client._add_cookies_to_wsgi(environ)
        response = request(client.application, environ, buffered)
        url = urlsplit(get_current_url(environ))
        cookies = response[2].getlist("Set-Cookie")
        client._update_cookies_from_response(url.hostname or "localhost", url.path, cookies)
        return response

    def request(app: Any, environ: dict[str, Any], buffered: bool) -> Response:
        passage = Passage(_amend(environ))
        server = running.server(app, app, "wsgi")
        connection = server.connect(passage)
        connection.send(environ["REQUEST_METHOD"], _target(environ), _headers(environ), _body(environ))
        try:
            head = connection.head()
        except h11.RemoteProtocolError:
            connection.close()
            raise passage.wait() or AssertionError("no response") from None
        body = Body(server, connection, passage)
        reason = bytes(head.reason).decode("latin-1")
        headers = Headers([(n.decode("latin-1"), v.decode("latin-1")) for n, v in head.headers.raw_items()])
        passage.wait_returned()
        # With its context preserved, the application must not be at work when the test has the context.
        if buffered or passage.error is not None or "werkzeug.debug.preserve_context" in environ:
            return list(body), f"{head.status_code} {reason}", headers
        return body, f"{head.status_code} {reason}", headers

    patched: Any = test.Client
    patched.run_wsgi_app = run_wsgi_app


def _amend(environ: dict[str, Any]) -> Any:
    """Adds to the server's environ what the test has put into its own, and no request can say."""
    beside = {
        key: value
        for key, value in environ.items()
        if key not in ON_THE_WIRE
        and not key.startswith("HTTP_")
        and not (key == "wsgi.errors" and value is sys.stderr)
    }
    root: str = environ.get("SCRIPT_NAME", "")

    def amend(served: dict[str, Any]) -> None:
        served["PATH_INFO"] = served["PATH_INFO"].removeprefix(root)
        served.update(beside)

    return amend


def _target(environ: dict[str, Any]) -> bytes:
    path = quote(
        (environ.get("SCRIPT_NAME", "") + environ.get("PATH_INFO", "")).encode("latin-1"), "/:@!$&'()*+,;="
    )
    query = quote(environ.get("QUERY_STRING", "").encode("latin-1"), "/:@!$&'()*+,;=?%[]{}|^`\"<>\\")
    return (path + ("?" + query if query else "")).encode("ascii")


def _headers(environ: dict[str, Any]) -> Fields:
    pairs = [
        (key.removeprefix("HTTP_").replace("_", "-").title(), str(environ[key]))
        for key in environ
        if key.startswith("HTTP_") or (key in ("CONTENT_TYPE", "CONTENT_LENGTH") and environ[key])
    ]
    return [(name.encode("latin-1"), value.encode("latin-1")) for name, value in pairs]


def _body(environ: dict[str, Any]) -> bytes:
    stream = environ["wsgi.input"]
    size = -1 if "HTTP_TRANSFER_ENCODING" in environ else int(environ.get("CONTENT_LENGTH") or 0)
    if not size:
        return b""
    if not stream.seekable():
        return bytes(stream.read(size))
    start = stream.tell()
    try:
        return bytes(stream.read(size))
    finally:
        stream.seek(start)  # where it would be if the application had not read it: a redirect sends it again
