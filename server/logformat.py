"""Formats of access log lines: gunicorn's atoms, compiled into one Python function per format.

Everything that a client can choose is escaped, so that no client can forge a line or a field: see
`logvalues`.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeAlias

from aserve.logvalues import (
    GONE,
    Date,
    Escaped,
    Quoted,
    escape,
    quote,
    request_id,
    request_path,
    trace_ids,
    user_name,
    variable,
)

if TYPE_CHECKING:
    from aserve.protocols.exchange import Exchange

Formatter: TypeAlias = "Callable[[Exchange], str]"

_COMMON = '%(h)s %(l)s %(u)s %(t)s "%(r)s" %(s)s %(b)s'
# Fields are only ever added, at the end: docs/access-log.md has them all.
_JSON = (
    '{"time":"%(json.time)sZ","client":%(json.client)s,"user":%(json.user)s,"method":%(json.method)s,'
    '%(json.target)s,"protocol":"%(H)s","status":%(s)s,"bytes":%(B)s,'
    '"duration":%(json.duration)s,"host":%(json.host)s,"referer":%(json.referer)s,'
    '"user_agent":%(json.agent)s,%(json.ids)s,"close_code":%(json.close)s,"pid":%(json.pid)s}'
)
NAMED: Final = {"common": _COMMON, "combined": f'{_COMMON} "%(f)s" "%(a)s"', "json": _JSON}
"""Formats with a name: Apache's, of which `combined` is gunicorn's default as well, and our own for JSON."""

_JOURNAL: Final = (
    "\nPRIORITY=6\nSYSLOG_IDENTIFIER=aserve.access\nLOGGER=aserve.access\nHTTP_CLIENT=%(h)s\nHTTP_USER=%(u)s"
    "\nHTTP_METHOD=%(m)s\nHTTP_TARGET=%(target)s\nHTTP_PROTOCOL=%(H)s\nHTTP_STATUS=%(s)s\nHTTP_BYTES=%(B)s"
    "\nHTTP_DURATION_USEC=%(D)s\nHTTP_HOST=%({host}i)s\nHTTP_REFERER=%(f)s\nHTTP_USER_AGENT=%(a)s"
    "\nREQUEST_ID=%(id)s\nTRACE_ID=%(trace)s\nSPAN_ID=%(span)s\nWEBSOCKET_CLOSE_CODE=%(w)s"
)
"""What an entry of the journal has besides its text."""


class _Atom(NamedTuple):
    """Source text of an expression, and the statements that it needs before it."""

    expression: str
    needs: tuple[str, ...] = ()


_SPECIAL = "'\"' in {0} or '\\\\' in {0} or not ({0}.isprintable() and {0}.isascii())"

# What the expressions stand on, in the order in which it is done.
_STATEMENTS: Final = {
    "client": (
        "origin = exchange.origin",
        "client = exchange.connection.client if origin is None else origin.client",
    ),
    "target": (
        "target = exchange.target.decode('latin-1')",
        f"if {_SPECIAL.format('target')}:",
        "    target = escape(target)",
    ),
    "parts": ("path, mark, query = target.partition('?')",),
    "path": (
        "if '%' in path or path[:1] != '/':",
        "    path = request_path(exchange.target)",
    ),
    "now": (
        "now = clock()",
        "if not date.start <= now < date.end:",
        "    date.renew(now)",
    ),
    "elapsed": ("elapsed = monotonic() - exchange.started",),
    # As %.6f, but for the rounding: twice as fast, for as long as most requests take.
    "duration": (
        "duration = int(elapsed * 1_000_000)",
        "if duration < 1000:",
        "    duration = '0.000' + thousandths[duration]",
        "elif duration < 1_000_000:",
        "    duration = f'0.{thousandths[duration // 1000]}{thousandths[duration % 1000]}'",
        "else:",
        "    duration = f'{elapsed:.6f}'",
    ),
}

_ATOMS: Final = {
    "h": _Atom("texts[client[0]] if client is not None else '-'", ("client",)),
    "l": _Atom("'-'"),
    "t": _Atom("date.text", ("now",)),
    "r": _Atom("texts[exchange.method]} {target} HTTP/{exchange.http_version", ("target",)),
    "m": _Atom("texts[exchange.method]"),
    "U": _Atom("path", ("target", "parts", "path")),
    "q": _Atom("query", ("target", "parts")),
    "H": _Atom("'HTTP/' + exchange.http_version"),
    "s": _Atom(f"exchange.status or {GONE}"),
    "B": _Atom("exchange.body_sent"),
    "b": _Atom("exchange.body_sent"),
    "T": _Atom("int(elapsed)", ("elapsed",)),
    "M": _Atom("int(elapsed * 1_000)", ("elapsed",)),
    "D": _Atom("int(elapsed * 1_000_000)", ("elapsed",)),
    "L": _Atom("elapsed:.6f", ("elapsed",)),
    "w": _Atom("exchange.close_code or '-'"),
}
_HEADER_ATOMS: Final = {"f": b"referer", "a": b"user-agent", "u": b"authorization"}
_KNOWN: Final = "h l u t r m U q H s B b f a T M D L p w {header}i {header}o {variable}e"

# The atoms of our own formats only.
_OWN_ATOMS: Final = {
    "target": _Atom("target", ("target",)),
    "json.time": _Atom("date.utc}.{thousandths[int((now - date.start) * 1000)]", ("now",)),
    "json.client": _Atom("quoted[client[0]] if client is not None else 'null'", ("client",)),
    "json.method": _Atom("quoted[exchange.method]"),
    "json.target": _Atom("targets[exchange.target]"),
    "json.close": _Atom("exchange.close_code or 'null'"),
    "json.duration": _Atom("duration", ("elapsed", "duration")),
}
_OWN_HEADER_ATOMS: Final = {
    "json.host": (b"host", "quoted[{0}] if {0} is not None else 'null'"),
    "json.referer": (b"referer", "quoted[{0}] if {0} is not None else 'null'"),
    "json.agent": (b"user-agent", "quoted[{0}] if {0} is not None else 'null'"),
    "json.user": (b"authorization", "quoted_user({0}) if {0} is not None else 'null'"),
    "trace": (b"traceparent", "trace_ids({0})[0] or '-'"),
    "span": (b"traceparent", "trace_ids({0})[1] or '-'"),
}
_REQUEST_ID: Final = b"x-request-id"

_PIECE: Final = re.compile(
    r"%(?:(?P<percent>%)"
    r"|\((?P<atom>[^()]*)\)(?P<flag>[-0]?)(?P<width>\d{0,3})(?P<precision>(?:\.\d{1,3})?)(?P<kind>[sd]))"
    r"|(?P<wrong>%)"
)


def compile_format(
    text: str,
    *,
    monotonic: Callable[[], float] = time.monotonic,
    clock: Callable[[], float] = time.time,
    journal: bool = False,
) -> Formatter:
    """Return the function that makes a line (with its newline) of a finished exchange.

    `text` is the name of a format (common, combined, json) or a format of gunicorn's atoms: h client,
    l '-', u user, t date, r request line, m method, U path, q query, H protocol, s status, B and b bytes
    of the body, f referer, a user agent, T M D L time in seconds, milliseconds,
    microseconds and decimal seconds, p process id, w close code of a WebSocket or '-', {name}i request
    header, {name}o response header, {name}e variable. `monotonic` is the clock of `Exchange.started`,
    `clock` the wall's; both in seconds. With `journal` the function makes an entry of the journal, of
    which the line is the message. Raises ValueError for what is none of them. Call it in the process
    that uses it.
    """
    compiler = _Compiler()
    if journal:
        # A field ends where its line does.
        message = NAMED.get(text, text.replace("\n", " "))
        pieces = [("MESSAGE=", True), (message, text in NAMED), (_JOURNAL, True)]
    else:
        pieces = [(NAMED.get(text, text), text in NAMED)]
    return compiler.compile(pieces, monotonic, clock)


def reads_environ(text: str) -> bool:
    """Return whether a format has variables of a WSGI application's environ: %({NAME}e)s."""
    atoms = (piece["atom"] or "" for piece in _PIECE.finditer(NAMED.get(text, text)))
    return any(atom.startswith("{") and atom.endswith("}e") for atom in atoms)


