"""Formats of access log lines: gunicorn's atoms, compiled into one Python function per format.

Everything that a client can choose is escaped, so that no client can forge a line or a field: see
`escape`.
"""

from __future__ import annotations

import base64
import binascii
import os
import re
import time
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeAlias

if TYPE_CHECKING:
    from aserve.protocols.exchange import Exchange

Formatter: TypeAlias = "Callable[[Exchange], str]"

_COMMON = '%(h)s %(l)s %(u)s %(t)s "%(r)s" %(s)s %(b)s'
NAMED: Final = {"common": _COMMON, "combined": f'{_COMMON} "%(f)s" "%(a)s"'}
"""Formats with a name: Apache's. `combined` is gunicorn's default as well."""

MONTHS: Final = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")

_CACHED_VALUES: Final = 1024
_CACHED_LENGTH: Final = 512
"""How many header values are kept in their escaped form, and up to how many bytes each."""


class _Atom(NamedTuple):
    """Source text of an expression, and the statements that it needs before it."""

    expression: str
    needs: tuple[str, ...] = ()


# What the expressions stand on, in the order in which it is done.
_STATEMENTS: Final = {
    "client": (
        "origin = exchange.origin",
        "client = exchange.connection.client if origin is None else origin.client",
    ),
    "target": (
        "target = exchange.target.decode('latin-1')",
        "if '\"' in target or '\\\\' in target or not (target.isprintable() and target.isascii()):",
        "    target = escape(target)",
    ),
    "parts": ("path, mark, query = target.partition('?')",),
    "now": (
        "now = clock()",
        "if not date.start <= now < date.end:",
        "    date.renew(now)",
    ),
    "elapsed": ("elapsed = monotonic() - exchange.started",),
}

_ATOMS: Final = {
    "h": _Atom("texts[client[0]] if client is not None else '-'", ("client",)),
    "l": _Atom("'-'"),
    "t": _Atom("date.text", ("now",)),
    "r": _Atom("texts[exchange.method]} {target} HTTP/{exchange.http_version", ("target",)),
    "m": _Atom("texts[exchange.method]"),
    "U": _Atom("path", ("target", "parts")),
    "q": _Atom("query", ("target", "parts")),
    "H": _Atom("'HTTP/' + exchange.http_version"),
    "s": _Atom("exchange.status"),
    "B": _Atom("exchange.body_sent"),
    "b": _Atom("exchange.body_sent or '-'"),
    "T": _Atom("int(elapsed)", ("elapsed",)),
    "M": _Atom("int(elapsed * 1_000)", ("elapsed",)),
    "D": _Atom("int(elapsed * 1_000_000)", ("elapsed",)),
    "L": _Atom("elapsed:.6f", ("elapsed",)),
    "p": _Atom("pid"),
    "w": _Atom("exchange.close_code or '-'"),
}
_HEADER_ATOMS: Final = {"f": b"referer", "a": b"user-agent", "u": b"authorization"}
_KNOWN: Final = "h l u t r m U q H s B b f a T M D L p w {header}i {header}o {variable}e"

_PIECE: Final = re.compile(r"%(?:(?P<percent>%)|\((?P<atom>[^()]*)\)[sd])|(?P<wrong>%)")


def compile_format(
    text: str,
    *,
    monotonic: Callable[[], float] = time.monotonic,
    clock: Callable[[], float] = time.time,
    journal: bool = False,
) -> Formatter:
    """Return the function that makes a line (with its newline) of a finished exchange.

    `text` is the name of a format or a format of gunicorn's atoms: h client, l '-', u user, t date,
    r request line, m method, U path, q query, H protocol, s status, B and b bytes of the body (b:
    '-' for none), f referer, a user agent, T M D L time in seconds, milliseconds, microseconds and
    decimal seconds, p process id, w close code of a WebSocket or '-', {name}i request header, {name}o
    response header, {name}e environment variable. `monotonic` is the clock of `Exchange.started`,
    `clock` the wall's; both in seconds. Raises ValueError for what is none of them. Call it in the
    process that uses it.
    """
    return _Compiler().compile(NAMED.get(text, text), monotonic, clock)


