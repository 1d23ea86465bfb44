"""Clients who are slow to send or to read, beside others: they hold no thread, and no turn."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack

import pytest

from tests.support.client import AsyncRawClient, request
from tests.support.pool import FLAVOURS, ServerPool
from tests.support.site import Site

CROWD = 200


@pytest.mark.parametrize(
    ("options", "upload"),
    [(("-k", "wsgi", "--threads", "4"), 50_000), (("-k", "sync"), 150_000)],
    ids=["threads", "inline"],
)
async def test_slow_uploaders_and_readers_beside_quick_requests(
    pool: ServerPool, options: tuple[str, ...], upload: int
) -> None:
    """The quick ones have their answers while not one of the slow ones has got any further."""
    server = pool.get("wsgi_heavy:application", FLAVOURS[0], *options)
    data = request("POST", "/swallow", body=bytes(upload))
    async with Site(server) as site, AsyncExitStack() as stack:
        uploaders = [await stack.enter_async_context(site.raw()) for _ in range(CROWD)]
        await asyncio.gather(*(client.send(data[:-1000]) for client in uploaders))
        readers = [await stack.enter_async_context(site.raw(receive_buffer=4096)) for _ in range(CROWD)]
        targets = ["/whole?size=500000", "/stream?count=8&size=16000"]
        await asyncio.gather(
            *(
                client.send(request(target=targets[number % 2], headers=[("Connection", "close")]))
                for number, client in enumerate(readers)
            )
        )
        heads = await asyncio.gather(*(client.read_head() for client in readers))
        assert {head.status for head in heads} == {200}

        async def quick() -> None:
            async with site.raw() as client:
                for _ in range(20):
                    assert (await client.ask(request())).text == "hello"

        await asyncio.gather(*(quick() for _ in range(20)))

        async def finish(client: AsyncRawClient) -> None:
            assert (await client.ask(data[-1000:])).json() == {"size": upload}

        await asyncio.gather(*map(finish, uploaders))
        rest = await asyncio.gather(*(client.read_until_closed() for client in readers))
        assert [len(body) for body in rest[::2]] == [500_000] * (CROWD // 2)
        assert all(body.count(b"3e80\r\n") == 8 and body.endswith(b"\r\n0\r\n\r\n") for body in rest[1::2])