def without_unknown_atoms(text: str) -> tuple[str, list[str]]:
    """Return a format with `-` for atoms that there are not, and these."""
    unknown: list[str] = []

    def known(piece: re.Match[str]) -> str:
        name = piece["atom"]
        if name is None or name == "p" or name in _ATOMS or name in _HEADER_ATOMS or _named_atom(name):
            return piece[0]
        unknown.append(piece[0])
        return "-"

    return _PIECE.sub(known, text), unknown


def _named_atom(name: str) -> bool:
    """Is it one as in {name}i?"""
    return len(name) > 3 and name[0] == "{" and name[-2] == "}" and name[-1] in "ioe"


class _Compiler:
    """Writes the source of one formatter."""

    def __init__(self) -> None:
        self._needed: set[str] = set()
        self._request: dict[bytes, str] = {}
        self._response: dict[bytes, str] = {}
        self._names: dict[str, Any] = {}
        self._padded: list[str] = []

    def compile(
        self, parts: list[tuple[str, bool]], monotonic: Callable[[], float], clock: Callable[[], float]
    ) -> Formatter:
        """Return the function; each part is a format, and whether it may have the atoms of our own ones."""
        body = [piece for text, own in parts for piece in self._pieces(text, own)]
        source = "\n    ".join(("def line(exchange):", *self._statements(), f'return f"{"".join(body)}\\n"'))
        names: dict[str, Any] = {
            **self._names,
            "clock": clock,
            "date": Date(),
            "escape": escape,
            "escaped_user": escaped_user,
            "monotonic": monotonic,
            "ids": ids,
            "no_ids": ids(None, None, None),
            "quote": quote,
            "quoted": Quoted(),
            "quoted_user": quoted_user,
            "request_id": request_id,
            "request_path": request_path,
            "targets": Targets(),
            "texts": Escaped(),
            "thousandths": [f"{number:03d}" for number in range(1000)],
            "trace_ids": trace_ids,
            "values": Escaped(),
            "variable": variable,
        }
        # As dataclasses do it. Only text of this file gets here: see `_literal` and `_variable`.
        exec(source, names)
        formatter: Formatter = names["line"]
        return formatter

    def _pieces(self, text: str, own: bool) -> Iterable[str]:
        position = 0
        for piece in _PIECE.finditer(text):
            yield _literal(text[position : piece.start()])
            position = piece.end()
            source = (self._own_piece(piece["atom"]) if own else None) or self._piece(piece)
            yield self._fitted(source, piece) if piece["width"] or piece["precision"] else source
        yield _literal(text[position:])

    def _own_piece(self, name: str) -> str | None:
        if name in _OWN_ATOMS:
            atom = _OWN_ATOMS[name]
            self._needed.update(atom.needs)
            return f"{{{atom.expression}}}"
        if name in _OWN_HEADER_ATOMS:
            header, expression = _OWN_HEADER_ATOMS[name]
            return f"{{{expression.format(_variable(self._request, header, 'request'))}}}"
        if name in ("id", "json.ids"):
            # The application's own wins: its logs have that one.
            answered = _variable(self._response, _REQUEST_ID, "response")
            asked = _variable(self._request, _REQUEST_ID, "request")
            if name == "id":
                return f"{{request_id({answered}, {asked}) or '-'}}"
            trace = _variable(self._request, b"traceparent", "request")
            found = f"{answered} or {asked} or {trace}"
            return f"{{ids({answered}, {asked}, {trace}) if {found} else no_ids}}"
        return str(os.getpid()) if name == "json.pid" else None

    def _piece(self, piece: re.Match[str]) -> str:
        if piece["percent"]:
            return "%"
        name = piece["atom"]
        if name is None:
            raise ValueError(
                f"{piece.string[piece.start() :][:12]!r} is not an atom: write one as in %(h)s, "
                "and %% for a percent sign"
            )
        if name == "p":
            return f"<{os.getpid()}>"
        if name in _ATOMS:
            atom = _ATOMS[name]
            self._needed.update(atom.needs)
            return f"{{{atom.expression}}}"
        if name in _HEADER_ATOMS:
            variable = _variable(self._request, _HEADER_ATOMS[name], "request")
            return _value("escaped_user(%s)" if name == "u" else "values[%s]", variable)
        if _named_atom(name):
            return self._named(name[1:-2], name[-1])
        raise ValueError(f"'%({name})s' is not an atom: known are {_KNOWN}")

    def _fitted(self, source: str, piece: re.Match[str]) -> str:
        """Have a value as wide as `%` makes it: %(h)-15s, %(D)06d, %(a).20s."""
        name = f"padded_{len(self._padded)}"
        self._padded.append(f'{name} = f"{source}"')
        fill = "0" if (piece["flag"], piece["kind"]) == ("0", "d") else ""
        side = "<" if piece["flag"] == "-" else ">"
        return f"{{{name}:{fill}{side}{piece['width']}{piece['precision']}}}"

    def _named(self, name: str, kind: str) -> str:
        if kind == "e":
            wanted = f"name_{len(self._names)}"
            self._names[wanted] = name
            return f"{{variable(exchange, {wanted})}}"
        header = name.lower().encode("latin-1", "replace")
        if kind == "i":
            return _value("values[%s]", _variable(self._request, header, "request"))
        return _value("values[%s]", _variable(self._response, header, "response"))

    def _statements(self) -> Iterable[str]:
        for name, lines in _STATEMENTS.items():
            if name in self._needed:
                yield from lines
        yield from _search(self._request, "exchange.headers", "name")
        # Only what is read from the wire is known to be in lower case.
        yield from _search(self._response, "exchange.response_headers", "name.lower()")
        yield from self._padded


