"""Parsers for option values: each takes what the user has given and returns what the server uses.

The given value is text (command line, environment) or a Python value (a configuration file). A
parser raises ValueError with one line: the value, what is wrong with it, and what to write instead.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from typing import TypeAlias, TypeVar

T = TypeVar("T")
Parser: TypeAlias = Callable[[object], T]

_UNITS = {"K": 2**10, "M": 2**20, "G": 2**30, "T": 2**40}

_YES = frozenset({"1", "true", "yes", "on"})
_NO = frozenset({"0", "false", "no", "off"})

_NOT_FIXED = frozenset(
    {
        *("content-length", "transfer-encoding", "trailer", "connection", "keep-alive", "upgrade", "te"),
        *("proxy-connection", "host", "content-type", "content-encoding", "content-range"),
    }
)
"""Headers that a single response decides about, or the connection."""


def text(value: object) -> str:
    """Take any text that is not empty."""
    if not isinstance(value, str) or not value.strip():
        raise ValueError(f"{value!r} is not a text: write at least one character")
    if "\0" in value:
        raise ValueError(f"{value!r} has a NUL in it: leave it out")
    return value


def boolean(value: object) -> bool:
    """Take a truth value, or its usual words in any case."""
    if isinstance(value, bool):
        return value
    word = str(value).strip().lower()
    if word in _YES:
        return True
    if word in _NO:
        return False
    raise ValueError(f"{value!r} is neither yes nor no: write 1 or 0")


def integer(
    minimum: int, maximum: int = 2**31 - 1, words: Mapping[str, Callable[[], int]] | None = None
) -> Parser[int]:
    """Take a whole number from `minimum` to `maximum`, or one of `words`, for what they return."""
    special = words or {}
    wanted = f"write a whole number from {minimum} on" + "".join(f", or {word}" for word in special)

    def parse(value: object) -> int:
        word = str(value).strip().lower()
        if word in special:
            return special[word]()
        # int() would also take 1_000, +1, True and digits of all scripts
        digits = word.removeprefix("-")
        if isinstance(value, bool) or not (digits.isascii() and digits.isdigit()):
            raise ValueError(f"{value!r} is not a whole number: {wanted}")
        number = int(word[:19])  # enough to see that it is too large; int() refuses thousands of digits
        if number < minimum:
            raise ValueError(f"{value!r} is too small: write at least {minimum}")
        if number > maximum:
            raise ValueError(f"{value!r} is too large: write at most {maximum}")
        return number

    return parse


def size(value: object) -> int:
    """Take a number of bytes, as such or with K, M or G behind it (powers of 1024)."""
    word = str(value).strip().upper().removesuffix("B").removesuffix("I")
    unit = _UNITS.get(word[-1:], 1)
    digits = word[:-1].rstrip() if unit > 1 else word
    if isinstance(value, bool) or not (digits.isascii() and digits.isdigit()) or len(digits) > 15:
        raise ValueError(f"{value!r} is not a size: write a number of bytes, or one such as 400M or 2G")
    return int(digits) * unit


def positive_size(value: object) -> int:
    """Take such a number of bytes, one at least."""
    number = size(value)
    if not number:
        raise ValueError(f"{value!r} is too small: write at least 1")
    return number


def seconds(value: object) -> float:
    """Take a time in seconds, 0 or more."""
    try:
        number = math.nan if isinstance(value, bool) else float(str(value).strip())
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise ValueError(f"{value!r} is not a time in seconds: write a number such as 30 or 0.5")
    if number < 0:
        raise ValueError(f"{value!r} is negative: write 0 or more seconds")
    return number


def choice(*names: str, **aliases: str) -> Parser[str]:
    """Take one of `names`, in any case, or one of `aliases` for what it stands for."""

    def parse(value: object) -> str:
        word = str(value).strip().lower()
        word = aliases.get(word, word)
        if word not in names:
            raise ValueError(f"{value!r} is not known: write {', '.join(names[:-1])} or {names[-1]}")
        return word

    return parse


def each(item: Callable[[str], T], *, none: bool = False) -> Parser[tuple[T, ...]]:
    """Take one text or a sequence of them, each with commas between its parts; `item` parses a part.

    `none`: an empty sequence is the default, and no mistake.
    """

    def parse(value: object) -> tuple[T, ...]:
        texts = [value] if isinstance(value, str) else [str(text) for text in _iterable(value)]
        if not texts and not none:
            raise ValueError(f"{value!r} is empty: write one value, or several with commas")
        for text in texts:
            if not all(part.strip() for part in text.split(",")):
                raise ValueError(f"{text!r} has an empty part: write one value, or several with commas")
        return tuple(item(part.strip()) for text in texts for part in text.split(","))

    return parse


def root_path(value: object) -> str:
    """Take the path prefix under which a proxy publishes the application, without a slash at its end."""
    path = str(value).strip()
    if path in ("", "/"):
        return ""
    if not path.startswith("/") or any(character in path for character in "?#") or not path.isprintable():
        raise ValueError(f"{value!r} is not a path: write the prefix with a leading slash, such as /api")
    return path.rstrip("/")


def umask(value: object) -> int:
    """Take permission bits: a number, or octal digits with a leading zero."""
    if isinstance(value, int) and not isinstance(value, bool):
        number = value  # of a configuration file: Python has read it already
    else:
        digits = str(value).strip().lower().removeprefix("0o")
        if len(digits) == len(str(value).strip()) and digits[:1] != "0":
            raise ValueError(f"{value!r} may be decimal or octal: write octal digits after a 0, such as 027")
        if not digits or len(digits) > 8 or set(digits) - set("01234567"):
            raise ValueError(f"{value!r} is no umask: write octal digits after a 0, such as 027")
        number = int(digits, 8)
    if not 0 <= number <= 0o777:
        raise ValueError(f"{value!r} is no umask: write at most 0777")
    return number


def variables(value: object) -> tuple[str, ...]:
    """Take environment variables as `NAME=VALUE`: one text with commas between them, or a sequence of texts.

    In a sequence the values may have commas.
    """
    texts = value.split(",") if isinstance(value, str) else [str(text) for text in _iterable(value)]
    for text in texts:
        name, equals, _ = text.partition("=")
        if not name.strip() or not equals or "\0" in text:
            raise ValueError(f"{text!r} is no variable: write NAME=VALUE")
    return tuple(text.strip() if isinstance(value, str) else text for text in texts)


def headers(value: object) -> tuple[tuple[bytes, bytes], ...]:
    """Take response headers as `NAME:VALUE`: one text with a line for each, or a sequence of texts."""
    if isinstance(value, str):
        return tuple(_header(line) for line in value.splitlines() if line.strip())
    return tuple(_header(str(text)) for text in _iterable(value))


def _header(given: str) -> tuple[bytes, bytes]:
    from aserve.protocols.policy import is_token  # not needed for anything else here

    name, colon, value = (part.strip(" \t") for part in given.partition(":"))
    if not colon or not name.isascii() or not is_token(name.encode()):
        raise ValueError(f"{given!r} is not a header: write NAME:VALUE, such as X-Frame-Options:DENY")
    if not all(" " <= character <= "~" or character == "\t" for character in value):
        raise ValueError(f"{given!r} has a character that is not plain ASCII: leave it out")
    if name.lower() in _NOT_FIXED:
        raise ValueError(f"{given!r} cannot be the same in every response: leave {name} to the server")
    return name.encode(), value.encode()


def addresses(value: object) -> tuple[str, ...]:
    """Take addresses and networks of proxies, `unix` and `*`, with commas between them; `none` for none."""
    texts = [value] if isinstance(value, str) else [str(text) for text in _iterable(value)]
    if len(texts) <= 1 and "".join(texts).strip().lower() in ("", "none"):
        return ()
    from aserve.protocols.trust import Trust  # with a module that nothing else here needs

    # Lists that programs put together often have a comma too many, and that trusts nobody.
    parts = (part.strip() for text in texts for part in text.split(","))
    found = tuple(part for part in parts if part)
    Trust(found)
    return found


def forwarded_headers(value: object) -> tuple[str, ...]:
    """Take names of headers that proxies set, in any case and with commas between them."""
    from aserve.protocols.policy import PROXY_FIELDS  # not needed for anything else here

    known = {name.decode() for name in PROXY_FIELDS}

    def parse(name: str) -> str:
        if name.lower() not in known:
            raise ValueError(f"{name!r} is not known: write {', '.join(sorted(known))}, or some of these")
        return name.lower()

    return each(parse)(value)


def secure_scheme_headers(value: object) -> tuple[tuple[bytes, str], ...]:
    """Take names of headers with a value each: a mapping, or `NAME:VALUE` with commas between them."""
    if isinstance(value, Mapping):
        if not value:  # gunicorn's way to believe none, and not the default
            raise ValueError("{} names no header: to believe none, name the others in forwarded_headers")
        pairs = [(str(name), str(text)) for name, text in value.items()]
    else:
        pairs = [(name, text) for part in each(str)(value) for name, _, text in [part.partition(":")]]
    return tuple(_secure_scheme_header(name.strip(), text.strip()) for name, text in pairs)


def _secure_scheme_header(name: str, text: str) -> tuple[bytes, str]:
    from aserve.protocols.policy import SPECIAL_HEADERS, is_token  # not needed for anything else here

    lower = name.lower().encode("utf-8", "replace")
    if not text or not is_token(lower) or b"_" in lower or lower in SPECIAL_HEADERS:
        raise ValueError(f"{f'{name}:{text}'!r} tells no scheme: write NAME:VALUE, such as X-Scheme:https")
    return lower, text


def underscored_headers(value: object) -> tuple[str, ...]:
    """Take names of headers, in any case and with commas between them, `*` for all; nothing is none."""
    from aserve.protocols.policy import is_token  # not needed for anything else here

    def parse(name: str) -> str:
        if not is_token(name.encode("utf-8", "replace")):
            raise ValueError(f"{name!r} is no name of a header: write one such as SCRIPT_NAME, or *")
        return name.lower()

    texts = [value] if isinstance(value, str) else [str(text) for text in _iterable(value)]
    return each(parse)(texts) if any(text.strip() for text in texts) else ()


def proxy_protocol(value: object) -> str:
    """Take off, v1, v2 or auto, and the truth values that older configurations have."""
    word = str(value).strip().lower()
    if word in ("off", "v1", "v2", "auto"):
        return word
    if word == "none":
        return "off"
    try:
        return "auto" if boolean(value) else "off"
    except ValueError:
        raise ValueError(f"{value!r} is not known: write off, v1, v2 or auto") from None


def access_log_format(value: object) -> str:
    """Take `common`, `combined`, or a format of gunicorn's atoms such as `%(h)s %(s)s`."""
    from aserve.logformat import compile_format  # heavier than the rest, and rarely needed here

    compile_format(text(value))
    return text(value)


def syslog_address(value: object) -> str:
    """Take the address of a syslog daemon, as in gunicorn."""
    from aserve.syslog import parse_address  # needed only where there is one

    parse_address(text(value))
    return text(value)


def syslog_facility(value: object) -> str:
    """Take the name of a facility of syslog, in any case."""
    from aserve.syslog import FACILITIES

    word = text(value).strip().lower()
    if word not in FACILITIES:
        raise ValueError(f"{value!r} is no facility: write {', '.join(FACILITIES)}")
    return word


def _iterable(value: object) -> Iterable[object]:
    if not isinstance(value, Iterable):
        raise ValueError(f"{value!r} is neither a text nor a list: write one value, or several with commas")
    return value