def escape(text: str) -> str:
    r"""Return `text` with everything but plain visible ASCII as \xNN: `"`, `\`, control characters, others.

    `text` stands for bytes in Latin-1; characters beyond it are taken in UTF-8.
    """
    if text.isascii() and text.isprintable() and '"' not in text and "\\" not in text:
        return text
    raw = text.encode("latin-1") if max(text) <= "\xff" else text.encode("utf-8", "surrogateescape")
    return "".join(chr(byte) if 32 <= byte < 127 and byte not in b'"\\' else f"\\x{byte:02x}" for byte in raw)


class Escaped(dict[Any, str]):
    """Texts or bytes -> their escaped form; a bounded cache, since most clients say the same things."""

    def __missing__(self, value: str | bytes) -> str:
        text = escape(value if isinstance(value, str) else value.decode("latin-1"))
        if len(value) <= _CACHED_LENGTH:
            if len(self) >= _CACHED_VALUES:
                self.clear()
            self[value] = text
        return text


class Date:
    """The text of `%(t)s` for the second from `start` to `end` (in seconds of the wall's clock)."""

    __slots__ = ("end", "start", "text")

    def __init__(self) -> None:
        self.start = self.end = 0.0
        self.text = "-"

    def renew(self, now: float) -> None:
        """Make the text for the second in which `now` is. English names, whatever the locale."""
        self.start = float(int(now))
        self.end = self.start + 1.0
        local = time.localtime(self.start)
        self.text = time.strftime(f"[%d/{MONTHS[local.tm_mon - 1]}/%Y:%H:%M:%S %z]", local)


def user_name(authorization: bytes) -> str:
    """Return the escaped user of Basic credentials (RFC 7617 §2), or '-' for anything else."""
    scheme, _, credentials = authorization.partition(b" ")
    if scheme.lower() != b"basic":
        return "-"
    try:
        user, colon, _ = base64.b64decode(credentials.strip(), validate=True).partition(b":")
    except (binascii.Error, ValueError):
        return "-"
    return escape(user.decode("latin-1")) if user and colon else "-"


class _Compiler:
    """Writes the source of one formatter."""

    def __init__(self) -> None:
        self._needed: set[str] = set()
        self._request: dict[bytes, str] = {}
        self._response: dict[bytes, str] = {}

    def compile(self, text: str, monotonic: Callable[[], float], clock: Callable[[], float]) -> Formatter:
        body, position = [], 0
        for piece in _PIECE.finditer(text):
            body.append(_literal(text[position : piece.start()]))
            position = piece.end()
            body.append(self._piece(piece))
        body.append(_literal(text[position:]))
        source = "\n    ".join(("def line(exchange):", *self._statements(), f'return f"{"".join(body)}\\n"'))
        names: dict[str, Any] = {
            "clock": clock,
            "date": Date(),
            "escape": escape,
            "monotonic": monotonic,
            "pid": f"<{os.getpid()}>",
            "texts": Escaped(),
            "user_name": user_name,
            "values": Escaped(),
        }
        # As dataclasses do it. Only text of this file gets here: see `_literal` and `_variable`.
        exec(source, names)
        formatter: Formatter = names["line"]
        return formatter

    def _piece(self, piece: re.Match[str]) -> str:
        if piece["percent"]:
            return "%"
        name = piece["atom"]
        if name is None:
            raise ValueError(
                f"{piece.string[piece.start() :][:12]!r} is not an atom: write one as in %(h)s, "
                "and %% for a percent sign"
            )
        if name in _ATOMS:
            atom = _ATOMS[name]
            self._needed.update(atom.needs)
            return f"{{{atom.expression}}}"
        if name in _HEADER_ATOMS:
            variable = _variable(self._request, _HEADER_ATOMS[name], "request")
            return _value("user_name(%s)" if name == "u" else "values[%s]", variable)
        if len(name) > 3 and name[0] == "{" and name[-2] == "}" and name[-1] in "ioe":
            return self._named(name[1:-2], name[-1])
        raise ValueError(f"'%({name})s' is not an atom: known are {_KNOWN}")

    def _named(self, name: str, kind: str) -> str:
        if kind == "e":
            return _literal(escape(os.environ.get(name, os.environ.get(name.upper(), "-"))))
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


def _search(wanted: dict[bytes, str], headers: str, name: str) -> Iterable[str]:
    """Yield statements that put the wanted headers into their variables, in one pass (None: not there)."""
    if not wanted:
        return
    yield f"{' = '.join(wanted.values())} = None"
    yield f"for name, value in {headers}:"
    if len(wanted) == 1:
        [(header, variable)] = wanted.items()
        yield f"    if {name} == {header!r}:"
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
