"""Coverage-guided: `python -m tests.fuzz.atheris_target [OPTION...]`, with libFuzzer's options.

Needs atheris (`python -m pip install atheris`). What it finds is written to build/fuzz/ and belongs into
cases.py; `python -m tests.fuzz.atheris_target FILE` runs one such file again.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Final

import atheris

with atheris.instrument_imports(include=["aserve.protocols", "h11"]):
    # The parsers are imported when they are used, which would be too late.
    from aserve.protocols import parser_h11, parser_httptools  # noqa: F401
    from aserve.protocols.options import ConnectionOptions
    from tests.fuzz import samples
    from tests.fuzz.cases import CASES
    from tests.fuzz.harness import Harness
    from tests.fuzz.stream import Stream
    from tests.fuzz.verdicts import agreed, agreed_at_its_end, check_nothing_follows, check_reference

FOLDER: Final = Path("build/fuzz")
SMALL_LIMITS: Final = ConnectionOptions(
    limit_line=24, limit_fields=3, limit_field_size=28, limit_head=80, limit_body=12, body_buffer=8
)
# The bytes of the stream are taken from the front of the input, everything else from its end.
HARNESS: Final = Harness()


def check(data: bytes) -> None:
    """Raise for an input with which something is wrong."""
    source = atheris.FuzzedDataProvider(data)
    small = source.ConsumeIntInRange(0, 7) == 7
    places = [source.ConsumeProbability() for _ in range(source.ConsumeIntInRange(0, 3))]
    text = source.ConsumeBytes(source.remaining_bytes())
    cuts = {int(place * len(text)) for place in places} - {0, len(text)}
    stream = Stream(text, tuple(sorted(cuts)))
    outcome = agreed(HARNESS, stream, SMALL_LIMITS if small else None)
    agreed_at_its_end(HARNESS, stream)
    if not small:
        check_nothing_follows(HARNESS, stream, outcome)
        check_reference(stream, outcome)


def main() -> None:
    """Fuzz until something is found, or as long as the options say."""
    corpus = FOLDER / "corpus"
    seeds = FOLDER / "seeds"
    for folder in (corpus, seeds):
        folder.mkdir(parents=True, exist_ok=True)
    for number, data in enumerate(_seeds()):
        (seeds / str(number)).write_bytes(data + bytes(2))
    words = FOLDER / "words"
    words.write_text("".join(f'"{_escaped(word)}"\n' for word in _words()))
    arguments = [f"-dict={words}", f"-artifact_prefix={FOLDER}/", "-max_len=600", *sys.argv[1:]]
    if all(argument.startswith("-") for argument in sys.argv[1:]):
        arguments += [str(corpus), str(seeds)]
    atheris.Setup([sys.argv[0], *arguments], check)
    atheris.Fuzz()


def _seeds() -> list[bytes]:
    """Requests of many kinds, as a start."""
    fields = [*samples.FIELD_LINES, *samples.FRAMING_LINES, *samples.HOST_LINES]
    seeds = [b"".join(case.reads) for case in CASES.values()]
    seeds += [b"POST / HTTP/1.1\r\nHost: a\r\n%b\r\n\r\n12345" % field for field in fields]
    seeds += [b"OPTIONS %b HTTP/1.1\r\nHost: a\r\n\r\n" % target for target in samples.ODD_TARGETS]
    seeds += [b"GET / %b\r\nHost: a\r\n\r\n" % version for version in samples.VERSIONS]
    seeds += [
        samples.CHUNKED_HEADS[0] + b"5%b\r\n12345\r\n0\r\n\r\n" % extension
        for extension in [*samples.EXTENSIONS, *samples.ODD_EXTENSIONS]
    ]
    return seeds


def _words() -> list[bytes]:
    words = [*samples.FRAGMENTS, *samples.NAMES, *samples.SIZES, *samples.EXTENSIONS, *samples.MEANINGFUL]
    words += [*samples.RAW_METHODS, *samples.VERSIONS, *samples.HOSTS, *samples.LINE_ENDS]
    return sorted({word for word in words if word})


def _escaped(word: bytes) -> str:
    return "".join(f"\\x{byte:02x}" for byte in word)


if __name__ == "__main__":
    main()
