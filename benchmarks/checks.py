"""Is a server's answer right? Asked before anything is measured."""

import http.client

from benchmarks.scenarios import Exchange

HOST = "127.0.0.1"


class CheckError(Exception):
    """The answer is not the one that the scenario wants."""


def request(connection: http.client.HTTPConnection, exchange: Exchange) -> None:
    """Send one request and compare the answer.

    Raises:
        CheckError: it is not the right one.
        OSError, http.client.HTTPException: there was none.
    """
    connection.request(exchange.method, exchange.path, exchange.content or None)
    response = connection.getresponse()
    body = response.read()
    if response.status != 200:
        raise CheckError(f"status {response.status} instead of 200: {body[:80]!r}")
    if not exchange.accepts(body):
        raise CheckError(f"wrong body: {len(body)} bytes, {body[:80]!r}...")


def verify(port: int, exchange: Exchange, *, requests: int = 3, timeout: float = 10.0) -> None:
    """Send some requests over one connection: each must be answered rightly, and the connection kept open.

    Args:
        port: of the server, on 127.0.0.1.
        exchange: request and right answer.
        requests: how many; hundreds of them warm a server up.
        timeout: seconds to wait for each.

    Raises:
        CheckError: a wrong answer, none, or a connection that was closed.
    """
    connection = http.client.HTTPConnection(HOST, port, timeout=timeout)
    # http.client would silently connect again.
    connection.auto_open = 0
    try:
        connection.connect()
        for number in range(requests):
            try:
                request(connection, exchange)
            except http.client.NotConnected as error:
                raise CheckError(f"the connection was closed after {number} requests") from error
    except (OSError, http.client.HTTPException) as error:
        raise CheckError(f"no answer: {error!r}") from error
    finally:
        connection.close()
