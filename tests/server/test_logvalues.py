"""Values of the access log: JSON, ids, paths, variables; none of them lets a client forge anything."""

from __future__ import annotations

import base64
import json
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aserve.logvalues import quote, request_id, request_path, trace_ids
from tests.server.test_logformat import Connection, Finished, line

FIELDS = [
    *("time", "client", "user", "method", "path", "query", "protocol", "status", "bytes", "duration", "host"),
    *("referer", "user_agent", "request_id", "trace_id", "span_id", "close_code", "pid"),
]
TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"


def logged(exchange: Finished) -> dict[str, Any]:
    """The object of a line, which is one, in plain ASCII."""
    text = line("json", exchange)
    assert re.fullmatch(r"[\x20-\x7e]+", text)
    found = json.loads(text)
    assert isinstance(found, dict)
    assert list(found) == FIELDS
    return found


def test_json_has_all_that_is_known() -> None:
    found = logged(
        Finished(
            headers=[
                (b"host", b"a.example"),
                (b"authorization", b"Basic " + base64.b64encode("änn:x".encode())),
                (b"user-agent", "é \u2028".encode()),
                (b"x-request-id", b"from-the-client"),
                (b"traceparent", f"00-{TRACE}-{SPAN}-01".encode()),
            ],
            response_headers=[(b"X-Request-ID", b"from-the-app")],
        )
    )
    assert found["time"] == "2027-01-15T08:00:00.900Z"
    assert (found["client"], found["user"], found["host"]) == ("203.0.113.9", "änn", "a.example")
    assert (found["method"], found["path"], found["query"]) == ("GET", "/items/3", "q=a%20b")
    assert (found["status"], found["bytes"], found["duration"]) == (200, 1234, 1.25)
    assert (found["user_agent"], found["referer"]) == ("é \u2028", None)
    assert (found["request_id"], found["trace_id"], found["span_id"]) == ("from-the-app", TRACE, SPAN)


def test_json_has_null_for_the_rest() -> None:
    found = logged(Finished(target=b"/", connection=Connection(None)))
    missing = ("client", "user", "host", "referer", "user_agent", "request_id", "trace_id", "close_code")
    assert [found[name] for name in missing] == [None] * len(missing)
    assert found["query"] == ""


@given(target=st.binary(), agent=st.binary(), user=st.binary(), host=st.text())
def test_no_bytes_make_other_json(target: bytes, agent: bytes, user: bytes, host: str) -> None:
    credentials = b"Basic " + base64.b64encode(user + b":x")
    headers = [(b"user-agent", agent), (b"authorization", credentials), (b"x-request-id", agent)]
    logged(Finished(target=target, headers=headers, connection=Connection((host, 1))))


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_json_keeps_what_is_utf8(text: str) -> None:
    assert json.loads(quote(text.encode())) == text


@given(target=st.binary(), agent=st.binary())
def test_no_bytes_make_a_field_of_the_journal(target: bytes, agent: bytes) -> None:
    from aserve.logformat import compile_format
    from tests.server.test_logformat import apply

    exchange = Finished(target=target, headers=[(b"user-agent", agent), (b"traceparent", agent)])
    entry = apply(compile_format("combined\n%(m)s", journal=True, monotonic=lambda: 101.0), exchange)
    assert entry.endswith("\n")
    names = [field.partition("=")[0] for field in entry[:-1].split("\n")]
    assert names[0] == "MESSAGE"
    assert len(names) == len(set(names)) == 19
    assert all(re.fullmatch(r"[A-Z][A-Z_]*", name) for name in names)


def test_a_client_that_has_gone_before_there_was_an_answer() -> None:
    assert line("%(s)s", Finished(status=0)) == "499"
    assert logged(Finished(status=0))["status"] == 499


@pytest.mark.parametrize(
    ("target", "path"),
    [
        (b"/a%20b/%C3%A9?x", r"/a b/\xc3\xa9"),
        (b"/%0a%22%5c%1b%00", r"/\x0a\x22\x5c\x1b\x00"),
        (b"/%zz%4", "/%zz%4"),
        (b"http://a.example/abs?z", "/abs"),
        (b"*", "*"),
    ],
)
def test_paths_are_as_applications_get_them_but_escaped(target: bytes, path: str) -> None:
    assert request_path(target) == path
    assert line("%(U)s", Finished(target=target)) == path


@pytest.mark.parametrize("value", [b"a", b"x" * 128, b"b7ad6b71-6920-3331/a+b==", b"a.b_c~d:e@f"])
def test_request_ids(value: bytes) -> None:
    assert request_id(None, value) == value.decode()


@pytest.mark.parametrize("value", [b"", b"x" * 129, b"a b", b'a"', b"a\n", b"\xe9", b"a\x1b[31m"])
def test_what_is_no_request_id(value: bytes) -> None:
    assert request_id(value) is None
    assert request_id(value, b"other") == "other"


@pytest.mark.parametrize(
    ("value", "known"),
    [
        (f"00-{TRACE}-{SPAN}-01", True),
        (f"01-{TRACE}-{SPAN}-01-more", True),
        (f"00-{TRACE}-{SPAN}-01-more", False),
        (f"ff-{TRACE}-{SPAN}-01", False),
        (f"00-{TRACE.upper()}-{SPAN}-01", False),
        (f"00-{'0' * 32}-{SPAN}-01", False),
        (f"00-{TRACE}-{'0' * 16}-01", False),
        (f"00-{TRACE}-{SPAN}", False),
        (f"00-{TRACE}-{SPAN}-01\n", False),
        (f"01-{TRACE}-{SPAN}-01-{'x' * 500}", False),
        ("", False),
    ],
)
def test_traces(value: str, known: bool) -> None:
    assert trace_ids(value.encode()) == ((TRACE, SPAN) if known else ("", ""))


def test_variables_are_those_of_the_environ(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RELEASE", "7")
    exchange = Finished(target=b"/a%20b?q=1", headers=[(b"host", b"a.example"), (b"content-type", b"text/x")])
    request = ("remote_addr", "HTTP_HOST", "content_type", "PATH_INFO", "query_string")
    text = "|".join(
        f"%({{{name}}}e)s" for name in (*request, "wsgi.url_scheme", "SERVER_NAME", "RELEASE", "no")
    )
    assert line(text, exchange) == "203.0.113.9|a.example|text/x|/a b|q=1|http|192.0.2.1|7|-"
    exchange.kept_environ = {"REMOTE_USER": 'a"\n', "HTTP_HOST": "kept"}  # type: ignore[attr-defined]
    assert line("%({remote_user}e)s %({http_host}e)s %({path_info}e)s", exchange) == r"a\x22\x0a kept -"
