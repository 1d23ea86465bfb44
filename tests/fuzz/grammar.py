"""Strategies for what a client may send: requests that are valid by construction, with what has to
be seen of them; requests with something odd in each place; and bytes with or without sense."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from hypothesis import strategies as st

from aserve.protocols.options import ConnectionOptions
from tests.fuzz import samples
from tests.fuzz.harness import Seen
from tests.fuzz.stream import Stream


@dataclass(frozen=True)
class Built:
    """A valid request. raw: its bytes. seen: what the application gets. last: no other follows it."""

    raw: bytes
    seen: Seen
    last: bool = False


def text_of(alphabet: bytes, least: int = 0, most: int = 12) -> st.SearchStrategy[bytes]:
    """Bytes from `alphabet`."""
    return st.lists(st.sampled_from(alphabet), min_size=least, max_size=most).map(bytes)


# Valid requests

tokens: Final = text_of(samples.TCHAR, 1)
blanks: Final = st.sampled_from([b" ", b"", b"  ", b"\t", b" \t "])
values: Final = text_of(samples.FIELD_VCHAR + b" \t").map(lambda value: value.strip(b" \t"))
free_names: Final = st.one_of(st.sampled_from(samples.NAMES), tokens).filter(
    lambda name: name.lower() not in samples.MEANINGFUL
)
hosts: Final = st.one_of(
    st.just(b"a"),
    st.sampled_from(samples.HOSTS),
    st.tuples(text_of(samples.HOST_CHARS, 1), st.sampled_from([b"", b":", b":0", b":8080"])).map(b"".join),
)
origin_forms: Final = text_of(samples.TARGET_CHARS).map(lambda rest: b"/" + rest)
absolute_forms: Final = st.tuples(
    st.sampled_from([b"http", b"https", b"HtTp"]),
    st.just(b"://"),
    hosts,
    st.one_of(st.just(b""), origin_forms, text_of(samples.TARGET_CHARS).map(lambda rest: b"?" + rest)),
).map(b"".join)
bodies: Final = st.one_of(st.binary(max_size=40), st.sampled_from(samples.BODIES))
extensions: Final = st.lists(st.sampled_from(samples.EXTENSIONS), max_size=2).map(b"".join)


@st.composite
def field_line(draw: st.DrawFn, name: bytes, value: bytes) -> bytes:
    """A field line with its line end, with blanks where they may stand."""
    return name + b":" + draw(blanks) + value + draw(blanks) + b"\r\n"


@st.composite
def chunked_body(draw: st.DrawFn, body: bytes) -> bytes:
    """`body` in chunks, with extensions and trailers."""
    parts = []
    while body:
        size = draw(st.integers(1, len(body)))
        zeros = b"0" * draw(st.integers(0, 2))
        parts += [zeros, draw(st.sampled_from([b"%x", b"%X"])) % size, draw(extensions), b"\r\n"]
        parts += [body[:size], b"\r\n"]
        body = body[size:]
    parts += [b"0" * draw(st.integers(1, 16)), draw(extensions), b"\r\n"]
    for _ in range(draw(st.integers(0, 2))):
        # Also names that would mean something in a header.
        name = draw(st.one_of(tokens, st.sampled_from(sorted(samples.MEANINGFUL))))
        parts.append(draw(field_line(name, draw(values))))
    return b"".join(parts) + b"\r\n"


@st.composite
def request_lines(draw: st.DrawFn) -> tuple[str, bytes, bytes, bytes | None]:
    """Method, target, version and, if the target has one, authority."""
    version = draw(st.sampled_from([b"HTTP/1.1"] * 4 + [b"HTTP/1.0", b"HTTP/1.2", b"HTTP/1.9"]))
    form = draw(st.sampled_from(["origin"] * 4 + ["absolute", "asterisk", "authority"]))
    method = draw(st.sampled_from(samples.METHODS))
    if form == "origin":
        return method, draw(origin_forms), version, None
    if form == "absolute":
        target = draw(absolute_forms)
        rest = target.partition(b"://")[2]
        return method, target, version, rest.partition(b"/")[0].partition(b"?")[0]
    if form == "asterisk":
        return "OPTIONS", b"*", version, None
    return "CONNECT", draw(st.sampled_from(samples.AUTHORITIES)), version, None


@st.composite
def built_requests(draw: st.DrawFn) -> Built:
    """A request that is valid by construction."""
    method, target, version, named = draw(request_lines())
    old = version == b"HTTP/1.0"
    fields: list[tuple[bytes, bytes]] = []
    has_host = not old or draw(st.booleans())
    if has_host:
        needed = not old and named is None and method != "CONNECT"
        fields.append((b"host", draw(hosts if needed else st.one_of(hosts, st.just(b"")))))
    for _ in range(draw(st.integers(0, 4))):
        fields.append((draw(free_names), draw(values)))
    connection = draw(st.sampled_from([None] * 4 + samples.CONNECTIONS))
    if connection is not None:
        fields.append((b"connection", connection))
    if draw(st.integers(0, 7)) == 0:
        fields.append((b"upgrade", b"websocket"))
    body, raw_body, framing = draw(framed_bodies(old))
    fields += framing
    if draw(st.integers(0, 7)) == 0:
        fields.append((b"expect", b"100-Continue"))
    fields = draw(st.permutations(fields))
    lines = [draw(field_line(draw(spelled(name)), value)) for name, value in fields]
    raw = b"%b %b %b\r\n%b\r\n%b" % (method.encode(), target, version, b"".join(lines), raw_body)
    if named is not None:
        fields = [(b"host", named), *(field for field in fields if field[0] != b"host")]
    seen = tuple((name.lower(), value) for name, value in fields if b"_" not in name)
    options = [] if connection is None else [each.strip() for each in connection.lower().split(b",")]
    last = b"close" in options or (old and b"keep-alive" not in options) or method == "CONNECT"
    empty_lines = b"\r\n" * draw(st.sampled_from([0] * 7 + [1, 2]))
    return Built(empty_lines + raw, Seen(method, target, "1.0" if old else "1.1", seen, body), last)


@st.composite
def framed_bodies(draw: st.DrawFn, old: bool) -> tuple[bytes, bytes, list[tuple[bytes, bytes]]]:
    """A body, as it is and as it is sent, and the fields that say how. old: for HTTP/1.0."""
    how = draw(st.sampled_from(["none", "none", "length", "length" if old else "chunked"]))
    if how == "none":
        return b"", b"", []
    body = draw(bodies)
    if how == "length":
        zeros = b"0" * draw(st.integers(0, 3))
        return body, body, [(b"content-length", zeros + b"%d" % len(body))]
    return body, draw(chunked_body(body)), [(b"transfer-encoding", draw(spelled(b"chunked")))]


@st.composite
def spelled(draw: st.DrawFn, word: bytes) -> bytes:
    """`word` in lower, upper or mixed case."""
    return draw(st.sampled_from([word, word.title(), word.upper(), word.swapcase()]))


# Odd ones

odd_fields: Final = st.one_of(
    st.sampled_from(samples.FIELD_LINES),
    st.sampled_from(samples.FRAMING_LINES),
    st.sampled_from(samples.HOST_LINES),
    st.tuples(
        st.one_of(st.sampled_from(samples.NAMES), text_of(samples.ODD, 0, 3)),
        st.sampled_from([b":", b": ", b" :", b"\t:", b"", b"::", b"\0:"]),
        st.one_of(values, text_of(samples.ODD, 0, 5)),
        blanks,
    ).map(b"".join),
)
usual_fields: Final = st.tuples(st.sampled_from(samples.NAMES), st.just(b": "), values).map(b"".join)
framing_fields: Final = st.sampled_from(
    [b"Content-Length: 5", b"Transfer-Encoding: chunked", b"TE: trailers"]
)
odd_blanks: Final = st.sampled_from(samples.BLANKS)
odd_line_ends: Final = st.sampled_from(samples.LINE_ENDS)


class Flaws:
    """Chooses between the usual and the odd, for one place of a request after the other.

    Mostly one place is odd: of several flaws only the first counts.
    """

    def __init__(self, draw: st.DrawFn) -> None:
        self.draw = draw
        self.odd = draw(st.sets(st.integers(0, 15), max_size=2))
        self.place = 0

    def pick(self, usual: st.SearchStrategy[bytes], odd: st.SearchStrategy[bytes]) -> bytes:
        """What stands in the next place."""
        self.place += 1
        return self.draw(odd if self.place - 1 in self.odd else usual)

    def line_end(self) -> bytes:
        """The end of a line."""
        return self.pick(st.just(b"\r\n"), odd_line_ends)


@st.composite
def odd_heads(draw: st.DrawFn) -> bytes:
    """A head with something odd in it."""
    flaws = Flaws(draw)
    parts = [
        flaws.pick(st.sampled_from(samples.RAW_METHODS), text_of(samples.ODD, 0, 4)),
        flaws.pick(st.just(b" "), odd_blanks),
        flaws.pick(st.one_of(origin_forms, absolute_forms), st.sampled_from(samples.ODD_TARGETS)),
        flaws.pick(st.just(b" "), odd_blanks),
        flaws.pick(st.sampled_from([b"HTTP/1.1", b"HTTP/1.0"]), st.sampled_from(samples.VERSIONS)),
        flaws.line_end(),
    ]
    lines = [flaws.pick(hosts.map(lambda host: b"Host: " + host), st.sampled_from(samples.HOST_LINES))]
    for kind in draw(st.lists(st.sampled_from([usual_fields, framing_fields]), max_size=3)):
        lines.append(flaws.pick(kind, odd_fields))
    for line in draw(st.permutations(lines)):
        parts += [line, flaws.line_end()]
    return b"".join(parts) + flaws.line_end()


@st.composite
def odd_chunks(draw: st.DrawFn) -> bytes:
    """Something like a chunked body."""
    flaws = Flaws(draw)
    parts = []
    for _ in range(draw(st.integers(0, 2))):
        data = draw(bodies)
        parts.append(flaws.pick(st.just(b"%x" % len(data)), st.sampled_from(samples.SIZES)))
        parts.append(flaws.pick(extensions, st.sampled_from(samples.ODD_EXTENSIONS)))
        parts += [flaws.line_end(), data, flaws.line_end()]
    parts.append(flaws.pick(st.just(b"0"), st.sampled_from(samples.SIZES)))
    parts += [flaws.pick(extensions, st.sampled_from(samples.ODD_EXTENSIONS)), flaws.line_end()]
    for _ in range(draw(st.integers(0, 2))):
        parts += [flaws.pick(usual_fields, odd_fields), flaws.line_end()]
    return b"".join(parts) + flaws.line_end()


chunked_heads: Final = st.sampled_from(samples.CHUNKED_HEADS)
odd_requests: Final = st.one_of(
    st.tuples(odd_heads(), st.one_of(st.just(b""), bodies, odd_chunks())).map(b"".join),
    st.tuples(chunked_heads, odd_chunks()).map(b"".join),
)


@st.composite
def mutated(draw: st.DrawFn, data: bytes) -> bytes:
    """`data` with a few bytes gone, doubled, exchanged, or others in between."""
    for _ in range(draw(st.sampled_from([1, 1, 1, 2, 3]))):
        start = draw(st.integers(0, len(data)))
        end = min(len(data), start + draw(st.integers(0, 4)))
        how = draw(st.sampled_from(["insert", "delete", "replace", "double", "swap", "break"]))
        if how == "double":
            middle = data[start:end] * 2
        elif how == "swap":
            middle = data[start:end][::-1]
        elif how == "delete":
            middle = b""
        else:
            middle = draw(st.one_of(st.sampled_from(samples.FRAGMENTS), st.binary(max_size=2)))
            if how == "insert":
                end = start
            elif how == "break":  # at a line end, where it matters most
                start = data.find(b"\r\n", start)
                start = max(start, 0)
                end = start + draw(st.integers(0, 2))
        data = data[:start] + middle + data[end:]
    return data


built_data: Final = built_requests().map(lambda built: built.raw)
anything: Final = st.one_of(
    built_data,
    odd_requests,
    built_data.flatmap(mutated),
    odd_requests.flatmap(mutated),
    st.lists(st.one_of(st.sampled_from(samples.FRAGMENTS), st.binary(max_size=3)), max_size=8).map(b"".join),
)


def cut(data: bytes) -> st.SearchStrategy[Stream]:
    """`data` in a few reads."""
    places = st.lists(st.integers(1, max(1, len(data) - 1)), max_size=6, unique=True)
    return places.map(lambda cuts: Stream(data, tuple(sorted(each for each in cuts if each < len(data)))))


@st.composite
def streams(draw: st.DrawFn) -> Stream:
    """Up to four requests of all kinds, or more than may wait of a small one in front of them."""
    parts = draw(st.lists(anything, min_size=1, max_size=3))
    many = draw(st.sampled_from([0] * 20 + [1, 16, 17, 18, 40]))
    return draw(cut(samples.SMALL * many + b"".join(parts)))


@st.composite
def built_streams(draw: st.DrawFn) -> tuple[Stream, list[Built]]:
    """Valid requests, the last of them possibly one behind which there may be none."""
    requests = draw(st.lists(built_requests(), min_size=1, max_size=4))
    for index, each in enumerate(requests):
        if each.last:
            requests = requests[: index + 1]
            break
    return draw(cut(b"".join(each.raw for each in requests))), requests


def _limit(usual: int, least: int, most: int) -> st.SearchStrategy[int]:
    """A small limit or the usual one, so that one may matter alone."""
    return st.one_of(st.just(usual), st.integers(least, most))


def _small(**others: st.SearchStrategy[Any]) -> st.SearchStrategy[ConnectionOptions]:
    return st.builds(
        ConnectionOptions,
        limit_line=_limit(8190, 10, 40),
        limit_fields=_limit(100, 0, 4),
        limit_field_size=_limit(8190, 5, 30),
        limit_head=_limit(65536, 30, 120),
        limit_body=st.integers(0, 20),
        body_buffer=st.integers(1, 30),
        header_map=st.sampled_from(["drop", "refuse", "dangerous"]),
        **others,
    )


# Limits so small that they matter.
small_options: Final = _small()
# What matters to connections besides; with a keep-alive time of 0 it counts what has come by then.
all_options: Final = _small(
    keep_alive=st.sampled_from([5.0, 0.0]), limit_concurrency=st.sampled_from([0, 0, 1])
)
