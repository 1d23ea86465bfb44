"""The kinds of bad clients: what they send, what they are told, how they are ended (see badclients.py).

They are for the routes that the applications `asgi_heavy` and `wsgi_heavy` have.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import chain, repeat

from tests.support.badclients import BadClient, Interface, Kind, Reads, Script
from tests.support.client import chunked, request

KINDS: list[Kind] = []

ASGI: tuple[Interface, ...] = ("asgi",)
BOTH: tuple[Interface, ...] = ("asgi", "wsgi")

_CHUNKED = [("Transfer-Encoding", "chunked")]


def bad(
    statuses: str,
    *,
    reads: Reads = "at once",
    whole: bool = True,
    told: tuple[Interface, ...] = (),
    at_work: bool = False,
) -> Callable[[Script], Script]:
    """Register a script as a kind of bad client (see `Kind`)."""

    def register(script: Script) -> Script:
        KINDS.append(Kind(script.__name__, script, statuses, reads, whole, told, at_work or "wsgi" in told))
        return script

    return register


def _upload(path: str, length: int, body: bytes = b"") -> bytes:
    return request("POST", path, [("Content-Length", str(length))]) + body


def _bytes(data: bytes) -> Iterator[bytes]:
    """`data` in pieces of one byte."""
    return (data[number : number + 1] for number in range(len(data)))


def _endless_head() -> Iterator[bytes]:
    return chain(_bytes(b"GET / HTTP/1.1\r\nHost: test\r\nX-Endless: "), repeat(b"x"))


async def _wait_for_call(client: BadClient) -> None:
    """Begin a chunked upload, and wait until the application asks for it."""
    await client.send(request("POST", f"/swallow/{client.key}", [*_CHUNKED, ("Expect", "100-continue")]))
    await client.answered()


# -- heads ----------------------------------------------------------------------------------------


@bad("")
async def silent(client: BadClient) -> None:
    """Not a byte."""


@bad("408")
async def first_byte_only(client: BadClient) -> None:
    await client.send(b"G")


@bad("408")
async def head_bytewise(client: BadClient) -> None:
    await client.drip(_endless_head())


@bad("408")
async def head_linewise(client: BadClient) -> None:
    await client.send(b"GET / HTTP/1.1\r\nHost: test\r\n")
    await client.drip(repeat(b"X: y\r\n"))


@bad("408")
async def head_without_its_last_line_end(client: BadClient) -> None:
    await client.send(request()[:-1])


@bad("431")
async def head_without_an_end(client: BadClient) -> None:
    await client.send(b"GET / HTTP/1.1\r\nHost: test\r\n")
    await client.flood(b"X-Endless: and on and on\r\n" * 100)


@bad("431")
async def field_without_an_end(client: BadClient) -> None:
    await client.send(b"GET / HTTP/1.1\r\nHost: test\r\nX-Endless: ")
    await client.flood(b"x" * 1000)


@bad("414")
async def line_without_an_end(client: BadClient) -> None:
    await client.send(b"GET /")
    await client.flood(b"x" * 1000)


@bad("")
async def empty_lines(client: BadClient) -> None:
    await client.drip(repeat(b"\r\n"))


@bad("400")
async def empty_lines_by_the_thousand(client: BadClient) -> None:
    await client.flood(b"\r\n" * 10_000)


@bad("200")
async def idle(client: BadClient) -> None:
    await client.send(request())


@bad("200")
async def empty_lines_for_a_second_request(client: BadClient) -> None:
    await client.send(request())
    await client.drip(repeat(b"\r\n"))


@bad("200 408")
async def second_head_bytewise(client: BadClient) -> None:
    await client.send(request())
    await client.answered()
    await client.drip(_endless_head())


@bad("200 408")
async def pipelined_head_bytewise(client: BadClient) -> None:
    await client.send(request())
    await client.drip(_endless_head())


# -- bodies ---------------------------------------------------------------------------------------


@bad("408", told=ASGI)
async def body_bytewise(client: BadClient) -> None:
    await client.send(_upload(f"/swallow/{client.key}", 100_000))
    await client.drip(repeat(b"x"))


@bad("408", told=ASGI)
async def body_of_which_nothing_comes(client: BadClient) -> None:
    await client.send(_upload(f"/swallow/{client.key}", 5))


@bad("408", told=BOTH)
async def body_that_stalls(client: BadClient) -> None:
    await client.send(_upload(f"/swallow/{client.key}", 1_000_000, bytes(100_000)))


@bad("100 408", told=ASGI)
async def body_that_is_waited_for(client: BadClient) -> None:
    head = [("Expect", "100-continue"), ("Content-Length", "5")]
    await client.send(request("POST", f"/swallow/{client.key}", head))


@bad("200", whole=False, at_work=True)
async def body_that_stalls_during_the_response(client: BadClient) -> None:
    """Too late for another status: the response breaks off."""
    await client.send(_upload("/echo", 1_000_000, b"line\n" * 40_000))


@bad("408", told=ASGI)
async def chunk_that_stalls(client: BadClient) -> None:
    await client.send(request("POST", f"/swallow/{client.key}", _CHUNKED) + b"5\r\nab")


@bad("408", told=ASGI)
async def chunks_bytewise(client: BadClient) -> None:
    await client.send(request("POST", f"/swallow/{client.key}", _CHUNKED))
    await client.drip(repeat(chunked(b"x")[:6]))


@bad("408", told=ASGI)
async def chunk_size_that_stalls(client: BadClient) -> None:
    await client.send(request("POST", f"/swallow/{client.key}", _CHUNKED) + b"5")


@bad("408", told=ASGI)
async def extension_bytewise(client: BadClient) -> None:
    await client.send(request("POST", f"/swallow/{client.key}", _CHUNKED) + b"5;a=")
    await client.drip(repeat(b"x"))


@bad("100 400", told=ASGI)
async def extension_without_an_end(client: BadClient) -> None:
    await _wait_for_call(client)
    await client.send(b"5;a=")
    await client.flood(b"x" * 1000)


@bad("100 400", told=ASGI)
async def extensions_on_every_chunk(client: BadClient) -> None:
    await _wait_for_call(client)
    await client.flood(b"1;a=" + b"x" * 1000 + b"\r\nx\r\n")


@bad("408", told=ASGI)
async def trailer_bytewise(client: BadClient) -> None:
    await client.send(request("POST", f"/swallow/{client.key}", _CHUNKED) + b"0\r\nX-Trailer: ")
    await client.drip(repeat(b"x"))


@bad("100 431", told=ASGI)
async def trailer_without_an_end(client: BadClient) -> None:
    await _wait_for_call(client)
    await client.send(b"0\r\n")
    await client.flood(b"X-Trailer: and on\r\n" * 10)


# -- responses ------------------------------------------------------------------------------------


@bad("200", reads="bytewise", whole=False, told=BOTH)
async def reader_bytewise(client: BadClient) -> None:
    await client.send(request(target=f"/endless/{client.key}"))


@bad("200", reads="nothing", whole=False, told=BOTH)
async def reader_of_nothing(client: BadClient) -> None:
    await client.send(request(target=f"/endless/{client.key}"))


@bad("200", reads="nothing", whole=False)
async def reader_of_nothing_of_one_piece(client: BadClient) -> None:
    await client.send(request(target="/whole?size=20000000"))


@bad("200", reads="nothing", whole=False)
async def asker_who_reads_nothing(client: BadClient) -> None:
    """Responses that are small each, and endless together."""
    await client.flood(request(target="/whole?size=100000") * 10)


@bad("200", reads="nothing", whole=False, told=BOTH)
async def half_closed_reader_of_nothing(client: BadClient) -> None:
    await client.send(request(target=f"/endless/{client.key}"))
    client.half_close()


# -- half-closed connections ----------------------------------------------------------------------


@bad("200")
async def half_closed_behind_a_request(client: BadClient) -> None:
    await client.send(request())
    client.half_close()


@bad("")
async def half_closed_at_once(client: BadClient) -> None:
    client.half_close()


@bad("")
async def half_closed_in_the_head(client: BadClient) -> None:
    await client.send(request()[:-2])
    client.half_close()


@bad("400", told=ASGI)
async def half_closed_in_the_body(client: BadClient) -> None:
    await client.send(_upload(f"/swallow/{client.key}", 1000, b"x"))
    client.half_close()


@bad("400", told=ASGI)
async def half_closed_in_a_chunk(client: BadClient) -> None:
    await client.send(request("POST", f"/swallow/{client.key}", _CHUNKED) + b"5\r\nab")
    client.half_close()


# -- refused, and still there ---------------------------------------------------------------------


@bad("400")
async def refused(client: BadClient) -> None:
    """It neither goes nor says more."""
    await client.send(b"GET / HTTP/1.1\r\nbad header: x\r\n\r\n")


@bad("400")
async def refused_and_asks_on(client: BadClient) -> None:
    await client.send(b"GET / HTTP/1.1\r\nbad header: x\r\n\r\n")
    await client.drip(repeat(request()))


@bad("400", reads="nothing")
async def refused_and_reads_nothing(client: BadClient) -> None:
    await client.send(b"GET / HTTP/1.1\r\nbad header: x\r\n\r\n")


@bad("200", reads="nothing", whole=False)
async def refused_behind_what_it_does_not_read(client: BadClient) -> None:
    await client.send(request(target="/whole?size=20000000") + b"GET / HTTP/1.1\r\nbad header: x\r\n\r\n")


@bad("413")
async def too_large_and_sent_bytewise(client: BadClient) -> None:
    await client.send(_upload("/unread", 10**9))
    await client.drip(repeat(b"x"))


@bad("401")
async def unread_and_stalled(client: BadClient) -> None:
    """The application has answered, the rest of the body never comes."""
    await client.send(_upload("/unread", 100_000, bytes(70_000)))


@bad("401")
async def unread_and_idle(client: BadClient) -> None:
    """The application has answered, all of the body has come."""
    await client.send(_upload("/unread", 200_000, bytes(200_000)))


@bad("401", at_work=True)
async def unread_for_a_while_and_stalled(client: BadClient) -> None:
    """The server had ceased to read, for the buffer was full, when the answer came."""
    await client.drip([_upload("/late-unread", 200_000, bytes(70_000)), bytes(30_000)])


@bad("401", at_work=True)
async def unread_for_a_while_and_idle(client: BadClient) -> None:
    await client.drip([_upload("/late-unread", 200_000, bytes(70_000)), bytes(130_000)])


@bad("401", at_work=True)
async def unread_for_a_while_and_endless(client: BadClient) -> None:
    piece = chunked(bytes(70_000))[:-5]
    await client.drip([request("POST", "/late-unread", _CHUNKED) + piece, piece])
    await client.flood(piece)


@bad("401")
async def unread_and_sent_bytewise(client: BadClient) -> None:
    await client.send(_upload("/unread", 1_000_000, bytes(70_000)))
    await client.drip(repeat(b"x"))