def escaped_user(authorization: bytes) -> str:
    """Return the user of Basic credentials for a text, or '-'."""
    user = user_name(authorization)
    return "-" if user is None else escape(user.decode("latin-1"))


def quoted_user(authorization: bytes) -> str:
    """The same for JSON, or null."""
    user = user_name(authorization)
    return "null" if user is None else quote(user)


def ids(answered: bytes | None, asked: bytes | None, traceparent: bytes | None) -> str:
    """Return the fields of JSON for the ids of a request, of its trace and of its span; null for none."""
    found = (request_id(answered, asked), *trace_ids(traceparent))
    request, trace, span = (f'"{each}"' if each else "null" for each in found)
    return f'"request_id":{request},"trace_id":{trace},"span_id":{span}'


class Targets(Escaped):
    """Targets -> the fields of JSON for path and query; a bounded cache."""

    def convert(self, value: str | bytes) -> str:
        """Return the fields."""
        text = value if isinstance(value, str) else value.decode("latin-1")
        path, _, query = text.partition("?")
        if text.isascii() and text.isprintable() and '"' not in text and "\\" not in text:
            return f'"path":"{path}","query":"{query}"'
        return f'"path":{quote(path)},"query":{quote(query)}'


def _search(wanted: dict[bytes, str], headers: str, name: str) -> Iterable[str]:
    """Yield statements that put the wanted headers into their variables, in one pass (None: not there)."""
    if not wanted:
        return
    yield f"{' = '.join(wanted.values())} = None"
    yield f"for name, value in {headers}:"
    if len(wanted) == 1:
        [(header, variable)] = wanted.items()
        # Most others have another length, and need not be made lower first.
        yield f"    if len(name) == {len(header)} and {name} == {header!r}:"
        yield f"        {variable} = value"
        return
    yield f"    if {name} in {{{', '.join(map(repr, wanted))}}}:"
    for number, (header, variable) in enumerate(wanted.items()):
        yield f"        {'elif' if number else 'if'} {name} == {header!r}:"
        yield f"            {variable} = value"


def _variable(found: dict[bytes, str], header: bytes, prefix: str) -> str:
    """Return the variable for the value of `header`; its name is made here, not from the header's."""
    return found.setdefault(header, f"{prefix}_{len(found)}")


def _value(expression: str, variable: str) -> str:
    return f"{{'-' if {variable} is None else {expression % variable}}}"


def _literal(text: str) -> str:
    """Return the source of `text` inside an f-string in double quotes."""
    plain = text.encode("unicode_escape").decode("ascii")
    return plain.replace('"', '\\"').replace("{", "{{").replace("}", "}}")
